"""Runs a check over many files, in processes, with a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.loading.seeded import WORKER_TIMEOUT
from monai_patchgrow.data.loading.usable_cpus import usable_cpus

__all__ = ["check_all"]

Job = TypeVar("Job")
Checked = TypeVar("Checked")

_MOST_WORKERS = 8
_JOBS_PER_WORKER = 4  # fewer are done before a process has started


def check_all(
    check: Callable[[Job], Checked],
    jobs: Sequence[Job],
    *,
    unit: str,
    num_workers: int | None = None,
    title: str = "verify",
) -> list[Checked]:
    """What a check says of each job, in their order.

    Args:
        check: of one job; it raises nothing of a fault.
        jobs: what is checked.
        unit: what a job is, for the progress bar, which only a terminal shows.
        num_workers: processes, each with one file in memory; 0: this one; default: one per core, at most 8.
        title: of the progress bar.

    Raises:
        DataError: a process was killed, or came to no end.
    """
    cores = min(_MOST_WORKERS, usable_cpus(), len(jobs) // _JOBS_PER_WORKER)
    workers = cores if num_workers is None else min(num_workers, len(jobs))
    options: Any = {"num_workers": workers, "timeout": WORKER_TIMEOUT if workers else 0}
    loader: Any = DataLoader(jobs, batch_size=None, collate_fn=check, generator=torch.Generator(), **options)  # type: ignore[arg-type]
    try:
        # disable=None: silent unless stderr is a terminal
        return list(tqdm(loader, total=len(jobs), desc=title, unit=unit, disable=None, leave=False))
    except RuntimeError as error:
        if not str(error).startswith("DataLoader "):
            raise
        raise DataError(f"num_workers: {error}: fewer take less memory, 0 shows which file it is") from error
