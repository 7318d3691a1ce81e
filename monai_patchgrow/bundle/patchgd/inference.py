"""A PatchGD bundle's inference, which outlives a broken image: it is named and skipped."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.utils.enums import CommonKeys as Keys

from monai_patchgrow.bundle.one_line import complain, one_line_config_errors
from monai_patchgrow.bundle.output_folders import check_writable
from monai_patchgrow.bundle.patchgd.images import name_fault, reason_of
from monai_patchgrow.bundle.patchgd.preflight import read_all, run_engine
from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tiles.items import collate_tiles
from monai_patchgrow.engines.patchgd.evaluator import PatchGDEvaluator
from monai_patchgrow.handlers.finite_output import OutputError
from monai_patchgrow.internals.monai import ItemDataset

__all__ = ["ImagesToClassify", "SkippingEvaluator", "check_output", "classify", "collate_sound"]

_logger = logging.getLogger(__name__)

_FAULTS = "faults"


class ImagesToClassify(ItemDataset):
    """MONAI's ``Dataset`` of items with "image" and "name"; in the place of one that can't be read is its fault.

    >>> ImagesToClassify([{"image": "absent.npy", "name": "absent"}], collate_sound)[0]["name"]
    'absent'
    """

    def make_item(self, index: int) -> Any:
        """The image of this index, or its fault."""
        try:
            return super().make_item(index)
        except Exception as error:  # of many types: it depends on what is broken
            item = self.data[index]
            return {"name": item["name"], _FAULTS: str(name_fault(error, item))}


def collate_sound(items: Sequence[Mapping[Hashable, Any]]) -> dict[Hashable, Any]:
    """A batch of the images that could be read, and under "faults" name and fault of the others.

    >>> collate_sound([{"name": "a", "faults": "a.npy: no such file"}])
    {'faults': [('a', 'a.npy: no such file')]}
    """
    sound = [item for item in items if _FAULTS not in item]
    batch = collate_tiles(sound) if sound else {}
    return {**batch, _FAULTS: [(item["name"], item[_FAULTS]) for item in items if _FAULTS in item]}


class SkippingEvaluator(PatchGDEvaluator):
    """A PatchGDEvaluator that leaves out the images of a batch that can't be read or classified.

    Handlers see a batch and an output without them, perhaps empty.

    Attributes:
        failed: their names.

    Args:
        **options: those of :class:`PatchGDEvaluator`; batches come from `collate_sound`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.failed: list[str] = []

    def _iteration(self, engine: Any, batchdata: Any) -> Any:
        batch = {key: values for key, values in batchdata.items() if key != _FAULTS}
        for name, reason in batchdata.get(_FAULTS, ()):
            self._skip(name, reason)
        while batch:
            self.state.batch = batch
            try:
                output = super()._iteration(engine, batch)
            except Exception as error:  # of many types; whatever it is, other images may not have it
                batch = self._without_broken(batch, error)
            else:
                _logger.info("%d of %d: %s", self.state.iteration, self.state.epoch_length, ", ".join(batch["name"]))
                return output
        self.state.batch, self.state.latent = [], None
        return []

    def _without_broken(self, batch: dict[Any, Any], error: Exception) -> dict[Any, Any]:
        """The images of which every patch can be read, and whose output is finite; none where that isn't the reason."""
        faults = self._faults_of(batch[Keys.IMAGE], error)
        for name, fault in zip(batch["name"], faults, strict=True):
            if fault is not None:
                self._skip(name, reason_of(fault))
        kept = [number for number, fault in enumerate(faults) if fault is None]
        return {key: [values[number] for number in kept] for key, values in batch.items()} if kept else {}

    def _faults_of(self, images: Any, error: Exception) -> list[Exception | None]:
        """Of each image what is wrong with it, None where nothing is."""
        if isinstance(error, OutputError):
            return [DataError(error.reason) if number in error.images else None for number in range(len(images))]
        faults = [self._fault_of(image) for image in images] if len(images) > 1 else []
        return faults if any(faults) else [error] * len(images)

    def _fault_of(self, image: Any) -> Exception | None:
        try:
            read_all(image, self.patch_size)
        except Exception as error:  # of many types: it depends on what is broken
            return error
        return None

    def _skip(self, name: str, reason: str) -> None:
        self.failed.append(name)
        complain(f"image {name} failed and is skipped: {reason}")


def check_output(output_dir: str | os.PathLike[str]) -> None:
    """Make the folder of the predictions; on a fault exit with one line and code 1.

    Raises:
        SystemExit: it can't be written to, with the line as its message; a ValueError in a process that hosts the
            bundle.
    """
    with one_line_config_errors():
        try:
            Path(output_dir).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"output_dir: can't write to {output_dir} ({error.strerror}): give another folder"
            ) from error
        check_writable({"output_dir": output_dir})


def classify(evaluator: SkippingEvaluator) -> None:
    """Classify all images; each that fails is named and skipped, and the end is then one line and exit code 1.

    Raises:
        SystemExit: images failed, with the line as its message; all others are written by then. A DataError in a
            process that hosts the bundle.
    """
    evaluator.failed.clear()
    run_engine(evaluator)
    if evaluator.failed:
        count = len(evaluator.data_loader.dataset)
        with one_line_config_errors():
            raise DataError(f"{len(evaluator.failed)} of {count} images failed: {', '.join(evaluator.failed)}")
