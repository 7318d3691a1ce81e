"""What was tried beside the stages: augmentation that grows, and a learning rate that restarts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ignite.engine import Engine

from monai_patchgrow.handlers import AugmentBatches
from monai_patchgrow.schedules import GrowthSchedule
from monai_patchgrow.transforms import AugmentationRecipe, BatchAugmentation

__all__ = ["GrowingAugmentBatches", "restarting_rate", "weakened"]

_PROBABILITIES = ("noise", "blur", "brightness", "contrast", "low_resolution", "inverted_gamma", "gamma")


class GrowingAugmentBatches(AugmentBatches):
    """Augments intensities with probabilities that grow linearly with the stage, from none to the recipe's.

    EfficientNetV2 (Tan and Le, ICML 2021, section 4) lets regularisation grow with the image size.
    """

    def __call__(self, engine: Engine) -> None:
        """Augment the batch with the strength of its stage."""
        recipe, state = self.augmentation.recipe, engine.state
        strength = (state.stage_number - 1) / max(1, state.num_stages - 1)
        self.augmentation = BatchAugmentation(weakened(recipe, strength))
        super().__call__(engine)
        self.augmentation = BatchAugmentation(recipe)


def weakened(recipe: AugmentationRecipe, strength: float) -> AugmentationRecipe:
    """Return a recipe whose intensity augmentation has this share of its probabilities."""
    names = [f"{kind}_prob" for kind in _PROBABILITIES]
    return replace(recipe, **{name: strength * getattr(recipe, name) for name in names})


def restarting_rate(schedule: GrowthSchedule, *, again: float = 0.5, power: float = 0.9) -> Callable[[int], float]:
    """Return the factor of the learning rate per epoch (from 0): it decays to 0, and once more on the full patch.

    Args:
        schedule: whose last stage starts again.
        again: of the first learning rate, at the restart.
        power: of the polynomial decay.
    """
    before, total = schedule.stages[-1].first_epoch - 1, schedule.max_epochs

    def factor(epoch: int) -> float:
        if epoch < before:
            return float((1 - epoch / before) ** power)
        return float(again * (1 - min(1, (epoch - before) / (total - before))) ** power)

    return factor
