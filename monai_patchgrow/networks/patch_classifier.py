"""Encoder and head as one network of whole images: what a bundle loads, exports and shares."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["PATCHES_AT_A_TIME", "PatchClassifier"]

PATCHES_AT_A_TIME = 64
"""Patches that are encoded together where nobody says how many."""

_EXAMPLE_CELLS = 3  # per axis, of the grid that a head is traced with


class PatchClassifier(nn.Module):
    """Classifies whole images by their patches: grid of patches, encoder, head.

    PatchGD's engines take it as their network and call its encoder and head themselves, a few patches at a time. Its
    own ``forward`` holds a whole image: for small images, plain gradient descent and TorchScript, which
    ``torch.jit.script`` makes of any encoder and head. In training all patches are encoded at once.

    Args:
        encoder: ``(N, C, *patch)`` to ``(N, D)``.
        head: ``(B, D, *grid)`` to ``(B, K)``.
        patch_size: voxels per axis.
        stride: voxels from one cell to the next, per axis (default: the patch).
        padding: value of voxels beyond the border, as the encoder gets it.
        chunk_size: patches that are encoded at a time, but for training.
        ignore_background: leave patches that hold one value in each channel out of the head's mask, but of an image
            that has no others.

    Shape:
        ``(B, C, *spatial)``, values as the encoder takes them, to ``(B, K)``. Cells are those of
        :class:`monai_patchgrow.schedules.patch_grid.PatchGrid`, borders included.

    >>> encoder = nn.Sequential(nn.Flatten(), nn.Linear(16, 8))
    >>> head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    >>> PatchClassifier(encoder, head, (4, 4))(torch.rand(2, 1, 10, 7)).shape
    torch.Size([2, 3])
    """

    __constants__ = ("ignore_background",)  # TorchScript compiles one branch alone

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        patch_size: Sequence[int],
        stride: Sequence[int] | None = None,
        *,
        padding: float = 0.0,
        chunk_size: int = PATCHES_AT_A_TIME,
        ignore_background: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.patch_size = [int(voxels) for voxels in patch_size]
        self.stride = self.patch_size if stride is None else [int(voxels) for voxels in stride]
        self.padding = float(padding)
        self.chunk_size = int(chunk_size)
        self.ignore_background = bool(ignore_background)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, K)``."""
        patches, grid = self.cut(images)
        if self.training:
            latents = self.encoder(patches)
        else:
            latents = torch.cat([self.encoder(part) for part in patches.split(self.chunk_size)])
        by_image = latents.reshape([images.shape[0]] + grid + [latents.shape[1]])  # noqa: RUF005  TorchScript
        if self.ignore_background:
            return self.head(by_image.movedim(-1, 1), self.foreground(patches, [images.shape[0]] + grid))  # noqa: RUF005
        return self.head(by_image.movedim(-1, 1))

    def foreground(self, patches: Tensor, shape: list[int]) -> Tensor:
        """Which cells ``(B, *grid)``, `shape`, hold more than one value; all of an image where none does."""
        voxels = patches.flatten(2)
        own = (voxels != voxels[:, :, :1]).any(2).any(1).reshape(shape)
        nothing = (own.flatten(1).sum(1) == 0).reshape([shape[0]] + [1] * (len(shape) - 1))
        return own | nothing

    def cut(self, images: Tensor) -> tuple[Tensor, list[int]]:
        """All patches ``(B * cells, C, *patch)``, row by row of each image in turn, and the cells per axis."""
        axes = len(self.patch_size)
        beyond: list[int] = []
        for axis in range(axes):
            patch, step, size = self.patch_size[axis], self.stride[axis], images.shape[2 + axis]
            cells = (max(size - patch, 0) + step - 1) // step
            beyond = [0, cells * step + patch - size] + beyond  # noqa: RUF005  TorchScript
        cut = nn.functional.pad(images, beyond, mode="constant", value=self.padding)
        for axis in range(axes):
            cut = cut.unfold(2 + axis, self.patch_size[axis], self.stride[axis])
        grid = list(cut.shape[2 : 2 + axes])
        cut = cut.movedim(1, 1 + axes)
        return cut.reshape([-1, images.shape[1]] + self.patch_size), grid  # noqa: RUF005  TorchScript

    def __prepare_scriptable__(self) -> nn.Module:
        """The same with encoder and head traced, since not all of them can be scripted; torch.jit.script asks."""
        weight = next(self.encoder.parameters())
        channels = _first_weight(self.encoder).shape[1]
        patches = torch.rand(2, channels, *self.patch_size, dtype=weight.dtype, device=weight.device)
        grid = getattr(self.head, "grid_shape", None) or [_EXAMPLE_CELLS] * len(self.patch_size)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that the trace takes as constant: the patch's and the grid's
            latents = self.encoder(patches)
            latent = torch.rand(2, latents.shape[1], *grid, dtype=weight.dtype, device=weight.device)
            encoder = torch.jit.trace(self.encoder, patches)
            mask = torch.ones(latent[:, 0].shape, dtype=torch.bool, device=latent.device)
            head = torch.jit.trace(self.head, (latent, mask) if self.ignore_background else latent)
        traced = PatchClassifier.__new__(_Traced)
        nn.Module.__init__(traced)
        traced.encoder, traced.head = encoder, head
        for name in ("patch_size", "stride", "padding", "chunk_size", "ignore_background"):
            setattr(traced, name, getattr(self, name))
        return traced.train(self.training)


class _Traced(PatchClassifier):
    """A classifier that torch.jit.script takes as it is."""

    def __prepare_scriptable__(self) -> nn.Module:
        return self


def _first_weight(encoder: nn.Module) -> Tensor:
    """That of the first convolution or linear layer, whose second axis counts the input channels."""
    return next(parameter for parameter in encoder.parameters() if parameter.ndim > 1)
