"""Floor 5: what the command line, the scripts and the bundles call."""

from monai_patchgrow.tools.preflight import preflight
from monai_patchgrow.tools.verify_data import verify_data

__all__ = ["preflight", "verify_data"]
