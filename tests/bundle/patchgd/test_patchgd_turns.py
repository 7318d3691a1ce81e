"""Axes that are not there, and quarter turns of what isn't square, are refused before the first step."""

import pytest

from monai_patchgrow.bundle.patchgd.version_0_1 import check_turns

SETTINGS = {"mirror_axes": [0, 1], "rotate90": True, "patch_size": [32, 32], "image_size": None}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mirror_axes": []},
        {"image_size": [64, 64]},
        {"patch_size": [32, 16], "image_size": [64, 48], "rotate90": False},
        {"patch_size": [32, 16, 16], "mirror_axes": [2], "rotate90": False},
    ],
)
def test_sound_settings_pass(changes):
    check_turns(**{**SETTINGS, **changes})


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"mirror_axes": [0, 2]}, "mirror_axes must be a list of different axes of [0, 1], got [0, 2]"),
        ({"mirror_axes": 1}, "mirror_axes must be a list of different axes of [0, 1], got 1"),
        (
            {"patch_size": [32, 32, 32]},
            "rotate90 turns images of 2 axes, not of 3: take rotate90=False",
        ),
        (
            {"patch_size": [32, 64]},
            "rotate90 swaps an image's sides, and patch_size isn't square: 32x64: take rotate90=False",
        ),
        (
            {"image_size": [128, 64]},
            "rotate90 swaps an image's sides, and image_size isn't square: 128x64: take rotate90=False",
        ),
    ],
)
def test_what_cannot_be_turned_is_refused(changes, line):
    with pytest.raises(ValueError) as caught:
        check_turns(**{**SETTINGS, **changes})
    assert str(caught.value) == line
