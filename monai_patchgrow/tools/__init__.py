"""Floor 5: what the command line, the scripts and the bundles call."""
