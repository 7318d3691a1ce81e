"""How a run writes its weights, whole, and sets aside what an earlier run left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from monai_patchgrow.files import whole_file

__all__ = ["save_whole", "set_aside"]


def save_whole(content: Mapping[str, Any], path: Path) -> None:
    """``torch.save`` to a whole file; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A stream, not a path: torch would write the temporary file's name into the file.
    with whole_file(path) as temporary, temporary.open("xb") as stream:
        torch.save(content, stream)


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
