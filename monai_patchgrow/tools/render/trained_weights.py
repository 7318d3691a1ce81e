"""What a bundle says of the weights that it comes with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["TrainedWeights"]


@dataclass(frozen=True, kw_only=True)
class TrainedWeights:
    """A bundle's ``models/model.pt``, how it was trained, and what `evaluate` says of it.

    sha256: of the file.
    date: of the training, as 2026-11-29.
    settings: keys of train.json that differ from the bundle's defaults, as on the command line.
    trained_on: how many cases, and which.
    hardware: that it was trained on, and for how long.
    validated_on: how many cases, and which.
    dice: of evaluate.json on these, 0 to 1, on the original voxels: by label, and their mean as ``mean``.
    licence: of the weights, and why.
    """

    sha256: str
    date: str
    settings: str
    trained_on: str
    hardware: str
    validated_on: str
    dice: Mapping[str, float]
    licence: str

    @property
    def eval_metrics(self) -> dict[str, Any]:
        """The entry of metadata.json.

        >>> dice = {"mean": 0.88, "spleen": 0.88}
        >>> words = dict.fromkeys(
        ...     ["sha256", "date", "settings", "trained_on", "hardware", "validated_on", "licence"], ""
        ... )
        >>> TrainedWeights(**words, dice=dice).eval_metrics
        {'mean_dice': 0.88, 'dice_spleen': 0.88}
        """
        return {"mean_dice" if name == "mean" else f"dice_{name}": value for name, value in self.dice.items()}
