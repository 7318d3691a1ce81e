"""Which epochs belong to which stage of a curriculum."""

from __future__ import annotations

__all__ = ["epoch_spans", "kept_stages"]


def kept_stages(*, num_stages: int, max_epochs: int) -> tuple[int, ...]:
    """Return the indices of the stages that get epochs: all, unless there are more stages than epochs.

    With too few epochs the stages are merged evenly: one stage per epoch, the last (the full patch) always
    among them, the first from two epochs on, the others evenly in between.

    Args:
        num_stages: stages of the curriculum, at least 1.
        max_epochs: epochs of the run, at least 1.

    Example:
        >>> kept_stages(num_stages=3, max_epochs=1000)
        (0, 1, 2)
        >>> kept_stages(num_stages=15, max_epochs=5), kept_stages(num_stages=15, max_epochs=1)
        ((0, 4, 7, 11, 14), (14,))
    """
    if num_stages <= max_epochs:
        return tuple(range(num_stages))
    last, gaps = num_stages - 1, max_epochs - 1
    if gaps == 0:
        return (last,)
    # Rounds half up in integers: round() takes halves to even, which would space the stages unevenly.
    return tuple((2 * i * last + gaps) // (2 * gaps) for i in range(max_epochs))


def epoch_spans(*, num_stages: int, max_epochs: int) -> tuple[tuple[int, int], ...]:
    """Return (first epoch, number of epochs) of every stage; epochs count from 1, as Ignite's do.

    Every stage has `max_epochs // num_stages` epochs; the last also takes the remainder (PGPS, MICCAI 2024).

    Args:
        num_stages: stages that get epochs, at least 1.
        max_epochs: epochs of the run.

    Raises:
        ValueError: more stages than epochs; `kept_stages` says which to keep.

    Example:
        >>> epoch_spans(num_stages=3, max_epochs=10)
        ((1, 3), (4, 3), (7, 4))
    """
    if num_stages > max_epochs:
        raise ValueError(f"every stage needs an epoch, got {num_stages} stages for {max_epochs} epochs")
    length, remainder = divmod(max_epochs, num_stages)
    lengths = [length] * (num_stages - 1) + [length + remainder]
    return tuple((1 + stage * length, epochs) for stage, epochs in enumerate(lengths))
