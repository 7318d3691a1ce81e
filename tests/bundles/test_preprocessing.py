"""Cropping, normalisation and resampling of real cases agree with numpy and scipy.ndimage, voxel by voxel."""

import json
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser
from monai.transforms import Compose
from scipy.ndimage import map_coordinates

BUNDLES = Path(__file__).parents[2] / "bundles"
ISOTROPIC, ANISOTROPIC = (0.8, 0.9, 1.1), (0.7, 0.8, 2.6)  # mm; the data is 1 mm
IMAGE_TOLERANCE = 1e-3  # of z-scores, whose range is about 10: coordinates are resampled at in float32
LABELS = {"0": "background", "1": "Anterior", "2": "Posterior"}


@cache
def chain(bundle, config, spacing):
    """Image and label preprocessing of a bundle, for the spacing and the labels of the test."""
    content = ConfigParser.load_config_file(BUNDLES / f"{bundle}_segmentation_patchgrow" / "configs" / config)
    parser = ConfigParser({**content, "spacing": list(spacing), "labels": LABELS, "dataset_dir": "/nowhere"})
    if config != "train.json":
        return parser.get_parsed_content("preprocessing")
    steps = content["train"]["deterministic_transforms"]
    end = next(number for number, step in enumerate(steps) if step["_target_"] == "EnsureTyped")
    return Compose([parser.get_parsed_content(f"train#deterministic_transforms#{n}") for n in range(end + 1)])


def ten_cases(task04):
    return sorted(path.name for path in (task04 / "labelsTr").glob("hippocampus_*.nii.gz"))[::20][:10]


def crop_and_score(task04, name):
    """The image's non-zero box as z-scores, and the label's."""
    image, label = (nib.load(task04 / folder / name) for folder in ("imagesTr", "labelsTr"))
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    values = np.asarray(image.dataobj, dtype=np.float64)
    box = tuple(slice(found.min(), found.max() + 1) for found in np.nonzero(values))
    values = values[box]
    origin = image.affine[:3, 3] + [part.start for part in box]
    return (values - values.mean()) / values.std(), np.asarray(label.dataobj)[box], origin


def resample(array, spacing, order):
    """On a grid that starts at the first voxel's centre; the array has 1 mm."""
    shape = [round((size - 1) / mm + 1) for size, mm in zip(array.shape, spacing, strict=True)]
    grid = np.meshgrid(*(np.arange(size) * mm for size, mm in zip(shape, spacing, strict=True)), indexing="ij")
    return map_coordinates(array, grid, order=order, mode="nearest")


def resample_label(label, spacing):
    """The resampled label, and where no class has a share of just 0.5, which rounding would decide."""
    shares = np.stack([resample((label == value).astype(float), spacing, 1) for value in (0, 1, 2)])
    return (shares >= 0.5).argmax(0), (np.abs(shares - 0.5) > 1e-6).all(0)


@pytest.mark.parametrize("number", range(10))
def test_isotropic_image_and_label(task04, number):
    name = ten_cases(task04)[number]
    image, label, origin = crop_and_score(task04, name)

    item = chain("hippocampus", "train.json", ISOTROPIC)(
        {"image": task04 / "imagesTr" / name, "label": task04 / "labelsTr" / name}
    )

    assert np.abs(item["image"].numpy()[0] - resample(image, ISOTROPIC, 3)).max() < IMAGE_TOLERANCE
    expected, clear = resample_label(label, ISOTROPIC)
    assert np.array_equal(item["label"].numpy()[0][clear], expected[clear])
    assert clear.mean() > 0.997
    assert np.allclose(item["image"].affine[:3, 3], origin, atol=1e-6)
    assert np.allclose(np.diag(item["image"].affine), [*ISOTROPIC, 1], atol=1e-6)


@pytest.mark.parametrize("number", range(10))
def test_anisotropic_image_and_label(task04, number):
    name = ten_cases(task04)[number]
    image, label, _ = crop_and_score(task04, name)

    item = chain("prostate", "train.json", ANISOTROPIC)(
        {"image": task04 / "imagesTr" / name, "label": task04 / "labelsTr" / name}
    )

    in_plane, through_plane = (0.7, 0.8, 1.0), (1.0, 1.0, 2.6)
    expected = resample(resample(image, in_plane, 3), through_plane, 0)
    assert np.abs(item["image"].numpy()[0] - expected).max() < IMAGE_TOLERANCE
    expected, clear = (resample(part.astype(float), through_plane, 0) for part in resample_label(label, in_plane))
    assert np.array_equal(item["label"].numpy()[0][clear == 1], expected[clear == 1])


