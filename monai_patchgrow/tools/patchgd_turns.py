"""What a PatchGD bundle checks of its mirrored axes and quarter turns before its first step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai_patchgrow.data.turned_tiles import parse_axes
from monai_patchgrow.schedules.table import format_size
from monai_patchgrow.tools.one_line import one_line_config_errors

__all__ = ["check_turns"]


def check_turns(
    *, mirror_axes: Any, rotate90: bool = False, patch_size: Sequence[int], image_size: Sequence[int] | None
) -> None:
    """Check that images can be mirrored and turned as a bundle says; on the first fault exit with one line and code 1.

    A quarter turn swaps an image's sides. One that isn't square no longer has the size that `image_size` says of all,
    and one that holds a patch that isn't square may no longer hold it.

    Args:
        mirror_axes: axes of the image, counted from 0.
        rotate90: whether images are turned by quarters.
        patch_size: voxels per axis, of the full patch.
        image_size: of all images, voxels per axis; None: they differ.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        parse_axes(mirror_axes, spatial_dims=len(patch_size), name="mirror_axes")
        if not rotate90:
            return
        if len(patch_size) != 2:
            raise ValueError(f"rotate90 turns images of 2 axes, not of {len(patch_size)}: take rotate90=False")
        for name, size in (("patch_size", patch_size), ("image_size", image_size)):
            if size is not None and len(set(size)) > 1:
                raise ValueError(
                    f"rotate90 swaps an image's sides, and {name} isn't square: {format_size(tuple(size))}: "
                    "take rotate90=False"
                )
