"""What PatchGD's engines share: their network, and batches whose images stay off the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from monai.data import decollate_batch
from monai.engines import IterationEvents
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor, nn

from monai_patchgrow.engines.patchgd.events import EVENT_COUNTERS, PatchGDEvents

__all__ = ["autocast_of", "join_network", "leave_images", "match_target", "parse_options", "register_decollate"]

_INSTEAD = {  # MONAI's default, and what there is in place of the option
    "accumulation_steps": (1, "accumulation counts the inner steps per step of the optimiser"),
    "compile": (False, "give it a compiled encoder, torch.compile(encoder)"),
    "inferer": (None, "the encoder is called on patches, the head on the latent grid"),
    "iteration_update": (None, "an iteration is a pass of PatchGD"),
}


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


def parse_options(options: Mapping[str, Any], *, name: str) -> dict[str, Any]:
    """A MONAI engine's options, with the events of the inner loop among them, and images left where they are.

    Raises:
        ValueError: an option that an inner loop has no use for, set to something.
    """
    for option, (default, instead) in _INSTEAD.items():
        if options.get(option) not in (None, default):
            raise ValueError(f"{name} has no option {option}: {instead}")
    events = [PatchGDEvents, *(options.get("event_names") or [])]
    counters = {**EVENT_COUNTERS, **(options.get("event_to_attr") or {})}
    kept = {option: value for option, value in options.items() if option not in _INSTEAD}
    return {"prepare_batch": leave_images, **kept, "event_names": events, "event_to_attr": counters}


def leave_images(
    batchdata: Any, device: torch.device | str | None = None, non_blocking: bool = False, **options: Any
) -> tuple[Any, Tensor | None]:
    """Images as they are and labels on the device: MONAI's ``prepare_batch`` for images larger than the device.

    Args:
        batchdata: a dictionary with "image" and perhaps "label", a pair of them, or a tensor of images alone.
        device: where labels go.
        non_blocking: as that of ``Tensor.to``.
        **options: further ones of ``Tensor.to``.
    """
    if isinstance(batchdata, Mapping):
        images, target = batchdata[Keys.IMAGE], batchdata.get(Keys.LABEL)
    else:
        images, target = (batchdata, None) if isinstance(batchdata, Tensor) else batchdata
    if target is None:
        return images, None
    return images, torch.as_tensor(target).as_subclass(Tensor).to(device, non_blocking=non_blocking, **options)


def match_target(target: Tensor, pred: Tensor) -> Tensor:
    """A target as the loss of `pred` takes it.

    With K = 1 numbers ``(B,)``, whole ones too, get the shape and type of `pred` ``(B, K)``: against ``(B,)`` torch
    would broadcast to ``(B, B)``. Other floating-point targets get the type; classes are left as they are.

    >>> match_target(torch.tensor([3, 4]), torch.zeros(2, 1)).tolist()
    [[3.0], [4.0]]
    """
    if pred.ndim == 2 and pred.shape[1] == 1 and target.shape == pred.shape[:1]:
        return target.to(pred.dtype)[:, None]
    return target.to(pred.dtype) if target.is_floating_point() else target


def autocast_of(engine: Any) -> Callable[[], AbstractContextManager[Any]]:
    """Makes the context of a MONAI engine's forward passes, on its own device."""
    if not engine.amp:
        return nullcontext
    return partial(torch.autocast, engine.state.device.type, **engine.amp_kwargs)


def register_decollate(engine: Any) -> None:
    """MONAI's decollation of batch and output, also where the images are tile sources."""

    @engine.on(IterationEvents.MODEL_COMPLETED)
    def _decollate(engine: Any) -> None:
        state, images = engine.state, None
        if isinstance(state.batch, Mapping) and not isinstance(state.batch[Keys.IMAGE], Tensor):
            images = state.batch[Keys.IMAGE]
            images = list(images) if isinstance(images, list | tuple) else [images]
            others = {key: value for key, value in state.batch.items() if key != Keys.IMAGE}
            items = decollate_batch(others) if others else [{} for _ in images]
            state.batch = [{**item, Keys.IMAGE: image} for item, image in zip(items, images, strict=True)]
        elif isinstance(state.batch, Mapping):
            state.batch = decollate_batch(state.batch)
        if isinstance(state.output, Mapping):
            state.output = decollate_batch(state.output)
