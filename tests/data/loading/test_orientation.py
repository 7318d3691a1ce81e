from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation
from scipy.spatial.transform import Rotation

from monai_patchgrow.data.loading.orientation import ReturningOrientation

TURNS = list(itertools.product((0, 45, 90, 135, 180, -45), repeat=3))


def volume(angles, spacing=(1.0, 1.0, 1.0), shape=(5, 5, 5)):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(spacing)
    affine[:3, 3] = -3, 7, 11
    return MetaTensor(torch.arange(float(np.prod(shape))).reshape(1, *shape), affine)


@pytest.mark.parametrize("axcodes", ["RAS", "LPI", "SAR"])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 3.0)], ids=["cubic", "thick"])
def test_the_way_back_is_the_way_that_it_came(axcodes, spacing):
    turn = ReturningOrientation(axcodes, labels=None)
    for angles in TURNS:
        image = volume(angles, spacing)
        back = turn.inverse(turn(image.clone()))
        assert torch.equal(back.as_tensor(), image.as_tensor())
        assert torch.allclose(back.affine, image.affine)


def test_monai_s_own_is_lost_between_axes():
    lost = 0
    for angles in TURNS:
        image, turn = volume(angles), Orientation("RAS", labels=None)
        lost += not torch.equal(turn.inverse(turn(image.clone())).as_tensor(), image.as_tensor())
    assert lost  # where it holds everywhere, ReturningOrientation has done its work


def test_it_turns_as_monai_does():
    for angles in TURNS:
        image = volume(angles, shape=(4, 5, 6))
        ours, stock = (kind("RAS", labels=None)(image.clone()) for kind in (ReturningOrientation, Orientation))
        assert torch.equal(ours.as_tensor(), stock.as_tensor())
        assert torch.equal(ours.affine, stock.affine)
