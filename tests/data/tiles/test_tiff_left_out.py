"""Tiles and strips that a TIFF leaves out hold the padding, whatever else is in the file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_patchgrow.data import DataError, OpenImaged, PaintBackgroundd, SlideTiles, TiffTiles, coarse_thumbnail

tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
pytest.importorskip("imagecodecs", reason="needs the extra tiff")

ROWS, COLUMNS = 70, 52  # of tiles of 32 x 16: three rows of four, the last ones cut by the border
EVERYTHING = [(slice(0, ROWS), slice(0, COLUMNS))]
PADDING = 7


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(20, 200, (ROWS, COLUMNS, 3), dtype=np.uint8)


def write(path, image, **options):
    options = {"tile": (32, 16), "compression": "zlib", "photometric": "rgb", "metadata": None, **options}
    tifffile.imwrite(path, image, **options)
    return path


def leave_out(path, *indices, tags=("Offsets", "ByteCounts"), level=0):
    """Put zeros into the places of tiles, as writers of sparse files do."""
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        page = tiff.series[0].levels[level].keyframe
        for tag in tags:
            tag = page.tags[f"{'Tile' if page.is_tiled else 'Strip'}{tag}"]
            tag.overwrite([0 if index in indices else value for index, value in enumerate(tag.value)])


def read(path, **options):
    with TiffTiles(path, padding=PADDING, **options) as source:
        return source.read(EVERYTHING)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("tags", [["Offsets"], ["ByteCounts"], ["Offsets", "ByteCounts"]], ids="+".join)
@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"compression": None}, {"byteorder": ">"}], ids=str)
def test_a_tile_is_the_padding(image, tmp_path, options, tags):
    path = write(tmp_path / "a.tif", image, **options)
    leave_out(path, 5, tags=tags)
    image[32:64, 16:32] = PADDING
    assert np.array_equal(read(path), image)


@pytest.mark.parametrize(
    ("index", "rows", "columns"), [(3, slice(0, 32), slice(48, 52)), (11, slice(64, 70), slice(48, 52))]
)
def test_a_tile_at_the_border_is_the_padding(image, tmp_path, index, rows, columns):
    path = write(tmp_path / "a.tif", image)
    leave_out(path, index)
    image[rows, columns] = PADDING
    assert np.array_equal(read(path), image)


def test_an_image_without_any_tile_is_the_padding(image, tmp_path):
    path = write(tmp_path / "a.tif", image)
    leave_out(path, *range(12))
    assert np.unique(read(path)).tolist() == [PADDING]


def test_a_strip_is_the_padding(image, tmp_path):
    path = write(tmp_path / "a.tif", image, tile=None, rowsperstrip=16)
    leave_out(path, 1, 4)
    image[16:32] = image[64:70] = PADDING
    assert np.array_equal(read(path), image)


def test_of_one_plane_the_other_channels_stay(image, tmp_path):
    path = write(tmp_path / "a.tif", image.transpose(2, 0, 1), planarconfig="separate")
    leave_out(path, 12 + 5)  # of green
    image[32:64, 16:32, 1] = PADDING
    assert np.array_equal(read(path), image)


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint16"])
def test_a_tile_of_another_type_is_the_padding(image, tmp_path, dtype):
    grey = image[..., :1].astype(dtype)
    path = write(tmp_path / "a.tif", grey[..., 0], photometric="minisblack")
    leave_out(path, 0)
    grey[:32, :16] = PADDING
    assert np.array_equal(read(path), grey)


def test_a_value_for_no_data_is_not_taken_for_the_padding(image, tmp_path):
    path = write(tmp_path / "a.tif", image, extratags=[(42113, "s", 0, "99", True)])  # GDAL's
    leave_out(path, 0)
    image[:32, :16] = PADDING
    assert np.array_equal(read(path), image)


def write_pyramid(path, *levels, tile=(16, 16)):
    options = {"tile": tile, "compression": "zlib", "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        for number, pixels in enumerate(levels):
            writer.write(pixels, subfiletype=int(number > 0), **options)
    return path


def test_a_tile_of_a_coarse_level_is_the_padding(image, tmp_path):
    path = write_pyramid(tmp_path / "a.tif", image, image[::2, ::2])
    leave_out(path, 0, level=1)
    half = image[::2, ::2].copy()
    half[:16, :16] = PADDING
    with TiffTiles(path, level=1, padding=PADDING) as source:
        patch = source.read([(slice(0, 35), slice(0, 26))])[0].permute(1, 2, 0)
    assert np.array_equal(patch.numpy(), half)
    assert np.array_equal(read(path), image)


def opened(path, **options):
    item = OpenImaged("image", channels=3, padding=1)({"image": str(path)})
    return PaintBackgroundd("image", **options)(item)["image"] if options else item["image"]


@pytest.mark.parametrize("suffix", ["tif", "tiff", "svs"])
@pytest.mark.parametrize("options", [{}, {"threshold": 220, "colour": 255}], ids=["as it is", "painted"])
def test_it_is_white_as_glass_whatever_the_suffix(tmp_path, suffix, options):
    if suffix == "svs":
        pytest.importorskip("openslide", reason="needs the extra slides")
    path = write(tmp_path / f"a.{suffix}", np.full((96, 96, 3), 180, np.uint8), tile=(32, 32))
    leave_out(path, 4)
    source = opened(path, **options)
    patches = source.read([(slice(32, 64), slice(32, 64)), (slice(0, 32), slice(0, 32))])
    assert [patch.unique().tolist() for patch in patches] == [[255], [180]]


def test_openslide_and_tifffile_read_the_same(image, tmp_path):
    pytest.importorskip("openslide", reason="needs the extra slides")
    path = write(tmp_path / "a.tif", image)
    leave_out(path, 5, 11)
    with SlideTiles(path, padding=PADDING) as slide, TiffTiles(path, padding=PADDING) as tiff:
        assert torch.equal(slide.read(EVERYTHING), tiff.read(EVERYTHING))


TISSUE = np.full((64, 64, 3), 100, np.uint8)


def test_a_coarse_level_that_leaves_out_tissue_paints_none(tmp_path):
    path = write_pyramid(tmp_path / "a.tif", TISSUE, TISSUE[::2, ::2])
    leave_out(path, 0, level=1)
    with TiffTiles(path, padding=255) as source:
        assert coarse_thumbnail(source, largest=16).unique().tolist() == [100]
        item = PaintBackgroundd("image", threshold=220, colour=255)({"image": source})
        assert item["image"].read([(slice(0, 16), slice(0, 16))]).unique().tolist() == [100]


def test_a_coarse_level_that_leaves_out_what_the_finest_does_is_read(tmp_path):
    path = write_pyramid(tmp_path / "a.tif", TISSUE, np.full((32, 32, 3), 90, np.uint8))
    leave_out(path, 0, level=1)
    leave_out(path, 0, 1, 4, 5)
    with TiffTiles(path, padding=255) as source:
        assert coarse_thumbnail(source, largest=4).flatten(1)[0].unique().tolist() == [90, 255]


def test_numbers_that_are_no_colours_are_refused(tmp_path, caplog):
    grey, palette = np.full((32, 32), 200, np.uint8), np.zeros((3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "palette.tif", grey, photometric="palette", colormap=palette, metadata=None)
    tifffile.imwrite(tmp_path / "ycbcr.tif", np.stack([grey] * 3, -1), photometric="ycbcr", metadata=None)
    tifffile.imwrite(tmp_path / "inverted.tif", grey, photometric="miniswhite", metadata=None)
    with pytest.raises(DataError, match="its numbers are places in a palette: save it in RGB or grey"):
        OpenImaged("image", channels=1)({"image": str(tmp_path / "palette.tif")})
    with pytest.raises(DataError, match="YCbCr colours without JPEG: save it in RGB"):
        OpenImaged("image", channels=3)({"image": str(tmp_path / "ycbcr.tif")})
    for _ in range(2):
        image = OpenImaged("image", channels=1)({"image": str(tmp_path / "inverted.tif")})["image"]
        assert image.read([(slice(0, 2), slice(0, 2))]).unique().tolist() == [200]
    assert [message for message in caplog.messages if "MINISWHITE" in message] == [
        f"{tmp_path / 'inverted.tif'}: MINISWHITE says how to display values: they are read as stored, not inverted"
    ]
