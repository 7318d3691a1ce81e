"""The Ignite handler that augments each batch on the trainer's device."""

from __future__ import annotations

from typing import Any, ClassVar

import ignite.distributed as idist
from ignite.engine import Engine, Events

from monai_patchgrow.data.loading.seeded import SeededDataLoader, mix_seed
from monai_patchgrow.handlers.order import OrderRule, check_order_on_start
from monai_patchgrow.handlers.reproducibility import seed_of
from monai_patchgrow.transforms.augment import BatchAugmentation
from monai_patchgrow.transforms.device_warp import WARPS

__all__ = ["AugmentBatches"]


class AugmentBatches:
    """Copies each batch to the device and augments it there, before the trainer sees it.

    What :class:`monai_patchgrow.transforms.RandPatchesd` left to be rotated and scaled is so first.

    What is drawn depends on the seed and the iteration alone, so a resumed run augments as an unbroken one would. In a
    distributed run with a :class:`monai_patchgrow.data.SeededDataLoader` each rank does its part of what is drawn for
    the batch of all ranks; with another loader each rank draws for itself.

    Args:
        augmentation: what to do with a batch.
        seed: seed of the run, at least 0; that of a :class:`Reproducibility` on the same trainer comes first.
        image_key, label_key: keys of the batch: image ``(B, C, *patch)`` in float32, label ``(B, 1, *patch)``.
    """

    follows: ClassVar[tuple[OrderRule, ...]] = (
        OrderRule("Throughput", Events.ITERATION_STARTED, "which reads the batch in the loader's memory"),
    )

    def __init__(
        self,
        augmentation: BatchAugmentation,
        *,
        seed: int = 0,
        image_key: str = "image",
        label_key: str = "label",
    ) -> None:
        self.augmentation = augmentation
        self.seed = seed
        self.image_key = image_key
        self.label_key = label_key

    def attach(self, engine: Engine) -> None:
        """Register on a trainer with a ``state.device``, as MONAI's have."""
        check_order_on_start(engine)
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Augment the batch of ``engine.state.iteration``."""
        state = engine.state
        image = state.batch[self.image_key].to(state.device, non_blocking=True)
        label = state.batch[self.label_key].to(state.device, non_blocking=True)
        if (warps := state.batch.get(WARPS)) is not None:
            warps.apply({self.image_key: image, self.label_key: label})
        seed, before, total = self._draw(engine, len(image))
        image, label = self.augmentation(image, label, seed=seed, before=before, total=total)
        state.batch = {**state.batch, self.image_key: image, self.label_key: label}

    def _draw(self, engine: Engine, count: int) -> tuple[int, int, int]:
        """Seed of the batch, patches before this rank's `count` patches, and patches of all ranks that draw with it."""
        parts = seed_of(engine, self.seed), engine.state.iteration
        loader: Any = engine.state.dataloader
        if idist.get_world_size() == 1:
            return mix_seed(*parts), 0, count
        if not isinstance(loader, SeededDataLoader):
            return mix_seed(*parts, idist.get_rank()), 0, count
        batch = (engine.state.iteration - 1) % (engine.state.epoch_length or 1) + 1
        before, own, total = loader.sampler.patches_of(batch)
        return mix_seed(*parts), before * count // own, total * count // own
