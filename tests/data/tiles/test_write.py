from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_patchgrow.data.synthetic.phantom_slides import PhantomSlide
from monai_patchgrow.data.tiles.source import TensorTiles
from monai_patchgrow.data.tiles.tiff import TiffTiles
from monai_patchgrow.data.tiles.write import write_tiled_tiff

tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
pytest.importorskip("imagecodecs", reason="needs the extra tiff")


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_what_is_written_is_read(tmp_path, channels):
    image = torch.randint(0, 256, (channels, 50, 70), dtype=torch.uint8)
    with TiffTiles(write_tiled_tiff(tmp_path / "a.tif", TensorTiles(image), tile_size=16)) as source:
        assert torch.equal(source.read([(slice(0, 50), slice(0, 70))])[0], image)


def test_the_file_is_tiled_and_deflated(tmp_path):
    write_tiled_tiff(tmp_path / "a.tif", PhantomSlide(300), tile_size=128)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page = tiff.pages[0]
        assert (page.tilelength, page.tilewidth, page.compression.name) == (128, 128, "ADOBE_DEFLATE")
        assert page.photometric.name == "RGB"


def test_sixteen_bits_stay(tmp_path):
    image = torch.from_numpy(np.full((1, 16, 16), 40000, np.uint16))
    with TiffTiles(write_tiled_tiff(tmp_path / "a.tif", TensorTiles(image), tile_size=16)) as source:
        assert source.read([(slice(0, 1), slice(0, 1))]).item() == 40000


def test_a_write_that_fails_leaves_the_file_that_was_there(tmp_path):
    class Breaks(PhantomSlide):
        def read(self, cells):
            if len(cells) > 1:
                raise RuntimeError("broken")
            return super().read(cells)

    path = write_tiled_tiff(tmp_path / "a.tif", PhantomSlide(32), tile_size=16)
    content = path.read_bytes()
    with pytest.raises(RuntimeError, match="broken"):
        write_tiled_tiff(path, Breaks(64), tile_size=16)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_volumes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a.tif: a tiled TIFF holds images \(C, Y, X\), got shape \(1, 4, 4, 4\)"):
        write_tiled_tiff(tmp_path / "a.tif", TensorTiles(torch.zeros(1, 4, 4, 4)))


@pytest.mark.parametrize("tile_size", [0, 100])
def test_a_tile_size_that_tiff_does_not_allow(tmp_path, tile_size):
    with pytest.raises(ValueError, match=f"tile_size must be a multiple of 16 pixels, got {tile_size}"):
        write_tiled_tiff(tmp_path / "a.tif", PhantomSlide(32), tile_size=tile_size)
