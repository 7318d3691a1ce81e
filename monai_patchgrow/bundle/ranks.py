"""How the processes of a distributed run come together, compare what they were given, and part."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import ignite.distributed as idist
import torch
import torch.distributed as dist
from torch.utils.data import Subset

from monai_patchgrow.bundle.item_files import files_of
from monai_patchgrow.bundle.one_line import one_line_errors
from monai_patchgrow.bundle.peer_watch import PeerWatch
from monai_patchgrow.data.loading.seeded import WORKER_TIMEOUT
from monai_patchgrow.data.loading.usable_cpus import usable_cpus

__all__ = [
    "check_ranks",
    "default_workers",
    "join_ranks",
    "leave_ranks",
    "part_from_ranks",
    "share_of_rank",
    "worker_timeout",
]

_watch: PeerWatch | None = None
_MOST_WORKERS = 8
_SECONDS_TO_PART = 5.0  # in which every rank comes to the end that one has come to


def join_ranks(*, timeout: float, batch_size: Any = None) -> None:
    """Join the other processes of the run, as ``torchrun`` or ``srun`` started them; on a fault exit with one line.

    GPUs talk over nccl, CPUs, where no GPU is visible, over gloo. On ranks above 0 logging starts at warnings. When
    one process dies the others end within seconds.

    Args:
        timeout: seconds that a rank waits for a living one: longer than what one rank may do alone, such as its part
            of the preprocessing or of a validation.
        batch_size: volumes per batch over all ranks; each must get one.

    Raises:
        SystemExit: any fault, with the line as its message.
    """
    global _watch
    with _refusing_together():
        if not isinstance(timeout, (int, float)) or timeout <= 0:
            raise ValueError(f"process_group_timeout must be a number of seconds above 0, got {timeout!r}")
        _connect(timedelta(seconds=timeout))
        atexit.register(_part_after_error)
        ranks = idist.get_world_size()
        if ranks == 1:
            return
        if idist.get_rank() > 0:
            logging.disable(logging.INFO)
        _watch = PeerWatch(timedelta(seconds=timeout))
        if isinstance(batch_size, int) and batch_size < ranks:
            raise ValueError(
                f"batch_size must be at least the number of processes, got {batch_size} for {ranks}: start {batch_size}"
                f" or fewer, or give batch_size {ranks} or more"
            )


def leave_ranks() -> None:
    """Wait for the other ranks to be done as well, and end the connection."""
    global _watch
    if _watch is not None:
        _watch.leave()
        _watch = None
        logging.disable(logging.NOTSET)
    atexit.unregister(_part_after_error)
    idist.finalize()


def part_from_ranks() -> None:
    """Leave where the other ranks do so too within seconds; else they learn of this one's end by its connections."""
    if _watch is not None and _watch.leave(_SECONDS_TO_PART):
        leave_ranks()


def check_ranks(
    *, cases: Mapping[str, Sequence[Any]], settings: Mapping[str, Any], divided: Mapping[str, int] | None = None
) -> None:
    """Check that every rank was given the same, and that there is enough for each; else each exits with one line.

    Args:
        cases: items of the data sets, by the data set's name; files are compared by name and size.
        settings: what else must be the same, by name; compared as text.
        divided: how many there are of what the ranks divide among them, by name; each must get one.

    Raises:
        SystemExit: any difference, or too few, with the line as its message.

    >>> check_ranks(cases={"training cases": [{"image": "a.nii.gz"}]}, settings={"seed": 0})
    """
    ours = {name: [str(files_of(item)) for item in items] for name, items in cases.items()}
    ours |= {name: [str(value)] for name, value in settings.items()}
    ranks: Any = [ours] if idist.get_world_size() == 1 else idist.all_gather(ours)
    with _refusing_together():
        for name, count in (divided or {}).items():
            if count < len(ranks):
                raise ValueError(
                    f"{name}: each of the {len(ranks)} processes needs one, got {count}: start fewer processes"
                )
        for rank, theirs in enumerate(ranks):
            for name, values in theirs.items():
                if values != ranks[0][name]:
                    difference = _difference(ranks[0][name], values, rank)
                    raise ValueError(f"{name}: {difference}: give every rank the same data and settings")


def share_of_rank(dataset: Any) -> Subset[Any]:
    """Return the part of a data set that this process of the run validates on."""
    return Subset(dataset, range(idist.get_rank(), len(dataset), idist.get_world_size()))


def default_workers() -> int:
    """Return how many loader processes a process of the run gets: half of the CPUs that it may use, at most 8."""
    return min(_MOST_WORKERS, usable_cpus(processes=idist.get_nproc_per_node()) // 2)


def worker_timeout(num_workers: int) -> int:
    """Return the seconds after which a loader gives up workers that hand out nothing; 0, for none, without workers.

    >>> worker_timeout(2), worker_timeout(0)
    (1800, 0)
    """
    return WORKER_TIMEOUT if num_workers else 0


@contextmanager
def _refusing_together() -> Iterator[None]:
    """Turn an error into one line once the other ranks have come to theirs: whose peer is gone reports that instead."""
    with one_line_errors():
        try:
            yield
        except ValueError:
            part_from_ranks()
            raise


def _connect(timeout: timedelta) -> None:
    if dist.is_available() and dist.is_initialized():
        idist.sync()
        return
    local_rank = int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", 0)))
    gpus = torch.cuda.device_count()
    if 0 < gpus <= local_rank:
        raise ValueError(f"process {local_rank + 1} of this machine sees {gpus} GPUs: give each process its own GPU")
    try:
        idist.initialize("nccl" if gpus else "gloo", timeout=timeout)
    except RuntimeError as error:
        raise ValueError(f"the processes of the run don't find each other: {error}") from error


def _part_after_error() -> None:
    if _watch is not None:
        _watch.fail()
    idist.finalize()


def _difference(first: Sequence[str], other: Sequence[str], rank: int) -> str:
    if len(first) != len(other):
        return f"rank 0 has {len(first)}, rank {rank} has {len(other)}"
    one, another = next(pair for pair in zip(first, other, strict=True) if pair[0] != pair[1])
    return f"rank 0 has {one}, rank {rank} has {another}"
