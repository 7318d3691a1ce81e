"""The learning rate rises within the warm-up and then falls linearly."""

import pytest

from monai_patchgrow.schedules import warm_up_factor


@pytest.mark.parametrize(("step", "factor"), [(0, 0.25), (3, 1.0), (4, 1.0), (12, 0.5), (20, 0.0), (30, 0.0)])
def test_factor(step, factor):
    assert warm_up_factor(step, warm_up=4, zero_at=20) == factor


def test_without_warm_up_the_first_step_is_full():
    assert warm_up_factor(0, warm_up=0, zero_at=10) == 1.0
