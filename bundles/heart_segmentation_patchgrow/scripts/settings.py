"""Checks the settings of an evaluation or a prediction, before an image is read."""

from __future__ import annotations

import os
import runpy
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

__all__ = ["check_settings", "check_writable", "is_first_process", "writing_alone"]

_SCRIPTS = Path(__file__).parent
_COMMAND = runpy.run_path(str(_SCRIPTS / "command.py"))
carried = runpy.run_path(str(_SCRIPTS / "carried.py"))["carried"]
is_command, reason_of, stop, warn = (_COMMAND[name] for name in ("is_command", "reason_of", "stop", "warn"))


def check_settings(callers: Iterable[object]) -> None:
    """Check the settings of the config that is being evaluated, one by one, and warn of what the device can't do.

    Args:
        callers: objects among which is the config's parser.

    Raises:
        ValueError: the first that can't be used, in one line that names its key.
    """
    parser: Any = next(caller for caller in callers if isinstance(caller, ConfigParser))
    plain, arguments = carried("plain_settings"), carried("arguments")
    checks: dict[str, Callable[[Any], Any]] = {
        "device": lambda value: plain.parse_device(value),
        "amp": lambda value: plain.parse_switch(value, name="amp"),
        "num_workers": lambda value: arguments.parse_int(value, name="num_workers", minimum=0),
        "patch_size": lambda value: arguments.parse_sizes(value, name="patch_size"),
        "spacing": lambda value: [
            plain.parse_number(size, name="spacing", above=0)
            for size in plain.parse_list(value, name="spacing", length=len(parser.get_parsed_content("patch_size")))
        ],
        "output_dir": lambda value: plain.parse_folder(value, name="output_dir"),
        # A federated client's weights come later.
        **({"ckpt_path": _check_weights} if is_command() else {}),
    }
    for name in (name for name in checks if name in parser):
        try:
            value = parser.get_parsed_content(name)
        except Exception as error:
            stop(f"{name}: {parser[name]!r} can't be evaluated: {reason_of(error)}")
        try:
            checks[name](value)
        except ValueError as error:
            stop(str(error))
    _warn_of_device(parser)


def check_writable(output_dir: str | os.PathLike[str]) -> None:
    """Make the folder, and try whether a file can be written to it, and no other run writes there.

    Raises:
        ValueError: it can't, or one does.
    """
    try:
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output_dir).close()
    except OSError as error:
        stop(f"output_dir: can't write to {output_dir} ({error.strerror}): give another folder")
    if is_first_process():
        try:
            carried("run_lock").check_unlocked(output_dir)
        except ValueError as error:
            stop(str(error))


@contextmanager
def writing_alone(output_dir: str | os.PathLike[str]) -> Iterator[None]:
    """A block in which no other run may write to the folder; the first of several processes keeps it for all.

    Raises:
        ValueError: another run has it; names its process, host and start.
    """
    lock = carried("run_lock")
    if is_first_process():
        try:
            lock.lock_folders(output_dir)
        except ValueError as error:
            stop(str(error))
    try:
        yield
    finally:
        lock.unlock_folders()


def is_first_process() -> bool:
    """Whether this is the only process of a run, or the first of several."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))) == 0


def _warn_of_device(parser: Any) -> None:
    device, patch_size = (parser.get_parsed_content(name) for name in ("device", "patch_size"))
    is_half = carried("plain_settings").parse_switch(parser.get_parsed_content("amp"), name="amp")
    dtype = parser.get_parsed_content("amp_kwargs").get("dtype", torch.float16) if is_half else torch.float32
    lines = [
        carried("idle_gpu").idle_gpu() if torch.device(device).type == "cpu" else None,
        carried("half_convolutions").mend_half_convolutions(torch.device(device), dtype, spatial_dims=len(patch_size)),
    ]
    for line in filter(None, lines):
        warn(line)


def _check_weights(ckpt_path: Any) -> None:
    for path in [ckpt_path] if isinstance(ckpt_path, str | os.PathLike) else ckpt_path:
        if not os.path.isfile(path):
            raise ValueError(
                f"ckpt_path: no weights at {path}: train the bundle first, or give the path of its model.pt"
            )
