"""Label maps lie on the very voxels of their image: any orientation, any affine, NIfTI or DICOM."""

import locale
import runpy
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_segmentation_patchgrow"
PREDICT = runpy.run_path(str(BUNDLE / "scripts" / "predict.py"))["predict"]
CASES = runpy.run_path(str(BUNDLE / "scripts" / "cases.py"))

# ITK's bindings, where Python 3.11 and later has an error of this warning, end the process
pytestmark = pytest.mark.filterwarnings("ignore:builtin type .* has no __module__ attribute:DeprecationWarning")

ROTATION = np.linalg.qr([[0.94, -0.29, 0.2], [0.31, 0.94, -0.1], [-0.16, 0.15, 0.98]])[0] * [-1, -1, 1]
SHEAR = np.array([[1.0, 0.15, 0.0], [0.0, 1.0, -0.2], [0.0, 0.0, 1.0]])
AXES = {
    "RAS": np.diag([1.0, 1.0, 1.0]),
    "LPS": np.diag([-1.0, -1.0, 1.0]),
    "flipped": np.diag([1.0, -1.0, -1.0]),
    "permuted": np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    "oblique": ROTATION,
    "oblique and flipped": ROTATION @ np.diag([-1.0, 1.0, -1.0]),
    "sheared": SHEAR,
    "oblique and sheared": ROTATION @ SHEAR,
}


