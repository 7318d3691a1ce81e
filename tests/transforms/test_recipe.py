"""The recipe of a full patch has nnU-Net v2's angles and axes."""

import pytest

from monai_patchgrow.transforms.recipe import AugmentationRecipe


@pytest.mark.parametrize(
    ("patch_size", "through_plane_axis", "angles", "axes"),
    [
        ((40, 56, 40), 0, (30.0, 30.0, 30.0), (0, 1, 2)),
        ((20, 320, 256), 0, (180.0, 0.0, 0.0), (1, 2)),
        ((256, 320, 20), 2, (0.0, 0.0, 180.0), (0, 1)),
        ((256, 320, 20), 0, (30.0, 30.0, 30.0), (0, 1, 2)),
        ((20, 60, 60), 0, (30.0, 30.0, 30.0), (0, 1, 2)),
        ((20, 61, 60), 0, (180.0, 0.0, 0.0), (1, 2)),
        ((512, 512), 0, (180.0,), (0, 1)),
        ((512, 768), 0, (180.0,), (0, 1)),
        ((512, 769), 0, (15.0,), (0, 1)),
    ],
)
def test_angles_and_axes_follow_the_full_patch(patch_size, through_plane_axis, angles, axes):
    recipe = AugmentationRecipe.nnunet(patch_size, through_plane_axis=through_plane_axis)
    assert recipe.rotation_degrees == angles
    assert (recipe.scale_axes, recipe.low_resolution_axes) == (axes, axes)
    assert recipe.mirror_axes == tuple(range(len(patch_size)))


@pytest.mark.parametrize("mirror_axes", [(), (2,), [0, 1]])
def test_mirror_axes_can_be_chosen(mirror_axes):
    assert AugmentationRecipe.nnunet((40, 56, 40), mirror_axes=mirror_axes).mirror_axes == tuple(mirror_axes)


def test_equal_recipes_are_equal_values():
    assert AugmentationRecipe.nnunet([40, 56, 40]) == AugmentationRecipe.nnunet((48, 48, 48))


@pytest.mark.parametrize(
    ("patch_size", "options", "message"),
    [
        ((64,), {}, r"2 or 3 axes to be augmented, got \(64,\)"),
        ((8, 8, 8, 8), {}, "2 or 3 axes"),
        ((64, 64, 64), {"through_plane_axis": 3}, r"through_plane_axis must be one of \(0, 1, 2\), got 3"),
        ((64, 64), {"mirror_axes": (0, 2)}, r"mirror_axes must be one of \(0, 1\), got 2"),
        ((64, 64), {"mirror_axes": (-1,)}, "got -1"),
    ],
)
def test_axes_that_the_patch_does_not_have_are_refused(patch_size, options, message):
    with pytest.raises(ValueError, match=message):
        AugmentationRecipe.nnunet(patch_size, **options)
