"""What is private in MONAI and used here, under public names; checked against MONAI 1.6.1."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from monai.data import Dataset, PersistentDataset

__all__ = ["ItemDataset", "PreparedDataset", "quiet_dicom_readers"]


def quiet_dicom_readers() -> None:
    """Keep each ``LoadImage`` from saying that pydicom, where it is installed, lacks nvImageCodec."""
    message = "NvImgCodecPydicomReader: nvImageCodec decoder plugin did not register"
    warnings.filterwarnings("ignore", message, UserWarning)
    logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)


class ItemDataset(Dataset):
    """MONAI's ``Dataset``, with a public method that makes one item."""

    def make_item(self, index: int) -> Any:
        """The item of this index, transformed."""
        return super()._transform(index)

    def _transform(self, index: int) -> Any:
        return self.make_item(index)


class PreparedDataset(PersistentDataset):
    """MONAI's ``PersistentDataset``, with public methods for its two halves of the transforms."""

    def make_item(self, index: int) -> Any:
        """The item of this index, transformed."""
        return super()._transform(index)

    def apply_deterministic(self, item: Any) -> Any:
        """Apply the transforms before the first random one."""
        return self._pre_transform(item)

    def apply_random(self, item: Any) -> Any:
        """Apply the first random transform and those behind it."""
        return self._post_transform(item)

    def _transform(self, index: int) -> Any:
        return self.make_item(index)
