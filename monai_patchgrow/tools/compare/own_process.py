"""Runs a bundle's config in a process of its own, its output in a log, for the memory that it takes."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from monai_patchgrow.bundle.one_line import reason_of

__all__ = ["in_own_process", "peak_of_run"]


def in_own_process(function: Callable[..., Any], *args: Any, log: Path) -> Any:
    """Call a function in a spawned process, what it prints in a log, and return its result.

    Args:
        function: importable; its result can be pickled.
        args: its arguments.
        log: a file to write; its folder is made.

    Raises:
        SystemExit: the function failed, with the reason and the log's path.
    """
    context = multiprocessing.get_context("spawn")
    log.parent.mkdir(parents=True, exist_ok=True)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(function, args, str(log), sender))
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


def _call(function: Callable[..., Any], args: tuple[Any, ...], log: str, sender: Any) -> None:
    warnings.simplefilter("ignore")
    with open(log, "w") as file:
        os.dup2(file.fileno(), 1)  # stdout itself: MONAI's loggers have got hold of the stream
        try:
            sender.send((True, function(*args)))
        except Exception as error:
            traceback.print_exc(file=file)
            sender.send((False, reason_of(error)))


def peak_of_run(config: str, settings: Mapping[str, Any], warm_up: Callable[[Any], None] = lambda network: None) -> int:
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
    before = _peak_bytes()
    workflow.run()
    workflow.finalize()
    return _peak_bytes() - before


def _peak_bytes() -> int:
    """The most memory that this process has had so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
