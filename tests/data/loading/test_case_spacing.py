"""Each case is resampled in the steps that its own spacing asks for, and back."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, CropForegroundd, EnsureTyped, Invertd, Spacingd

from monai_patchgrow.data import CaseSpacingd
from monai_patchgrow.data.loading.fingerprint import fingerprint

KEYS = ["image", "label"]
OPTIONS = {"padding_mode": "border", "dtype": torch.float32}
THICK = {"z": ((0.8, 0.8, 5.0), (1, 1, -1)), "x": ((5.0, 0.8, 0.7), (-1, 1, 1)), "y": ((0.9, 4.0, 1.0), (1, -1, 1))}


def item_of(spacing, *, seed=0, shape=(12, 10, 9)):
    """An image, and shares of two classes."""
    rng, affine = np.random.default_rng(seed), np.diag([*spacing, 1.0])
    label = (rng.random(shape) > 0.5).astype(np.float32)
    arrays = {"image": rng.normal(size=(1, *shape)).astype(np.float32), "label": np.stack([1 - label, label])}
    return {key: MetaTensor(array, affine) for key, array in arrays.items()}


def per_case(pixdim=(1, 1, 1)):
    return CaseSpacingd(KEYS, pixdim=pixdim, mode=[3, "bilinear"])


def same(one, other):
    return all(torch.equal(one[key].as_tensor(), other[key].as_tensor()) for key in KEYS) and all(
        torch.equal(one[key].affine, other[key].affine) for key in KEYS
    )


def in_plane_then_nearest(pixdim, whole):
    in_plane = Spacingd(KEYS, pixdim, mode=[3, "bilinear"], **OPTIONS)
    return Compose([in_plane, Spacingd(KEYS, whole, mode="nearest", **OPTIONS)])


@pytest.mark.parametrize("axis", THICK)
def test_thick_slices_are_resampled_as_two_stock_steps_do(axis):
    spacing, in_plane = THICK[axis]
    two = in_plane_then_nearest(in_plane, (1, 1, 1))(item_of(spacing))
    one = Spacingd(KEYS, (1, 1, 1), mode=[3, "bilinear"], **OPTIONS)(item_of(spacing))
    resampled = per_case()(item_of(spacing))
    assert same(resampled, two)
    assert not same(resampled, one)


@pytest.mark.parametrize("spacing", [(0.8, 0.9, 1.2), (0.24, 1.25, 1.25), (1.0, 1.0, 3.0)])
def test_other_cases_are_resampled_as_one_stock_step_does(spacing):
    one = Spacingd(KEYS, (1, 1, 1), mode=[3, "bilinear"], **OPTIONS)(item_of(spacing))
    assert same(per_case()(item_of(spacing)), one)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 3.0), (0.6, 0.6, 3.6)])
def test_a_thick_plan_decides_for_cases_without_slices_of_their_own(spacing):
    plan = (0.6, 0.6, 3.6)
    two = in_plane_then_nearest((0.6, 0.6, -1), plan)(item_of(spacing))
    assert same(per_case(plan)(item_of(spacing)), two)


def test_image_and_label_have_one_grid_and_the_image_decides():
    item = item_of((0.8, 0.8, 2.4))
    item["label"] = MetaTensor(item["label"].as_tensor(), np.diag([0.8, 0.8, 2.4002, 1]))  # alone it would be thick
    resampled = per_case()(item)
    assert resampled["image"].shape[1:] == resampled["label"].shape[1:]
    modes = [[step["extra_info"].get("mode") for step in resampled[key].applied_operations] for key in KEYS]
    assert modes == [[3, None], ["bilinear", None]]


@pytest.mark.parametrize("spacing", [*(spacing for spacing, _ in THICK.values()), (0.8, 0.9, 1.2), (0.5, 2.0, 2.0)])
def test_invertd_undoes_the_very_steps_that_were_taken(spacing):
    item = item_of(spacing)
    chain = Compose([CropForegroundd(KEYS, source_key="image"), per_case(), EnsureTyped(KEYS)])
    resampled = chain(item)
    first = resampled["image"]
    resampled["pred"] = MetaTensor(torch.ones_like(first.as_tensor()))
    pred = Invertd("pred", chain, orig_keys="image", nearest_interp=False)(resampled)["pred"]
    assert pred.shape == item["image"].shape
    assert torch.allclose(pred.affine, item["image"].affine)
    assert pred.applied_operations == []


def test_thick_slices_come_back_to_the_voxels_they_came_from():
    spacing, _ = THICK["z"]
    chain = CaseSpacingd("image", pixdim=(0.8, 0.8, 1.0), mode="bilinear")  # in plane nothing changes
    item = {"image": item_of(spacing)["image"]}
    expected = item["image"].as_tensor().clone()
    assert torch.equal(chain.inverse(chain(item))["image"].as_tensor(), expected)


def test_the_item_given_stays_as_it_is():
    item = item_of((0.8, 0.8, 5.0))
    before = {key: item[key].as_tensor().clone() for key in KEYS}
    per_case()(item)
    assert all(torch.equal(item[key].as_tensor(), before[key]) and not item[key].applied_operations for key in KEYS)


def test_a_key_that_is_missing():
    image = {"image": item_of((0.8, 0.8, 5.0))["image"]}
    with pytest.raises(KeyError, match="label"):
        per_case()(image)
    lenient = CaseSpacingd(KEYS, pixdim=(1, 1, 1), mode=[3, "bilinear"], allow_missing_keys=True)
    assert torch.equal(lenient(image)["image"].as_tensor(), per_case()(item_of((0.8, 0.8, 5.0)))["image"].as_tensor())


@pytest.mark.parametrize("pixdim", [(1, 1, -1), (1, 0, 1), (1, 1, float("nan"))])
def test_a_spacing_that_is_none_is_refused(pixdim):
    with pytest.raises(ValueError, match="pixdim must be above 0 on every axis, got"):
        CaseSpacingd("image", pixdim=pixdim)


def test_preprocessed_cases_of_other_steps_are_not_taken():
    """Their files are named by the fingerprint."""
    stock = Compose([Spacingd(KEYS, (1, 1, 1), mode=[3, "bilinear"], **OPTIONS)])
    chains = [stock, *(Compose([per_case(pixdim)]) for pixdim in [(1, 1, 1), (1, 1, 2)])]
    assert len({fingerprint(chain) for chain in chains}) == 3
    used = Compose([per_case()])
    used(item_of((0.8, 0.8, 5.0)))
    assert fingerprint(used) == fingerprint(chains[1])
