"""PatchGD's encoders by name, as a bundle's config asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from monai.networks.layers.utils import get_norm_layer
from monai.networks.nets import resnet18, resnet34, resnet50
from monai.networks.utils import replace_modules
from torch import nn

from monai_patchgrow.internals.torch import BatchNorm
from monai_patchgrow.networks.encoders.cnn import PlainCNN, SmallCNN
from monai_patchgrow.networks.encoders.pretrained import load_pretrained
from monai_patchgrow.networks.encoders.standardised import StandardisedEncoder
from monai_patchgrow.networks.encoders.transformers import TransformersEncoder
from monai_patchgrow.networks.encoders.vit import ViTEncoder
from monai_patchgrow.networks.patch_rules import PatchRule

__all__ = ["backbone", "backbone_rule"]


@dataclass(frozen=True)
class _Backbone:
    """How a backbone is built, its smallest patch in voxels, the name of its last layer, and its axes."""

    build: Callable[..., nn.Module]
    smallest_patch: int
    output: str
    axes: tuple[int, ...] = (1, 2, 3)


def _build_resnet(
    network: Callable[..., nn.Module],
    in_channels: int,
    latent_dim: int,
    spatial_dims: int,
    norm: str | tuple[str, dict[str, Any]] = "batch",
    **options: Any,
) -> nn.Module:
    """A ResNet with the usual stem of stride 2 and no bias in its shortcuts, which are not MONAI's defaults."""
    usual = {"conv1_t_stride": 2, "bias_downsample": False, **options}
    encoder = network(spatial_dims=spatial_dims, n_input_channels=in_channels, num_classes=latent_dim, **usual)
    # MONAI 1.6.1 gives another norm to the stem alone (MONAI pull request 9028).
    found = [name for name, module in encoder.named_modules() if isinstance(module, BatchNorm)]
    for name in found if norm != "batch" else ():
        channels = encoder.get_submodule(name).num_features
        replace_modules(encoder, name, get_norm_layer(norm, spatial_dims, channels), strict_match=True)
    return encoder


def _build_transformers(name: str, in_channels: int, latent_dim: int, spatial_dims: int, **options: Any) -> nn.Module:
    return TransformersEncoder(name, in_channels, latent_dim, **options)


_BACKBONES = {
    "resnet18": _Backbone(partial(_build_resnet, resnet18), 32, "fc."),
    "resnet34": _Backbone(partial(_build_resnet, resnet34), 32, "fc."),
    "resnet50": _Backbone(partial(_build_resnet, resnet50), 32, "fc."),
    "plain_cnn": _Backbone(PlainCNN, 16, "output."),
    "small_cnn": _Backbone(SmallCNN, 16, "output."),
    "vit": _Backbone(ViTEncoder, 16, "classification_head."),
    "mobilenet_v2": _Backbone(partial(_build_transformers, "mobilenet_v2"), 32, "classifier.", (2,)),
    "convnextv2": _Backbone(partial(_build_transformers, "convnextv2"), 32, "classifier.", (2,)),
    "deit": _Backbone(partial(_build_transformers, "deit"), 16, "classifier.", (2,)),
}


def backbone(
    name: str,
    *,
    in_channels: int,
    latent_dim: int,
    spatial_dims: int = 2,
    patch_size: Sequence[int] | None = None,
    pretrained: str | Path | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    **options: Any,
) -> nn.Module:
    """Build an encoder of patches, ``(N, C, *patch)`` to ``(N, D)``.

    ============================  ===============  ========  ==================================================
    name                          smallest patch   axes      what it is
    ============================  ===============  ========  ==================================================
    resnet18, resnet34, resnet50  32               1, 2, 3   MONAI's, with the usual stem; batch norms
    plain_cnn                     16               1, 2, 3   :class:`PlainCNN`, without norms, for empty images
    small_cnn                     16               1, 2, 3   :class:`SmallCNN`, about 100 000 parameters in 2-D
    vit                           16, its token    1, 2, 3   :class:`ViTEncoder`, MONAI's ViT, small
    mobilenet_v2, convnextv2      32               2         of the extra ``transformers``
    deit                          16, its token    2         of the extra ``transformers``
    ============================  ===============  ========  ==================================================

    The smallest patch is the total stride, in voxels per axis: one position is left of it. Batch norms need more
    than one such patch in a chunk.

    Args:
        name: one of the table.
        in_channels: of a patch, C.
        latent_dim: features of a patch, D; they take the place of the classes.
        spatial_dims: axes of a patch.
        patch_size: voxels per axis of the full patch: a ViT's position embedding is learned for it, unless an option
            ``full_patch`` says for which one; the others take any.
        pretrained: a file of weights, see :func:`load_pretrained`; its classifier is left out where it has another
            number of outputs.
        mean: taken off the voxels, one number or one per channel: see :class:`StandardisedEncoder`; ImageNet's are
            [0.485, 0.456, 0.406]. None, here and of `std`: voxels stay as they are.
        std: what they are divided by then, ImageNet's [0.229, 0.224, 0.225].
        options: further arguments of the network, such as ``norm=("group", {"num_groups": 8})`` of a ResNet.

    Raises:
        ValueError: an unknown name, axes that it doesn't have, a missing extra, or weights of another network.

    >>> encoder = backbone("small_cnn", in_channels=3, latent_dim=64)
    >>> sum(parameter.numel() for parameter in encoder.parameters())
    105936
    """
    found = _find(name, spatial_dims)
    if found.build is ViTEncoder and patch_size is not None:
        options = {"full_patch": tuple(patch_size), **options}
    encoder = found.build(in_channels=in_channels, latent_dim=latent_dim, spatial_dims=spatial_dims, **options)
    if pretrained is not None:
        inner = encoder.network if isinstance(encoder, TransformersEncoder) else encoder
        load_pretrained(inner, pretrained, skip_mismatched=(found.output,))
    if mean is None and std is None:
        return encoder
    return StandardisedEncoder(
        encoder, in_channels, mean=0.0 if mean is None else mean, std=1.0 if std is None else std
    )


def backbone_rule(name: str, *, spatial_dims: int = 2) -> PatchRule:
    """Return the smallest patch of a backbone and the step by which its patches grow, for ``GrowthSchedule.plan``.

    Raises:
        ValueError: as :func:`backbone`'s.

    >>> backbone_rule("resnet50").total_stride
    (32, 32)
    """
    return PatchRule(total_stride=(_find(name, spatial_dims).smallest_patch,) * spatial_dims)


def _find(name: str, spatial_dims: int) -> _Backbone:
    if name not in _BACKBONES:
        raise ValueError(f"backbone must be one of {', '.join(_BACKBONES)}, got {name!r}")
    found = _BACKBONES[name]
    if spatial_dims not in found.axes:
        can = [other for other, known in _BACKBONES.items() if spatial_dims in known.axes]
        raise ValueError(f"the backbone {name!r} is 2-D only, got spatial_dims={spatial_dims}: take one of {can}")
    return found
