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

__all__ = ["autocast_of", "join_network", "leave_images", "match_target", "register_decollate"]


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


def leave_images(
    batchdata: Any, device: torch.device | str | None = None, non_blocking: bool = False, **options: Any
) -> tuple[Any, Tensor | None]:
    """Images as they are and labels on the device: MONAI's ``prepare_batch`` for images larger than the device.

    Args:
        batchdata: a dictionary with "image" and perhaps "label", or a pair of them.
        device: where labels go.
        non_blocking: as that of ``Tensor.to``.
        **options: further ones of ``Tensor.to``.
    """
    is_named = isinstance(batchdata, Mapping)
    images, target = (batchdata[Keys.IMAGE], batchdata.get(Keys.LABEL)) if is_named else batchdata
    if target is None:
        return images, None
    return images, torch.as_tensor(target).as_subclass(Tensor).to(device, non_blocking=non_blocking, **options)


def match_target(target: Tensor, pred: Tensor) -> Tensor:
    """A target as the loss of `pred` takes it.

    A regression's target is made of the type of `pred` ``(B, K)`` and, with K = 1, given its shape: against ``(B,)``
    torch would broadcast to ``(B, B)``. Other targets are left as they are.

    >>> match_target(torch.zeros(3, dtype=torch.float64), torch.zeros(3, 1)).shape
    torch.Size([3, 1])
    """
    if not target.is_floating_point():
        return target
    is_column = pred.ndim == 2 and pred.shape[1] == 1 and target.shape == pred.shape[:1]
    return target.to(pred.dtype)[:, None] if is_column else target.to(pred.dtype)


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
