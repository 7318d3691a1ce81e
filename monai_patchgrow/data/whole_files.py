"""How a run writes its files: replaced whole, and what an earlier run left is set aside, not overwritten."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.handlers import DiskSaver

__all__ = ["save_whole", "set_aside"]


def save_whole(content: Mapping[str, Any], path: Path) -> None:
    """``torch.save`` to a temporary file beside `path`, then move it there: a reader sees the old file or the new."""
    saver = DiskSaver(str(path.parent), atomic=True, create_dir=True, require_empty=False)
    saver(content, path.name)


def set_aside(path: Path) -> Path | None:
    """Rename what is at `path` to the first free ``name.N.suffix``; returns the new path, None if there was nothing.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "model.pt").write_text("weights")
    >>> set_aside(folder / "model.pt").name, set_aside(folder / "model.pt")
    ('model.1.pt', None)
    """
    if not path.exists():
        return None
    number = 1
    while (target := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    return path.rename(target)
