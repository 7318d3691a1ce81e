"""Files of all types, layouts and codecs are read voxel by voxel as they were written."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from monai_patchgrow.data import MemmapTiles, TiffTiles, ZarrTiles

ROWS, COLUMNS = 45, 38
CELLS = [(slice(0, 24), slice(0, 20)), (slice(24, 48), slice(20, 40)), (slice(-8, 16), slice(30, 50))]
TYPES = ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float16", "float32", "float64"]
LAYOUTS = {
    "tiles": {"tile": (16, 32)},
    "one tile": {"tile": (48, 48)},
    "strips": {"rowsperstrip": 7},
    "one strip": {},
}
CODECS = {
    "plain": {},
    "zlib": {"compression": "zlib"},
    "predicted": {"compression": "zlib", "predictor": True},
    "lzw": {"compression": "lzw"},
    "zstd": {"compression": "zstd"},
}
CHANNELS = {
    "grey": (1, {"photometric": "minisblack"}),
    "together": (3, {"photometric": "rgb"}),
    "planes": (3, {"photometric": "rgb", "planarconfig": "separate"}),
    "four": (4, {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unspecified"] * 3}),
}


def voxels(dtype, channels):
    """An image in which every voxel differs from its neighbours, the ends of its type among them."""
    random = np.random.default_rng(0)
    if np.issubdtype(dtype, np.floating):
        image = random.normal(0, 100, (channels, ROWS, COLUMNS)).astype(dtype)
        ends = np.finfo(np.float16 if dtype == "float16" else np.float32)
    else:
        ends = np.iinfo(dtype)
        image = random.integers(ends.min, ends.max, (channels, ROWS, COLUMNS), dtype=dtype, endpoint=True)
    image[:, 0, 0], image[:, -1, -1] = ends.min, ends.max
    return image


def expected(image):
    padded = np.pad(image, [(0, 0), (8, 8), (0, 16)])
    return [padded[:, rows.start + 8 : rows.stop + 8, columns] for rows, columns in CELLS]


def check(source, image):
    with source:
        patches = source.read(CELLS).numpy()
    assert patches.dtype == image.dtype
    assert np.array_equal(patches, expected(image))


@pytest.mark.parametrize(("layout", "codec", "channels"), list(product(LAYOUTS, CODECS, CHANNELS)))
def test_tiff(tmp_path, layout, codec, channels):
    pytest.importorskip("imagecodecs", reason="needs the extra tiff")
    tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
    number, options = CHANNELS[channels]
    for dtype, byteorder in product(TYPES, "<>"):
        image = voxels(dtype, number)
        stored = image[0] if number == 1 else image if channels == "planes" else image.transpose(1, 2, 0)
        path = tmp_path / f"{dtype}{ord(byteorder)}.tif"
        options = {**options, **LAYOUTS[layout], **CODECS[codec], "byteorder": byteorder, "metadata": None}
        tifffile.imwrite(path, stored, bigtiff=dtype == "uint16", **options)
        check(TiffTiles(path), image)


@pytest.mark.parametrize(("form", "channels"), list(product(["sub-images", "pages"], ["grey", "together", "planes"])))
def test_tiff_of_levels(tmp_path, form, channels):
    pytest.importorskip("imagecodecs", reason="needs the extra tiff")
    tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
    number, options = CHANNELS[channels]
    image = voxels("uint16", number)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for step in (1, 2, 4):
            level = image[:, ::step, ::step]
            stored = level[0] if number == 1 else level if channels == "planes" else level.transpose(1, 2, 0)
            where = {"subifds": 2} if step == 1 and form == "sub-images" else {"subfiletype": int(step > 1)}
            writer.write(stored, tile=(16, 16), compression="zlib", metadata=None, **options, **where)
    for number, step in enumerate((1, 2, 4)):
        level = image[:, ::step, ::step]
        with TiffTiles(tmp_path / "a.tif", level=number) as source:
            whole = tuple(slice(0, extent) for extent in source.shape[1:])
            assert np.array_equal(source.read([whole])[0].numpy(), level)


def stored_in(array, channel_dim):
    """An image as a file without, or with another, axis of channels."""
    return array[0] if channel_dim is None else np.moveaxis(array, 0, channel_dim)


@pytest.mark.parametrize("dtype", [*TYPES, "int64", "bool"])
@pytest.mark.parametrize("channel_dim", [0, -1, None])
def test_npy(tmp_path, dtype, channel_dim):
    number = 1 if channel_dim is None else 3
    image = voxels("uint8", number) > 99 if dtype == "bool" else voxels(dtype, number)
    for order in "CF":
        np.save(tmp_path / f"{order}.npy", np.asarray(stored_in(image, channel_dim), order=order))
        check(MemmapTiles(tmp_path / f"{order}.npy", channel_dim=channel_dim), image)


@pytest.mark.parametrize("dtype", [*TYPES, "int64"])
def test_zarr(tmp_path, dtype):
    zarr = pytest.importorskip("zarr", reason="needs the extra zarr")
    image = voxels(dtype, 2)
    array = zarr.open(str(tmp_path / "a.zarr"), mode="w", shape=image.shape, chunks=(1, 16, 16), dtype=dtype)
    array[:] = image
    check(ZarrTiles(tmp_path / "a.zarr"), image)
