"""What is no number, of an image or of a network, is one line: nothing is trained on it, and nothing predicted."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

BUNDLES = Path(__file__).parents[2] / "bundles"
ULTRAMNIST, PANDA, VOLUME = (f"{name}_classification_patchgd" for name in ("ultramnist", "panda", "volume"))
NETWORK = {"backbone": "small_cnn", "backbone_options": {"channels": [8, 8, 8, 8]}, "latent_dim": 8}
SMALL = {
    ULTRAMNIST: {**NETWORK, "patch_size": [32, 32], "image_size": [64, 64], "head": "attention"},
    PANDA: {**NETWORK, "patch_size": [32, 32], "level": 0},
    VOLUME: {**NETWORK, "patch_size": [16, 16, 16]},
}
SETTINGS = {"fold": "all", "batch_size": 2, "num_workers": 0}


def run(bundle, config, **overrides):
    """What ``python -m monai.bundle run`` does, in this process."""
    overrides = {name: str(value) if isinstance(value, Path) else value for name, value in overrides.items()}
    configs = [config] if isinstance(config, str) else config
    kind = "train" if "train.json" in configs else "infer"
    files = [str(BUNDLES / bundle / "configs" / config) for config in configs]
    workflow = ConfigWorkflow(files, workflow_type=kind, logging_file=False, **{**SMALL[bundle], **overrides})
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def weights_of(bundle, folder):
    """The file of a network's weights as they are made."""
    config = ConfigParser.load_config_file(BUNDLES / bundle / "configs" / "inference.json")
    network = ConfigParser({**config, **SMALL[bundle]}).get_parsed_content("network_def")
    torch.save(network.state_dict(), folder / "model.pt")
    return folder / "model.pt"


def save_volume(path, *, value=None, dtype=np.float32, label=0, seed=0):
    voxels = np.random.default_rng(seed).normal(label, 1, (20, 18, 16)).astype(dtype)
    if value is not None:
        voxels[3, 2, 1] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)
    return path


@pytest.fixture
def volumes(tmp_path):
    """Two volumes each of two classes, and the path of one that a test replaces."""
    for number in range(4):
        save_volume(tmp_path / "volumes" / "ab"[number % 2] / f"case_{number}.nii.gz", label=number % 2, seed=number)
    return tmp_path / "volumes", tmp_path / "volumes" / "a" / "case_2.nii.gz"


def blank(path, value):
    nib.save(nib.Nifti1Image(np.full((20, 18, 16), value, np.float32), np.eye(4)), path)


def scaled(path):
    """Whole numbers that the header scales beyond float32."""
    image = nib.Nifti1Image(np.arange(20 * 18 * 16, dtype=np.int16).reshape(20, 18, 16), np.eye(4))
    image.header.set_slope_inter(1e36, 0)
    nib.save(image, path)


def complex_numbers(path):
    nib.save(nib.Nifti1Image(np.ones((20, 18, 16), np.complex64), np.eye(4)), path)


NOT_FINITE = "1 values are NaN, infinite or too large for float32: replace them by numbers"
FAULTS = {
    "nan": (lambda path: save_volume(path, value=np.nan), NOT_FINITE),
    "infinite": (lambda path: save_volume(path, value=-np.inf), NOT_FINITE),
    "float64": (lambda path: save_volume(path, value=1e39, dtype=np.float64), NOT_FINITE),
    "scaled": (scaled, "values are NaN, infinite or too large for float32: replace them by numbers"),
    "zeros": (lambda path: blank(path, 0), "all voxels are 0: there is nothing to classify"),
    "air": (lambda path: blank(path, -1024), "all voxels are -1024: there is nothing to classify"),
    "complex": (
        complex_numbers,
        "voxels of type complex64 are not supported: save numbers, of complex ones the magnitude",
    ),
}


