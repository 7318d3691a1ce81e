"""A volume's file is whole and readable, and its voxels are numbers, before anything is made of them."""

import gzip
import os

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_patchgrow.bundle.patchgd.images import ImagePreprocessing
from monai_patchgrow.bundle.patchgd.volumes import CheckNiftid, CheckVoxelsd
from monai_patchgrow.data import DataError


def save(path, dtype=np.float32):
    voxels = np.random.default_rng(0).normal(0, 99, (20, 18, 16)).astype(dtype)
    nib.save(nib.Nifti1Image(voxels, np.eye(4), dtype=dtype), path)
    return path


def check(path):
    return ImagePreprocessing([CheckNiftid("image")])({"image": str(path), "label": 1})


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.NII.GZ"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64", "int64"])
def test_sound_files_pass(tmp_path, name, dtype):
    path = save(tmp_path / name, dtype)
    assert check(path) == {"image": str(path), "label": 1}


def test_a_file_of_the_second_version_passes(tmp_path):
    nib.save(nib.Nifti2Image(np.zeros((4, 5, 6), np.int16), np.eye(4)), tmp_path / "a.nii.gz")
    check(tmp_path / "a.nii.gz")


def test_a_file_that_is_only_called_compressed_passes(tmp_path):
    save(tmp_path / "a.nii").rename(tmp_path / "a.nii.gz")
    check(tmp_path / "a.nii.gz")


def flip(content, place):
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


@pytest.mark.parametrize("place", [3000, -6], ids=["a voxel", "the checksum"])
def test_a_damaged_file_is_not_read_as_if_it_were_sound(tmp_path, place):
    path = save(tmp_path / "a.nii.gz")
    content = path.read_bytes()
    path.write_bytes(flip(content, place % len(content)))
    with pytest.raises(DataError, match=r"a\.nii\.gz: can't be read \((BadGzipFile: CRC check failed|error: Error -3)"):
        check(path)


def test_a_file_cut_short(tmp_path):
    path = save(tmp_path / "a.nii.gz")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError, match=r"a\.nii\.gz: can't be read \(EOFError: "):
        check(path)


def test_two_parts_of_a_compressed_file_are_one(tmp_path):
    content = gzip.decompress(save(tmp_path / "a.nii.gz").read_bytes())
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))
    check(tmp_path / "a.nii.gz")


def test_a_file_that_this_user_may_not_read_is_not_called_broken(tmp_path, monkeypatch):
    path = save(tmp_path / "a.nii.gz")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(
        DataError, match=r"a\.nii\.gz: can't be opened \(Permission denied\): this user may not read it$"
    ):
        check(path)


@pytest.mark.parametrize("content", [b"", b"hello", gzip.compress(b"hello"), bytes([7]) * 999], ids=len)
def test_what_is_no_nifti(tmp_path, content):
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.nii\.gz: no NIfTI file \("):
        check(tmp_path / "a.nii.gz")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"a\.nii: no such file$"):
        check(tmp_path / "a.nii")


COLOURS = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize(
    ("dtype", "name"), [("complex64", "complex64"), ("complex128", "complex128"), (COLOURS, r"\[")]
)
def test_what_is_no_number_is_refused(tmp_path, dtype, name):
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), dtype), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(DataError, match=rf"a\.nii: voxels of type {name}.* are not supported: save numbers"):
        check(tmp_path / "a.nii")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_voxels_that_are_no_numbers(value):
    image = MetaTensor(torch.tensor([[1.0, value, value, 3.0]]))
    with pytest.raises(
        DataError, match=r"^2 values are NaN, infinite or too large for float32: replace them by numbers$"
    ):
        CheckVoxelsd("image")({"image": image})


@pytest.mark.parametrize("value", [0, -1024, 0.5])
def test_one_value_everywhere(value):
    with pytest.raises(DataError, match=rf"^all voxels are {value}: there is nothing to classify$"):
        CheckVoxelsd("image")({"image": torch.full((1, 4, 4), float(value))})


def test_no_voxels():
    with pytest.raises(DataError, match=r"^has no voxels, its shape is \(1, 0, 4\)$"):
        CheckVoxelsd("image")({"image": torch.zeros(1, 0, 4)})


def test_sound_voxels_stay_as_they_are():
    image = MetaTensor(torch.tensor([[0.0, 1.0]]), affine=torch.eye(4))
    assert CheckVoxelsd("image")({"image": image})["image"] is image


def test_a_voxel_that_flattens_all_others_is_named(caplog):
    image = MetaTensor(torch.rand(1, 20, 20, 20), meta={"filename_or_obj": "a.nii.gz"})
    image[0, 3, 3, 3] = 3e38
    CheckVoxelsd("image")({"image": image})
    assert caplog.messages == [
        "a.nii.gz: suspicious: a voxel of 3e+38 is so far off that normalising flattens all others: replace it"
    ]
