"""Soft Dice and cross-entropy of label maps whose values are regions, or are to be ignored."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.losses import DiceCELoss, DiceLoss
from monai.networks.utils import one_hot
from torch import Tensor, nn
from torch.nn import functional

from monai_patchgrow.internals.torch import Loss
from monai_patchgrow.losses.annotated_mean import AnnotatedMean

__all__ = ["LabelLoss", "label_loss"]

_SMOOTH = 1e-5  # nnU-Net's, in numerator and denominator


def label_loss(
    *, regions: Sequence[Sequence[int]] = (), ignore_label: int | None = None, batch: bool = False
) -> nn.Module:
    """nnU-Net's loss of label maps: MONAI's ``DiceCELoss`` where that has it, else :class:`LabelLoss`.

    Args:
        regions: see :class:`LabelLoss`.
        ignore_label: see there.
        batch: see there.

    >>> label_loss().__class__.__name__, label_loss(ignore_label=3).__class__.__name__
    ('DiceCELoss', 'LabelLoss')
    """
    if regions or ignore_label is not None:
        return LabelLoss(regions=regions, ignore_label=ignore_label, batch=batch)
    smooth = {"smooth_nr": _SMOOTH, "smooth_dr": _SMOOTH}
    return DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=batch, **smooth)


class LabelLoss(Loss):
    """The sum of soft Dice loss and cross-entropy, over annotated voxels alone.

    Of regions each has a sigmoid and counts in Dice, and the cross-entropy is the binary one, a mean over voxels and
    regions. Of classes Dice is that of the softmax, without the background. Where there is a label to ignore, its
    voxels count nowhere; the cross-entropy is a mean over all others of the batch, and that of regions, as nnU-Net has
    it, is then summed over the regions.

    MONAI's DiceLoss has both parts of Dice, but its ``ignore_index`` knows no regions; its DiceCELoss takes no binary
    cross-entropy of several channels.

    Source: nnU-Net v2 (2.8), ``DC_and_CE_loss`` and ``DC_and_BCE_loss`` as its default trainer makes them; the value is
    theirs plus 1.

    Args:
        regions: values of the label that each region is made of, one region per channel; empty: channels are classes.
        ignore_label: value of voxels that count nowhere; None: all count.
        batch: Dice of the batch as a whole, not of each patch.

    Shape:
        input: logits ``(B, R, *spatial)`` of regions, ``(B, K, *spatial)`` of classes; target: values
        ``(B, 1, *spatial)``; a scalar.

    Raises:
        ValueError: logits of another number of channels than of regions.

    >>> loss = LabelLoss(regions=[(1, 2), (2,)], ignore_label=3)
    >>> logits = torch.tensor([[[-9.0, 9.0, 9.0, 9.0], [-9.0, -9.0, 9.0, 9.0]]])
    >>> float(loss(logits, torch.tensor([[[0.0, 1.0, 2.0, 3.0]]]))) < 1e-3
    True
    """

    def __init__(
        self, *, regions: Sequence[Sequence[int]] = (), ignore_label: int | None = None, batch: bool = False
    ) -> None:
        super().__init__()
        self.regions = tuple(map(tuple, regions))
        self.ignore_label = ignore_label
        self.dice = DiceLoss(batch=batch, smooth_nr=_SMOOTH, smooth_dr=_SMOOTH)  # of probabilities
        self.cross_entropy: nn.Module = AnnotatedMean()
        if ignore_label is None:
            self.cross_entropy = nn.BCEWithLogitsLoss() if self.regions else nn.CrossEntropyLoss()

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of logits."""
        if self.regions and input.shape[1] != len(self.regions):
            raise ValueError(f"{len(self.regions)} regions need as many channels of logits, got {input.shape[1]}")
        annotated = None if self.ignore_label is None else target != self.ignore_label
        labels = target if annotated is None else target.where(annotated, 0)
        return self._dice(input, labels, annotated) + self._cross_entropy(input, labels, annotated)

    def _dice(self, logits: Tensor, labels: Tensor, annotated: Tensor | None) -> Tensor:
        if self.regions:
            probabilities, truth = logits.sigmoid(), self._regions(labels, logits.dtype)
        else:
            probabilities = logits.softmax(1)[:, 1:]
            truth = one_hot(labels, logits.shape[1], dtype=logits.dtype)[:, 1:]
        if annotated is not None:
            probabilities, truth = probabilities * annotated, truth * annotated
        return self.dice(probabilities, truth)

    def _cross_entropy(self, logits: Tensor, labels: Tensor, annotated: Tensor | None) -> Tensor:
        truth = self._regions(labels, logits.dtype) if self.regions else labels[:, 0].long()
        if annotated is None:
            return self.cross_entropy(logits, truth)
        if self.regions:
            losses = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        else:
            losses = functional.cross_entropy(logits, truth, reduction="none")[:, None]
        return self.cross_entropy(losses, annotated)

    def _regions(self, labels: Tensor, dtype: torch.dtype) -> Tensor:
        """Which voxels belong to each region, ``(B, R, *spatial)``."""
        members = [torch.stack([labels == value for value in values]).any(0) for values in self.regions]
        return torch.cat(members, 1).to(dtype)
