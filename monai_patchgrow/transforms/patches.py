"""Many random patches of one volume in one gather, and the collate that makes batches of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from monai.transforms.utils import map_classes_to_indices
from monai.utils import MAX_SEED
from torch import Tensor

from monai_patchgrow.schedules.sample import DRAW_KEY, SampleDraw
from monai_patchgrow.state.patch_size import PatchCount, PatchSize
from monai_patchgrow.transforms.device_warp import WARPS, Warps, leave_warps
from monai_patchgrow.transforms.positions import FOREGROUND_FRACTION, draw_starts, foreground_turns
from monai_patchgrow.transforms.recipe import AugmentationRecipe
from monai_patchgrow.transforms.warp import draw_warps, gather_warped

__all__ = [
    "LOCATIONS_PER_CLASS",
    "WITHOUT_FOREGROUND",
    "RandPatchesd",
    "concatenate_patches",
    "gather_patches",
]

LOCATIONS_PER_CLASS = 10_000
"""How many voxels of a class a case keeps to draw centres from, evenly spaced, as many as nnU-Net."""

WITHOUT_FOREGROUND = "without_foreground"
"""Key of a batch: which patches should have been centred on foreground and could not, ``(N,)`` bool."""

_NO_WARPS = np.empty(0, dtype=np.int64), np.empty(0)


class RandPatchesd(Randomizable, MapTransform):
    """Draws `num_samples` random patches of one volume at once, as plain tensors, one stack per key.

    Half of the patches are centred on a foreground voxel, its class drawn uniformly among those present; the others
    lie anywhere in the volume. They alternate over the whole batch, so that each batch has its share of
    foreground; that needs the sample's place in the epoch, which a :class:`monai_patchgrow.data.SeededDataLoader` puts
    into the item (under `DRAW_KEY`), and with another loader they alternate within each volume. Collate with
    :func:`concatenate_patches`. Of a label that is annotated in part, as :class:`LabelPlacesd` tells it, the others are
    centred on annotated voxels.

    Where `recipe` asks for rotation or scaling, the patch is drawn through the rotated and scaled grid: its corners
    show the volume, not padding. Outside of the volume an image is 0: nnU-Net's value, and what MONAI's
    SlidingWindowInferer pads with unless it is given a ``cval``.

    Args:
        keys: what to draw, channel first ``(C, *shape)``, all of one shape; everything but `label_key` is
            interpolated linearly.
        label_key: the label ``(1, *shape)``, class 0 being background.
        spatial_size: voxels per axis; a ``PatchSize``, read at call time, gives way to the size that a sample carries.
            With fewer axes than the volume the patches are slices: the volume's last axes are left out.
        num_classes: classes of the label, background included; read only where `indices_key` isn't there.
        num_samples: patches per volume; a ``PatchCount`` likewise.
        indices_key: where ``ClassesToIndicesd``, or :class:`LabelPlacesd`, left the voxels of the background and of
            each class or region (default: under the name that they take by themselves), as few as their arguments say,
            see `LOCATIONS_PER_CLASS`. Where nothing is there they are found again for each volume, which is slow.
        label_padding: label outside of the volume: 0, or what the loss ignores.
        foreground_fraction: share of the patches that are centred on foreground.
        recipe: rotation and scaling; without, patches are drawn straight.
        warp_on_device: leave rotation and scaling to :class:`monai_patchgrow.handlers.AugmentBatches`, which does them
            on the device; of the patches concerned a box of the volume goes with the batch, see :class:`Warps`. For few
            cores beside a fast GPU.
        allow_missing_keys: skip `keys` that are not there.

    Returns:
        For each key a tensor ``(num_samples, C, *spatial_size)``, images in float32; and under
        `WITHOUT_FOREGROUND` the patches that a volume without any foreground gave from anywhere instead.

    Raises:
        ValueError: a `foreground_fraction` outside of 0 to 1; a `label_padding` that the label can't hold; a patch of
            more axes than the volume, or a recipe of others than the patch.

    >>> label = torch.zeros(1, 16, 16)
    >>> label[:, 2, 3] = 1
    >>> draw = RandPatchesd(["image", "label"], "label", (4, 4), num_classes=2, num_samples=6)
    >>> batch = draw.set_random_state(seed=0)({"image": torch.rand(3, 16, 16), "label": label})
    >>> tuple(batch["image"].shape), int(batch["label"].sum())
    ((6, 3, 4, 4), 3)
    """

    reads_draw = True

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        spatial_size: Sequence[int],
        *,
        num_classes: int,
        num_samples: int = 1,
        indices_key: str | None = None,
        label_padding: int = 0,
        foreground_fraction: float = FOREGROUND_FRACTION,
        recipe: AugmentationRecipe | None = None,
        warp_on_device: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        if not 0 <= foreground_fraction <= 1:
            raise ValueError(f"foreground_fraction must be between 0 and 1, got {foreground_fraction}")
        self.label_key, self.spatial_size = label_key, spatial_size
        self.num_classes = num_classes
        self.num_samples = num_samples
        self.indices_key = f"{label_key}_cls_indices" if indices_key is None else indices_key
        self.label_padding = label_padding
        self.foreground_fraction = foreground_fraction
        self.recipe = recipe
        self.warp_on_device = warp_on_device
        self._own_state = np.random.RandomState()

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandPatchesd:
        """Seed the draws, as MONAI's transforms do, in a state of this transform's own, which is not made anew."""
        if not isinstance(seed, int):
            super().set_random_state(seed, state)
            return self
        self.R = self._own_state
        self.R.seed(seed % MAX_SEED)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Draw the patches of one volume."""
        shape, draw = tuple(data[self.label_key].shape[1:]), data.get(DRAW_KEY)
        axes, size = self._parse_size(draw, shape)
        locations, annotated = self._class_locations(data), data.get(f"{self.label_key}_annotated_indices")
        wanted = self._foreground_turns(draw)
        places: Any = {"class_locations": locations, "annotated": None if annotated is None else np.asarray(annotated)}
        starts = draw_starts(self.R, shape=shape, patch_size=size, on_foreground=wanted, **places)
        warps = draw_warps(self.recipe, self.R, len(starts), axes=len(shape)) if self.recipe else _NO_WARPS
        patches: dict[Hashable, Any] = {}
        for key in self.key_iterator(dict(data)):
            drawn = self._draw(data, key, starts, size, _NO_WARPS if self.warp_on_device else warps)
            patches[key] = drawn.reshape(drawn.shape[: 2 + axes])
        has_foreground = any(len(indices) for indices in locations)
        patches[WITHOUT_FOREGROUND] = torch.from_numpy(wanted & (not has_foreground))
        if self.warp_on_device and self.recipe:
            volumes = {key: self._volume(data, key) for key in self.key_iterator(dict(data))}
            patches[WARPS] = leave_warps(volumes, self.label_key, self.recipe, starts, size[:axes], warps)
        return patches

    def _parse_size(self, draw: SampleDraw | None, shape: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """Number of axes of a patch, and its size on all of the volume's, 1 across slices."""
        # Only what was declared as growing grows: a size that is written out stays.
        patches = draw.patches if draw else None
        size = patches.size if patches and isinstance(self.spatial_size, PatchSize) else tuple(self.spatial_size)
        if len(size) > len(shape):
            raise ValueError(f"spatial_size must have no more axes than the volume {shape}, got {size}")
        if self.recipe and self.recipe.spatial_dims != len(size):
            raise ValueError(
                f"recipe must be for {len(size)} axes as the patch, got one for {self.recipe.spatial_dims}"
            )
        return len(size), size + (1,) * (len(shape) - len(size))

    def _class_locations(self, data: Mapping[Hashable, Any]) -> list[np.ndarray]:
        """Flat voxel indices of each foreground class or region."""
        indices = data.get(self.indices_key)
        if indices is None:
            indices = map_classes_to_indices(data[self.label_key], self.num_classes)
        return [np.asarray(voxels) for voxels in indices[1:]]

    def _foreground_turns(self, draw: SampleDraw | None) -> np.ndarray:
        patches = draw.patches if draw else None
        count = patches.count if patches and isinstance(self.num_samples, PatchCount) else int(self.num_samples)
        if patches:
            phase = patches.before * self.foreground_fraction
        elif draw:
            phase = draw.position * count * self.foreground_fraction
        else:
            phase = self.R.random_sample()
        return foreground_turns(count, fraction=self.foreground_fraction, phase=phase)

    def _draw(
        self,
        data: Mapping[Hashable, Any],
        key: Hashable,
        starts: np.ndarray,
        size: tuple[int, ...],
        warps: tuple[np.ndarray, np.ndarray],
    ) -> Tensor:
        volume, padding = self._volume(data, key)
        is_label, (affected, matrices) = key == self.label_key, warps
        patches = gather_patches(volume, starts=starts, patch_size=size, padding=padding)
        patches = patches if is_label else patches.to(torch.float32)
        if len(affected):
            options = {"starts": starts[affected], "patch_size": size, "padding": padding, "is_label": is_label}
            patches[torch.from_numpy(affected)] = gather_warped(volume, matrices=matrices, **options)
        return patches

    def _volume(self, data: Mapping[Hashable, Any], key: Hashable) -> tuple[Tensor, Tensor]:
        """A volume, and the value of each channel outside of it."""
        volume = torch.as_tensor(data[key]).as_subclass(Tensor)
        return volume, self._label_padding(volume) if key == self.label_key else volume.new_zeros(len(volume))

    def _label_padding(self, label: Tensor) -> Tensor:
        if (padding := torch.tensor([self.label_padding]).to(label.dtype)).item() != self.label_padding:
            raise ValueError(f"label_padding must fit the label's type {label.dtype}, got {self.label_padding}")
        return padding


def gather_patches(volume: Tensor, *, starts: np.ndarray, patch_size: Sequence[int], padding: Tensor) -> Tensor:
    """Cut patches of one volume, and pad them on the axes where the volume is smaller.

    Args:
        volume: ``(C, *shape)``, any strides; never copied.
        starts: first voxel of each patch, ``(N, axes)``; negative on axes where the volume is smaller.
        patch_size: voxels per axis.
        padding: value of each channel outside of the volume, ``(C,)``.

    Returns:
        ``(N, C, *patch_size)`` of the volume's type.

    >>> gather_patches(torch.arange(5)[None], starts=np.array([[1], [3]]), patch_size=(2,), padding=torch.zeros(1))
    tensor([[[1, 2]],
    <BLANKLINE>
            [[3, 4]]])
    """
    window = tuple(map(min, patch_size, volume.shape[1:]))
    # All windows of the volume, as a view; NumPy gathers from it, and its own view takes longer to make than a patch.
    places = [1 + voxels - size for voxels, size in zip(volume.shape[1:], window, strict=True)]
    strides = volume.stride()
    windows = volume.as_strided((len(volume), *places, *window), strides + strides[1:]).numpy()
    drawn = torch.from_numpy(windows[(slice(None), *np.maximum(starts, 0).T)].swapaxes(0, 1))
    if window == tuple(patch_size):
        return drawn.contiguous()
    patches = padding.to(volume.dtype).reshape(1, -1, *[1] * len(window)).repeat(len(starts), 1, *patch_size)
    place = [slice(before, before + voxels) for before, voxels in zip(np.maximum(-starts[0], 0), window, strict=True)]
    patches[(slice(None), slice(None), *place)] = drawn
    return patches


def concatenate_patches(volumes: Sequence[Mapping[Hashable, Any]]) -> dict[Hashable, Any]:
    """Make one batch of the stacks that :class:`RandPatchesd` drew from several volumes: a loader's ``collate_fn``.

    >>> stacks = [{"image": torch.zeros(2, 1, 8, 8)}, {"image": torch.zeros(3, 1, 8, 8)}]
    >>> tuple(concatenate_patches(stacks)["image"].shape)
    (5, 1, 8, 8)
    """
    join = {key: Warps.join if key == WARPS else torch.cat for key in volumes[0]}
    return {key: join[key]([stacks[key] for stacks in volumes]) for key in volumes[0]}
