"""Which cells of the latent grid spoke for a class."""

from __future__ import annotations

import operator
from typing import SupportsIndex

import torch
from monai.networks.utils import eval_mode
from torch import Tensor, nn

from monai_patchgrow.networks.heads.grid_cells import clear_padding

__all__ = ["cell_evidence"]


def cell_evidence(
    head: nn.Module, latent: Tensor, mask: Tensor | None, class_index: SupportsIndex | Tensor | None
) -> Tensor:
    """Each cell's contribution to a logit: gradient times latent, summed over the features of the cell.

    Above 0: the cell speaks for the class; below: against it. For a head that is linear in its cells, such as
    :class:`monai_patchgrow.networks.MeanPoolingHead`, the contributions add up to the logit without its bias; for
    others it is the linear approximation at this latent.

    The head is asked in evaluation mode and left in its own mode; no gradient is added to its parameters. It works
    under ``torch.no_grad`` and ``torch.inference_mode``.

    Source: Shrikumar et al., Not Just a Black Box (arXiv 1605.01713), gradient times input.

    Args:
        head: ``(B, D, *grid)`` to ``(B, K)``; it is given the mask where it has ``takes_mask``.
        latent: ``(B, D, *grid)``.
        mask: which cells an image has, ``(B, *grid)`` bool; None: all.
        class_index: the logit, a whole number for all images or ``(B,)``; None: the sum of the logits, for ordinal
            heads.

    Returns:
        ``(B, *grid)``, 0 where an image has no cell.

    >>> from monai_patchgrow.networks import MeanPoolingHead
    >>> cell_evidence(MeanPoolingHead(8, 3), torch.rand(2, 8, 4, 4), None, 1).shape
    torch.Size([2, 4, 4])
    """
    head = head.module if isinstance(head, nn.parallel.DistributedDataParallel) else head
    with torch.inference_mode(False), eval_mode(head), torch.enable_grad():
        cells = clear_padding(latent.detach().clone(), mask).requires_grad_()
        logits = head(cells, mask) if getattr(head, "takes_mask", False) else head(cells)
        if class_index is None:
            chosen = logits
        elif isinstance(class_index, Tensor) and class_index.ndim:
            chosen = logits.gather(1, class_index.clone()[:, None])
        else:
            chosen = logits[:, operator.index(class_index)]
        (gradient,) = torch.autograd.grad(chosen.sum(), cells)
    return clear_padding(gradient * cells.detach(), mask).sum(1)