@pytest.mark.parametrize("number", range(10))
def test_inference_prepares_images_as_training_does(task04, number):
    name = ten_cases(task04)[number]
    paths = {"image": task04 / "imagesTr" / name, "label": task04 / "labelsTr" / name}
    trained_on = chain("hippocampus", "train.json", ISOTROPIC)(paths)["image"]
    predicted_from = chain("hippocampus", "inference.json", ISOTROPIC)({"image": paths["image"]})["image"]
    assert np.array_equal(trained_on.numpy(), predicted_from.numpy())


def test_data_of_the_right_spacing_is_only_cropped_and_scored(task04):
    name = ten_cases(task04)[0]
    image, _, _ = crop_and_score(task04, name)
    prepared = chain("hippocampus", "inference.json", (1.0, 1.0, 1.0))({"image": task04 / "imagesTr" / name})["image"]
    assert np.abs(prepared.numpy()[0] - image).max() < 1e-5


@pytest.mark.parametrize(("number", "spacing", "shift"), [(0, ISOTROPIC, (-0.1, -0.05, 0.05))])
def test_the_grid_is_nnunet_s_but_for_a_tenth_of_a_millimetre(task04, number, spacing, shift):
    # nnU-Net aligns the edges of the first voxels, MONAI their centres
    name = ten_cases(task04)[number]
    image, _, _ = crop_and_score(task04, name)
    prepared = chain("hippocampus", "inference.json", spacing)({"image": task04 / "imagesTr" / name})["image"]
    nnunet_shape = np.round(np.array(image.shape) / spacing)
    assert np.abs(np.array(prepared.shape[1:]) - nnunet_shape).max() <= 1
    nnunet_first = 0.5 * np.array(image.shape) / nnunet_shape - 0.5  # mm from the first voxel's centre
    assert np.allclose(nnunet_first, shift, atol=0.02)


def test_ct_is_clipped_and_scored_by_the_figures_of_the_task(tmp_path):
    values = np.array([-1000.0, -15.0, 99.48007202148438, 197.0, 3000.0, 1.0, 1.0, 1.0], np.float32).reshape(2, 2, 2)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "case.nii")
    prepared = chain("liver", "inference.json", (1.0, 1.0, 1.0))({"image": tmp_path / "case.nii"})["image"]
    assert prepared.numpy()[0].ravel()[:5] == pytest.approx([-3.082525, -3.082525, 0, 2.625856, 2.625856], abs=1e-4)


def test_crop_keeps_negative_voxels(tmp_path):
    values = np.zeros((6, 6, 6), np.float32)
    values[1:5, 2:4, 1:3] = -700
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "case.nii")
    prepared = chain("liver", "inference.json", (1.0, 1.0, 1.0))({"image": tmp_path / "case.nii"})["image"]
    assert prepared.shape == (1, 4, 2, 2)


def test_masked_z_score_leaves_zeros_alone(tmp_path):
    values = np.zeros((4, 4, 4, 4), np.float32)  # four channels
    values[0, 0, 0] = values[3, 3, 3] = [10, 20, 30, 40]
    values[1, 1, 1] = [30, 40, 50, 60]
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "case.nii")
    prepare = chain("braintumour", "inference.json", (1.0, 1.0, 1.0))
    prepared = prepare({"image": tmp_path / "case.nii"})["image"].numpy()
    assert prepared.shape == (4, 4, 4, 4)
    assert np.count_nonzero(prepared) == 12
    assert prepared[:, 1, 1, 1] == pytest.approx([1.414214] * 4, abs=1e-5)


def test_all_configs_of_a_bundle_prepare_images_alike():
    for folder in BUNDLES.glob("*_segmentation_patchgrow"):
        configs = {path.stem: json.loads(path.read_text()) for path in (folder / "configs").glob("*.json")}
        inference = json.dumps(configs["inference"]["preprocessing"]["transforms"])
        assert inference == json.dumps(configs["evaluate"]["validate"]["image_preprocessing"]["transforms"])
