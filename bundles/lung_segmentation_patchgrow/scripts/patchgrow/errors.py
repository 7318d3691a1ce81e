"""The error of a data set that cannot be used as it is."""

from __future__ import annotations

__all__ = ["DataError"]


class DataError(ValueError):
    """A data set that cannot be used as it is: one line that names the file or key, and what would work.

    The line survives a loader's worker: torch raises its error again as one whose message is the whole traceback.

    Attributes:
        rule: the rule of `monai_patchgrow.data.tasks.rules` that the data breaks, where one names it.
    """

    def __init__(self, message: str, *, rule: str | None = None) -> None:
        own = message.rpartition(f"{DataError.__module__}.{DataError.__qualname__}: ")[2]
        super().__init__(" ".join(own.splitlines()))
        self.rule = rule
