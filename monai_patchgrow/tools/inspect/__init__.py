"""Does a bundle hold more than data and calls of known components? It is read, and nothing of it is run."""

from monai_patchgrow.tools.inspect.bundle import inspect_bundle
from monai_patchgrow.tools.inspect.report import Finding, Report

__all__ = ["Finding", "Report", "inspect_bundle"]
