"""NIfTI files of every kind that people have: what is predicted must name the very voxels that are bright."""

from __future__ import annotations

import gzip
import runpy
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_segmentation_patchgrow"
CASES, PREDICT = (runpy.run_path(str(BUNDLE / "scripts" / f"{name}.py")) for name in ("cases", "predict"))
AFFINE = np.array([[0.0, -1, 0, 20], [-1, 0, 0, 5], [0, 0, 1, -7], [0, 0, 0, 1]])  # turned, in voxels of 1 mm
SHAPE = (18, 22, 14)


class Bright(torch.nn.Module):
    """Label 1 above the mean and 1.5 deviations, as the normalised image has it."""

    def forward(self, images):
        margin = images[:, :1] - 1.5
        return torch.cat([-margin, margin, torch.full_like(margin, -1e3)], 1)


def bright():
    mask = np.zeros(SHAPE, bool)
    mask[3:7, 5:9, 2:11] = mask[12:15, 14:19, 6:9] = True
    return mask


def image_of(dtype=np.float32, *, low=20, high=110, kind=nib.Nifti1Image, affine=AFFINE):
    return kind(np.where(bright(), high, low).astype(dtype), affine, dtype=dtype)


def predict(path, folder):
    config = ConfigParser(ConfigParser.load_config_file(BUNDLE / "configs" / "inference.json"))
    config.update({"bundle_root": str(BUNDLE), "patch_size": [16, 16, 16]})
    parts = {name: config.get_parsed_content(name) for name in ("preprocessing", "postprocessing", "inferer")}
    items = CASES["find_images"](path, num_channels=1)
    return nib.load(PREDICT["predict"](items, network=Bright(), output_dir=folder / "out", device="cpu", **parts)[0])


def check(path, folder, *, shape=SHAPE):
    image, labels = nib.load(path), predict(path, folder)
    assert labels.shape == image.shape[: len(shape)] == shape
    assert np.array_equal(labels.affine, image.affine)
    assert np.array_equal(np.asarray(labels.dataobj).reshape(SHAPE), bright())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("code", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_numeric_types_in_both_byte_orders(code, order, tmp_path):
    image = image_of(np.dtype(code))
    header = image.header.as_byteswapped(order)
    nib.save(nib.Nifti1Image(np.asanyarray(image.dataobj), AFFINE, header), tmp_path / "a.nii")
    check(tmp_path / "a.nii", tmp_path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.NII.GZ", "a.1.nii.gz", "with space.nii", "ä.nii"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_names_and_versions(kind, name, tmp_path):
    content = image_of(np.int16, kind=kind).to_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.lower().endswith(".gz") else content)
    check(tmp_path / name, tmp_path)


@pytest.mark.parametrize(("slope", "inter"), [(0.5, 0), (2, -1024), (-1, 0), (1e-3, 5)])
def test_stored_values_are_rescaled(slope, inter, tmp_path):
    stored = np.where(bright(), 900, 100) if slope > 0 else np.where(bright(), 100, 900)
    image = nib.Nifti1Image(stored.astype(np.int16), AFFINE)
    image.header.set_slope_inter(slope, inter)
    content = bytearray(image.to_bytes())
    content[112:120] = np.array([slope, inter], np.float32).tobytes()  # nibabel writes voxels by it, but not the header
    (tmp_path / "a.nii").write_bytes(content)
    values = np.asarray(nib.load(tmp_path / "a.nii").dataobj)
    assert values[bright()].min() > values[~bright()].max()
    check(tmp_path / "a.nii", tmp_path)


@pytest.mark.parametrize(("sform", "qform"), [(1, 0), (0, 1), (2, 2), (4, 1), (0, 0)])
def test_forms(sform, qform, tmp_path):
    image = image_of()
    image.set_sform(AFFINE, code=sform)
    image.set_qform(AFFINE, code=qform)
    nib.save(image, tmp_path / "a.nii.gz")
    check(tmp_path / "a.nii.gz", tmp_path)


@pytest.mark.parametrize("tail", [(1,), (1, 1)])
def test_axes_of_one_behind_the_third(tail, tmp_path):
    image = nib.Nifti1Image(np.asanyarray(image_of().dataobj).reshape(*SHAPE, *tail), AFFINE)
    nib.save(image, tmp_path / "a.nii.gz")
    check(tmp_path / "a.nii.gz", tmp_path)


def test_a_header_extension(tmp_path):
    image = image_of()
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"made by a scanner"))
    nib.save(image, tmp_path / "a.nii.gz")
    check(tmp_path / "a.nii.gz", tmp_path)


def test_several_members_of_gzip(tmp_path):
    content = image_of().to_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))
    check(tmp_path / "a.nii.gz", tmp_path)


@pytest.mark.parametrize("low", [0, -1000, 1e-3])
def test_backgrounds(low, tmp_path):
    nib.save(image_of(low=low, high=low + 500), tmp_path / "a.nii.gz")
    check(tmp_path / "a.nii.gz", tmp_path)
