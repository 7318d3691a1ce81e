from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from monai_patchgrow.data import DataError
from monai_patchgrow.data.tiles.slide import SlideTiles

openslide = pytest.importorskip("openslide", reason="needs the extra slides")
tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")

CELLS = [(slice(16, 48), slice(0, 32)), (slice(80, 112), slice(40, 72))]


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (3, 100, 70), dtype=np.uint8)


@pytest.fixture
def slide(tmp_path, image):
    options = {"tile": (32, 16), "compression": "zlib", "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(tmp_path / "slide.tif") as writer:
        for step in (1, 2):
            writer.write(image[:, ::step, ::step].transpose(1, 2, 0), subfiletype=int(step > 1), **options)
    return tmp_path / "slide.tif"


def test_patches_are_those_of_the_image(slide, image):
    with SlideTiles(slide, padding=255) as source:
        patches = source.read(CELLS)
    padded = np.pad(image, [(0, 0), (0, 32), (0, 32)], constant_values=255)
    assert source.shape == (3, 100, 70)
    assert patches.dtype == torch.uint8
    assert patches.tolist() == [padded[(slice(None), *cell)].tolist() for cell in CELLS]


def test_a_coarser_level(slide, image):
    with SlideTiles(slide, level=1) as source:
        assert source.shape == (3, 50, 35)
        assert source.read([(slice(8, 24), slice(16, 32))])[0].tolist() == image[:, 16:48:2, 32:64:2].tolist()


def test_a_pickled_source_reads_on(slide, image):
    source = SlideTiles(slide)
    source.read(CELLS)
    assert pickle.loads(pickle.dumps(source)).read(CELLS[:1])[0].tolist() == image[:, 16:48, :32].tolist()


def test_a_corrupt_tile_is_named_and_the_others_are_read(slide, image):
    with tifffile.TiffFile(slide) as tiff:
        offset, count = tiff.pages[0].dataoffsets[6], tiff.pages[0].databytecounts[6]
    with open(slide, "r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * count)
    with SlideTiles(slide) as source:
        with pytest.raises(DataError, match=r"slide.tif: the part at \[32:48, 16:32\] of level 0 can't be decoded"):
            source.read([(slice(32, 48), slice(16, 32))])
        assert source.read([(slice(0, 16), slice(0, 16))])[0].tolist() == image[:, :16, :16].tolist()


def test_what_is_no_slide(tmp_path):
    (tmp_path / "bad.svs").write_bytes(b"not a slide")
    with pytest.raises(DataError, match=r"bad.svs: no slide that openslide reads"):
        SlideTiles(tmp_path / "bad.svs")


def test_no_such_level(slide):
    with pytest.raises(DataError, match=r"slide.tif: no level 2: it has 2, and the finest is 0"):
        SlideTiles(slide, level=2)
