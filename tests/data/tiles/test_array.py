from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from monai_patchgrow.data import DataError
from monai_patchgrow.data.tiles.array import ArrayTiles, MemmapTiles, ZarrTiles

CELLS = [(slice(0, 4), slice(0, 4)), (slice(8, 12), slice(4, 8))]


@pytest.fixture
def image():
    return np.arange(2 * 10 * 7, dtype=np.uint8).reshape(2, 10, 7)


@pytest.fixture
def npy(image, tmp_path):
    np.save(tmp_path / "image.npy", image)
    return tmp_path / "image.npy"


def write_zarr(path, values):
    zarr = pytest.importorskip("zarr", reason="needs the extra zarr")
    chunks = (1, 4, 4)[-values.ndim :]
    array = zarr.open(str(path), mode="w", shape=values.shape, chunks=chunks, dtype=values.dtype)
    array[:] = values
    return path


def padded(image, padding=0):
    return np.pad(image, [(0, 0), (0, 6), (0, 5)], constant_values=padding)


def expected(image, padding=0):
    return [padded(image, padding)[(slice(None), *cell)].tolist() for cell in CELLS]


def test_an_array_in_memory(image):
    assert ArrayTiles(image, padding=9).read(CELLS).tolist() == expected(image, 9)


def test_a_big_endian_array(image):
    patches = ArrayTiles(image.astype(">i2")).read(CELLS)
    assert patches.dtype == torch.int16
    assert patches.tolist() == expected(image)


def test_a_mapped_file(image, npy):
    patches = MemmapTiles(npy, padding=9).read(CELLS)
    assert patches.dtype == torch.uint8
    assert patches.tolist() == expected(image, 9)


def test_a_file_is_mapped_not_loaded(npy):
    assert isinstance(MemmapTiles(npy)._opened(), np.memmap)


@pytest.mark.parametrize("channel_dim", [-1, 2])
def test_channels_on_the_last_axis(image, tmp_path, channel_dim):
    np.save(tmp_path / "last.npy", np.moveaxis(image, 0, -1))
    source = MemmapTiles(tmp_path / "last.npy", channel_dim=channel_dim)
    assert source.shape == (2, 10, 7)
    assert source.read(CELLS).tolist() == expected(image)


def test_an_image_without_a_channel_axis(image, tmp_path):
    np.save(tmp_path / "grey.npy", image[0])
    source = MemmapTiles(tmp_path / "grey.npy", channel_dim=None)
    assert source.shape == (1, 10, 7)
    assert source.read(CELLS).tolist() == expected(image[:1])


def test_a_pickled_source_carries_no_pixels_and_reads_on(npy, image):
    source = MemmapTiles(npy)
    source.read(CELLS)
    content = pickle.dumps(source)
    assert len(content) < 1000
    assert pickle.loads(content).read(CELLS).tolist() == expected(image)


def test_a_closed_source_opens_again(npy, image):
    with MemmapTiles(npy) as source:
        pass
    assert source._handle is None
    assert source.read(CELLS).tolist() == expected(image)


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match=r"absent.npy: no such file"):
        MemmapTiles(tmp_path / "absent.npy")


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00"])
def test_a_file_that_holds_no_array(tmp_path, content):
    (tmp_path / "bad.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"bad.npy: no array that can be mapped") as error:
        MemmapTiles(tmp_path / "bad.npy")
    assert "\n" not in str(error.value)


def test_a_file_cut_short(npy):
    npy.write_bytes(npy.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"image.npy: no array that can be mapped"):
        MemmapTiles(npy)


def test_an_axis_that_is_not_there(npy):
    with pytest.raises(DataError, match=r"image.npy: no axis 3 for the channels in shape \(2, 10, 7\)"):
        MemmapTiles(npy, channel_dim=3)


def test_values_that_no_tensor_holds(tmp_path):
    np.save(tmp_path / "text.npy", np.array([["a", "b"]]))
    with pytest.raises(DataError, match=r"text.npy: voxels of type <U1 are not supported"):
        MemmapTiles(tmp_path / "text.npy")


def test_a_zarr_array(image, tmp_path):
    source = ZarrTiles(write_zarr(tmp_path / "image.zarr", image), padding=9)
    assert source.shape == (2, 10, 7)
    assert source.read(CELLS).tolist() == expected(image, 9)


def test_a_level_of_a_zarr_group(image, tmp_path):
    for level in (0, 1):
        write_zarr(tmp_path / "image.zarr" / str(level), image[:, :: level + 1, :: level + 1].copy())
    pytest.importorskip("zarr").open_group(str(tmp_path / "image.zarr"))
    assert ZarrTiles(tmp_path / "image.zarr", level=1).shape == (2, 5, 4)


def test_a_level_by_its_path_in_multiscales(image, tmp_path):
    write_zarr(tmp_path / "image.zarr" / "fine", image)
    write_zarr(tmp_path / "image.zarr" / "coarse", image[:, :5].copy())
    group = pytest.importorskip("zarr").open_group(str(tmp_path / "image.zarr"))
    group.attrs["multiscales"] = [{"datasets": [{"path": "fine"}, {"path": "coarse"}]}]
    assert ZarrTiles(tmp_path / "image.zarr", level=1).shape == (2, 5, 7)
    with pytest.raises(DataError, match=r"image.zarr: no level 2; the finest is 0"):
        ZarrTiles(tmp_path / "image.zarr", level=2)


def test_a_broken_chunk_is_named(image, tmp_path):
    folder = write_zarr(tmp_path / "image.zarr", image)
    by_format = [folder / "c" / "0" / "2" / "1", folder / "0.2.1"]  # zarr 3's, zarr 2's
    (chunk,) = [path for path in by_format if path.exists()]
    chunk.write_bytes(b"broken")
    source = ZarrTiles(folder)
    source.read(CELLS[:1])
    with pytest.raises(DataError, match=r"image.zarr: a chunk at \[8:12, 4:8\] can't be decoded") as error:
        source.read(CELLS)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_zarr(tmp_path):
    pytest.importorskip("zarr", reason="needs the extra zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(DataError, match=r"empty.zarr: no zarr"):
        ZarrTiles(tmp_path / "empty.zarr")


class Reads:
    """A data set whose workers read through one source, which this process has read already."""

    def __init__(self, source):
        self.source = source

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.source.read([CELLS[index]])[0]


def test_a_forked_worker_reads_with_a_handle_of_its_own(image, tmp_path):
    source = ZarrTiles(write_zarr(tmp_path / "image.zarr", image))
    source.read(CELLS)
    loader = DataLoader(Reads(source), batch_size=2, num_workers=1, multiprocessing_context="fork")
    assert next(iter(loader)).tolist() == expected(image)
