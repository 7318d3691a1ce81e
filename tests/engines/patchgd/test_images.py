"""A chunk's patches reach the encoder as 0 to 1, whatever unsigned integers the image is of."""

import numpy as np
import pytest
import torch

from monai_patchgrow.data import ArrayTiles, merge_constant_patches
from monai_patchgrow.engines.patchgd.images import ImageBatch
from monai_patchgrow.engines.patchgd.model import to_device


def given(patches, dtype=torch.float32):
    return to_device(patches, device=torch.device("cpu"), dtype=dtype)


@pytest.mark.parametrize(("dtype", "largest"), [(torch.uint8, 255), (torch.uint16, 65535), (torch.uint32, 2**32 - 1)])
def test_unsigned_integers_are_scaled_by_the_range_of_their_type(dtype, largest):
    assert given(torch.tensor([0, largest], dtype=dtype)).tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.float32])
def test_signed_integers_and_floats_stay_as_they_are(dtype):
    assert given(torch.tensor([-1000, 3000], dtype=dtype)).tolist() == [-1000, 3000]


def test_half_precision_holds_white():
    assert given(torch.tensor([65535], dtype=torch.uint16), torch.float16).tolist() == [1]


def test_chunks_of_16_bits_are_read_and_shared():
    images = [ArrayTiles(np.full((1, 4, 4), value, np.uint16), padding=7) for value in (9, 65535)]
    patches = ImageBatch(images, patch_size=(4, 4)).read((0,))
    kept, rows = merge_constant_patches(torch.cat([patches, patches]))
    assert (kept[:, 0, 0, 0].tolist(), rows.tolist()) == ([9, 65535], [0, 1, 0, 1])
