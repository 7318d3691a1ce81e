"""How label maps get back into the space of their images, and what their files are called."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["file_name", "invert_linearly"]

_CUBIC = 3
_ENDING = re.compile(r"(_0000)?(\.nii(\.gz)?)?$")  # of an image; nnU-Net's first channel is CASE_0000


def invert_linearly(image: Any) -> None:
    """Let what resampled the image by cubic splines be undone linearly, as nnU-Net resamples logits.

    Args:
        image: a MetaTensor with the transforms that were applied to it.
    """
    for step in image.applied_operations:
        if step.get("extra_info", {}).get("mode") == _CUBIC:
            step["extra_info"].update(mode="bilinear", dtype="float32")


def file_name(meta: Mapping[str, Any], saver: Any) -> dict[str, str]:
    """What SaveImage calls a label map: NAME.nii.gz, NAME being that of the image."""
    return {"subject": _ENDING.sub("", os.path.basename(str(meta["filename_or_obj"]))) + ".nii.gz"}
