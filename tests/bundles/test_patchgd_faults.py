"""What is wrong with the settings, weights or images of a PatchGD bundle is one line, and costs nothing else."""

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
import torch
from commands import run_python
from monai.bundle import ConfigParser, ConfigWorkflow

from monai_patchgrow.data import write_phantom_slides

BUNDLES = Path(__file__).parents[2] / "bundles"
ULTRAMNIST, PANDA, VOLUME = (f"{name}_classification_patchgd" for name in ("ultramnist", "panda", "volume"))
NETWORK = {"backbone": "small_cnn", "backbone_options": {"channels": [8, 8, 8, 8]}, "latent_dim": 8}
SMALL = {
    ULTRAMNIST: {**NETWORK, "patch_size": [32, 32], "image_size": [64, 64], "head": "attention"},
    PANDA: {**NETWORK, "patch_size": [32, 32], "level": 0},
    VOLUME: {**NETWORK, "patch_size": [16, 16, 16]},
}
GENERATED = {"train_images": 14, "val_images": 7, "batch_size": 7}
BROKEN = b"not a TIFF"
TABLE = "image,prediction,label\nearlier,0,\n"


def run(bundle, config, **overrides):
    """What ``python -m monai.bundle run`` does, in this process."""
    overrides = {name: str(value) if isinstance(value, Path) else value for name, value in overrides.items()}
    kind = "train" if config == "train.json" else "infer"
    file = str(BUNDLES / bundle / "configs" / config)
    workflow = ConfigWorkflow(file, workflow_type=kind, logging_file=False, **{**SMALL[bundle], **overrides})
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def weights_of(bundle, folder, **changes):
    """The file of a network's weights as they are made."""
    config = ConfigParser.load_config_file(BUNDLES / bundle / "configs" / "inference.json")
    network = ConfigParser({**config, **SMALL[bundle], **changes}).get_parsed_content("network_def")
    torch.save(network.state_dict(), folder / "model.pt")
    return folder / "model.pt"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Six slides, and weights of the network that classifies them."""
    folder = tmp_path_factory.mktemp("sound")
    return write_phantom_slides(folder / "slides", num_slides=6, size=72), weights_of(PANDA, folder)


@pytest.fixture
def slides(tmp_path):
    """Six slides of a test's own."""
    return write_phantom_slides(tmp_path / "slides", num_slides=6, size=72)


def slide(slides, number):
    return slides / "train_images" / f"phantom_0_72_{number:03d}.tiff"


def damage(file):
    """Overwrite the last tile of a slide's file."""
    with tifffile.TiffFile(file) as tiff:
        start, length = tiff.pages[0].dataoffsets[-1], tiff.pages[0].databytecounts[-1]
    with file.open("r+b") as content:
        content.seek(start)
        content.write(bytes(length))


def rows(folder):
    with (folder / "predictions.csv").open() as table:
        return [row["image"] for row in csv.DictReader(table)]


@pytest.mark.parametrize("config", ["evaluate.json", "inference.json"])
@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"backbone": "vgg"}, "backbone must be one of"),
        ({"head": "max"}, "head must be one of conv, conv_pooled, attention, mean, sum, got 'max'"),
        ({"head": "conv"}, "the head conv needs image_size"),
        ({"backbone_options": {"depth": 3}}, "backbone_options don't fit, got {'depth': 3}: TypeError: "),
        ({"head_options": {"depth": 3}}, "head_options don't fit, got {'depth': 3}: TypeError: "),
        ({"latent_dim": 16}, "ckpt_path: "),
        ({"head": "mean"}, "ckpt_path: "),
        ({"ckpt_path": "absent.pt"}, "ckpt_path: no weights at absent.pt: train the bundle first"),
        ({"device": "cuda:99"}, "device must be one that is there, such as cpu, got 'cuda:99'"),
        ({"class_names": ["benign"]}, "class_names must be a list of 6 names"),
        ({"skip_background": "maybe"}, "skip_background must be True or False, got 'maybe'"),
        ({"level": -1}, "level must be an integer of at least 0, got -1"),
    ],
)
def test_a_wrong_setting_without_training(config, settings, fault, sound, line_of, tmp_path):
    folder, weights = sound
    options = {"dataset_dir": folder, "ckpt_path": weights, "output_dir": tmp_path / "out", **settings}
    assert line_of(PANDA, config, **options).startswith(f"error: {fault}")
    assert not (tmp_path / "out" / "predictions.csv").exists()