@pytest.mark.parametrize("verify_data", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_volume_in_training(fault, verify_data, volumes, line_of, tmp_path):
    folder, path = volumes
    FAULTS[fault][0](path)
    options = {**SETTINGS, "max_epochs": 1, "output_dir": tmp_path / "out", "cache_dir": tmp_path / "cache"}
    line = line_of(VOLUME, "train.json", dataset_dir=folder, verify_data=verify_data, **options)
    assert line.startswith(f"error: {path}: ")
    assert line.endswith(FAULTS[fault][1])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", ["nan", "float64", "zeros"])
def test_a_volume_in_evaluation(fault, volumes, line_of, tmp_path):
    folder, path = volumes
    FAULTS[fault][0](path)
    options = {**SETTINGS, "ckpt_path": weights_of(VOLUME, tmp_path), "output_dir": tmp_path / "out"}
    line = line_of(VOLUME, "evaluate.json", dataset_dir=folder, **options)
    assert line.startswith(f"error: {path}: ")
    assert line.endswith(FAULTS[fault][1])
    assert not (tmp_path / "out" / "predictions.csv").exists()


def rows(folder):
    with (folder / "predictions.csv").open() as table:
        return [row["image"] for row in csv.DictReader(table)]


@pytest.mark.parametrize("fault", ["nan", "scaled", "air"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_volume_at_inference_is_named_and_skipped(fault, batch_size, volumes, line_of, tmp_path, capsys):
    folder, path = volumes
    FAULTS[fault][0](path)
    options = {"ckpt_path": weights_of(VOLUME, tmp_path), "output_dir": tmp_path / "out", "batch_size": batch_size}
    line = line_of(VOLUME, "inference.json", dataset_dir=folder, **options)
    assert line == "error: 1 of 4 images failed: a_case_2"
    assert rows(tmp_path / "out") == ["a_case_0", "b_case_1", "b_case_3"]
    named = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert [line.startswith(f"error: image a_case_2 failed and is skipped: {path}: ") for line in named] == [True]
    assert named[0].endswith(FAULTS[fault][1])


def write_npy(folder, name, image):
    np.save(folder / f"{name}.npy", image)
    return folder / f"{name}.npy"


def write_zarr(folder, name, image):
    zarr = pytest.importorskip("zarr", reason="needs the extra zarr")
    path = folder / f"{name}.zarr"
    zarr.open(str(path), mode="w", shape=image.shape, chunks=(3, 32, 32), dtype=image.dtype)[:] = image
    return path


def write_tiff(folder, name, image):
    tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
    path = folder / f"{name}.tiff"
    options = {"tile": (32, 32), "photometric": "rgb", "planarconfig": "separate", "metadata": None}
    tifffile.imwrite(path, image, **options)
    return path


WRITERS = [write_npy, write_zarr, write_tiff]


@pytest.fixture(params=WRITERS, ids=lambda write: write.__name__)
def floats(request, tmp_path):
    """Six images of floats with their labels, of which the path of one is returned too, that has a NaN."""
    folder = tmp_path / "floats"
    (folder / "images").mkdir(parents=True)
    paths, lines = [], ["image_id,isup_grade"]
    for number in range(6):
        image = np.random.default_rng(number).random((3, 72, 72)).astype(np.float32)
        if number == 3:
            image[1, 70, 70] = np.nan
        paths.append(request.param(folder / "images", f"i{number}", image))
        lines.append(f"i{number},{number}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder, paths[3]


FLOAT_FAULT = "are NaN, infinite or too large for float32: replace them by numbers"


def test_an_image_of_floats_is_read_before_training(floats, line_of, tmp_path):
    folder, path = floats
    options = {**SETTINGS, "max_epochs": 1, "output_dir": tmp_path / "out"}
    line = line_of(PANDA, "train.json", dataset_dir=folder, **options)
    assert line == f"error: {path}: 1 values at [64:96, 64:96] {FLOAT_FAULT}"
    assert not (tmp_path / "out").exists()


def test_an_image_of_floats_that_was_not_verified_ends_training(floats, line_of, tmp_path):
    folder, path = floats
    options = {**SETTINGS, "max_epochs": 1, "output_dir": tmp_path / "out", "verify_data": False}
    line = line_of(PANDA, "train.json", dataset_dir=folder, **options)
    assert line.startswith(f"error: {path}: 1 values at [")
    assert not (tmp_path / "out" / "models").exists()


def test_an_image_of_floats_in_evaluation_and_at_inference(floats, line_of, tmp_path):
    folder, path = floats
    options = {"ckpt_path": weights_of(PANDA, tmp_path), "output_dir": tmp_path / "out", "batch_size": 4}
    line = line_of(PANDA, "evaluate.json", dataset_dir=folder, fold="all", **options)
    assert line.startswith(f"error: {path}: 1 values at [")
    assert (
        line_of(PANDA, "inference.json", dataset_dir=folder / "images", **options) == "error: 1 of 6 images failed: i3"
    )
    assert rows(tmp_path / "out") == ["i0", "i1", "i2", "i4", "i5"]


def spoil(path, value):
    """Put one value into a file of weights."""
    weights = torch.load(path)
    next(iter(weights.values())).view(-1)[0] = value
    torch.save(weights, path)
    return path


@pytest.mark.parametrize("config", ["evaluate.json", "inference.json"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(config, value, volumes, line_of, tmp_path):
    path = spoil(weights_of(VOLUME, tmp_path), value)
    options = {
        "ckpt_path": path,
        "output_dir": tmp_path / "out",
        **({"fold": "all"} if config == "evaluate.json" else {}),
    }
    line = line_of(VOLUME, config, dataset_dir=volumes[0], **options)
    assert line == (
        f"error: ckpt_path: 1 weights in {path} are NaN or infinite: train anew with a lower learning_rate, or give "
        "other weights"
    )
    assert not (tmp_path / "out" / "predictions.csv").exists()


GENERATED = {"train_images": 14, "val_images": 7, "batch_size": 7, "num_workers": 0, "max_epochs": 1}


@pytest.mark.parametrize("target", ["classes", "grades", "value"])
def test_weights_that_become_so_in_training(target, line_of, tmp_path):
    options = {**GENERATED, "output_dir": tmp_path, "learning_rate": 1e30, "warm_up_epochs": 0, "target": target}
    line = line_of(ULTRAMNIST, "train.json", **options)
    assert line.startswith("error: epoch 1, iteration 2, ")
    assert ": the gradients are NaN or infinite: take a lower learning_rate, or amp=False where it is on" in line
    assert not (tmp_path / "models" / "last.pt").exists()
    assert not (tmp_path / "models" / "model.pt").exists()


def test_numbers_that_a_network_can_not_hold(line_of, tmp_path):
    for name, size in (("sound", 1.0), ("large", 3e38)):
        np.save(tmp_path / f"{name}.npy", np.full((3, 72, 72), size, np.float32))
    options = {"ckpt_path": weights_of(PANDA, tmp_path), "output_dir": tmp_path / "out", "batch_size": 2}
    line = line_of(PANDA, "inference.json", dataset_dir=tmp_path, **options)
    assert line == "error: 1 of 2 images failed: large"
    assert rows(tmp_path / "out") == ["sound"]


def test_gradient_descent_too(line_of, tmp_path):
    options = {**GENERATED, "output_dir": tmp_path, "learning_rate": 1e30, "warm_up_epochs": 0}
    line = line_of(ULTRAMNIST, ["train.json", "gradient_descent.json"], **options)
    assert ": the gradients are NaN or infinite: take a lower learning_rate" in line


def test_a_sound_run_of_all(volumes, tmp_path):
    options = {**SETTINGS, "max_epochs": 1, "output_dir": tmp_path / "out", "cache_dir": tmp_path / "cache"}
    run(VOLUME, "train.json", dataset_dir=volumes[0], **options)
    assert (tmp_path / "out" / "models" / "model.pt").exists()
