"""The Ignite handler that augments each batch on the trainer's device."""

from __future__ import annotations

from ignite.engine import Engine, Events

from monai_patchgrow.data.seeded import mix_seed
from monai_patchgrow.handlers.reproducibility import seed_of
from monai_patchgrow.transforms.augment import BatchAugmentation

__all__ = ["AugmentBatches"]


class AugmentBatches:
    """Copies each batch to the device and augments it there, before the trainer sees it.

    What is drawn depends on the seed and the iteration alone, so a resumed run augments as an unbroken one would.
    Attach it behind handlers that read the batch in the loader's memory (:class:`Throughput`).

    Args:
        augmentation: what to do with a batch.
        seed: seed of the run, at least 0; that of a :class:`Reproducibility` on the same trainer comes first.
        image_key, label_key: keys of the batch: image ``(B, C, *patch)`` in float32, label ``(B, 1, *patch)``.
    """

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
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Augment the batch of ``engine.state.iteration``."""
        state = engine.state
        image = state.batch[self.image_key].to(state.device, non_blocking=True)
        label = state.batch[self.label_key].to(state.device, non_blocking=True)
        seed = mix_seed(seed_of(engine, self.seed), state.iteration)
        image, label = self.augmentation(image, label, seed=seed)
        state.batch = {**state.batch, self.image_key: image, self.label_key: label}