def test_evidence_that_is_neither_on_nor_off(sound, line_of):
    line = line_of(PANDA, "inference.json", dataset_dir=sound[0], evidence="yes")
    assert line == "error: evidence must be True or False, got 'yes'"


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"pretrained": "absent.pt"}, "absent.pt"),
        ({"backbone_options": {"depth": 3}}, "backbone_options don't fit, got {'depth': 3}: TypeError: "),
        ({"head_options": {"depth": 3}}, "head_options don't fit, got {'depth': 3}: TypeError: "),
        ({"max_gradient_norm": -1}, "max_gradient_norm must be a finite number above 0, got -1"),
        ({"digit_pixels": [5]}, "digit_pixels must be the smallest and the largest digit"),
        ({"device": "cuda:99"}, "device must be one that is there, such as cpu, got 'cuda:99'"),
        ({"class_names": ["one"]}, "class_names must be a list of 28 names, one per class, or empty, got ['one']"),
    ],
)
def test_a_wrong_setting_in_training(settings, fault, line_of, tmp_path):
    options = {**GENERATED, "max_epochs": 1, "num_workers": 0, "output_dir": tmp_path / "out", **settings}
    line = line_of(ULTRAMNIST, "train.json", **options)
    assert line.startswith("error: ")
    assert fault in line
    assert not (tmp_path / "out").exists()


def test_a_switch_of_the_data(slides, line_of):
    line = line_of(PANDA, "train.json", dataset_dir=slides, verify_data="maybe", num_workers=0)
    assert line == "error: verify_data must be True or False, got 'maybe'"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_broken_slide_in_training(num_workers, slides, line_of, tmp_path):
    slide(slides, 3).write_bytes(BROKEN)
    options = {"fold": "all", "batch_size": 2, "max_epochs": 1, "verify_data": False, "output_dir": tmp_path / "out"}
    line = line_of(PANDA, "train.json", dataset_dir=slides, num_workers=num_workers, **options)
    assert line.startswith(f"error: {slide(slides, 3)}: no TIFF image that can be read")


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("break_it", [damage, lambda file: file.write_bytes(BROKEN)])
def test_a_broken_slide_in_evaluation_leaves_the_earlier_table(break_it, num_workers, slides, sound, line_of, tmp_path):
    break_it(slide(slides, 3))
    (tmp_path / "predictions.csv").write_text(TABLE)
    options = {"ckpt_path": sound[1], "fold": "all", "num_workers": num_workers, "output_dir": tmp_path}
    line = line_of(PANDA, "evaluate.json", dataset_dir=slides, **options)
    assert line.startswith(f"error: {slide(slides, 3)}: ")
    assert (tmp_path / "predictions.csv").read_text() == TABLE


@pytest.mark.parametrize("options", [{}, {"batch_size": 4}, {"batch_size": 2, "num_workers": 2}])
def test_broken_slides_at_inference_are_named_and_skipped(options, slides, sound, line_of, tmp_path, capsys):
    slide(slides, 0).write_bytes(BROKEN)
    damage(slide(slides, 2))
    settings = {"ckpt_path": sound[1], "output_dir": tmp_path / "out", **options}
    line = line_of(PANDA, "inference.json", dataset_dir=slides / "train_images", **settings)
    assert line == "error: 2 of 6 images failed: phantom_0_72_000, phantom_0_72_002"
    assert rows(tmp_path / "out") == [f"phantom_0_72_{number:03d}" for number in (1, 3, 4, 5)]
    assert len(list((tmp_path / "out" / "evidence").iterdir())) == 4
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert [line.split(":")[1] for line in lines] == [
        f" image phantom_0_72_{number:03d} failed and is skipped" for number in (0, 2)
    ]


def test_an_image_that_the_head_is_not_made_for(line_of, tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.zeros((1, 48, 48), np.uint8))
    weights = weights_of(ULTRAMNIST, tmp_path, head="conv")
    settings = {"head": "conv", "ckpt_path": weights, "output_dir": tmp_path / "out"}
    line = line_of(ULTRAMNIST, "inference.json", dataset_dir=tmp_path / "a.npy", **settings)
    assert line == "error: 1 of 1 images failed: a"
    assert (
        f"error: image a failed and is skipped: {tmp_path}/a.npy: 48x48 voxels, the head conv is made for images of "
        "64x64: another head takes any size\n"
    ) in capsys.readouterr().err


