"""Batches whose images stay off the device: how they are prepared, and taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.data import decollate_batch
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor

__all__ = ["decollate", "leave_images", "match_target"]


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


def decollate(batch: Any) -> Any:
    """MONAI's decollation of a batch of an engine, also where the images are tile sources.

    >>> [(item["image"], item["label"]) for item in decollate({"image": ["a", "b"], "label": torch.tensor([3, 4])})]
    [('a', 3), ('b', 4)]
    """
    if not isinstance(batch, Mapping):
        return batch
    if isinstance(images := batch[Keys.IMAGE], Tensor):
        return decollate_batch(batch)
    images = list(images) if isinstance(images, list | tuple) else [images]
    others = {key: value for key, value in batch.items() if key != Keys.IMAGE}
    items = decollate_batch(others) if others else [{} for _ in images]
    return [{**item, Keys.IMAGE: image} for item, image in zip(items, images, strict=True)]
