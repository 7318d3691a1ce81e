"""What a data set is to the rest of the package: a named task of labelled cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Case", "DataError", "DecathlonTask"]


class DataError(ValueError):
    """A data set that cannot be used as it is: one line that names the file or key, and what would work.

    The line survives a loader's worker: torch raises its error again as one whose message is the whole traceback.
    """

    def __init__(self, message: str) -> None:
        own = message.rpartition(f"{DataError.__module__}.{DataError.__qualname__}: ")[2]
        super().__init__(" ".join(own.splitlines()))


@dataclass(frozen=True)
class Case:
    """One image with its label, NIfTI files; the image may be several files, one per channel in order."""

    name: str
    image: Path | tuple[Path, ...]
    label: Path

    @property
    def images(self) -> tuple[Path, ...]:
        """The files of the image, also where it is a single one."""
        return self.image if isinstance(self.image, tuple) else (self.image,)

    def as_item(self) -> dict[str, str | list[str]]:
        """The case as MONAI's dictionary transforms take it; ``LoadImaged`` stacks the files of a list.

        Example:
            >>> Case("scan_1", Path("imagesTr/scan_1.nii.gz"), Path("labelsTr/scan_1.nii.gz")).as_item()
            {'image': 'imagesTr/scan_1.nii.gz', 'label': 'labelsTr/scan_1.nii.gz'}
        """
        files = [str(path) for path in self.image] if isinstance(self.image, tuple) else str(self.image)
        return {"image": files, "label": str(self.label)}


@dataclass(frozen=True)
class DecathlonTask:
    """What a dataset.json says: channels in order, names of label values (0: background), cases by name."""

    name: str
    channels: tuple[str, ...]
    labels: Mapping[int, str] = field(hash=False)
    cases: tuple[Case, ...]
