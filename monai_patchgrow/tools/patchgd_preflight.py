"""What a PatchGD bundle checks before its first step, and how its engines end on unsound data: in one line."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from monai_patchgrow.data.task import DataError
from monai_patchgrow.data.tiles import TileSource
from monai_patchgrow.engines.patchgd.chunks import Sampling
from monai_patchgrow.losses.image_target import ImageTarget
from monai_patchgrow.networks.backbones import backbone_rule
from monai_patchgrow.networks.heads import HEADS
from monai_patchgrow.schedules import GrowthSchedule
from monai_patchgrow.schedules.growth import parse_int, parse_sizes
from monai_patchgrow.schedules.patch_grid import PatchGrid
from monai_patchgrow.schedules.table import format_size
from monai_patchgrow.tools.one_line import one_line_config_errors

__all__ = ["check_images", "check_settings", "run_engine"]

_FIXED_GRID = "conv"  # the head that is made for one grid
_CELLS_AT_A_TIME = 16


def check_settings(
    *,
    patch_size: Sequence[int],
    stride: Sequence[int] | None,
    image_size: Sequence[int] | None,
    sampling: float,
    inner_steps: int | None,
    accumulation: int | None,
    backbone: str,
    head: str,
    target: str,
    num_classes: int,
    class_weights: Sequence[float] | None,
    learning_rate: float,
    plan: Mapping[str, Any],
    positive: Mapping[str, Any],
    not_negative: Mapping[str, Any],
    boolean: Mapping[str, Any],
) -> None:
    """Check a training bundle's settings; on the first fault exit with one line and code 1.

    Args:
        patch_size: voxels per axis, of the full patch.
        stride: voxels per axis from one cell to the next.
        image_size: of all images, voxels per axis; None: they differ.
        sampling: see :class:`Sampling`.
        inner_steps: see :class:`Sampling`.
        accumulation: see :class:`Sampling`.
        backbone: its name.
        head: its name.
        target: see :class:`ImageTarget`.
        num_classes: see :class:`ImageTarget`.
        class_weights: see :class:`ImageTarget`.
        learning_rate: above 0.
        plan: further arguments of :meth:`GrowthSchedule.plan`: ``batch_size``, ``max_epochs``, ``curriculum``.
        positive: settings that must be integers of at least 1, by name.
        not_negative: settings that must be integers of at least 0, by name.
        boolean: settings that must be true, false or null, by name; on a command line either spelling arrives.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        patch = parse_sizes(patch_size, name="patch_size")
        _check_numbers(positive, minimum=1)
        _check_numbers(not_negative, minimum=0)
        _check_switches(boolean)
        _check_rate(learning_rate)
        Sampling(sampling, inner_steps, accumulation)
        ImageTarget(target, num_classes, class_weights=class_weights)  # type: ignore[arg-type]
        _check_grid(image_size, patch, stride, head)
        _check_growth(patch, backbone, head, plan)