@pytest.fixture(autouse=True)
def same_locale():
    """GDCM sets the process's locale to C, after which it would read other processes' output as ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


class Bright(torch.nn.Module):
    """Labels what is 1.5 deviations above the mean: half-way between grey and bright in `ball_and_bar`."""

    def forward(self, images):
        return torch.cat([1.5 - images[:, :1], images[:, :1] - 1.5], 1)


def affine_of(kind, spacing, origin=(-31.0, 12.5, 64.25)):
    affine = np.eye(4)
    affine[:3, :3] = AXES[kind] @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


def ball_and_bar(shape=(24, 30, 18)):
    """A bright ball with a bar to one side, no mirror image of itself, on a grey ground that ends in zeros."""
    x, y, z = np.meshgrid(*(np.arange(size) for size in shape), indexing="ij")
    image = np.full(shape, 100.0, np.float32)
    image[(x - 9) ** 2 + (y - 16) ** 2 + (z - 8) ** 2 < 30] = 300
    image[15:20, 5:9, 10:15] = 300
    image[:2], image[:, -3:], image[:, :, :1] = 0, 0, 0
    return image


def predict(source, output, *, bundle=BUNDLE, num_channels=1):
    config = ConfigParser(ConfigParser.load_config_file(bundle / "configs" / "inference.json"))
    config.update({"bundle_root": str(bundle), "patch_size": [32, 32, 32]})
    parts = {name: config.get_parsed_content(name) for name in ("preprocessing", "postprocessing", "inferer")}
    items = CASES["find_images"](source, num_channels=num_channels)
    return PREDICT(items, network=Bright(), output_dir=output, device="cpu", **parts)


def dice(one, other):
    return 2 * np.sum(one & other) / (one.sum() + other.sum())


@pytest.mark.parametrize("kind", AXES)
def test_labels_keep_shape_affine_and_codes(kind, tmp_path):
    image = nib.Nifti1Image(ball_and_bar(), affine_of(kind, (0.8, 1.2, 1.5)))
    image.set_qform(image.affine, code=1)
    image.set_sform(image.affine, code=2)
    nib.save(image, tmp_path / "case.nii.gz")
    image = nib.load(tmp_path / "case.nii.gz")

    labels = nib.load(predict(tmp_path / "case.nii.gz", tmp_path / "out")[0])

    assert labels.shape == (24, 30, 18)
    assert np.array_equal(labels.affine, image.affine)
    assert np.array_equal(labels.get_qform(), image.get_qform())
    assert (int(labels.header["qform_code"]), int(labels.header["sform_code"])) == (1, 2)
    assert labels.get_data_dtype() == np.uint8
    assert np.isnan(labels.header["scl_slope"]) or labels.header["scl_slope"] == 1


def labelled(path, tmp_path):
    """The label map that is predicted for a file, and the voxels that it must name."""
    image, labels = nib.load(path), nib.load(predict(path, tmp_path / "out")[0])
    bright = np.asarray(image.dataobj) > 200
    return image, labels, dice(np.asarray(labels.dataobj) == 1, bright)


@pytest.mark.parametrize("unit", ["micron", "meter"])
def test_labels_of_an_image_in_other_units_keep_its_header(unit, tmp_path):
    factor = {"micron": 1e3, "meter": 1e-3}[unit]
    image = nib.Nifti1Image(ball_and_bar(), np.diag([factor] * 3 + [1]) @ affine_of("RAS", (0.8, 1.2, 1.5)))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "case.nii.gz")
    image, labels, score = labelled(tmp_path / "case.nii.gz", tmp_path)
    assert np.array_equal(labels.affine, image.affine)
    assert labels.header.get_xyzt_units()[0] == unit
    assert score > 0.9


@pytest.mark.parametrize("off", [1e-3, -2e-3])
@pytest.mark.parametrize("place", [(0, 0), (0, 1), (2, 0)])
def test_direction_cosines_that_are_rounded(place, off, tmp_path):
    affine = affine_of("RAS", (0.8, 1.2, 1.5))
    affine[place] += off
    image = nib.Nifti1Image(ball_and_bar(), affine)
    image.set_sform(affine, code=1)
    image.set_qform(None, code=0)
    nib.save(image, tmp_path / "case.nii.gz")
    image, labels, score = labelled(tmp_path / "case.nii.gz", tmp_path)
    assert np.array_equal(labels.affine, image.affine)
    assert score > 0.9


def test_labels_of_a_slice_are_a_slice(tmp_path):
    nib.save(nib.Nifti1Image(ball_and_bar()[:, :, 8], affine_of("RAS", (1.0, 1.0, 1.0))), tmp_path / "case.nii.gz")
    image, labels, score = labelled(tmp_path / "case.nii.gz", tmp_path)
    assert labels.shape == image.shape == (24, 30)
    assert np.array_equal(labels.affine, image.affine)
    assert score > 0.9


@pytest.mark.parametrize("kind", AXES)
def test_labels_lie_on_what_they_name(kind, tmp_path):
    nib.save(nib.Nifti1Image(ball_and_bar(), affine_of(kind, (0.8, 1.2, 1.5))), tmp_path / "case.nii.gz")
    labels = np.asarray(nib.load(predict(tmp_path / "case.nii.gz", tmp_path / "out")[0]).dataobj)
    assert dice(labels == 1, ball_and_bar() > 200) > 0.93


@pytest.mark.parametrize("kind", [kind for kind in AXES if "shear" not in kind])
def test_without_resampling_labels_are_exact(kind, tmp_path):
    nib.save(nib.Nifti1Image(ball_and_bar(), affine_of(kind, (1.0, 1.0, 1.0))), tmp_path / "case.nii.gz")
    labels = np.asarray(nib.load(predict(tmp_path / "case.nii.gz", tmp_path / "out")[0]).dataobj)
    assert np.array_equal(labels == 1, ball_and_bar() > 200)


@pytest.mark.parametrize(("task", "modes"), [("hippocampus", ["bilinear"]), ("prostate", ["bilinear", "nearest"])])
@pytest.mark.parametrize("section", ["inference.json", "evaluate.json"])
def test_logits_are_brought_back_linearly_not_by_splines(task, modes, section, tmp_path):
    folder = BUNDLE.with_name(f"{task}_segmentation_patchgrow") / "configs"
    config = ConfigParser({**ConfigParser.load_config_file(folder / section), "bundle_root": str(folder.parent)})
    prefix, image_prefix = ("", "") if section == "inference.json" else ("validate#", "image_")
    nib.save(nib.Nifti1Image(ball_and_bar(), np.diag([0.8, 1.2, 1.5, 1.0])), tmp_path / "case.nii.gz")
    item = config.get_parsed_content(f"{prefix}{image_prefix}preprocessing")({"image": tmp_path / "case.nii.gz"})

    item = config.get_parsed_content(f"{prefix}postprocessing").transforms[0](item)

    steps = [step["extra_info"] for step in item["image"].applied_operations]
    assert [step["mode"] for step in steps if "mode" in step] == modes


def test_outside_of_the_crop_is_background(tmp_path):
    image = np.zeros((20, 20, 20), np.float32)
    image[5:15, 6:14, 7:13] = np.random.default_rng(0).normal(-500, 100, (10, 8, 6))  # negative, as in CT
    nib.save(nib.Nifti1Image(image, affine_of("LPS", (1.0, 1.0, 1.0))), tmp_path / "case.nii")
    labels = np.asarray(nib.load(predict(tmp_path / "case.nii", tmp_path / "out")[0]).dataobj)
    assert labels[5:15, 6:14, 7:13].any()
    assert not labels[image == 0].any()


def test_labels_have_no_window_of_the_image(tmp_path):
    image = nib.Nifti1Image(ball_and_bar(), np.eye(4))
    image.header["cal_max"] = 1000
    nib.save(image, tmp_path / "case.nii.gz")
    assert nib.load(predict(tmp_path / "case.nii.gz", tmp_path / "out")[0]).header["cal_max"] == 0


@pytest.mark.parametrize(("task", "num_channels"), [("prostate", 2), ("braintumour", 4)])
@pytest.mark.parametrize("kind", ["LPS", "oblique"])
@pytest.mark.parametrize("in_one_file", [True, False])
def test_images_of_several_channels(task, num_channels, kind, in_one_file, tmp_path):
    channels = [ball_and_bar()] * num_channels
    affine = affine_of(kind, (0.8, 0.9, 2.5))
    files = {"case.nii.gz": np.stack(channels, -1)}
    if not in_one_file:
        files = {f"case_{number:04d}.nii.gz": channel for number, channel in enumerate(channels)}
    for name, values in files.items():
        (tmp_path / "in").mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(values, affine), tmp_path / "in" / name)

    bundle = BUNDLE.with_name(f"{task}_segmentation_patchgrow")
    written = predict(tmp_path / "in", tmp_path / "out", bundle=bundle, num_channels=num_channels)

    assert [path.name for path in written] == ["case.nii.gz"]
    labels = nib.load(written[0])
    assert labels.shape == (24, 30, 18)
    assert np.allclose(labels.affine, affine, atol=1e-6)
    assert dice(np.asarray(labels.dataobj) == 1, ball_and_bar() > 200) > 0.85


def write_series(folder, image, affine, *, number=1):
    """A DICOM series of the array (x, y, z), whose affine is NIfTI's (RAS)."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    direction = lps[:3, :3] / spacing
    folder.mkdir(parents=True, exist_ok=True)
    image_io = itk.GDCMImageIO.New()
    image_io.SetKeepOriginalUID(True)
    for index in range(image.shape[2]):
        volume = itk.image_view_from_array(np.ascontiguousarray(image[:, :, index : index + 1].T.astype(np.int16)))
        volume.SetSpacing(spacing.tolist())
        origin = lps[:3, 3] + lps[:3, 2] * index
        volume.SetOrigin(origin.tolist())
        volume.SetDirection(itk.matrix_from_array(direction.copy()))
        tags = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.4",
            "0008|0018": f"1.2.826.0.1.3680043.2.1125.2.{number}.{index + 1}",
            "0008|0060": "MR",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.1",
            "0020|000e": f"1.2.826.0.1.3680043.2.1125.1.{number}",
            "0020|0013": str(index + 1),
            "0020|0032": "\\".join(f"{value:.6f}" for value in origin),
            "0020|0037": "\\".join(f"{value:.6f}" for value in direction[:, :2].T.ravel()),
        }
        for tag, value in tags.items():
            volume.GetMetaDataDictionary()[tag] = value
        itk.imwrite(volume, str(folder / f"series{number}_{index:03d}.dcm"), imageio=image_io)


