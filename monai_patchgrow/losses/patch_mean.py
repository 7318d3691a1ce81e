"""Which losses are means over the patches of a batch, so that a batch can be taken apart."""

from __future__ import annotations

from torch import nn

from monai_patchgrow.internals.torch import Loss

__all__ = ["is_mean_over_patches", "terms_of"]


def terms_of(loss: nn.Module) -> dict[str, nn.Module]:
    """Return the losses that a loss adds up, by attribute; of one that is no sum, nothing."""
    return {name: term for name, term in loss.named_children() if isinstance(term, Loss)}


def is_mean_over_patches(loss: nn.Module) -> bool:
    """Whether the loss of a batch is the mean of the losses of its patches, alone or in equal groups.

    >>> from monai.losses import DeepSupervisionLoss, DiceCELoss
    >>> is_mean_over_patches(DeepSupervisionLoss(DiceCELoss())), is_mean_over_patches(DiceCELoss(batch=True))
    (True, False)
    """
    if terms := terms_of(loss):
        return all(map(is_mean_over_patches, terms.values()))
    has_class_weights = isinstance(loss, nn.CrossEntropyLoss) and loss.weight is not None
    is_mean = getattr(loss, "reduction", "mean") == "mean" and not getattr(loss, "batch", False)
    return is_mean and not has_class_weights
