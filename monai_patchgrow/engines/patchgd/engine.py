"""What PatchGD's trainer and evaluator have in common: their network, and how images are read and patches encoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from monai.data import decollate_batch
from monai.engines import IterationEvents
from monai.engines.workflow import Workflow
from torch import Tensor, nn

from monai_patchgrow.engines.patchgd.batches import decollate, leave_images
from monai_patchgrow.engines.patchgd.chunk_fit import ChunkFit
from monai_patchgrow.engines.patchgd.events import EVENT_COUNTERS, PatchGDEvents
from monai_patchgrow.engines.patchgd.images import ImageBatch
from monai_patchgrow.engines.patchgd.model import PatchModel
from monai_patchgrow.engines.patchgd.options import ImageReading, PatchEncoding, keywords_of, refuse_unknown

__all__ = ["PatchGDEngine", "join_network", "parse_options"]

_INSTEAD = {  # MONAI's default, and what there is in place of the option
    "accumulation_steps": (1, "accumulation counts the inner steps per step of the optimiser"),
    "compile": (False, "give it a compiled encoder, torch.compile(encoder)"),
    "inferer": (None, "the encoder is called on patches, the head on the latent grid"),
    "iteration_update": (None, "an iteration is a pass of PatchGD"),
}


class CutsImages:
    """Comes among the bases of an engine that cuts its images into cells.

    Args:
        patch_size: voxels per axis, or a shared :class:`PatchSize`, which is read in each iteration.
        stride, padding, allow_smaller, prefetch: see :class:`ImageReading`.
        **options: of MONAI's engine.

    Raises:
        ValueError: a wrong `stride` or `prefetch`.
    """

    def __init__(
        self,
        *,
        patch_size: Sequence[int],
        stride: Sequence[int] | None = None,
        padding: float = 0,
        allow_smaller: bool = False,
        prefetch: bool | int = True,
        **options: Any,
    ) -> None:
        self.patch_size = patch_size
        self.reading = ImageReading(stride=stride, padding=padding, allow_smaller=allow_smaller, prefetch=prefetch)
        super().__init__(**options)

    def _cut(self, images: Any) -> ImageBatch:
        """The images of a batch, in cells of the patch size of now."""
        return ImageBatch(images, patch_size=tuple(self.patch_size), reading=self.reading)


class PatchGDEngine(CutsImages, Workflow):
    """Comes before one of MONAI's supervised engines in the bases of an engine that works patch by patch.

    Args:
        network: a module with the attributes ``encoder`` and ``head``; or give both as `encoder` and `head`.
        chunk_size, normalise, skip_background, ignore_background: see :class:`PatchEncoding`.
        **options: of :class:`CutsImages` and of MONAI's engine.

    Raises:
        ValueError: no network, a wrong `stride` or `chunk_size`, or an option that PatchGD has no use for.
        TypeError: an option that there isn't; the nearest is named.
    """

    network: Any
    patches_at_a_time: ClassVar[int | None] = None  # where nobody says how many: as many as a chunk holds

    def __init__(
        self,
        *,
        network: nn.Module | None = None,
        encoder: nn.Module | None = None,
        head: nn.Module | None = None,
        chunk_size: int | None = None,
        normalise: Callable[[Tensor], Tensor] | None = None,
        skip_background: bool = False,
        ignore_background: bool = False,
        **options: Any,
    ) -> None:
        self.encoding = PatchEncoding(
            chunk_size=chunk_size,
            normalise=normalise,
            skip_background=skip_background,
            ignore_background=ignore_background,
        )
        whole = join_network(network, encoder, head)
        super().__init__(**parse_options({**options, "network": whole}, engine=type(self)))
        self.chunk_fit = ChunkFit(chunk_size or self.patches_at_a_time, self.patch_size)
        self.chunk_fit.attach(self)

    def clear_pass(self) -> None:
        """Give up what a pass has left that broke off."""
        self.state.latent = None

    def _register_decollate(self) -> None:
        """MONAI's decollation, also where the images are tile sources."""

        @self.on(IterationEvents.MODEL_COMPLETED)
        def _decollate(engine: Any) -> None:
            engine.state.batch = decollate(engine.state.batch)
            if isinstance(engine.state.output, Mapping):
                engine.state.output = decollate_batch(engine.state.output)

    def _model(self, *, chunk_size: int | None) -> PatchModel:
        """Encoder and head, on the device and in the precision of the run."""
        encoding = replace(self.encoding, chunk_size=chunk_size, device=self.state.device, autocast=self._autocast())
        return PatchModel(self.network.encoder, self.network.head, encoding)

    def _autocast(self) -> Callable[[], AbstractContextManager[Any]]:
        """What makes the context of the forward passes."""
        if not self.amp:
            return nullcontext
        return partial(torch.autocast, self.state.device.type, **self.amp_kwargs)


def join_network(network: nn.Module | None, encoder: nn.Module | None, head: nn.Module | None) -> nn.Module:
    """One module with the attributes ``encoder`` and ``head``.

    Raises:
        ValueError: neither a network with both, nor both, or all of them.

    >>> sorted(join_network(None, nn.Linear(1, 1), nn.Linear(1, 1)).state_dict())
    ['encoder.bias', 'encoder.weight', 'head.bias', 'head.weight']
    """
    if network is None and encoder is not None and head is not None:
        return nn.ModuleDict({"encoder": encoder, "head": head})
    is_whole = all(isinstance(getattr(network, name, None), nn.Module) for name in ("encoder", "head"))
    if encoder is not None or head is not None or network is None or not is_whole:
        raise ValueError("give either encoder and head, or a network that has both as its encoder and its head")
    return network


def parse_options(options: Mapping[str, Any], *, engine: type) -> dict[str, Any]:
    """A MONAI engine's options, with the events of the inner loop among them, and images left where they are.

    Args:
        options: what is left for MONAI's engine.
        engine: the class that is made.

    Raises:
        ValueError: an option that an inner loop has no use for, set to something.
        TypeError: an option that the engine doesn't have.
    """
    makers = [vars(kind)["__init__"] for kind in engine.__mro__ if "__init__" in vars(kind)]
    refuse_unknown(options, keywords_of(*makers) - {"self"}, name=engine.__name__)
    for option, (default, instead) in _INSTEAD.items():
        if options.get(option) not in (None, default):
            raise ValueError(f"{engine.__name__} has no option {option}: {instead}")
    events = [PatchGDEvents, *(options.get("event_names") or [])]
    counters = {**EVENT_COUNTERS, **(options.get("event_to_attr") or {})}
    kept = {option: value for option, value in options.items() if option not in _INSTEAD}
    return {"prepare_batch": leave_images, **kept, "event_names": events, "event_to_attr": counters}