@pytest.mark.parametrize("kind", ["LPS", "oblique"])
def test_a_dicom_series_gets_a_nifti_label_map(kind, tmp_path):
    affine = affine_of(kind, (0.9, 0.9, 2.0))
    write_series(tmp_path / "patients" / "1.2.840.7", ball_and_bar(), affine)

    files = predict(tmp_path / "patients", tmp_path / "out")

    assert [path.name for path in files] == ["1.2.840.7.nii.gz"]
    labels = nib.load(files[0])
    assert labels.shape == (24, 30, 18)
    assert np.allclose(labels.affine, affine, atol=1e-4)
    assert (int(labels.header["qform_code"]), int(labels.header["sform_code"])) == (1, 1)
    assert dice(np.asarray(labels.dataobj) == 1, ball_and_bar() > 200) > 0.93


def test_a_folder_of_one_dicom_series_is_one_case(tmp_path):
    write_series(tmp_path / "study.a", ball_and_bar(), affine_of("RAS", (1.0, 1.0, 1.0)))
    assert [path.name for path in predict(tmp_path / "study.a", tmp_path / "out")] == ["study.a.nii.gz"]


def test_two_dicom_series_in_one_folder_are_refused(tmp_path):
    for number in (1, 2):
        write_series(tmp_path / "both", ball_and_bar(), affine_of("RAS", (1.0, 1.0, 1.0)), number=number)
    with pytest.raises(RuntimeError, match="1 of 1 cases failed: both"):
        predict(tmp_path / "both", tmp_path / "out")