def test_a_command_says_no_more_than_its_lines(slides, sound, tmp_path):
    damage(slide(slides, 2))
    settings = {**SMALL[PANDA], "dataset_dir": slides / "train_images", "output_dir": tmp_path, "ckpt_path": sound[1]}
    command = ["-W", "ignore", "-m", "monai.bundle", "run"]
    command += ["--config_file", BUNDLES / PANDA / "configs" / "inference.json"]
    for name, value in settings.items():
        command += [f"--{name}", value]
    process = run_python(*command, cwd=tmp_path)
    assert process.returncode == 1
    named, end = process.stderr.splitlines()
    assert named.startswith(f"error: image phantom_0_72_002 failed and is skipped: {slide(slides, 2)}: the tile at")
    assert end == "error: 1 of 6 images failed: phantom_0_72_002"
    assert "Traceback" not in process.stdout


@pytest.fixture
def volumes(tmp_path):
    """Two volumes each of two classes."""
    random = np.random.default_rng(0)
    for number in range(4):
        path = tmp_path / "volumes" / ("dark", "light")[number % 2] / f"case_{number}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(random.normal(0, 1, (20, 18, 16)).astype(np.float32), np.eye(4)), path)
    return tmp_path / "volumes"


def broken_volume(volumes):
    """Cut a volume's file short."""
    file = volumes / "dark" / "case_2.nii.gz"
    file.write_bytes(file.read_bytes()[:-500])
    return file


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_volume_cut_short_in_evaluation(num_workers, volumes, line_of, tmp_path):
    file, weights = broken_volume(volumes), weights_of(VOLUME, tmp_path)
    options = {"fold": "all", "num_workers": num_workers, "output_dir": tmp_path / "out", "ckpt_path": weights}
    line = line_of(VOLUME, "evaluate.json", dataset_dir=volumes, **options)
    assert line.startswith(f"error: {file}: can't be read (")


def train_on(volumes, line_of, tmp_path, **options):
    places = {"output_dir": tmp_path / "out", "cache_dir": tmp_path / "cache"}
    options = {"fold": "all", "batch_size": 2, "max_epochs": 1, "num_workers": 0, **places, **options}
    return line_of(VOLUME, "train.json", dataset_dir=volumes, **options)


def test_a_volume_cut_short_in_training_that_was_not_verified(volumes, line_of, tmp_path):
    file = broken_volume(volumes)
    assert train_on(volumes, line_of, tmp_path, verify_data=False).startswith(f"error: {file}: ")


def test_a_volume_of_other_channels(volumes, line_of, tmp_path):
    file = volumes / "dark" / "case_2.nii.gz"
    nib.save(nib.Nifti1Image(np.random.default_rng(0).random((20, 18, 16, 3), np.float32), np.eye(4)), file)
    line = train_on(volumes, line_of, tmp_path)
    assert line.startswith(f"error: {file}: ")
    assert line.endswith("has 3 channels, the network takes 1")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"data_seed": 1}, "data_seed 0, this one has 1"),
        ({"digit_pixels": [8, 16]}, "digit_pixels None, this one has [8, 16]"),
        ({"sampling": 0.5}, "sampling 0.125, this one has 0.5"),
        ({"curriculum": "random"}, "curriculum constant, this one has random"),
        ({"mirror_axes": [0]}, "mirror_axes [], this one has [0]"),
        ({"patch_size": [16, 32]}, "patch_size [32, 32], this one has [16, 32]"),
        ({"target": "value"}, "target classes, this one has value"),
    ],
)
def test_a_run_of_other_settings_is_not_gone_on_with(change, fault, line_of, begun):
    line = line_of(ULTRAMNIST, "train.json", **begun, resume=True, **change)
    assert line == f"error: {begun['output_dir']}/models/last.pt is of a run with {fault}: give both the same"


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The options of a run of one epoch that is over."""
    options = {**GENERATED, "max_epochs": 1, "num_workers": 0, "output_dir": tmp_path_factory.mktemp("begun")}
    run(ULTRAMNIST, "train.json", **options)
    return options


def test_a_run_of_another_fold_is_not_gone_on_with(slides, line_of, tmp_path):
    options = {"dataset_dir": slides, "batch_size": 2, "max_epochs": 1, "num_workers": 0, "output_dir": tmp_path}
    run(PANDA, "train.json", fold=0, **options)
    line = line_of(PANDA, "train.json", fold=1, resume=True, **options)
    assert line == f"error: {tmp_path}/models/last.pt is of a run with fold 0, this one has 1: give both the same"
