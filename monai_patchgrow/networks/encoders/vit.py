"""MONAI's vision transformer as an encoder of patches of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.networks.nets import ViT
from monai.utils import ensure_tuple_rep
from torch import Tensor

from monai_patchgrow.networks.surgery.position_embedding import AnyGridEmbedding

__all__ = ["ViTEncoder"]

_TOKEN_SIZE = 16  # voxels per axis
_SMALL = {"hidden_size": 384, "mlp_dim": 1536, "num_layers": 12, "num_heads": 6, "qkv_bias": True}  # ViT-S


class ViTEncoder(ViT):
    """A ViT whose class token gives a patch's latent: by default ViT-S/16 (22 million parameters in 2-D).

    The position embedding is learned for patches of `full_patch` and interpolated for others, so that patches can
    grow. Parameters have the names of MONAI's ViT with ``classification=True``.

    Args:
        in_channels: of a patch, C.
        latent_dim: features of a patch, D.
        spatial_dims: axes of a patch, 1 to 3.
        full_patch: voxels per axis that the position embedding is made for.
        token_size: voxels per axis of a token.
        options: further arguments of MONAI's ViT.

    Shape:
        ``(N, C, *patch)`` to ``(N, D)``, every edge of the patch a multiple of the token's.

    Raises:
        ValueError: a patch that is no multiple of the token.
    """

    def __init__(
        self,
        in_channels: int,
        latent_dim: int,
        *,
        spatial_dims: int = 2,
        full_patch: Sequence[int] | int = 64,
        token_size: Sequence[int] | int = _TOKEN_SIZE,
        **options: Any,
    ) -> None:
        full, token = (ensure_tuple_rep(size, spatial_dims) for size in (full_patch, token_size))
        _check_size(full, token)
        super().__init__(
            in_channels=in_channels,
            img_size=full,
            patch_size=token,
            spatial_dims=spatial_dims,
            classification=True,
            num_classes=latent_dim,
            post_activation="",
            **{**_SMALL, **options},
        )
        self._token = token
        for name, parameter in self.named_parameters():
            # Left over from MONAI's decoder block: it gets no gradient, which DistributedDataParallel refuses.
            if "norm_cross_attn" in name:
                parameter.requires_grad_(False)
        embedding: Any = self.patch_embedding
        embedding.__class__ = AnyGridEmbedding
        embedding.full_grid = embedding.grid = _grid(full, token)

    def forward(self, patches: Tensor) -> Tensor:
        """Latents ``(N, D)``."""
        size = tuple(patches.shape[2:])
        _check_size(size, self._token)
        self.patch_embedding.grid = _grid(size, self._token)
        return super().forward(patches)[0]


def _grid(size: tuple[int, ...], token: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(edge // step for edge, step in zip(size, token, strict=True))


def _check_size(size: tuple[int, ...], token: tuple[int, ...]) -> None:
    if any(edge % step or not edge for edge, step in zip(size, token, strict=True)):
        raise ValueError(f"a ViT of tokens of {token} voxels takes patches of multiples of them, got {size}")
