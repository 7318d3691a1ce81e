from __future__ import annotations

import numpy as np
import pytest

from monai_patchgrow.data import DataError
from monai_patchgrow.data.tiles.array import MemmapTiles, ZarrTiles
from monai_patchgrow.data.tiles.open import open_tiles
from monai_patchgrow.data.tiles.tiff import TiffTiles


@pytest.mark.parametrize("name", ["image.npy", "IMAGE.NPY"])
def test_a_numpy_file(tmp_path, name):
    with open(tmp_path / name, "wb") as stream:
        np.save(stream, np.zeros((8, 9, 3), np.uint8))
    source = open_tiles(tmp_path / name, channel_dim=-1, padding=7)
    assert isinstance(source, MemmapTiles)
    assert (source.shape, source.padding) == ((3, 8, 9), 7)


def test_a_zarr(tmp_path):
    zarr = pytest.importorskip("zarr", reason="needs the extra zarr")
    zarr.open(str(tmp_path / "image.zarr"), mode="w", shape=(1, 8, 9), dtype="uint8")
    assert isinstance(open_tiles(tmp_path / "image.zarr"), ZarrTiles)


def test_an_ome_tiff(tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
    tifffile.imwrite(tmp_path / "image.ome.tif", np.zeros((32, 32), np.uint8), tile=(16, 16))
    with open_tiles(str(tmp_path / "image.ome.tif")) as source:
        assert isinstance(source, TiffTiles)


def test_a_missing_slide(tmp_path):
    with pytest.raises(DataError, match=r"absent.svs: no such file"):
        open_tiles(tmp_path / "absent.svs")


def test_another_suffix(tmp_path):
    with pytest.raises(DataError, match=r"a.png: no tile source for the suffix '.png': known are .npy .zarr .tif"):
        open_tiles(tmp_path / "a.png")


def test_a_numpy_file_has_one_level(tmp_path):
    np.save(tmp_path / "image.npy", np.zeros((1, 8)))
    with pytest.raises(DataError, match=r"image.npy: no level 2: a .npy has only level 0"):
        open_tiles(tmp_path / "image.npy", level=2)
