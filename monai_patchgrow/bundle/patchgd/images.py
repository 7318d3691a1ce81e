"""How a PatchGD bundle prepares images, so that whatever is wrong with one is a line with its file."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import Compose, MapTransform

from monai_patchgrow.bundle.one_line import causes
from monai_patchgrow.data.errors import DataError
from monai_patchgrow.networks.heads.by_name import FIXED_GRID
from monai_patchgrow.schedules.arguments import format_size

__all__ = ["CheckImageSized", "ImagePreprocessing", "name_fault", "reason_of"]


class ImagePreprocessing(Compose):
    """MONAI's ``Compose`` of items with an "image"; whatever its transforms raise becomes a DataError with its file.

    So any data set raises the same, in a worker of its loader too, whose error comes without its causes.

    >>> ImagePreprocessing([lambda item: item["mask"]])({"image": "a.nii"})
    Traceback (most recent call last):
    monai_patchgrow.data.errors.DataError: a.nii: can't be read (KeyError: 'mask')
    """

    def __call__(
        self, input_: Any, start: int = 0, end: int | None = None, threading: bool = False, lazy: bool | None = None
    ) -> Any:
        """As ``Compose``.

        Raises:
            DataError: an image that can't be read, or isn't what a transform takes.
        """
        try:
            with np.errstate(over="ignore"):  # a value that float32 can't hold becomes infinite, which is checked
                return super().__call__(input_, start, end, threading, lazy)
        except Exception as error:  # of many types: it depends on what is broken, and MONAI wraps it
            raise name_fault(error, input_) from None


class CheckImageSized(MapTransform):
    """Refuses a tile source that the network doesn't take.

    Args:
        keys: of tile sources ``(C, *spatial)``.
        patch_size: voxels per axis, of the full patch.
        image_size: the size that a "conv" head was made for, voxels per axis.
        head: its name.
        allow_smaller: images may be smaller than the patch.

    Raises:
        DataError: when it is called: other axes than the patch's, fewer voxels, or another size than the head's.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        patch_size: Sequence[int],
        image_size: Sequence[int] | None = None,
        head: str = "attention",
        allow_smaller: bool = False,
    ) -> None:
        super().__init__(keys)
        self.patch_size, self.allow_smaller = tuple(patch_size), allow_smaller
        self.image_size = None if image_size is None or head != FIXED_GRID else tuple(image_size)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Check the images of one item."""
        for key in self.key_iterator(dict(data)):
            self._check(tuple(data[key].shape[1:]))
        return dict(data)

    def _check(self, size: tuple[int, ...]) -> None:
        patch = self.patch_size
        if len(size) != len(patch):
            raise DataError(f"has {len(size)} axes, the patch {len(patch)}")
        if not self.allow_smaller and any(voxels < wanted for voxels, wanted in zip(size, patch, strict=True)):
            raise DataError(
                f"{format_size(size)} voxels, smaller than the patch of {format_size(patch)}: "
                "take a smaller patch_size, or allow_smaller=True, which pads the image"
            )
        if self.image_size not in (None, size):
            raise DataError(
                f"{format_size(size)} voxels, the head {FIXED_GRID} is made for images of "
                f"{format_size(self.image_size)}: another head takes any size"
            )


def name_fault(error: BaseException, item: Any) -> DataError:
    """What went wrong with an image, in one line that begins with its file.

    Args:
        error: as it arrived; of its causes the first that was written to be read, or else the innermost.
        item: a dictionary with the file's path as its "image", or with a "name".

    >>> name_fault(EOFError("cut off"), {"image": "a.nii"})
    DataError("a.nii: can't be read (EOFError: cut off)")
    """
    cause, file = _telling(error), _file_of(item)
    if str(cause).startswith(file):
        return DataError(str(cause))
    reason = reason_of(cause)
    return DataError(f"{file}: {reason}" if isinstance(cause, DataError) else f"{file}: can't be read ({reason})")


def reason_of(error: BaseException) -> str:
    """In one line, the first of an error's causes that was written to be read, or else the innermost.

    >>> reason_of(DataError("a.nii: cut off")), reason_of(EOFError("cut off"))
    ('a.nii: cut off', 'EOFError: cut off')
    """
    cause = _telling(error)
    lines = str(cause).strip().splitlines()
    reason = lines[0] if lines else ""
    return reason if isinstance(cause, DataError) else f"{type(cause).__name__}: {reason}"


def _telling(error: BaseException) -> BaseException:
    chain = list(causes(error))
    return next((cause for cause in chain if isinstance(cause, DataError | ValueError)), chain[-1])


def _file_of(item: Any) -> str:
    image = item.get("image") if isinstance(item, Mapping) else item
    if isinstance(image, str | os.PathLike):
        return str(image)
    return str(item.get("name", "an image")) if isinstance(item, Mapping) else "an image"
