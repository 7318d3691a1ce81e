"""What can't be opened isn't called broken, and what no codec is known for isn't called cut short."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from monai_patchgrow.data import DataError, OpenImaged, TiffTiles, ZarrTiles, open_tiles


@pytest.fixture
def locked(monkeypatch):
    """Make files unreadable for this user, whoever it is."""
    denied = set()
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) not in denied)
    return lambda path: denied.add(str(path)) or path


DENIED = r"can't be opened \(Permission denied\): this user may not read it$"


@pytest.mark.parametrize("name", ["a.npy", "a.tif", "a.svs", "a.zarr"])
def test_a_file_that_this_user_may_not_read(tmp_path, name, locked):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=rf"{name}: {DENIED}"):
        open_tiles(locked(tmp_path / name))


def test_a_picture_that_this_user_may_not_read(tmp_path, locked):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=rf"a\.png: {DENIED}"):
        OpenImaged("image", channels=1)({"image": locked(tmp_path / "a.png")})


def test_a_source_that_is_locked_later(tmp_path, locked):
    np.save(tmp_path / "a.npy", np.zeros((1, 8, 8), np.uint8))
    with open_tiles(tmp_path / "a.npy") as source:
        pass
    locked(tmp_path / "a.npy")
    with pytest.raises(DataError, match=DENIED):
        source.read([(slice(0, 4), slice(0, 4))])


def test_a_file_that_is_gone_later(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 8, 8), np.uint8))
    with open_tiles(tmp_path / "a.npy") as source:
        pass
    (tmp_path / "a.npy").unlink()
    with pytest.raises(DataError, match=r"a\.npy: no such file"):
        source.read([(slice(0, 4), slice(0, 4))])


@pytest.mark.parametrize("options", [{"tile": (16, 16)}, {"rowsperstrip": 16}], ids=["tiles", "strips"])
def test_a_codec_that_nobody_knows_is_named_when_the_file_is_opened(tmp_path, options):
    tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
    pytest.importorskip("imagecodecs", reason="needs the extra tiff")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((32, 32), np.uint8), photometric="minisblack", **options)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tiff.pages[0].tags["Compression"].overwrite(34999)
    with pytest.raises(DataError, match=r"a\.tif: no TIFF image that can be read \(.*34999") as error:
        TiffTiles(tmp_path / "a.tif")
    assert "truncated" not in str(error.value)


def test_a_codec_of_a_zarr_that_nobody_knows(tmp_path):
    zarr = pytest.importorskip("zarr", reason="needs the extra zarr")
    array = zarr.open(str(tmp_path / "a.zarr"), mode="w", shape=(1, 8, 8), chunks=(1, 8, 8), dtype="uint8")
    array[:] = 1
    for name in ("zarr.json", ".zarray"):
        file = tmp_path / "a.zarr" / name
        if file.exists():
            file.write_text(file.read_text().replace('"zstd"', '"unheard"').replace('"blosc"', '"unheard"'))
    with pytest.raises(DataError, match=r"a\.zarr: ") as error:
        ZarrTiles(tmp_path / "a.zarr").read([(slice(0, 4), slice(0, 4))])
    assert "unheard" in str(error.value)
    assert "truncated" not in str(error.value)
    assert "\n" not in str(error.value)
