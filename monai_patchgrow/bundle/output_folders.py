"""Whether a run may write where it is told to: asked before it works for hours."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from monai_patchgrow.bundle.one_line import one_line_config_errors
from monai_patchgrow.bundle.run_lock import check_unlocked, lock_folders, unlock_folders

__all__ = ["check_folders", "check_writable", "keep_folders", "leave_folders"]

_ROOM = 2**20  # bytes that a folder must have room for: a full disk takes empty files
_OWN = ("output_dir", "ckpt_dir")
_FOLDERS = (*_OWN, "cache_dir")


def check_folders(settings: Any) -> None:
    """Check that a run may write to the folders of its settings, and that no other does; else exit with one line.

    Args:
        settings: of the running config, parsed; with `output_dir` and perhaps `ckpt_dir` and `cache_dir`.

    Raises:
        SystemExit: any fault, with the line as its message; a ValueError in a process that hosts the bundle.
    """
    with one_line_config_errors():
        check_writable({name: getattr(settings, name, None) for name in _FOLDERS})
        if idist.get_rank() == 0:
            check_unlocked(*_own_folders(settings))


def keep_folders(settings: Any) -> None:
    """Keep the folders that a run writes its results to, for itself; on a fault exit with one line and code 1.

    They are kept until `leave_folders`, or until the process ends, also by SIGKILL. Rank 0 alone keeps them.

    Args:
        settings: of the running config, parsed; with `output_dir` and perhaps `ckpt_dir`.

    Raises:
        SystemExit: another run has one of them, with a line that names its process, host and start; a ValueError in a
            process that hosts the bundle.
    """
    with one_line_config_errors():
        if idist.get_rank() == 0:
            lock_folders(*_own_folders(settings))


def leave_folders() -> None:
    """Leave the folders that `keep_folders` has kept to other runs."""
    unlock_folders()


def check_writable(folders: Mapping[str, str | os.PathLike[str] | None]) -> None:
    """Check that files can be written to folders; one that isn't there yet isn't made.

    Args:
        folders: by the name of the setting; None: none is written to.

    Raises:
        ValueError: one that can't be written to, or made.

    >>> check_writable({"output_dir": tempfile.gettempdir() + "/not/made", "cache_dir": None})
    """
    for name, folder in folders.items():
        if folder is None:
            continue
        try:
            with tempfile.TemporaryFile(dir=_first_there(Path(folder))) as file:
                file.write(bytes(_ROOM))
                file.flush()
        except OSError as error:
            raise ValueError(f"{name}: can't write to {folder} ({error.strerror}): give another folder") from error


def _own_folders(settings: Any) -> list[str]:
    """Those of one run; a cache is shared."""
    folders = (getattr(settings, name, None) for name in _OWN)
    return [folder for folder in folders if folder is not None]


def _first_there(folder: Path) -> Path:
    """The folder, or the nearest one above it that there is; also a file, or a link to nothing, in its way."""
    place = folder.absolute()
    return next(path for path in (place, *place.parents) if os.path.lexists(path))
