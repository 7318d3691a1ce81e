"""Voxels that are no numbers are refused when they are read, by file and place; integers aren't looked at."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_patchgrow.data import (
    ArrayTiles,
    DataError,
    MemmapTiles,
    OpenImaged,
    PaintBackgroundd,
    TensorTiles,
    TiffTiles,
    TurnedTiles,
    ZarrTiles,
)
from monai_patchgrow.data.tiles.finite import count_odd

SOUND, BAD = [(slice(0, 16), slice(0, 16))], [(slice(16, 32), slice(0, 16)), (slice(32, 48), slice(16, 32))]
FAULT = r"1 values at \[32:48, 16:32\] are NaN, infinite or too large for float32: replace them by numbers"


def bad_image(value, dtype="float32"):
    image = np.random.default_rng(0).normal(0, 1, (1, 48, 48)).astype(dtype)
    image[0, 40, 20] = value
    return image


def npy(path, image):
    np.save(path / "a.npy", image)
    return MemmapTiles(path / "a.npy")


def zarr(path, image):
    library = pytest.importorskip("zarr", reason="needs the extra zarr")
    array = library.open(str(path / "a.zarr"), mode="w", shape=image.shape, chunks=(1, 16, 16), dtype=image.dtype)
    array[:] = image
    return ZarrTiles(path / "a.zarr")


def tiff(path, image, **options):
    tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
    options = {"tile": (16, 16), "photometric": "minisblack", "metadata": None, **options}
    tifffile.imwrite(path / "a.tif", image[0], **options)
    return TiffTiles(path / "a.tif")


def strips(path, image):
    return tiff(path, image, tile=None, rowsperstrip=5)


@pytest.mark.parametrize("stored", [npy, zarr, tiff, strips], ids=lambda make: make.__name__)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_file_names_itself_and_the_place(tmp_path, stored, value):
    source = stored(tmp_path, bad_image(value))
    assert source.read(SOUND).isfinite().all()
    with pytest.raises(DataError, match=rf"^{source.path}: {FAULT}$"):
        source.read(BAD)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("float64", 1e39), ("float64", -1e300), ("float64", np.nan), ("float16", np.inf), (">f8", 1e39), (">f4", np.nan)],
)
def test_of_any_type(tmp_path, dtype, value):
    source = npy(tmp_path, bad_image(value, dtype))
    with pytest.raises(DataError, match=FAULT):
        source.read(BAD)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_large_numbers_are_numbers(tmp_path, dtype):
    largest = np.finfo("float16" if dtype == "float16" else "float32").max
    assert npy(tmp_path, bad_image(largest, dtype)).read(BAD).isfinite().all()


@pytest.mark.parametrize("make", [ArrayTiles, lambda image: TensorTiles(torch.from_numpy(image))])
def test_an_image_in_memory(make):
    with pytest.raises(DataError, match=f"^an image in memory: {FAULT}$"):
        make(bad_image(np.nan)).read(BAD)


def test_of_an_image_that_is_shown_turned(tmp_path):
    turned = TurnedTiles(npy(tmp_path, bad_image(np.nan)), permutation=(1, 0))
    with pytest.raises(DataError, match=FAULT):
        turned.read([(slice(16, 32), slice(32, 48))])


@pytest.mark.parametrize("background", ["bright", "dark"])
def test_it_is_not_painted_as_background(tmp_path, background):
    image = np.full((1, 48, 48), 255 if background == "bright" else 0, np.float32)
    image[0, 40, 20] = np.nan
    paint = PaintBackgroundd("image", threshold=220, colour=255, background=background)
    item = paint(OpenImaged("image", channels=1)({"image": npy(tmp_path, image).path}))
    with pytest.raises(DataError, match=r"values at .* are NaN, infinite"):
        item["image"].read(SOUND)


def test_a_chunk_of_a_zarr_that_is_left_out_has_its_fill_value(tmp_path):
    library = pytest.importorskip("zarr", reason="needs the extra zarr")
    options = {"shape": (1, 48, 48), "chunks": (1, 16, 16), "dtype": "float32", "fill_value": np.nan}
    library.open(str(tmp_path / "a.zarr"), mode="w", **options)[0, :16, :16] = 1
    source = ZarrTiles(tmp_path / "a.zarr")
    assert source.read(SOUND).unique().tolist() == [1]
    with pytest.raises(DataError, match=r"256 values at \[16:32, 0:16\] are NaN"):
        source.read(BAD)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_are_refused(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.ones((1, 8, 8), dtype))
    with pytest.raises(DataError, match=rf"a\.npy: voxels of type {dtype} are not supported"):
        MemmapTiles(tmp_path / "a.npy")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
def test_integers_are_not_looked_at(tmp_path, dtype, monkeypatch):
    source = npy(tmp_path, np.zeros((1, 48, 48), dtype))
    monkeypatch.setattr(torch.Tensor, "aminmax", lambda voxels: pytest.fail("a pass over integers"))
    source.read(BAD)


def test_voxels_on_another_device_are_not_looked_at():
    assert count_odd(torch.empty(3, device="meta")) == 0
