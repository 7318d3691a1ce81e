"""fingerprint: equal values share it, other values do not."""

import numpy as np
import pytest
import torch
from monai.transforms import Compose, Lambdad, LoadImaged, RandSpatialCropd, SelectItemsd, Spacingd

from monai_patchgrow.data.loading.fingerprint import fingerprint


@pytest.mark.parametrize(
    "make",
    [
        lambda: Spacingd("image", (1, 2, 3)),
        lambda: LoadImaged("".join(["im", "age"])),
        lambda: Lambdad("image", lambda image: image * 2),
        lambda: [torch.arange(3, dtype=torch.bfloat16), np.ones(3), np.float32(1), torch.float32, b"", {"a", 1}],
        lambda: SelectItemsd(Compose([RandSpatialCropd("image", (2, 2))]).transforms[0].keys),
        lambda: {"inner": Compose([SelectItemsd("image")])},
    ],
)
def test_equal_values_have_onefingerprint(make):
    assert fingerprint(make()) == fingerprint(make())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda image: image * 2, lambda image: image * 3),
        (np.zeros(2), np.zeros(2, dtype=np.float32)),
        (torch.zeros(2), torch.ones(2)),
        (SelectItemsd("image"), SelectItemsd("label")),
        (1, 1.0),
    ],
)
def test_other_values_have_other_fingerprints(one, other):
    assert fingerprint(one) != fingerprint(other)
