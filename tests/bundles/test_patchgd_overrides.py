"""Each wrong override of a PatchGD bundle is one line that names its key, before anything is read or written."""

from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow

from monai_patchgrow.bundle.patchgd import program
from monai_patchgrow.data.synthetic import digits

BUNDLES = Path(__file__).parents[2] / "bundles"
ULTRAMNIST, PANDA, VOLUME = (f"{name}_classification_patchgd" for name in ("ultramnist", "panda", "volume"))
NETWORK = {"backbone": "small_cnn", "backbone_options": {"channels": [8, 8, 8, 8]}, "latent_dim": 8, "num_workers": 0}
SMALL = {
    ULTRAMNIST: {**NETWORK, "patch_size": [32, 32], "image_size": [64, 64], "head": "attention"},
    PANDA: {**NETWORK, "patch_size": [32, 32], "dataset_dir": "slides"},
    VOLUME: {**NETWORK, "patch_size": [16, 16, 16], "dataset_dir": "volumes"},
}
DIGITS = {"train_images": 14, "val_images": 7, "batch_size": 7, "max_epochs": 2}

TRAINING = [  # of UltraMNIST
    # Keys that nobody reads.
    ({"max_epoch": 2}, "unknown key max_epoch: did you mean max_epochs?"),
    ({"samplings": 0.5}, "unknown key samplings: did you mean sampling?"),
    ({"foo": 1}, "unknown key foo: the bundle's config does not have it, and nothing refers to it"),
    ({"fold": 1}, "unknown key fold: "),
    ({"ckpt_path": "a.pt"}, "unknown key ckpt_path: it belongs to evaluate.json, which this run does not read"),
    ({"train#trainer#max_epoch": 2}, "unknown key train#trainer#max_epoch: did you mean train#trainer#max_epochs?"),
    ({"train#trainer#chunksize": 2}, "unknown key train#trainer#chunksize: did you mean train#trainer#chunk_size?"),
    ({"validate#foo": 2}, "unknown key validate#foo: "),
    ({"max_epochs": "@nope"}, "max_epochs refers to @nope, which the config does not have"),
    # Patches and their sampling.
    ({"sampling": 0}, "sampling must be the share of an image's cells in a chunk, above 0 and at most 1, got 0"),
    ({"sampling": 2}, "sampling must be the share of an image's cells in a chunk, above 0 and at most 1, got 2"),
    ({"sampling": "half"}, "sampling must be the share of an image's cells in a chunk, above 0 and at most 1, got 'h"),
    ({"sampling": None}, "sampling must be the share of an image's cells in a chunk, above 0 and at most 1, got None"),
    ({"patch_size": [32]}, "image_size, patch_size"),
    ({"patch_size": 32}, "patch_size must hold one integer per spatial axis"),
    ({"patch_size": "32"}, "patch_size must hold one integer per spatial axis"),
    ({"patch_size": [0, 32]}, "patch_size on axis 0 must be an integer of at least 1, got 0"),
    ({"patch_size": [32.0, 32]}, "patch_size on axis 0 must be an integer of at least 1, got 32.0"),
    ({"stride": [0, 0]}, "stride on axis 0 must be an integer of at least 1, got 0"),
    ({"stride": [64, 64]}, "stride must be at most the patch, or voxels are left out, got 64"),
    ({"image_size": [64, 96]}, "image_size of UltraMNIST must have as many rows as columns, got [64, 96]"),
    ({"image_size": None}, "image_size of UltraMNIST must have as many rows as columns, got None"),
    ({"image_size": 64}, "image_size must hold one integer per spatial axis"),
    ({"chunk_size": 0}, "chunk_size must be an integer of at least 1, got 0"),
    ({"chunk_size": "all"}, "chunk_size must be an integer of at least 1, got 'all'"),
    ({"inner_steps": 0}, "inner_steps must be an integer of at least 1, got 0"),
    ({"accumulation": 1.5}, "accumulation must be an integer of at least 1, got 1.5"),
    ({"exact": 2}, "exact must be True or False, got 2"),
    ({"exact": True, "accumulation": 2}, "exact=True needs one step of the optimiser for all inner steps"),
    ({"exact": False, "true_gradient": True}, "true_gradient=True needs one step of the optimiser for all inner steps"),
    ({"exact": True, "head": "conv"}, "exact=True needs a network without dropout, and it has Dropout2d(p=0.2)"),
    ({"true_gradient": "maybe"}, "true_gradient must be True or False, got 'maybe'"),
    ({"padding": 256}, "padding must be a grey value from 0 to 255, got 256"),
    ({"padding": "white"}, "padding must be a finite number, got 'white'"),
    ({"allow_smaller": None}, "allow_smaller must be True or False, got None"),
    # The network.
    ({"backbone": "resnet51"}, "backbone must be one of resnet18, "),
    ({"backbone": ["resnet18"]}, "backbone must be a name, got ['resnet18']"),
    ({"backbone_options": [8]}, "backbone_options must be options by name, "),
    ({"backbone_options": {"foo": 1}}, "backbone_options don't fit, got {'foo': 1}: TypeError: "),
    ({"head": "atention"}, "head must be one of conv, conv_pooled, attention, mean, sum, got 'atention'"),
    ({"head_options": {"foo": 1}}, "head_options don't fit, got {'foo': 1}: TypeError: "),
    ({"head_options": "dropout"}, "head_options must be options by name, "),
    ({"latent_dim": 0}, "latent_dim must be an integer of at least 1, got 0"),
    ({"pretrained": "absent.pt"}, "pretrained: no weights at absent.pt"),
    ({"channels": []}, "channels must be a list of names"),
    ({"channels": 1}, "channels must be a list, got 1"),
    # What is predicted.
    ({"target": "class"}, "target must be one of classes, grades, value, got 'class'"),
    ({"num_classes": 1}, "num_classes must be an integer of at least 2, got 1"),
    ({"num_classes": 5}, "num_classes must be at least 28, UltraMNIST's sums from 0 to 27, got 5"),
    ({"num_classes": "28"}, "num_classes must be an integer of at least 1, got '28'"),
    ({"class_names": ["a"]}, "class_names must be a list of 28 names"),
    ({"class_weights": [1, 2]}, "class_weights must be a list of 28 numbers, one per class"),
    ({"class_weights": ["a"] * 28}, "class_weights must be a finite number above 0, got 'a'"),
    ({"class_weights": 1}, "class_weights must be a list, got 1"),
    # How it is trained.
    ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
    ({"batch_size": True}, "batch_size must be an integer of at least 1, got True"),
    ({"max_epochs": -1}, "max_epochs must be an integer of at least 1, got -1"),
    ({"max_epochs": 2.5}, "max_epochs must be an integer of at least 1, got 2.5"),
    ({"max_epochs": "abc"}, "max_epochs must be an integer of at least 1, got 'abc'"),
    ({"planned_epochs": 0}, "planned_epochs must be an integer of at least 1, got 0"),
    ({"val_interval": 0}, "val_interval must be an integer of at least 1, got 0"),
    ({"warm_up_epochs": -1}, "warm_up_epochs must be an integer of at least 0, got -1"),
    ({"warm_up_epochs": 0.5}, "warm_up_epochs must be an integer of at least 0, got 0.5"),
    ({"learning_rate": 0}, "learning_rate must be a finite number above 0, got 0"),
    ({"learning_rate": "abc"}, "learning_rate must be a finite number above 0, got 'abc'"),
    ({"learning_rate": "$float('nan')"}, "learning_rate must be a finite number above 0, got nan"),
    ({"learning_rate": "$float('inf')"}, "learning_rate must be a finite number above 0, got inf"),
    ({"learning_rate": "$1 / 0"}, "learning_rate: '$1 / 0' can't be evaluated: ZeroDivisionError: division by zero"),
    ({"max_gradient_norm": -1}, "max_gradient_norm must be a finite number above 0, got -1"),
    ({"curriculum": "eficiency"}, "curriculum must be one of"),
    ({"curriculum": 3}, "curriculum must be a name, got 3"),
    ({"mirror_axes": 0}, "mirror_axes must be a list of different axes of [0, 1], got 0"),
    ({"mirror_axes": ["x"]}, "mirror_axes must be a list of different axes of [0, 1], got ['x']"),
    ({"rotate90": 1}, "rotate90 must be True or False, got 1"),
    ({"resume": "maybe"}, "resume must be true, false or auto, got 'maybe'"),
    ({"seed": -1}, "seed must be an integer from 0 to 4294967295, got -1"),
    ({"seed": 2**70}, "seed must be an integer from 0 to 4294967295, got 1180591620717411303424"),
    ({"num_workers": -1}, "num_workers must be an integer of at least 0, got -1"),
    ({"device": "foo"}, "device must be one that is there, such as cpu, got 'foo'"),
    ({"device": "cuda:99"}, "device must be one that is there, such as cpu, got 'cuda:99'"),
    ({"amp": 2}, "amp must be True or False, got 2"),
    # The images.
    ({"train_images": 0}, "train_images must be an integer of at least 1, got 0"),
    ({"val_images": "all"}, "val_images must be an integer of at least 1, got 'all'"),
    ({"digit_pixels": [0, 500]}, "digit_pixels must be an integer of at least 1, got 0"),
    ({"digit_pixels": [8, 500]}, "digit_pixels: digits must measure 1 pixel or more"),
    ({"digit_pixels": [32, 16]}, "digit_pixels: digits must measure 1 pixel or more"),
    ({"digit_pixels": "x"}, "digit_pixels must be the smallest and the largest digit, as [28,56], got 'x'"),
    ({"digit_counts": []}, "digit_counts must be a list of how many digits an image may have, as [3,4,5], got []"),
    ({"digit_counts": [0, 6]}, "digit_counts must be an integer from 1 to 5, got 0"),
    ({"data_seed": 2**32 - 1}, "data_seed must be an integer from 0 to 4294967294, got 4294967295"),
    ({"dataset_dir": ""}, "dataset_dir must be the path of a folder, got ''"),
    ({"dataset_dir": 3}, "dataset_dir must be the path of a folder, got 3"),
    ({"dataset_dir": ["a", "b"]}, "dataset_dir must be the path of one folder, got ('a', 'b')"),
    # Where to.
    ({"output_dir": ""}, "output_dir must be the path of a folder, got ''"),
    ({"output_dir": None}, "output_dir must be the path of a folder, got None"),
    ({"ckpt_dir": 3}, "ckpt_dir must be the path of a folder, got 3"),
]  # fmt: skip

