"""Rotated and scaled patches agree with torch's grid_sample, also where they leave the volume."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats

from monai_patchgrow.transforms import AugmentationRecipe
from monai_patchgrow.transforms.warp import draw_warps, gather_warped

SHAPE = (14, 17, 12)
SIZE = (6, 8, 4)
RECIPE = AugmentationRecipe.nnunet((32, 32, 32))


def some_warps(recipe=RECIPE, count=400, seed=0):
    return draw_warps(recipe, np.random.RandomState(seed), count)


def sample_by_torch(volume, start, matrix, size, *, mode="bilinear"):
    """The patch of one grid by grid_sample, zeros outside."""
    axes = [torch.arange(n, dtype=torch.float64) - (n - 1) / 2 for n in size]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    centre = torch.tensor([s + (n - 1) / 2 for s, n in zip(start, size, strict=True)])
    points = offsets @ torch.from_numpy(matrix).T + centre
    shape = torch.tensor(volume.shape[1:])
    grid = ((2 * points + 1) / shape - 1).flip(-1)
    return torch.nn.functional.grid_sample(volume[None].double(), grid[None], mode=mode, align_corners=False)[0]


def warp(volume, starts, matrices, size=SIZE, *, padding=0.0, is_label=False):
    value = torch.full((len(volume),), padding, dtype=volume.dtype)
    return gather_warped(
        volume,
        starts=np.array(starts),
        matrices=np.array(matrices),
        patch_size=size,
        padding=value,
        is_label=is_label,
    )


def cases():
    _, matrices = some_warps(count=60)
    starts = np.random.RandomState(1).randint(-2, 9, size=(len(matrices), 3))
    return starts, matrices


def test_image_as_grid_sample_interpolates_it():
    volume = torch.rand(2, *SHAPE)
    starts, matrices = cases()
    ours = warp(volume, starts, matrices)
    for patch, start, matrix in zip(ours, starts, matrices, strict=True):
        torch.testing.assert_close(patch.double(), sample_by_torch(volume, start, matrix, SIZE), atol=1e-4, rtol=0)


def test_outside_of_the_volume_is_the_padding_and_not_mixed_with_zero():
    volume = torch.full((1, *SHAPE), -3.0)
    starts, matrices = cases()
    torch.testing.assert_close(warp(volume, starts, matrices, padding=-3.0), torch.full((len(starts), 1, *SIZE), -3.0))


def test_label_takes_the_largest_of_the_interpolated_one_hot_label():
    label = torch.randint(0, 4, (1, *SHAPE), dtype=torch.uint8)
    starts, matrices = cases()
    ours = warp(label, starts, matrices, is_label=True)
    assert ours.dtype == torch.uint8
    one_hot = torch.nn.functional.one_hot(label[0].long(), 4).movedim(-1, 0)
    for patch, start, matrix in zip(ours, starts, matrices, strict=True):
        shares = sample_by_torch(one_hot, start, matrix, SIZE)
        shares[0] += 1 - shares.sum(0)  # outside is background
        chosen = shares.gather(0, patch.long())[0]
        assert (chosen >= shares.amax(0) - 1e-5).all()


def test_label_s_padding_wins_outside():
    label = torch.ones(1, *SHAPE, dtype=torch.int16)
    patch = warp(label, [[-40, 0, 0]], [np.eye(3)], padding=-1, is_label=True)
    assert (patch == -1).all()


def test_identity_is_the_straight_patch():
    volume = torch.rand(1, *SHAPE)
    patch = warp(volume, [[3, 2, 5]], [np.eye(3)])
    torch.testing.assert_close(patch[0], volume[:, 3:9, 2:10, 5:9])


def test_strided_volumes_are_read_as_they_are():
    volume = torch.rand(*reversed(SHAPE), 2).permute(3, 2, 1, 0)
    starts, matrices = cases()
    torch.testing.assert_close(warp(volume, starts, matrices), warp(volume.contiguous(), starts, matrices))


def test_2d():
    volume = torch.rand(3, 20, 16)
    affected, matrices = some_warps(AugmentationRecipe.nnunet((64, 64)), count=50)
    starts = np.random.RandomState(0).randint(0, 9, size=(len(affected), 2))
    ours = warp(volume, starts, matrices, size=(6, 8))
    for patch, start, matrix in zip(ours, starts, matrices, strict=True):
        torch.testing.assert_close(patch.double(), sample_by_torch(volume, start, matrix, (6, 8)), atol=1e-4, rtol=0)


# marginal distributions, against a plain version that draws one patch at a time


def draw_one_by_one(recipe, seed, count):
    """Angle about each axis (degrees) and factor of each patch, None where not drawn."""
    random = np.random.RandomState(seed)
    drawn = []
    for _ in range(count):
        rotates, scales = random.uniform() < recipe.rotation_prob, random.uniform() < recipe.scale_prob
        angles = [random.uniform(-largest, largest) for largest in recipe.rotation_degrees] if rotates else None
        drawn.append((angles, random.uniform(*recipe.scale_range) if scales else None))
    return drawn


def read_matrix(matrix):
    """Angles (degrees) and factor of a matrix Rz Ry Rx s."""
    factor = np.cbrt(np.linalg.det(matrix))
    rotation = matrix / factor
    angles = (
        np.arctan2(rotation[2, 1], rotation[2, 2]),
        -np.arcsin(rotation[2, 0]),
        np.arctan2(rotation[1, 0], rotation[0, 0]),
    )
    return np.degrees(angles), factor


def test_angles_and_factors_are_distributed_as_one_by_one():
    count = 20_000
    affected, matrices = some_warps(count=count)
    read = [read_matrix(matrix) for matrix in matrices]
    plain = draw_one_by_one(RECIPE, seed=1, count=count)
    rotated = np.array([angles for angles, _ in read if np.abs(angles).max() > 1e-6])
    scaled = np.array([factor for _, factor in read if abs(factor - 1) > 1e-9])
    plain_rotated = np.array([angles for angles, _ in plain if angles is not None])
    plain_scaled = np.array([factor for _, factor in plain if factor is not None])
    tolerance = 4 * np.sqrt(count * 0.2 * 0.8)
    assert abs(len(rotated) - 0.2 * count) < tolerance
    assert abs(len(scaled) - 0.2 * count) < tolerance
    assert abs(len(affected) - 0.36 * count) < tolerance
    for axis in range(3):
        assert stats.ks_2samp(rotated[:, axis], plain_rotated[:, axis]).pvalue > 0.01
    assert stats.ks_2samp(scaled, plain_scaled).pvalue > 0.01


def test_anisotropic_patches_rotate_and_scale_in_the_plane_only():
    recipe = AugmentationRecipe.nnunet((256, 320, 20), through_plane_axis=2)
    _, matrices = some_warps(recipe)
    assert (matrices[:, 2, :2] == 0).all()
    assert (matrices[:, :2, 2] == 0).all()
    assert (matrices[:, 2, 2] == 1).all()
    angles = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert np.abs(angles).max() > 150


@pytest.mark.parametrize("probs", [{"rotation_prob": 0.0}, {"scale_prob": 0.0}])
def test_what_has_no_probability_is_not_drawn(probs):
    _, matrices = some_warps(dataclasses.replace(RECIPE, **probs))
    factors = np.linalg.det(matrices)
    is_rotated = np.abs(matrices - matrices.swapaxes(1, 2)).max((1, 2)) > 1e-9
    assert not is_rotated.any() if "rotation_prob" in probs else np.allclose(factors, 1)
