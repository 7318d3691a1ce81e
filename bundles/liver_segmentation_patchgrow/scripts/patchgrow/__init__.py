"""Copies of modules of monai_patchgrow, which need MONAI alone."""