OF_FILES = [  # of slides and volumes
    (PANDA, {"fold": 5}, "fold must be one of 0 to 4 or 'all', got 5"),
    (PANDA, {"fold": -1}, "fold must be one of 0 to 4 or 'all', got -1"),
    (PANDA, {"fold": 0.0}, "fold must be one of 0 to 4 or 'all', got 0.0"),
    (PANDA, {"split_file": 0}, "split_file must be the path of a file, got 0"),
    (PANDA, {"split_file": "a.csv", "fold": "test"}, "fold must be a fold of the split_file, from 0, or 'all'"),
    (PANDA, {"level": -1}, "level must be an integer of at least 0, got -1"),
    (PANDA, {"background_threshold": 0}, "background_threshold must be a finite number above 0, got 0"),
    (PANDA, {"verify_data": "maybe"}, "verify_data must be True or False, got 'maybe'"),
    (PANDA, {"verify_tiles": 3}, "verify_tiles must be True or False, got 3"),
    (PANDA, {"dataset_dir": None}, "dataset_dir must be the path of one folder, got None"),
    (PANDA, {"spacing": [1, 1]}, "unknown key spacing"),
    (VOLUME, {"spacing": [1, 1]}, "spacing must have an entry per axis, 3, got [1, 1]"),
    (VOLUME, {"spacing": [0, 1, 1]}, "spacing must be a finite number above 0, got 0"),
    (VOLUME, {"spacing": "abc"}, "spacing must be a list, got 'abc'"),
    (VOLUME, {"orientation": "RAX"}, "orientation must have a letter each of LR, AP and IS, as RAS, got 'RAX'"),
    (VOLUME, {"percentiles": [99, 1]}, "percentiles must be two numbers from 0 to 100, the lower one first"),
    (VOLUME, {"percentiles": [0, 101]}, "percentiles must be two numbers from 0 to 100, the lower one first"),
    (VOLUME, {"intensity_range": [5, 5]}, "intensity_range must be two numbers, the lower one first, got [5, 5]"),
    (VOLUME, {"cache_memory_gib": -1}, "cache_memory_gib must be a finite number of at least 0, got -1"),
    (VOLUME, {"cache_dir": ""}, "cache_dir must be the path of a folder, got ''"),
    (VOLUME, {"rotate90": True}, "unknown key rotate90"),
]  # fmt: skip

