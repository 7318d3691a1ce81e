"""A data error is one line, and stays the same on its way out of a loader's worker."""

import pytest
from torch.utils.data import DataLoader, Dataset

from monai_patchgrow.data import DataError


def test_a_message_of_several_lines_is_one():
    assert str(DataError("a.nii: cut\noff")) == "a.nii: cut off"


class Broken(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise DataError("a.nii: cut off")


def test_the_line_survives_a_worker():
    with pytest.raises(DataError) as caught:
        next(iter(DataLoader(Broken(), num_workers=1)))
    assert str(caught.value) == "a.nii: cut off"
