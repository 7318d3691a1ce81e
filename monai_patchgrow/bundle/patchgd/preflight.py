"""What a PatchGD bundle checks of network and images before its first step, and how its engines end: in one line."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import ignite.distributed as idist
from torch import nn
from tqdm import tqdm

from monai_patchgrow.bundle import engine_run
from monai_patchgrow.bundle.cpu_threads import leave_cpus_to_workers
from monai_patchgrow.bundle.device_warnings import warn_of_device
from monai_patchgrow.bundle.one_line import one_line_config_errors
from monai_patchgrow.bundle.patchgd.images import name_fault
from monai_patchgrow.bundle.plain_settings import check_above_zero
from monai_patchgrow.data.tiles.file import FileTiles
from monai_patchgrow.data.tiles.source import TileSource
from monai_patchgrow.engines.patchgd.engine import PatchGDEngine
from monai_patchgrow.engines.patchgd.exactness import why_equal_patches_differ
from monai_patchgrow.schedules.patch_grid import PatchGrid

__all__ = ["check_background", "check_images", "read_all", "run_engine"]

_logger = logging.getLogger(__name__)

_CELLS_AT_A_TIME = 16


def check_background(encoder: nn.Module, *, skip_background: bool, background_threshold: float | None = None) -> None:
    """Check a training bundle's settings of the background; on the first fault exit with one line and code 1.

    Args:
        encoder: in training mode; where background is skipped it must treat each patch alone.
        skip_background: see :func:`patchgd_pass`.
        background_threshold: above 0; None: nothing is painted.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        if background_threshold is not None:
            check_above_zero("background_threshold", background_threshold)
        if skip_background and (why := why_equal_patches_differ(encoder)):
            raise ValueError(
                f"skip_background is not exact for an encoder with {why}: a ResNet takes another norm by "
                "backbone_options={'norm': ['group', {'num_groups': 8}]}; small_cnn has none that needs the chunk"
            )


def check_images(
    items: Sequence[Any], preprocessing: Any, *, patch_size: Sequence[int], read_tiles: bool = False
) -> None:
    """Check that every image can be read and is what the network takes; on a fault exit with one line and code 1.

    Args:
        items: dictionaries with an "image", as `preprocessing` takes them.
        preprocessing: makes the image a tile source; of a huge one only the header is read.
        patch_size: voxels per axis, of the full patch.
        read_tiles: read every tile too. Those of floating-point files always are: they may hold NaN.

    Raises:
        SystemExit: the first fault, with the line as its message; its own error in a process that hosts the bundle.
    """
    with one_line_config_errors():
        # disable=None: silent unless stderr is a terminal
        for item in tqdm(items, desc="verify", unit="image", disable=None, leave=False):
            try:
                source = preprocessing(item)["image"]
                if read_tiles or _reads_floats(source):
                    read_all(source, patch_size)
            except Exception as error:  # of many types: it depends on what is broken
                raise name_fault(error, item) from None


def run_engine(engine: Any) -> None:
    """Run an engine as `monai_patchgrow.bundle.engine_run.run_engine` does, its device checked, and log its metrics."""
    if isinstance(engine, PatchGDEngine):
        warn_of_device(engine, spatial_dims=len(engine.patch_size))
        leave_cpus_to_workers(engine)
    engine_run.run_engine(engine)
    state = getattr(engine, "state", None)
    if idist.get_rank() == 0:
        for name, value in getattr(state, "metrics", {}).items():
            _logger.info("%s: %s", name, value)


def read_all(source: TileSource, patch_size: Sequence[int]) -> None:
    """Read every patch of an image once, a few at a time, and keep none.

    Raises:
        DataError: a part of the file that can't be read.
    """
    grid = PatchGrid(source.shape[1:], tuple(patch_size))
    cells = range(grid.num_cells)
    for first in range(0, grid.num_cells, _CELLS_AT_A_TIME):
        source.read([grid.slices(cell) for cell in cells[first : first + _CELLS_AT_A_TIME]])


def _reads_floats(source: Any) -> bool:
    """Whether an image lies in a file of floating-point voxels, also one that is shown painted or turned."""
    while not isinstance(source, FileTiles) and hasattr(source, "source"):
        source = source.source
    return isinstance(source, FileTiles) and source.dtype.is_floating_point
