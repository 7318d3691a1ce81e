"""A few bytes that stand for gigabytes are refused by their size, before they are unpacked."""

from __future__ import annotations

import gzip
import resource
import struct

import nibabel as nib
import numpy as np
import pytest

from monai_patchgrow.bundle.patchgd.volumes import CheckNiftid
from monai_patchgrow.data import DataError, load_images, open_tiles
from monai_patchgrow.data.size_limit import LIMIT_VARIABLE, check_size, largest_bytes
from monai_patchgrow.data.tasks.nifti_file import read_header, read_voxels

GIB = 2**30


def promise(path, shape, *, behind=352):
    """Write a NIfTI file of zeros that promises this shape, of int16."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    packed = str(path).endswith(".gz")
    with gzip.open(path, "wb", compresslevel=1) if packed else path.open("wb") as stream:
        stream.write(header.binaryblock + bytes(4))
        for _ in range(behind // 2**20):
            stream.write(bytes(2**20))
    return path


def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    "read",
    [
        read_header,
        lambda path: load_images("image")({"image": path}),
        lambda path: CheckNiftid("a")({"a": path}),
    ],
    ids=["verify_data", "preprocessing", "classification"],
)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_header_that_promises_too_much(tmp_path, name, read):
    path = promise(tmp_path / name, (30000, 30000, 30000))
    with pytest.raises(DataError, match="50291 GiB of voxels, more than the 16 that PATCHGROW_MAX_FILE_GIB allows"):
        read(path)


def test_a_megabyte_that_unfolds_to_a_gigabyte(tmp_path):
    path = promise(tmp_path / "a.nii.gz", (1024, 1024, 512))
    with pytest.raises(DataError, match=r"1 GiB of voxels in \d+ bytes of the file, as in a decompression bomb"):
        read_header(path)


def test_more_behind_the_voxels_than_the_header_promises(tmp_path):
    path, before = promise(tmp_path / "a.nii.gz", (8, 8, 8), behind=300 * 2**20), memory()
    with pytest.raises(DataError, match="unfolds to more than 64 MiB behind its voxels"):
        read_voxels(read_header(path))
    assert memory() - before < 100 * 2**20


def test_the_limit_is_set_by_the_environment(monkeypatch):
    check_size("a.nii", 2 * GIB, stored=GIB)
    monkeypatch.setenv(LIMIT_VARIABLE, "1.5")
    with pytest.raises(DataError, match=r"2 GiB of voxels, more than the 1\.5 that PATCHGROW_MAX_FILE_GIB allows"):
        check_size("a.nii", 2 * GIB, stored=GIB)
    monkeypatch.setenv(LIMIT_VARIABLE, "64")
    check_size("a.nii", 2 * GIB, stored=100)


@pytest.mark.parametrize("value", ["0", "-1", "nan", "much"])
def test_a_limit_that_is_none_is_refused(monkeypatch, value):
    monkeypatch.setenv(LIMIT_VARIABLE, value)
    with pytest.raises(ValueError, match=f"PATCHGROW_MAX_FILE_GIB must be a number of GiB above 0, got '{value}'"):
        largest_bytes()


def write_tiff_of_one_enormous_tile(path):
    side, data = 65536, b"x\x9c\x03\x00\x00\x00\x00\x01"
    tags = [(256, 4, side), (257, 4, side), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1)]
    tags += [(322, 4, side), (323, 4, side), (324, 4, 8), (325, 4, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    ifd = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(struct.pack("<2sHI", b"II", 42, 8 + len(data)) + data + ifd)
    assert path.stat().st_size < 280
    return path


def test_a_tiff_of_a_few_bytes_with_one_enormous_tile(tmp_path):
    pytest.importorskip("tifffile", reason="needs the extra tiff")
    path = write_tiff_of_one_enormous_tile(tmp_path / "a.tif")
    source, before = open_tiles(path), memory()
    with pytest.raises(DataError, match="4 GiB of one tile in 8 bytes of the file, as in a decompression bomb"):
        source.read([(slice(0, 16), slice(0, 16))])
    assert memory() - before < 2**28


def test_a_slide_of_a_few_bytes_with_one_enormous_tile(tmp_path):
    pytest.importorskip("openslide", reason="needs the extra slides")
    path = write_tiff_of_one_enormous_tile(tmp_path / "a.svs")
    with pytest.raises(DataError, match=r"16 GiB of one tile in \d+ bytes of the file, as in a decompression bomb"):
        open_tiles(path)


@pytest.mark.parametrize(
    ("side", "line"),
    [
        (200_000, "37.253 GiB of one chunk, more than the 16 that PATCHGROW_MAX_FILE_GIB allows"),
        (100_000, r"9.3132 GiB of one chunk in \d+ bytes of the file, as in a decompression bomb"),
    ],
)
def test_a_zarr_of_a_few_bytes_with_one_enormous_chunk(tmp_path, side, line):
    zarr = pytest.importorskip("zarr", reason="needs the extra zarr")
    zarr.create_array(tmp_path / "a.zarr", shape=(1, 64, 64), chunks=(1, side, side), dtype="uint8")
    with pytest.raises(DataError, match=line):
        open_tiles(tmp_path / "a.zarr")


def test_a_npy_that_promises_more_than_it_holds(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 9, 9), np.uint8))
    text = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(text.replace(b"(1, 9, 9), }      ", b"(1, 90000, 9000), }"))
    with pytest.raises(DataError, match=r"a.npy: no array that can be mapped \(mmap length is greater than file size"):
        open_tiles(tmp_path / "a.npy")
