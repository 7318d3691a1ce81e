from __future__ import annotations

import logging
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from monai_patchgrow.data import DataError
from monai_patchgrow.data.tiles.tiff import TiffTiles

tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
pytest.importorskip("imagecodecs", reason="needs the extra tiff")

ROWS, COLUMNS = 100, 70
CELLS = [(slice(16, 48), slice(0, 32)), (slice(80, 112), slice(40, 72)), (slice(-32, 0), slice(0, 32))]


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 200, (3, ROWS, COLUMNS), dtype=np.uint8)


def write(path, image, **options):
    options = {"tile": (32, 16), "compression": "zlib", "photometric": "rgb", "metadata": None, **options}
    tifffile.imwrite(path, image.transpose(1, 2, 0) if image.ndim == 3 else image, **options)
    return path


def expected(image, padding=0):
    padded = np.pad(image, [(0, 0), (32, 32), (0, 32)], constant_values=padding)
    return [padded[:, rows.start + 32 : rows.stop + 32, columns].tolist() for rows, columns in CELLS]


def tile_span(path, index):
    """Where a tile's bytes are in the file."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        return page.dataoffsets[index], page.databytecounts[index]


def overwrite(path, offset, content):
    with open(path, "r+b") as stream:
        stream.seek(offset)
        stream.write(content)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": None},
        {"compression": "lzw"},
        {"compression": "zstd"},
        {"predictor": True},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"tile": None, "rowsperstrip": 8},
        {"tile": (16, 128)},
    ],
    ids=str,
)
def test_patches_are_those_of_the_image(tmp_path, image, options):
    with TiffTiles(write(tmp_path / "a.tif", image, **options), padding=255) as source:
        patches = source.read(CELLS)
    assert source.shape == (3, ROWS, COLUMNS)
    assert patches.dtype == torch.uint8
    assert patches.tolist() == expected(image, 255)


def test_one_plane_per_channel(tmp_path, image):
    tifffile.imwrite(
        tmp_path / "a.tif", image, tile=(32, 16), compression="zlib", photometric="rgb", planarconfig="separate"
    )
    with TiffTiles(tmp_path / "a.tif") as source:
        assert source.read(CELLS).tolist() == expected(image)


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "int16", "float32"])
def test_a_grey_image_of_any_type(tmp_path, image, dtype):
    grey = image[0].astype(dtype)
    with TiffTiles(write(tmp_path / "a.tif", grey, photometric="minisblack", byteorder=">")) as source:
        patches = source.read(CELLS)
    assert patches.numpy().dtype == np.dtype(dtype).newbyteorder("=")
    assert patches.tolist() == expected(grey[None])


def test_a_jpeg_slide_is_near_its_image(tmp_path):
    smooth = np.tile(np.linspace(0, 200, COLUMNS).astype(np.uint8), (3, ROWS, 1))
    path = write(tmp_path / "a.tif", smooth, compression="jpeg", compressionargs={"level": 95})
    with TiffTiles(path) as source:
        patch = source.read([(slice(16, 48), slice(0, 32))])[0].int()
    assert (patch - torch.from_numpy(smooth[:, 16:48, :32]).int()).abs().max() <= 6


def test_a_pyramid_of_sub_images(tmp_path, image):
    options = {"tile": (32, 16), "compression": "zlib", "photometric": "rgb"}
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(image.transpose(1, 2, 0), subifds=1, **options)
        writer.write(image[:, ::2, ::2].transpose(1, 2, 0), subfiletype=1, **options)
    with TiffTiles(tmp_path / "a.tif", level=1) as source:
        assert source.shape == (3, 50, 35)
        assert source.read([(slice(0, 16), slice(0, 16))])[0].tolist() == image[:, :32:2, :32:2].tolist()


def test_a_pyramid_of_pages(tmp_path, image):
    options = {"tile": (32, 16), "compression": "zlib", "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for step in (1, 2, 4):
            writer.write(image[:, ::step, ::step].transpose(1, 2, 0), subfiletype=int(step > 1), **options)
    with TiffTiles(tmp_path / "a.tif", level=2) as source:
        assert source.shape == (3, 25, 18)
        assert source.read([(slice(0, 8), slice(0, 8))])[0].tolist() == image[:, :32:4, :32:4].tolist()


def test_a_tile_that_was_left_out_is_empty(tmp_path, image):
    path = write(tmp_path / "a.tif", image)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages[0].tags["TileByteCounts"]
        tag.overwrite([0 if index == 6 else count for index, count in enumerate(tag.value)])
    image[:, 32:64, 16:32] = 0
    with TiffTiles(path) as source:
        assert source.read(CELLS).tolist() == expected(image)
        assert source.read([(slice(32, 64), slice(0, 64))])[0].tolist() == image[:, 32:64, :64].tolist()


def test_only_the_tiles_under_the_cells_are_decoded(tmp_path, image, monkeypatch):
    decoded = []
    with TiffTiles(write(tmp_path / "a.tif", image)) as source:
        page = source._opened()
        decode = type(page).decode
        monkeypatch.setattr(type(page), "decode", lambda self, index: decoded.append(index) or decode(self, index))
        source.read([(slice(0, 16), slice(0, 16)), (slice(16, 32), slice(8, 24))])
    assert decoded == [0, 1]


def test_strips_are_warned_of(tmp_path, image, caplog):
    with caplog.at_level(logging.WARNING), TiffTiles(write(tmp_path / "a.tif", image, tile=None)):
        pass
    assert "a.tif: has strips instead of tiles" in caplog.text


def test_threads_share_a_source(tmp_path, image):
    cells = [
        (slice(row, row + 16), slice(column, column + 16)) for row in range(0, 80, 8) for column in range(0, 48, 8)
    ]
    with TiffTiles(write(tmp_path / "a.tif", image)) as source, ThreadPoolExecutor(4) as threads:
        patches = list(threads.map(lambda cell: source.read([cell])[0].tolist(), cells * 3))
    assert patches == [image[(slice(None), *cell)].tolist() for cell in cells * 3]


class Reads:
    """A data set whose workers read through one source, which this process has read already."""

    def __init__(self, source):
        self.source = source

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return self.source.read([CELLS[index]])[0]


def test_a_forked_worker_reads_with_a_handle_of_its_own(tmp_path, image):
    with TiffTiles(write(tmp_path / "a.tif", image)) as source:
        source.read(CELLS)
        loader = DataLoader(Reads(source), batch_size=3, num_workers=1, multiprocessing_context="fork")
        assert next(iter(loader)).tolist() == expected(image)
        assert source.read(CELLS).tolist() == expected(image)


def test_a_pickled_source_reads_on(tmp_path, image):
    source = TiffTiles(write(tmp_path / "a.tif", image), padding=255)
    source.read(CELLS)
    assert pickle.loads(pickle.dumps(source)).read(CELLS).tolist() == expected(image, 255)


def test_a_corrupt_tile_is_named_and_the_others_are_read(tmp_path, image):
    path = write(tmp_path / "a.tif", image)
    offset, count = tile_span(path, 6)  # second row of tiles, second of five
    overwrite(path, offset, b"\xff" * count)
    with TiffTiles(path) as source:
        assert source.read([(slice(0, 32), slice(0, 64))])[0].tolist() == image[:, :32, :64].tolist()
        with pytest.raises(
            DataError, match=r"a.tif: the tile at \[32:64, 16:32\] of level 0 can't be decoded"
        ) as error:
            source.read([(slice(16, 48), slice(16, 48))])
        assert "\n" not in str(error.value)
        assert source.read([(slice(0, 32), slice(0, 64))])[0].tolist() == image[:, :32, :64].tolist()


def test_a_file_cut_short_is_named(tmp_path, image):
    path = write(tmp_path / "a.tif", image)
    offset, count = tile_span(path, 19)
    path.write_bytes(path.read_bytes()[: offset + count - 10])
    with TiffTiles(path) as source, pytest.raises(DataError, match=r"\[96:128, 64:80\] .*ends 10 bytes too early"):
        source.read([(slice(90, 100), slice(60, 70))])


@pytest.mark.parametrize("content", [b"", b"not a TIFF", b"II*\x00", b"II*\x00\x08\x00\x00\x00"])
def test_what_is_no_tiff(tmp_path, content):
    (tmp_path / "bad.tif").write_bytes(content)
    with pytest.raises(DataError, match=r"bad.tif: no TIFF image that can be read") as error:
        TiffTiles(tmp_path / "bad.tif")
    assert "\n" not in str(error.value)


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match=r"absent.tif: no such file"):
        TiffTiles(tmp_path / "absent.tif")


@pytest.mark.parametrize("level", [1, -1])
def test_no_such_level(tmp_path, image, level):
    with pytest.raises(DataError, match=rf"a.tif: no level {level}: it has 1, and the finest is 0"):
        TiffTiles(write(tmp_path / "a.tif", image), level=level)


def test_a_stack_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((5, 64, 64), np.uint8), tile=(32, 32), photometric="minisblack")
    with pytest.raises(DataError, match=r"stack.tif: .*one 2-D page with its channels is needed"):
        TiffTiles(tmp_path / "stack.tif")


def test_without_the_library_the_extra_is_named(tmp_path, image, monkeypatch):
    path = write(tmp_path / "a.tif", image)
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(ValueError, match=r"a.tif: reading it needs tifffile: pip install monai-patchgrow\[tiff\]"):
        TiffTiles(path)
