"""Encoders of the transformers package (an extra), built from their configurations without a download."""

from __future__ import annotations

from typing import Any

from monai.utils import optional_import
from torch import Tensor, nn

__all__ = ["TransformersEncoder"]

# Of each name its classes' stem, and what differs from the configuration's defaults. DeiT is the paper's small one;
# MobileNetV2 would drop 80 % of its features before the latent.
_KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "mobilenet_v2": ("MobileNetV2", {"classifier_dropout_prob": 0.0}),
    "convnextv2": ("ConvNextV2", {}),
    "deit": ("DeiT", {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}),
}
_EXTRA = 'pip install "monai-patchgrow[transformers]"'


class TransformersEncoder(nn.Module):
    """An image classifier of transformers, whose logits are a patch's latent. In 2-D.

    Defaults: MobileNetV2 1.0, ConvNeXtV2 tiny, DeiT small with tokens of 16 pixels, whose position embedding
    is made for 224 pixels and interpolated to the patch.

    Attributes:
        network: the ``...ForImageClassification``, with the weights' usual names.

    Args:
        name: "mobilenet_v2", "convnextv2" or "deit".
        in_channels: of a patch, C.
        latent_dim: features of a patch, D.
        options: further fields of its configuration, such as ``depth_multiplier=0.35``.

    Shape:
        ``(N, C, *patch)`` to ``(N, D)``.

    Raises:
        ValueError: transformers is missing; a DeiT's patch that is no multiple of its token.
    """

    def __init__(self, name: str, in_channels: int, latent_dim: int, **options: Any) -> None:
        super().__init__()
        stem, changes = _KINDS[name]
        make_configuration, found = optional_import("transformers", name=f"{stem}Config")
        make_network, _ = optional_import("transformers", name=f"{stem}ForImageClassification")
        if not found:
            raise ValueError(f"the backbone {name!r} needs the package transformers: {_EXTRA}")
        fields = {**changes, **options, "num_channels": in_channels, "num_labels": latent_dim}
        configuration = make_configuration(**fields)
        self.network = make_network(configuration)
        self._token = configuration.patch_size if name == "deit" else 1
        self._call = {"interpolate_pos_encoding": True} if name == "deit" else {}

    def forward(self, patches: Tensor) -> Tensor:
        """Latents ``(N, D)``."""
        if any(edge % self._token for edge in patches.shape[2:]):
            raise ValueError(
                f"a DeiT of tokens of {self._token} voxels takes patches of multiples of them, "
                f"got {tuple(patches.shape[2:])}"
            )
        return self.network(pixel_values=patches, **self._call).logits
