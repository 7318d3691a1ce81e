from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import LoadImaged

from monai_patchgrow.data import DataError, load_images

SHAPE = (5, 6, 4)
AFFINE = np.array([[0.0, -2, 0, 9], [1.5, 0, 0, -4], [0, 0, 3, 1], [0, 0, 0, 1]])


def write(path, *, shape=SHAPE, affine=AFFINE, unit="mm", kind=nib.Nifti1Image):
    image = kind(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), affine)
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    return str(path)


def read(*paths):
    return load_images("image")({"image": list(paths) if len(paths) > 1 else paths[0]})["image"]


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".NII.GZ"])
def test_what_needs_no_mending_is_read_as_monai_reads_it(tmp_path, suffix, kind):
    path = write(tmp_path / f"a{suffix}", kind=kind)
    ours, stock = read(path), LoadImaged("image")({"image": path})["image"]
    assert (ours == stock).all()
    assert (ours.affine == stock.affine).all()
    assert set(ours.meta) == set(stock.meta)


@pytest.mark.parametrize(("unit", "factor"), [("micron", 1e3), ("meter", 1e-3)])
def test_other_units_become_mm(tmp_path, caplog, unit, factor):
    path = write(tmp_path / "a.nii", affine=np.diag([factor] * 3 + [1]) @ AFFINE, unit=unit)
    assert np.allclose(read(path).affine, AFFINE, atol=1e-6)
    assert caplog.messages == [f"{path}: its header is in {unit}: converted to mm"]


def test_a_header_without_a_unit_is_in_mm(tmp_path, caplog):
    assert np.allclose(read(write(tmp_path / "a.nii", unit="unknown")).affine, AFFINE)
    assert caplog.messages == []


def test_a_slice_is_a_volume_of_one(tmp_path):
    image = read(write(tmp_path / "a.nii.gz", shape=(5, 6)))
    assert (image.shape, image.meta["spatial_shape"].tolist()) == ((5, 6, 1), [5, 6, 1])
    assert image[4, 5, 0] == 29


def rounded(by):
    affine = AFFINE.copy()
    affine[:3, :3] += by
    return affine


@pytest.mark.parametrize(
    "dtype", [np.complex64, np.complex128, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])], ids=str
)
def test_voxels_that_are_no_numbers_are_refused(tmp_path, dtype):
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, dtype), AFFINE), tmp_path / "a.nii")
    with pytest.raises(DataError, match=r"a\.nii: voxels of type .* are not supported: save numbers"):
        read(str(tmp_path / "a.nii"))


def test_channels_whose_headers_are_rounded_share_the_first_s(tmp_path):
    paths = write(tmp_path / "a_0000.nii"), write(tmp_path / "a_0001.nii", affine=rounded(1e-3))
    with pytest.raises(RuntimeError, match="affine matrix of all images should be the same"):
        LoadImaged("image")({"image": list(paths)})
    image = read(*paths)
    assert image.shape == (2, *SHAPE)
    assert np.allclose(image.affine, AFFINE)


def test_channels_on_other_grids_are_refused(tmp_path):
    paths = write(tmp_path / "a_0000.nii"), write(tmp_path / "a_0001.nii", affine=rounded(0.5))
    with pytest.raises(DataError, match=r"a_0001\.nii: affine is 4 voxels off that of .*a_0000\.nii: resample it"):
        read(*paths)


def test_channels_of_other_shapes_are_refused(tmp_path):
    paths = write(tmp_path / "a_0000.nii"), write(tmp_path / "a_0001.nii", shape=(5, 6, 3))
    with pytest.raises(DataError, match=r"a_0001\.nii: shape \(5, 6, 3\), but .*a_0000\.nii has \(5, 6, 4\)"):
        read(*paths)
