"""The suffixes of image files that are known, and what a file's name is without its own."""

from __future__ import annotations

__all__ = ["ARRAYS", "IMAGES", "IMAGES_AND_VOLUMES", "PICTURES", "SLIDES", "TIFFS", "VOLUMES", "split_suffix"]

VOLUMES = (".nii", ".nii.gz")
ARRAYS = (".npy", ".zarr")
TIFFS = (".tiff", ".tif")
SLIDES = (".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".svslide", ".vms", ".vmu", ".dcm")
PICTURES = (".png", ".jpg", ".jpeg")
IMAGES = (*TIFFS, *SLIDES, *ARRAYS, *PICTURES)
"""What a 2-D image is in; where several files have a name, an earlier suffix is meant."""
IMAGES_AND_VOLUMES = (*IMAGES, *VOLUMES)


def split_suffix(name: str) -> tuple[str, str]:
    """A file's name without its suffix, and that suffix in lower case, empty where none is known.

    Example:
        >>> split_suffix("scan.1.NII.GZ"), split_suffix("slide_a")
        (('scan.1', '.nii.gz'), ('slide_a', ''))
    """
    ends = [suffix for suffix in (*VOLUMES, *IMAGES) if name.lower().endswith(suffix)]
    suffix = max(ends, key=len, default="")
    return name[: len(name) - len(suffix)], suffix
