"""Runs a bundle's config in a process of its own, its output in a log, for the memory that it takes."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow

from monai_patchgrow.bundle.one_line import reason_of

__all__ = ["in_own_process", "peak_of_run"]


def in_own_process(function: Callable[..., Any], *args: Any, log: Path, shows_progress: bool = True) -> Any:
    """Call a function in a spawned process of one thread, what it prints in a log, and return its result.

    Args:
        function: importable; its result can be pickled.
        args: its arguments.
        log: a file to write; its folder is made.
        shows_progress: leave stderr, where progress bars are, to the caller's terminal.

    Raises:
        SystemExit: the function failed, with the reason and the log's path.
    """
    context = multiprocessing.get_context("spawn")
    log.parent.mkdir(parents=True, exist_ok=True)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(function, args, str(log), shows_progress, sender))
    process.start()
    sender.close()
    try:
        succeeded, result = receiver.recv()
    except EOFError:
        succeeded, result = False, "it has ended without a word"
    finally:
        process.join()
    if not succeeded:
        raise SystemExit(f"error: {result} (its log: {log})")
    return result


def _call(function: Callable[..., Any], args: tuple[Any, ...], log: str, shows_progress: bool, sender: Any) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # of few pixels at a time two threads spend their time waiting for each other
    with open(log, "w") as file:
        for stream in (1,) if shows_progress else (1, 2):  # themselves: MONAI's loggers have got hold of the streams
            os.dup2(file.fileno(), stream)
        try:
            sender.send((True, function(*args)))
        except Exception as error:
            traceback.print_exc(file=file)
            sender.send((False, reason_of(error)))


def peak_of_run(config: str, settings: Mapping[str, Any], warm_up: Callable[[Any], None]) -> int:
    """Run a training config under settings.

    Args:
        config: path of the train.json.
        settings: its overrides.
        warm_up: called with the network before memory is counted: what the first step of any run loads.

    Returns:
        The most bytes that the process took beyond those before the run.
    """
    workflow = ConfigWorkflow(config, workflow_type="train", logging_file=False, **settings)
    workflow.initialize()
    warm_up(workflow.parser.get_parsed_content("network"))
    before = _start_counting()
    workflow.run()
    workflow.finalize()
    return _peak_bytes() - before


def _start_counting() -> int:
    """Bytes that the process has now; on Linux the peak is counted from here on, all that is free handed back."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    return _peak_bytes()


def _peak_bytes() -> int:
    """The most memory that this process has had so far."""
    with suppress(OSError):
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