def check_images(
    items: Sequence[Any],
    preprocessing: Any,
    *,
    patch_size: Sequence[int],
    image_size: Sequence[int] | None = None,
    head: str = "attention",
    allow_smaller: bool = False,
    read_tiles: bool = False,
) -> None:
    """Check that every image can be read and holds a patch; on the first fault exit with one line and code 1.

    Args:
        items: dictionaries with an "image", as `preprocessing` takes them.
        preprocessing: makes the image a tile source; of a huge one only the header is read.
        patch_size: voxels per axis, of the full patch.
        image_size: the size that a "conv" head was made for, voxels per axis.
        head: its name.
        allow_smaller: images may be smaller than the patch.
        read_tiles: read every tile too.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        # disable=None: silent unless stderr is a terminal
        for item in tqdm(items, desc="verify", unit="image", disable=None, leave=False):
            source, name = _open(item, preprocessing), item["image"]
            size, patch = source.shape[1:], tuple(patch_size)
            if len(size) != len(patch):
                raise DataError(f"{name}: has {len(size)} axes, the patch {len(patch)}")
            if not allow_smaller and any(voxels < wanted for voxels, wanted in zip(size, patch, strict=True)):
                raise DataError(
                    f"{name}: {format_size(size)} voxels, smaller than the patch of {format_size(patch)}: "
                    "take a smaller patch_size, or allow_smaller=True, which pads the image"
                )
            if head == _FIXED_GRID and image_size is not None and size != tuple(image_size):
                raise DataError(
                    f"{name}: {format_size(size)} voxels, the head {head} is made for images of "
                    f"{format_size(tuple(image_size))}: another head takes any size"
                )
            if read_tiles:
                _read_all(source, patch)


def run_engine(engine: Any) -> None:
    """Run an engine; on data that can't be read exit with one line and code 1: the last epoch's checkpoint is whole.

    Raises:
        SystemExit: unsound data, with the line as its message; the error itself in a process that hosts the bundle.
    """
    with one_line_config_errors():
        try:
            engine.run()
        except Exception as error:
            fault = next((cause for cause in _causes(error) if isinstance(cause, DataError)), None)
            if fault is None:
                raise
            raise fault from None


def _check_numbers(numbers: Mapping[str, Any], *, minimum: int) -> None:
    for name, value in numbers.items():
        parse_int(value, name=name, minimum=minimum)


def _check_rate(learning_rate: Any) -> None:
    if isinstance(learning_rate, bool) or not isinstance(learning_rate, int | float) or not learning_rate > 0:
        raise ValueError(f"learning_rate must be a number above 0, got {learning_rate!r}")


def _check_switches(switches: Mapping[str, Any]) -> None:
    for name, switch in switches.items():
        if str(switch).lower() not in ("true", "false", "none"):
            raise ValueError(f"{name} must be True or False, got {switch!r}")


def _check_grid(image_size: Any, patch: tuple[int, ...], stride: Any, head: str) -> None:
    if head not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}, got {head!r}")
    if image_size is None:
        if head == _FIXED_GRID:
            raise ValueError("the head conv needs image_size, or take conv_pooled, attention, mean or sum")
        PatchGrid(patch, patch, stride)
        return
    grid = PatchGrid(image_size, patch, stride)
    if any(size < voxels for size, voxels in zip(grid.image_size, patch, strict=True)):
        raise ValueError(
            f"patch_size must not be larger than image_size on any axis, got {format_size(patch)} "
            f"for {format_size(grid.image_size)}"
        )


def _check_growth(patch: tuple[int, ...], backbone: str, head: str, plan: Mapping[str, Any]) -> None:
    rule = backbone_rule(backbone, spatial_dims=len(patch))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of merged stages: it comes with the schedule that is trained
        schedule = GrowthSchedule.plan(patch_size=patch, total_stride=rule.total_stride, **plan)
    if len({stage.batch_size for stage in schedule.stages}) > 1:
        raise ValueError(
            f"curriculum {schedule.curriculum} changes the number of patches per batch, but a batch of PatchGD's is "
            "of whole images: take constant, efficiency, pgps or random"
        )
    if head == _FIXED_GRID and len(schedule.candidates) > 1:
        raise ValueError(
            f"curriculum {schedule.curriculum} changes the grid, and the head conv takes one grid only: "
            "take conv_pooled, attention, mean or sum"
        )


def _open(item: Mapping[str, Any], preprocessing: Any) -> TileSource:
    try:
        return preprocessing(item)["image"]
    except Exception as error:  # of many types: it depends on what is broken, and MONAI wraps it
        *_, cause = _causes(error)
        if isinstance(cause, DataError):
            raise cause from None
        raise DataError(f"{item['image']}: can't be read ({type(cause).__name__}: {cause})") from None


def _read_all(source: TileSource, patch: tuple[int, ...]) -> None:
    grid = PatchGrid(source.shape[1:], patch)
    for number in range(math.ceil(grid.num_cells / _CELLS_AT_A_TIME)):
        first = number * _CELLS_AT_A_TIME
        cells = range(first, min(first + _CELLS_AT_A_TIME, grid.num_cells))
        source.read([grid.slices(cell) for cell in cells])


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, what caused that."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
