"""Which axis is resampled by itself, as nnU-Net v2 decides for a case and a plan."""

import pytest

from monai_patchgrow.anisotropy import separate_axis

HIPPOCAMPUS, PROSTATE = (1.0, 1.0, 1.0), (0.625, 0.625, 3.6)


@pytest.mark.parametrize(
    ("spacing", "target", "axis"),
    [
        ((1.0, 1.0, 1.0), HIPPOCAMPUS, None),
        ((0.6, 0.6, 3.6), PROSTATE, 2),
        ((0.8, 0.8, 5.0), HIPPOCAMPUS, 2),
        ((5.0, 0.8, 0.8), HIPPOCAMPUS, 0),
        ((0.8, 5.0, 0.7), HIPPOCAMPUS, 1),
        ((1.0, 1.0, 1.0), PROSTATE, 2),  # the case has no slices: the plan's
        ((3.6, 0.6, 0.6), PROSTATE, 0),  # the case's own slices lie along another axis than the plan's
        ((0.24, 1.25, 1.25), HIPPOCAMPUS, None),  # two coarsest axes are no slices
        ((1.25, 0.24, 1.25), PROSTATE, None),  # nor is the plan asked then
        ((1.0, 1.0, 1.0), (0.24, 1.25, 1.25), None),
        ((1.0, 1.0, 2.9), HIPPOCAMPUS, None),
        ((1.0, 1.0, 3.0), HIPPOCAMPUS, None),  # three times is not more than three times
        ((1.0, 1.0, 3.01), HIPPOCAMPUS, 2),
        ((1.0, 0.5, 1.6), HIPPOCAMPUS, 2),  # 1.6 over 0.5, whatever lies between
    ],
)
def test_axis(spacing, target, axis):
    assert separate_axis(spacing, target=target) == axis


@pytest.mark.parametrize(
    ("spacing", "axis"),
    [
        ((0.24, 1.25, 1.2500001), None),  # two axes of one size, in an oblique header
        ((0.8, 0.8, 2.4000001), None),  # three times
        ((0.8, 0.8, 2.401), 2),
        ((0.24, 1.25, 1.26), 2),
    ],
)
def test_rounding_of_a_header_decides_nothing(spacing, axis):
    assert separate_axis(spacing, target=HIPPOCAMPUS) == axis
