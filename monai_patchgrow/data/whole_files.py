"""How a run writes and reads its checkpoints, whole and sealed, and sets aside what an earlier run left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from monai_patchgrow.files import whole_file
from monai_patchgrow.sealed_files import seal
from monai_patchgrow.weight_files import read_weights

__all__ = ["DamagedCheckpoint", "load_checkpoint", "save_sealed", "save_whole", "set_aside"]


def save_whole(content: Mapping[str, Any], path: Path, *, previous: Path | None = None) -> None:
    """``torch.save`` to a whole, sealed file; its folder is made where it is missing.

    Args:
        content: what is saved.
        path: of the file.
        previous: where the file that `path` held before is kept, in place of what was there.

    Raises:
        OSError: the disk is full, or read-only; what `path` held stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as temporary:
        save_sealed(content, temporary)
        if previous is not None and path.exists():
            path.replace(previous)


def save_sealed(content: Any, path: Path) -> None:
    """``torch.save`` to a new file, which is sealed.

    Raises:
        OSError: the disk's, which torch hides behind a RuntimeError of its archive.
    """
    try:
        # A stream, not a path: torch would write the file's name, a temporary one, into it.
        with path.open("xb") as stream:
            torch.save(content, stream)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    seal(path)


class DamagedCheckpoint(ValueError):
    """A checkpoint that is missing, or can't be read."""


def load_checkpoint(path: Path) -> Any:
    """Load a checkpoint that `save_whole` wrote.

    Raises:
        DamagedCheckpoint: it is missing, damaged or no file of torch's; in one line.
    """
    try:
        return read_weights(path)
    except Exception as error:
        reason = str(error) if type(error) is ValueError else type(error).__name__
        raise DamagedCheckpoint(f"{path} can't be read ({reason}): delete it or resume from another") from error


def set_aside(paths: Iterable[Path]) -> dict[Path, Path]:
    """Rename what is at `paths` to ``name.N.suffix``, with the first number that is free for all of them.

    Returns:
        The new path of each that was there.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("last.pt", "model.pt", "model.1.pt"):
    ...     _ = (folder / name).write_text("weights")
    >>> kept = set_aside([folder / "last.pt", folder / "model.pt", folder / "history.jsonl"])
    >>> [path.name for path in kept.values()]
    ['last.2.pt', 'model.2.pt']
    """
    found = [path for path in paths if path.exists()]
    number = 1
    while any(_numbered(path, number).exists() for path in found):
        number += 1
    return {path: path.rename(_numbered(path, number)) for path in found}


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.{number}{path.suffix}")
