from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientationd
from scipy.spatial.transform import Rotation

from monai_patchgrow.data import DataError, OnImageGridd

SHAPE = (12, 14, 10)


def turned(degrees, *, axis="z"):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    return affine


def volumes(image_affine, label_affine):
    values = torch.arange(float(np.prod(SHAPE))).reshape(1, *SHAPE)
    label = MetaTensor(values, label_affine, meta={"filename_or_obj": "label.nii.gz"})
    return {"image": MetaTensor(values, image_affine), "label": label}


@pytest.mark.parametrize("axis", ["x", "y", "z", "xyz"])
@pytest.mark.parametrize("degrees", [44.9999, 45, 45.0001, 135, -45])
def test_a_label_is_turned_as_its_image_at_45_degrees(axis, degrees):
    angles = [degrees] * len(axis) if len(axis) > 1 else degrees
    other = [angle + 1e-4 for angle in angles] if len(axis) > 1 else degrees + 1e-4
    item = OnImageGridd("label", image_key="image")(volumes(turned(angles, axis=axis), turned(other, axis=axis)))
    item = Orientationd(["image", "label"], axcodes="RAS", labels=None)(item)
    assert (item["image"].as_tensor() == item["label"].as_tensor()).all()


def test_the_item_given_stays_as_it_is():
    item = volumes(np.eye(4), np.diag([1.0001, 1, 1, 1]))
    OnImageGridd("label", image_key="image")(item)
    assert item["label"].affine[0, 0] == pytest.approx(1.0001)


def test_a_header_of_identity_is_refused_with_the_remedy():
    with pytest.raises(
        DataError, match=r"label\.nii\.gz: its header puts voxels .* copy the image's header or set trust"
    ):
        OnImageGridd("label", image_key="image")(volumes(np.diag([-1.0, -1, 1, 1]), np.eye(4)))


def test_trusted_voxels_take_the_image_s_header_with_a_warning(caplog):
    trusting = OnImageGridd("label", image_key="image", trust_label_voxels=True)
    item = trusting(volumes(np.diag([-1.0, -1, 1, 1]), np.eye(4)))
    assert item["label"].affine.diagonal().tolist() == [-1, -1, 1, 1]
    assert caplog.messages == ["label.nii.gz: its header is 26 voxels off its image's: its voxels are trusted"]


def test_a_label_of_another_shape_is_refused():
    item = volumes(np.eye(4), np.eye(4))
    item["label"] = item["label"][:, 1:]
    with pytest.raises(DataError, match=r"shape \(11, 14, 10\), but its image has \(12, 14, 10\)"):
        OnImageGridd("label", image_key="image", trust_label_voxels=True)(item)