ELSEWHERE = [  # in evaluation and inference
    ("evaluate.json", {"max_epochs": 3}, "unknown key max_epochs: it belongs to "),
    ("evaluate.json", {"batch_sise": 3}, "unknown key batch_sise: did you mean batch_size?"),
    ("evaluate.json", {"ckpt_path": ""}, "ckpt_path must be the path of a file, got ''"),
    ("evaluate.json", {"fold": "none"}, "fold must be one of 0 to 4 or 'all', got 'none'"),
    ("inference.json", {"evidense": True}, "unknown key evidense: did you mean evidence?"),
    ("inference.json", {"evidence": 2}, "evidence must be True or False, got 2"),
    ("inference.json", {"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
    ("inference.json", {"dataset_dir": None}, "dataset_dir must be the path of a folder, of an image, or a list"),
    ("inference.json", {"output_dir": " "}, "output_dir must be the path of a folder, got ' '"),
]  # fmt: skip


def run(bundle, config, **overrides):
    """What ``python -m monai.bundle run`` does before its first step, in this process."""
    kind = "train" if config == "train.json" else "infer"
    file = str(BUNDLES / bundle / "configs" / config)
    settings = {**SMALL[bundle], **overrides}
    ConfigWorkflow(file, workflow_type=kind, logging_file=False, **settings).initialize()


@pytest.fixture(autouse=True)
def nothing_is_read(monkeypatch, tmp_path):
    """Let the test fail where data is read, and run it where it can write."""

    def read(*_args, **_options):
        pytest.fail("data was read")

    for name in ("ultramnist_images", "labelled_images", "images_to_classify"):
        monkeypatch.setattr(program, name, read)
    monkeypatch.setattr(digits, "read_digits", read)
    monkeypatch.chdir(tmp_path)


def named(rows):
    return [pytest.param(*row, id=f"{row[-2]}"[:60]) for row in rows]


@pytest.mark.parametrize(("override", "line"), named(TRAINING))
def test_a_wrong_override_of_a_training(override, line, line_of, tmp_path):
    assert line_of(ULTRAMNIST, "train.json", **{**DIGITS, "output_dir": "out", **override}).startswith(f"error: {line}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("bundle", "override", "line"), named(OF_FILES))
def test_a_wrong_override_of_a_training_on_files(bundle, override, line, line_of, tmp_path):
    options = {"max_epochs": 2, "batch_size": 2, "output_dir": "out", **override}
    assert line_of(bundle, "train.json", **options).startswith(f"error: {line}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("config", "override", "line"), named(ELSEWHERE))
def test_a_wrong_override_without_training(config, override, line, line_of, tmp_path):
    assert line_of(PANDA, config, **{"output_dir": "out", **override}).startswith(f"error: {line}")
    assert list(tmp_path.iterdir()) == []


def test_three_inner_steps_per_step_of_the_optimiser_are_legitimate(monkeypatch):
    monkeypatch.undo()
    workflow = ConfigWorkflow(
        str(BUNDLES / ULTRAMNIST / "configs" / "train.json"),
        workflow_type="train",
        logging_file=False,
        **{**SMALL[ULTRAMNIST], **DIGITS, "accumulation": 3},
    )
    assert workflow.parser.get_parsed_content("settings").accumulation == 3
