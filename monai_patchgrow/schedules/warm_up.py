"""A learning rate's way over a run: up within a few steps, then linearly down."""

from __future__ import annotations

__all__ = ["warm_up_factor"]


def warm_up_factor(step: int, *, warm_up: int, zero_at: int) -> float:
    """What the learning rate is multiplied by at a step: 1 at the end of the warm-up, 0 at `zero_at`.

    PatchGD's authors put zero at twice the epochs of the run, which so ends at about half of the learning rate.

    Args:
        step: of the optimiser's schedule, from 0.
        warm_up: steps until the full learning rate; the first one has a share of it already.
        zero_at: the step at which nothing is left.

    >>> [warm_up_factor(step, warm_up=2, zero_at=10) for step in (0, 1, 2, 6, 10)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    if step < warm_up:
        return (step + 1) / warm_up
    return max(0.0, (zero_at - step) / max(1, zero_at - warm_up))
