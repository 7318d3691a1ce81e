"""Scales the last layer of an encoder to its data, so that its first latents have mean 0 and deviation 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_patchgrow.networks.check import left_as_it_was

__all__ = ["standardise_latents"]


@torch.no_grad()
def standardise_latents(encoder: nn.Module, patches: Tensor, *, chunk_size: int | None = None) -> None:
    """Scale an encoder's last layer so that each latent feature of some patches has mean 0 and deviation 1.

    Fresh weights make of all patches nearly the same vector: a head that pools many of them then sees their common
    part alone, and learning may not begin. A feature that is the same for all patches becomes 0 for them.

    Source: Salimans and Kingma, Weight Normalization (arXiv 1602.07868, section 3), there for every layer; Mishkin and
    Matas, All You Need Is a Good Init (arXiv 1511.06422).

    Args:
        encoder: ``(N, C, *patch)`` to ``(N, D)``, its last layer linear; in the mode in which it is trained.
        patches: ``(N, C, *patch)``, as the encoder takes them, at least two.
        chunk_size: the most that are encoded at a time.

    Raises:
        ValueError: fewer than two patches, an encoder that doesn't end on a linear layer, or latents that are not
            finite.

    >>> _ = torch.manual_seed(0)
    >>> encoder, patches = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), 5 + torch.rand(9, 1, 2, 2)
    >>> standardise_latents(encoder, patches)
    >>> latents = encoder(patches)
    >>> latents.mean(0).abs().max() < 1e-5, (latents.std(0) - 1).abs().max() < 1e-5
    (tensor(True), tensor(True))
    """
    if len(patches) < 2:
        raise ValueError(f"standardise_latents needs two patches or more that are not of one value, got {len(patches)}")
    layer, outputs = _last_layer(encoder), list[Tensor]()
    handle = layer.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        with left_as_it_was(encoder, patches.device):  # batch norms count what they see
            parts = [encoder(part) for part in patches.split(chunk_size or len(patches))]
    finally:
        handle.remove()
    is_last = all(part is output for part, output in zip(parts, outputs, strict=True))
    if not isinstance(layer, nn.Linear) or layer.bias is None or not is_last:
        raise ValueError(
            "standardise_latents needs an encoder that ends on a linear layer with a bias, "
            f"got {type(encoder).__name__}"
        )
    latents = torch.cat(parts).double()
    if not latents.isfinite().all():
        raise ValueError("standardise_latents: the encoder's first latents are not finite")
    mean, deviation = latents.mean(0), latents.std(0)
    scale = torch.where(deviation > 0, 1 / deviation, 1.0)
    layer.weight.mul_(scale.unsqueeze(1).to(layer.weight.dtype))
    layer.bias.copy_((layer.bias - mean) * scale)


def _last_layer(encoder: nn.Module) -> nn.Module:
    """The last module that has weights of its own."""
    with_weights = [module for module in encoder.modules() if list(module.parameters(recurse=False))]
    return with_weights[-1]
