"""The ways to train that are compared, by name: PatchGD with its options, gradient descent, a shrunk image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from growing_images import DIGITS_FIRST, PAPERS_DIGITS, SIZE, SUMS_ALONE, Stage, shrink
from torch import Tensor, nn

from monai_patchgrow.data.tiles.constant import merge_constant_patches
from monai_patchgrow.engines.patchgd import patchgd_pass
from monai_patchgrow.engines.patchgd.chunks import Sampling
from monai_patchgrow.engines.patchgd.events import PatchGDEvents
from monai_patchgrow.losses import RegressionLoss
from monai_patchgrow.networks import PlainCNN, classification_head
from monai_patchgrow.schedules.patch_grid import PatchGrid

__all__ = ["GROUPS", "PATCHGD", "WAYS", "Network", "SavedBytes", "Way", "predict", "take_pass"]

BUNDLE = Path(__file__).parents[2] / "bundles" / "ultramnist_classification_patchgd"
SETTINGS = json.loads((BUNDLE / "configs" / "small_digits.json").read_text())
PATCH, STRIDE, SHARE = SETTINGS["patch_size"][0], SETTINGS["stride"][0], 16
OVERLAP = PATCH - STRIDE
SHRINK = int(SHARE**0.5)
SHRUNK_SIZE = SIZE // SHRINK
FEATURES = SETTINGS["latent_dim"]
ENCODER = {key: value for key, value in SETTINGS["backbone_options"].items() if key != "std"}
LARGEST_NORM = 1.0
PATCHGD, DESCENT, SHRUNK = "PatchGD", "gradient descent", "shrunk image"


@dataclass(frozen=True)
class Way:
    """How a run is trained.

    kind: PatchGD, gradient descent, or gradient descent on the shrunk image.
    chunks: of an image, PatchGD's; one of them has its patches in memory with gradient at a time.
    inner_steps: chunks that are encoded with gradient; None: all.
    accumulation: inner steps per step of the optimiser; None: all, the exact variant.
    head: of the latent grid.
    stages: of the images.
    levels: of an image that are shown beside each other, each of half the size of the one before.
    patches: up to which share of the passes patches have how many pixels per axis. What two neighbours share is the
        encoder's overlap: the sum over patches is that of one convolution over the image, whatever the patch, but for a
        factor and the image's border.
    """

    kind: str = PATCHGD
    chunks: int = SHARE
    inner_steps: int | None = None
    accumulation: int | None = None
    head: str = "sum"
    stages: Sequence[Stage] = DIGITS_FIRST
    levels: int = 1
    patches: Sequence[tuple[float, int]] = ((1.0, PATCH),)

    def patch(self, share: float = 1.0) -> int:
        """Pixels per axis of a patch after that share of the passes."""
        return next(patch for until, patch in self.patches if share <= until)


GROUPS: MappingProxyType[str, dict[str, Way]] = MappingProxyType(
    {
        "compared": {PATCHGD: Way(), DESCENT: Way(DESCENT), SHRUNK: Way(SHRUNK)},
        "options": {
            PATCHGD: Way(),
            "4 chunks": Way(chunks=4),
            "64 chunks": Way(chunks=64),
            "4 of 16 chunks with gradient": Way(inner_steps=4),
            "1 of 16 chunks with gradient": Way(inner_steps=1),
            "a step every 4 chunks, stale Z": Way(accumulation=4),
            "a step every chunk, stale Z": Way(accumulation=1),
            "head mean": Way(head="mean"),
            "head attention": Way(head="attention"),
            "head conv_pooled": Way(head="conv_pooled"),
            "patches grow, 64 to 96 px": Way(patches=((0.825, 64), (1.0, PATCH))),
            "sums from the start": Way(stages=SUMS_ALONE),
        },
        "range": {
            "14 to 252 px": Way(stages=PAPERS_DIGITS, levels=4),
            "14 to 252 px, one level": Way(stages=PAPERS_DIGITS),
            "14 to 252 px, shrunk image": Way(SHRUNK, stages=PAPERS_DIGITS),
        },
    }
)
"""The ways by question: beside gradient descent, by PatchGD's options, on the paper's range of digits."""

WAYS: MappingProxyType[str, Way] = MappingProxyType(
    {name: way for group in GROUPS.values() for name, way in group.items()}
)


@dataclass(frozen=True)
class Network:
    """Encoder and head."""

    encoder: nn.Module
    head: nn.Module

    @classmethod
    def make(cls, head: str) -> Network:
        """The same encoder for all ways, that of the bundle's small digits."""
        encoder = PlainCNN(1, FEATURES, **ENCODER)
        options: dict[str, Any] = {"dropout": 0, "channels": FEATURES} if head == "conv_pooled" else {}
        return cls(encoder, classification_head(head, latent_dim=FEATURES, num_outputs=1, **options))

    def switch(self, *, training: bool) -> None:
        """Set the mode of encoder and head."""
        self.encoder.train(training)
        self.head.train(training)

    def parameters(self) -> list[nn.Parameter]:
        """All of them."""
        return [*self.encoder.parameters(), *self.head.parameters()]

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Step with a bounded gradient, and clear it."""
        nn.utils.clip_grad_norm_(self.parameters(), LARGEST_NORM)
        optimizer.step()
        optimizer.zero_grad()


@dataclass
class SavedBytes:
    """The most bytes that autograd kept at a time, from one inner step to the next."""

    most: int = 0
    _storages: dict[int, int] = field(default_factory=dict)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what is saved within."""
        with torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor):
            yield
        self.restart()

    def restart(self) -> None:
        """Begin anew: a backward pass has let go of everything."""
        self.most = max(self.most, sum(self._storages.values()))
        self._storages = {}

    def follow(self, event: Any, _: Any) -> None:
        """Restart with each inner step of a pass."""
        if event in (PatchGDEvents.INNER_STEP_STARTED, PatchGDEvents.INNER_STEP_COMPLETED):
            self.restart()

    def _keep(self, tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            self._storages[storage.data_ptr()] = storage.nbytes()
        return tensor


def take_pass(
    way: Way,
    network: Network,
    optimizer: Any,
    batch: Tensor,
    target: Tensor,
    *,
    draw: tuple[int, int],
    patch: int,
    saved: SavedBytes,
) -> None:
    """Train on a batch once; `draw` is the seed and the number of the pass, by which chunks are drawn."""
    loss = RegressionLoss("huber")
    optimizer.zero_grad()
    if way.kind != PATCHGD:
        with saved.counted():
            loss(predict(way, network, batch, patch), target).backward()
        network.step(optimizer)
        return
    size, stride = (patch, patch), (patch - OVERLAP, patch - OVERLAP)
    cells = PatchGrid(batch.shape[2:], size, stride).num_cells
    count = min(way.chunks, cells)
    steps = None if way.inner_steps is None else min(way.inner_steps, count)
    sampling = Sampling(1 / count, steps, way.accumulation)
    seed, number = draw
    chunks = sampling.draw(range(cells), seed=seed, epoch=1, iteration=number, from_fill=True)
    with saved.counted():
        patchgd_pass(
            encoder=network.encoder,
            head=network.head,
            loss_function=loss,
            images=batch,
            normalise=ink,
            target=target,
            patch_size=size,
            stride=stride,
            fill_chunks=chunks.fill,
            inner_chunks=chunks.inner,
            accumulation=way.accumulation or len(chunks.inner),
            true_gradient=sampling.is_one_group(cells),
            skip_background=True,
            on_event=saved.follow,
            step=lambda: network.step(optimizer),
        )


def predict(way: Way, network: Network, batch: Tensor, patch: int) -> Tensor:
    """The network's output ``(B, 1)``, all patches at once.

    The shrunk image is one patch; a smaller one is in the middle of it, so that the encoder's scale stays.
    """
    images, step = ink(batch), patch - OVERLAP
    if way.kind == SHRUNK:
        size = images.shape[2] // SHRINK
        images = shrink(images, size)
        before = (SHRUNK_SIZE - size) // 2
        images = nn.functional.pad(images, (before, SHRUNK_SIZE - size - before) * 2)
        patch = step = SHRUNK_SIZE
    grid = PatchGrid(images.shape[2:], (patch, patch), (step, step))
    short = [step * (cells - 1) + patch - size for cells, size in zip(grid.shape, images.shape[2:], strict=True)]
    images = nn.functional.pad(images, (0, short[1], 0, short[0]))
    patches = images.unfold(2, patch, step).unfold(3, patch, step).movedim(1, 3)
    some, rows = merge_constant_patches(patches.flatten(0, 2))
    return network.head(network.encoder(some)[rows].unflatten(0, patches.shape[:3]).movedim(-1, 1))


def ink(pixels: Tensor) -> Tensor:
    """Bytes to 0..2, as the bundle's `std` makes them, since most of an image is 0."""
    return pixels.float().div_(255 * SETTINGS["backbone_options"]["std"])
