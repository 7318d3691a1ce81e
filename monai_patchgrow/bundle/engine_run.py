"""How a bundle's engine runs, and ends: what stops it on the way is one line, not a traceback."""

from __future__ import annotations

import multiprocessing.util
import sys
from contextlib import suppress
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine
from monai.engines import Evaluator
from monai.handlers import ValidationHandler
from torch.utils.data import DataLoader

from monai_patchgrow.bundle.one_line import causes, is_command, one_line_config_errors
from monai_patchgrow.bundle.output_folders import leave_folders
from monai_patchgrow.bundle.ranks import part_from_ranks
from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.loading.stall_watch import WatchedLoader, quiet_notices
from monai_patchgrow.engines.patchgd.engine import PatchGDEngine
from monai_patchgrow.handlers.micro_batches import MEMORY_REMEDY
from monai_patchgrow.handlers.stop_signals import RunStopped
from monai_patchgrow.internals.ignite import attached_to
from monai_patchgrow.networks.out_of_memory import is_out_of_memory

__all__ = ["run_engine"]

_SLIDE_REMEDY = "take a smaller chunk_size, or amp=True where it is off"
_WORKERS_REMEDY = "is /dev/shm or the memory full? fewer num_workers need less, docker run --shm-size gives more"


def run_engine(engine: Any) -> None:
    """Run an engine of Ignite; in a process that is ``python -m monai.bundle`` its end is one line.

    Args:
        engine: MONAI's trainer or evaluator.

    Raises:
        RunStopped: a signal ended the run, which is kept; exit code 75.
        SystemExit: data that can't be read any more, workers that hand out nothing, or a GPU that is full, with the
            line as its message, exit code 1; a second Ctrl-C, exit code 130. In a process that hosts the bundle, a
            DataError.
    """
    if is_command():  # before its end, which joins all workers, and would wait for one that is stopped
        multiprocessing.util.Finalize(None, _end_workers, exitpriority=0)
    _watch_evaluators(engine)
    with one_line_config_errors(), quiet_notices():
        try:
            engine.run()
        except RunStopped as stop:
            if is_command() and idist.get_rank() == 0:
                sys.stderr.write(f"{stop}\n")
            part_from_ranks()
            raise
        except Exception as error:
            fault = next((cause for cause in causes(error) if isinstance(cause, DataError)), None)
            if fault is not None:
                raise fault from None
            if is_out_of_memory(error):
                remedy = _SLIDE_REMEDY if isinstance(engine, PatchGDEngine) else MEMORY_REMEDY
                raise DataError(f"out of memory: {remedy} ({error})") from error
            if isinstance(error, RuntimeError) and str(error).startswith("DataLoader "):
                raise DataError(f"num_workers: {error}: {_WORKERS_REMEDY}") from error
            raise
        finally:
            leave_folders()


def _watch_evaluators(engine: Any) -> None:
    """Let no evaluator, also one that a trainer calls, wait without end for a worker that is stopped."""
    handlers = attached_to(engine) if isinstance(engine, Engine) else []
    for one in (engine, *(handler.validator for handler in handlers if isinstance(handler, ValidationHandler))):
        # A trainer's SeededDataLoader watches its workers by itself.
        if isinstance(one, Evaluator) and isinstance(one.data_loader, DataLoader):
            one.data_loader = WatchedLoader(one.data_loader)


def _end_workers() -> None:
    for worker in multiprocessing.active_children():
        with suppress(RuntimeError):  # which torch raises when it is told of a worker's end
            worker.kill()
            worker.join()
