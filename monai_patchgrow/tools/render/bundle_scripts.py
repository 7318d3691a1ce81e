"""The code that comes with a segmentation bundle: scripts, and copies of modules of this package."""

from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType

from monai_patchgrow import bundle

__all__ = ["bundle_scripts"]

_OWN = Path(__file__).parent / "templates" / "segmentation" / "scripts"
_PACKAGE = Path(bundle.__file__).parents[1]
_CARRIED = MappingProxyType(  # modules that a bundle has a copy of; read, not imported: that would wait for torch
    {
        "anisotropy": "anisotropy",
        "bundle.known_keys": "known_keys",
        "bundle.plain_settings": "plain_settings",
        "bundle.program_choice": "program_choice",
        "bundle.run_lock": "run_lock",
        "bundle.segmentation_classes": "segmentation_classes",
        "data.errors": "errors",
        "data.loading.case_spacing": "case_spacing",
        "data.loading.control_groups": "control_groups",
        "data.loading.nifti": "nifti",
        "data.loading.orientation": "orientation",
        "data.loading.stall_watch": "stall_watch",
        "data.loading.usable_cpus": "usable_cpus",
        "data.size_limit": "size_limit",
        "data.tasks.case_names": "case_names",
        "data.tasks.decathlon": "decathlon",
        "data.tasks.faults": "faults",
        "data.tasks.folds": "folds",
        "data.tasks.header_checks": "header_checks",
        "label_classes": "label_classes",
        "data.tasks.nifti_file": "nifti_file",
        "data.tasks.nifti_header": "nifti_header",
        "data.tasks.nnunet_raw": "nnunet_raw",
        "data.tasks.outliers": "outliers",
        "data.tasks.rules": "rules",
        "data.tasks.split": "split",
        "data.tasks.split_file": "split_file",
        "data.tasks.table": "table",
        "data.tasks.task": "task",
        "data.tasks.verification": "verification",
        "data.tasks.voxel_checks": "voxel_checks",
        "internals.torch": "torch_internals",
        "metrics.label_dice": "label_dice",
        "networks.half_convolutions": "half_convolutions",
        "networks.idle_gpu": "idle_gpu",
        "networks.out_of_memory": "out_of_memory",
        "networks.surgery.single_voxel_norm": "single_voxel_norm",
        "safetensors_header": "safetensors_header",
        "schedules.arguments": "arguments",
        "sealed_files": "sealed_files",
        "transforms.label_maps": "label_maps",
        "weight_files": "weight_files",
    }
)


def bundle_scripts() -> dict[str, str]:
    """The files of code of a segmentation bundle, the same for every plan: text by path within the bundle."""
    own = sorted(_OWN.glob("*.py"))
    return {
        **{f"scripts/{path.name}": path.read_text(encoding="utf-8") for path in own},
        "scripts/patchgrow/__init__.py": '"""Copies of modules of monai_patchgrow, which need MONAI alone."""\n',
        **{f"scripts/patchgrow/{name}.py": _carried_copy(module) for module, name in _CARRIED.items()},
    }


def _carried_copy(module: str) -> str:
    """The text of a module of the package, with imports from the copies beside it."""
    text = _PACKAGE.joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8")
    ours = re.compile(r"(?m)^from monai_patchgrow\.([\w.]+) import ")
    copied = ours.sub(lambda found: f"from .{_CARRIED[found[1]]} import ", text)
    statement = re.compile(r"(?m)^from \.\w+ import (?:\([^)]*\)|[^(\n]*)$")  # some in brackets, over several lines
    ordered = iter(sorted(statement.findall(copied)))
    return statement.sub(lambda _: next(ordered), copied)
