"""What one rank of a distributed run takes of a global batch, and of the cases that are validated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from torch.utils.data import Dataset, Subset

__all__ = ["cases_of_rank", "slice_of_rank"]


def slice_of_rank(count: int, *, rank: int, num_ranks: int) -> range:
    """Tell which of `count` things in a row are the rank's; the first ranks have one more where that is no multiple.

    >>> [slice_of_rank(9, rank=rank, num_ranks=2) for rank in range(2)]
    [range(0, 5), range(5, 9)]
    """
    each, rest = divmod(count, num_ranks)
    start = rank * each + min(rank, rest)
    return range(start, start + each + (rank < rest))


def cases_of_rank(dataset: Any, *, label_key: str = "label") -> Any:
    """Return the cases that this rank validates, each case on one rank; without other ranks all of them.

    A rank that there is no case for gets one with an empty label, since MONAI's metrics wait for every rank: MeanDice
    has no value for it, so that it doesn't count.

    Args:
        dataset: cases as dictionaries of tensors.
        label_key: the label among them.

    >>> cases_of_rank([{"label": torch.ones(1, 4)}])[0]["label"]
    tensor([[1., 1., 1., 1.]])
    """
    if idist.get_world_size() == 1:
        return dataset
    indices = range(idist.get_rank(), len(dataset), idist.get_world_size())
    return Subset(dataset, indices) if len(indices) else _Uncounted(dataset, label_key)


class _Uncounted(Dataset):
    """The first case, without anything in its label."""

    def __init__(self, dataset: Sequence[Mapping[str, Any]], label_key: str) -> None:
        self.dataset = dataset
        self.label_key = label_key

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> dict[str, Any]:
        case = self.dataset[range(1)[index]]
        return {**case, self.label_key: torch.zeros_like(case[self.label_key])}
