"""How many patches fit into a device's memory at a time, found where it runs out of it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import ignite.distributed as idist
import torch
from ignite.engine import Events

from monai_patchgrow.engines.patchgd.chunks import Chunk
from monai_patchgrow.engines.patchgd.exactness import why_equal_patches_differ
from monai_patchgrow.engines.patchgd.images import ImageBatch
from monai_patchgrow.engines.patchgd.side_effects import KeptBuffers, KeptGenerators
from monai_patchgrow.handlers.micro_batches import MemoryShort
from monai_patchgrow.networks.out_of_memory import is_out_of_memory
from monai_patchgrow.schedules.arguments import format_size

__all__ = ["ChunkFit"]

_logger = logging.getLogger(__name__)

_SMALLER_CHUNKS = "take a smaller chunk_size, or amp=True where it is off"
_SMALLER_PATCHES = "take a smaller patch_size or batch_size, or amp=True where it is off"

Result = TypeVar("Result")
Sizes = Sequence[int]


class ChunkFit:
    """Halves `chunk_size` where a GPU runs out of memory, and does the pass again from its start.

    The same random numbers are drawn again, and buffers are put back. Later passes begin with the halved number, also
    in a run that is resumed. The update is the same up to rounding, since each patch is encoded by itself. Where that
    isn't so (batch norm or dropout in the encoder), for a single cell of each image, after a step of the optimiser
    within the pass, or in a distributed training, the run ends.

    Args:
        chunk_size: the most patches that are encoded at a time; None: as many as a chunk holds.
        patch_size: what `chunk_size` counts, voxels per axis; of smaller patches it is as many more as have the same
            voxels.
    """

    def __init__(self, chunk_size: int | None, patch_size: Sizes) -> None:
        self._asked = None if chunk_size is None else chunk_size * math.prod(patch_size)
        self._found: int | None = None  # voxels too
        self._has_stepped = False

    def attach(self, engine: Any) -> None:
        """Register on an engine, with whose checkpoint the halved number is kept."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self) -> None:
        """Note that an iteration begins."""
        self._has_stepped = False

    def note_step(self) -> None:
        """Note that the optimiser steps, after which the pass can't be done again."""
        self._has_stepped = True

    def state_dict(self) -> dict[str, Any]:
        """The most voxels at a time, where memory was short."""
        return {"voxels": self._found}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take a checkpoint's number."""
        self._found = state_dict["voxels"]

    def chunk_size(self, patch_size: Sizes) -> int | None:
        """The most patches of this size at a time; None: as many as a chunk holds."""
        limits = [voxels for voxels in (self._asked, self._found) if voxels is not None]
        return max(1, min(limits) // math.prod(patch_size)) if limits else None

    def fit(
        self, engine: Any, attempt: Callable[[int | None], Result], *, images: ImageBatch, chunks: Iterable[Chunk]
    ) -> Result:
        """Return what `attempt` returns for a `chunk_size` with which it doesn't run out of memory.

        Args:
            engine: a PatchGD engine.
            attempt: takes the `chunk_size`; is called again for half of it.
            images: of the batch.
            chunks: of the pass.

        Raises:
            MemoryShort: it runs out of memory and can't be halved, in one line.
        """
        device, size = engine.state.device, tuple(engine.patch_size)
        buffers, generators = KeptBuffers(engine.network), KeptGenerators(device)
        while True:
            chunk_size = self.chunk_size(size)
            try:
                return attempt(chunk_size)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                reason = " ".join(str(error).split())
            engine.clear_pass()  # behind the error, whose frames hold the pass's tensors
            cells = max(len(part) for chunk in chunks for part in images.split(chunk, chunk_size))
            at_a_time = f"{cells * len(images)} patches of {format_size(size)} at a time"
            if cells == 1:
                raise MemoryShort(f"out of memory for {at_a_time}, a cell of each image: {_SMALLER_PATCHES} ({reason})")
            if why := self._obstacle(engine.network):
                raise MemoryShort(f"out of memory {why} ({at_a_time}): {_SMALLER_CHUNKS} ({reason})")
            halved = cells // 2 * len(images)
            self._found = halved * math.prod(size)
            _logger.warning("out of memory for %s: chunk_size is %d now", at_a_time, halved)
            buffers.put_back()
            generators.put_back()
            if device.type == "cuda":
                torch.cuda.empty_cache()

    def _obstacle(self, network: Any) -> str | None:
        """What makes a pass by smaller parts another one, or rules out a second one."""
        if self._has_stepped:
            return "after a step of the optimiser, which can't be done again"
        if network.training and idist.get_world_size() > 1:
            return "on one of several processes"
        why = why_equal_patches_differ(network.encoder)
        return why and f"with {why} in the encoder, for which chunk_size counts"
