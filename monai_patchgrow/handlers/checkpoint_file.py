"""The file that a run is resumed from, and the one before it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from monai_patchgrow.data.whole_files import DamagedCheckpoint, load_checkpoint, save_whole, set_aside

__all__ = ["CheckpointFile"]

_logger = logging.getLogger(__name__)

Content = dict[str, Any]


class CheckpointFile:
    """A run's newest checkpoint, and beside it the one before, ``.../last.previous.pt``.

    Args:
        path: of the newest, ``.../last.pt``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def previous(self) -> Path:
        """Where the checkpoint before is kept."""
        return self.path.with_name(f"{self.path.stem}.previous{self.path.suffix}")

    def is_seen(self) -> bool:
        """Whether there is a checkpoint; every rank has to call it.

        Raises:
            ValueError: only some ranks see one.
        """
        exists = self.path.exists() or self.previous.exists()
        if idist.get_world_size() > 1:
            seen: Any = idist.all_gather(int(exists))
            if len(set(seen)) > 1:
                raise ValueError(
                    f"{self.path} is there for rank {seen.index(1)} but not for rank {seen.index(0)}: "
                    "write to a folder that all machines share"
                )
        return exists

    def write(self, content: Mapping[str, Any]) -> None:
        """Write a checkpoint, and keep the one that was the newest as the one before."""
        save_whole(content, self.path, previous=self.previous)

    def read(self, check: Callable[[Any, Path], Content]) -> tuple[Path, Content]:
        """Return the newest checkpoint that is whole, and its path.

        Args:
            check: takes what a file holds, and its path; returns the content, or raises.

        Raises:
            DamagedCheckpoint: neither of the two can be read.
        """
        try:
            return self.path, check(load_checkpoint(self.path), self.path)
        except DamagedCheckpoint as error:
            if not self.previous.exists():
                raise
            _logger.warning("%s: resumes from the one before, %s", error, self.previous)
        return self.previous, check(load_checkpoint(self.previous), self.previous)

    def set_damaged_aside(self) -> None:
        """Rename the newest, which the next checkpoint would put in the good one's place."""
        for kept in set_aside([self.path]).values():
            _logger.warning("the damaged checkpoint is kept as %s", kept)
