"""Wrong overrides of a segmentation bundle: each ends in one line, before data is read or anything is written.

The data set that these runs name is not there: a line about a setting comes from before it is looked for.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run_python
from monai.bundle import ConfigWorkflow

BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_segmentation_patchgrow"
SMALL = {"patch_size": [16, 16, 16], "features": [4, 8, 16, 32]}
DEEP = "deep_supervision_weights"

UNKNOWN = [
    ("max_epoch", 2, "did you mean max_epochs?"),
    ("curiculum", "performance", "did you mean curriculum?"),
    ("foo", 1, "the bundle's config does not have it, and nothing refers to it"),
    ("train#trainer#max_epoch", 2, "did you mean train#trainer#max_epochs?"),
    ("validate#foo", 2, "the bundle's config does not have it, and nothing refers to it"),
    ("train#dataset#cache_dirs", "a", "did you mean train#dataset#cache_dir?"),
    ("validate#dataloader#bach_size", 1, "did you mean validate#dataloader#batch_size?"),
    ("optimizer#learning_rate", 0.1, "torch.optim.SGD takes no such argument"),
    ("network_def#drop_out", 0.1, "did you mean network_def#dropout?"),
    ("networks#segresnet#init_filter", 8, "did you mean networks#segresnet#init_filters?"),
    (
        "process_group_timeout",
        60,
        "it belongs to multi_gpu_evaluate.json, which this run does not read",
    ),
    ("ckpt_path", "model.pt", "it belongs to evaluate.json, which this run does not read"),
]
WRONG = [
    ("max_epochs", -1, "max_epochs must be an integer of at least 1, got -1"),
    ("max_epochs", 0, "max_epochs must be an integer of at least 1, got 0"),
    ("max_epochs", "abc", "max_epochs must be an integer of at least 1, got 'abc'"),
    ("max_epochs", 2.5, "max_epochs must be an integer of at least 1, got 2.5"),
    ("max_epochs", "@nope", "max_epochs refers to @nope, which the config does not have"),
    ("max_epochs", "@train#trainer#max_epochs", "these keys refer to each other in a circle: "),
    (
        "max_epochs",
        "$nope",
        "train#trainer#max_epochs: '$@extend_to or @max_epochs' can't be evaluated: NameError",
    ),
    ("train#trainer#max_epochs", 0, "max_epochs must be an integer of at least 1, got 0"),
    ("planned_epochs", 0, "planned_epochs must be an integer of at least 1, got 0"),
    ("batch_size", 0, "batch_size must be an integer of at least 1, got 0"),
    ("batch_size", -2, "batch_size must be an integer of at least 1, got -2"),
    ("iterations_per_epoch", 0, "iterations_per_epoch must be an integer of at least 1, got 0"),
    ("iterations_per_epoch", "x", "iterations_per_epoch must be an integer of at least 1, got 'x'"),
    ("val_interval", 0, "val_interval must be an integer of at least 1, got 0"),
    ("learning_rate", "abc", "learning_rate must be a finite number above 0, got 'abc'"),
    ("learning_rate", 0, "learning_rate must be a finite number above 0, got 0"),
    ("learning_rate", -0.01, "learning_rate must be a finite number above 0, got -0.01"),
    ("learning_rate", "nan", "learning_rate must be a finite number above 0, got 'nan'"),
    ("learning_rate", "$float('nan')", "learning_rate must be a finite number above 0, got nan"),
    ("learning_rate", "$float('inf')", "learning_rate must be a finite number above 0, got inf"),
    ("learning_rate", "$1 / 0", "learning_rate: '$1 / 0' can't be evaluated: ZeroDivisionError: division by zero"),
    ("full_patch_share", 0, "full_patch_share must be above 0 and up to 1, or None for the papers' share, got 0"),
    ("full_patch_share", 1.5, "full_patch_share must be above 0 and up to 1, or None for the papers' share, got 1.5"),
    ("full_patch_share", "a", "full_patch_share must be above 0 and up to 1, or None for the papers' share, got 'a'"),
    ("smallest_patch", [9, 8, 8], "smallest_patch must be a multiple of total_stride on every axis, got 9 on axis 0"),
    ("smallest_patch", [8, 8], "smallest_patch must have as many axes as patch_size, got 2 (8, 8) for 3"),
    ("smallest_patch", "x", "smallest_patch must hold one integer per spatial axis"),
    ("patch_size", [17, 16, 16], "patch_size must be a multiple of total_stride on every axis, got 17 on axis 0"),
    ("patch_size", 16, "patch_size must hold one integer per spatial axis"),
    ("patch_size", "16", "patch_size must hold one integer per spatial axis"),
    ("patch_size", [0, 16, 16], "patch_size on axis 0 must be an integer of at least 1, got 0"),
    ("patch_size", [-16, 16, 16], "patch_size on axis 0 must be an integer of at least 1, got -16"),
    ("patch_size", [16, 16], "total_stride must have as many axes as patch_size"),
    ("total_stride", [4, 4, 4], "total_stride must be the product of the strides, [8, 8, 8], got [4, 4, 4]"),
    ("fold", 5, "fold must be one of 0 to 4 or 'all', got 5"),
    ("fold", -1, "fold must be one of 0 to 4 or 'all', got -1"),
    ("fold", 0.5, "fold must be one of 0 to 4 or 'all', got 0.5"),
    ("fold", "al", "fold must be one of 0 to 4 or 'all', got 'al'"),
    ("split_file", 0, "split_file must be the path of a file, got 0"),
    ("split_file", "", "split_file must be the path of a file, got ''"),
    ("curriculum", "eficiency", "curriculum must be one of constant, pgps, pgps_plus, efficiency, performance, random"),
    ("curriculum", 3, "curriculum must be one of constant, pgps, pgps_plus, efficiency, performance, random"),
    ("features", [4, 8, 16], "features must have one entry per level (4), got [4, 8, 16]"),
    ("features", [4, 8, 16, 0], "features must be an integer of at least 1, got 0"),
    ("features", [4, 8, 16, 3.5], "features must be an integer of at least 1, got 3.5"),
    ("features", 4, "features must be a list, got 4"),
    ("channels", [], "channels must be a list of names"),
    ("channels", "MRI", "channels must be a list, got 'MRI'"),
    ("labels", {"1": "Anterior", "2": "Posterior"}, "labels must be numbered 0 (background), 1, 2, ... without gaps"),
    ("labels", {"0": "background", "1": "Anterior", "3": "P"}, "labels must be numbered 0 (background), 1, 2, ..."),
    ("labels", ["a", "b", "c"], "labels must be names by value"),
    ("labels", {"0": "Anterior", "1": "background", "2": "Posterior"}, "labels: background must be 0, got 1"),
    ("spacing", [-1, 1, 1], "spacing must be a finite number above 0, got -1"),
    ("spacing", [0, 1, 1], "spacing must be a finite number above 0, got 0"),
    ("spacing", [1, 1], "spacing must be a list of 3, got [1, 1]"),
    ("spacing", "abc", "spacing must be a list of 3, got 'abc'"),
    ("spacing", ["a", 1, 1], "spacing must be a finite number above 0, got 'a'"),
    ("orientation", "RAX", "orientation must have a letter each of LR, AP and IS"),
    ("normalisation", [], "train#deterministic_transforms#5#nonzero refers to @normalisation#0#masked_to_nonzero, wh"),
    ("channels", ["T1", "T2"], 'normalisation must have one entry with a "scheme" per channel (2), got '),
    ("num_workers", -1, "num_workers must be an integer of at least 0, got -1"),
    ("num_workers", "two", "num_workers must be an integer of at least 0, got 'two'"),
    ("seed", -1, "seed must be an integer from 0 to 4294967295, got -1"),
    ("seed", "abc", "seed must be an integer from 0 to 4294967295, got 'abc'"),
    ("seed", 2**70, "seed must be an integer from 0 to 4294967295, got 1180591620717411303424"),
    ("resume", "maybe", "resume must be true, false or auto, got 'maybe'"),
    ("amp", 2, "amp must be True or False, got 2"),
    ("augment", "yes", "augment must be True or False, got 'yes'"),
    ("compile", "maybe", "compile must be true, false, reduce-overhead or cuda-graphs, got 'maybe'"),
    ("compile", "cuda-graphs", "compile=cuda-graphs needs an NVIDIA GPU, but the device is cpu"),
    ("channels_last", "maybe", "channels_last must be True or False, got 'maybe'"),
    ("verify_data", 0, "verify_data must be True or False, got 0"),
    ("trust_label_voxels", "maybe", "trust_label_voxels must be True or False, got 'maybe'"),
    ("batch_dice", "abc", "batch_dice must be True or False, got 'abc'"),
    ("mirror_axes", 0, "mirror_axes must be a list, got 0"),
    ("mirror_axes", [3], "mirror_axes must be one of (0, 1, 2), got 3"),
    ("device", "foo", "device must be one that is there, such as cpu, got 'foo': "),
    ("device", "cuda:99", "device must be one that is there, such as cpu, got 'cuda:99': "),
    ("dataset_dir", None, "dataset_dir must be the path of a folder, got None"),
    ("dataset_dir", "", "dataset_dir must be the path of a folder, got ''"),
    ("output_dir", None, "output_dir must be the path of a folder, got None"),
    ("output_dir", "", "output_dir must be the path of a folder, got ''"),
    ("cache_dir", "", "cache_dir must be the path of a folder, got ''"),
    ("ckpt_dir", 3, "ckpt_dir must be the path of a folder, got 3"),
    ("cache_memory_gib", -1, "cache_memory_gib must be a finite number of at least 0, got -1"),
    ("cache_memory_gib", "all", "cache_memory_gib must be a finite number of at least 0, got 'all'"),
    ("strides", [[1, 1, 1], [2, 2, 2], [2, 2, 2]], "features must have one entry per level (3)"),
    ("strides", [[1, 1], [2, 2], [2, 2], [2, 2]], "strides must have 3 axes on every level, as patch_size"),
    ("strides", 2, "strides must be a list, got 2"),
    ("kernel_sizes", [[3, 3, 3]], "kernel_sizes must have one entry per level (4), got 1"),
    ("kernel_sizes", [[3, 3, 3]] * 3 + [[3, 3, 4]], "kernel_sizes must be odd, got "),
    (DEEP, [1, 1, 1, 1, 1], f"{DEEP} must have 1 to 3 entries, finest level first, for 4 levels"),
    (DEEP, [], f"{DEEP} must have 1 to 3 entries, finest level first, for 4 levels"),
    (DEEP, "abc", f"{DEEP} must be a list, got 'abc'"),
    (DEEP, [1, "a"], f"{DEEP} must be a finite number of at least 0, got 'a'"),
    (DEEP, [0, 1], f"{DEEP} must start with a number above 0"),
    ("axis_order", [0, 0, 1], "axis_order must"),
    ("axis_order", [0, 1], "axis_order must"),
    ("network_def", {"_target_": "NoSuchNet"}, "network_def#_target_: neither MONAI nor an installed package has NoSu"),
    ("network_def", {"_target_": "SwinUNETR"}, "network_def: SwinUNETR needs in_channels, out_channels"),
    ("network_def", "@networks#swin", "network_def refers to @networks#swin, which the config does not have"),
]


def run(bundle, config, **overrides):
    """What ``python -m monai.bundle run`` does, in this process."""
    workflow = ConfigWorkflow(str(bundle / "configs" / config), logging_file=False, **overrides)
    workflow.initialize()


@pytest.fixture
def refused(line_of, tmp_path):
    """The line that a training ends with, and that nothing was written."""

    def refused(config="train.json", **overrides):
        keys = ("dataset_dir", "output_dir", "cache_dir") if config == "train.json" else ("dataset_dir", "output_dir")
        places = {key: str(tmp_path / key) for key in keys}
        line = line_of(BUNDLE, config, **{**places, **SMALL, **overrides})
        assert list(tmp_path.iterdir()) == []
        assert line.startswith("error: ")
        return line.removeprefix("error: ")

    return refused


@pytest.mark.parametrize(("key", "value", "hint"), UNKNOWN)
def test_a_key_that_nobody_reads(refused, key, value, hint):
    assert refused(**{key: value}) == f"unknown key {key}: {hint}"


@pytest.mark.parametrize(("key", "value", "line"), WRONG)
def test_a_value_that_can_t_be_used(refused, key, value, line):
    assert refused(**{key: value}).startswith(line)


@pytest.mark.parametrize(
    ("config", "key", "line"),
    [
        ("evaluate.json", "fol", "did you mean fold?"),
        ("evaluate.json", "max_epochs", "it belongs to train.json, which this run does not read"),
        ("evaluate.json", "validate#evaluator#ampp", "did you mean validate#evaluator#amp?"),
        ("inference.json", "mirror_axis", "did you mean mirror_axes?"),
        ("inference.json", "inferer#overlaps", "did you mean inferer#overlap?"),
        ("inference.json", "fold", "it belongs to evaluate.json, which this run does not read"),
    ],
)
def test_a_key_that_evaluation_or_inference_does_not_read(refused, config, key, line):
    assert refused(config, **{key: 1}) == f"unknown key {key}: {line}"


def test_the_settings_as_they_are_pass(refused):
    # As far as the data set, which is not there.
    assert refused().endswith("dataset_dir: no such folder")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("network_def#dropout", 0.1),
        ("train#trainer#max_epochs", 4),
        ("planned_epochs", 8),
        ("resume", "False"),
        ("amp", "true"),
        ("fold", "all"),
        (DEEP, [1.0]),
        ("labels", {"0": "background", "1": "head", "2": "tail"}),
        ("network_def", "%networks#segresnet"),
        ("train#dataset#data", []),
        ("experiment_name", "of MLflow"),
        ("displayable_configs", {}),
    ],
)
def test_what_is_no_fault_passes(refused, key, value):
    assert refused(**{key: value}).endswith("dataset_dir: no such folder")


def test_labels_whose_names_the_data_set_swaps(line_of, phantom_task, tmp_path):
    labels = {"0": "background", "1": "tail", "2": "head"}
    places = {"dataset_dir": str(phantom_task), "output_dir": str(tmp_path), "cache_dir": str(tmp_path)}
    assert line_of(BUNDLE, "train.json", **places, labels=labels) == (
        f"error: labels: tail is 1 here, but {phantom_task} has tail as 2: give the labels as dataset.json has them"
    )
    assert list(tmp_path.iterdir()) == []


def run_interpreter(*arguments, cwd):
    """As `run_python`, from the very start."""
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=200)


@pytest.mark.parametrize(
    ("start", "key", "value", "line"),
    [
        (run_interpreter, "max_epoch", "50", "unknown key max_epoch: did you mean max_epochs?"),
        (run_python, "seed", str(2**70), "seed must be an integer from 0 to 4294967295, got 1180591620717411303424"),
        # MONAI's command drops what is None, so that the key keeps its default.
        (run_python, "output_dir", "None", "absent: no such folder"),
    ],
)
def test_the_command_itself(start, key, value, line, tmp_path):
    words = ["-W", "ignore", "-m", "monai.bundle", "run", "--config_file", str(BUNDLE / "configs" / "train.json")]
    places = ["--dataset_dir", "absent", "--output_dir", "out"]
    process = start(*words, *places, f"--{key}", value, cwd=tmp_path)
    assert (process.returncode, process.stderr.splitlines()) == (1, [f"error: {line}"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        # MONAI copies macros before it evaluates anything: no bundle can say this in one line.
        ({"network_def": "%networks#swin"}, "KeyError: 'query key: swin'"),
        ({"trian#trainer#max_epochs": "2"}, "KeyError: 'query key: trian'"),
        ({"config_file": "/no/such.json"}, "FileNotFoundError: Cannot find the config file: /no/such.json."),
    ],
)
def test_what_monai_itself_refuses_has_its_own_last_line(overrides, line):
    config = overrides.pop("config_file", str(BUNDLE / "configs" / "train.json"))
    with pytest.raises((KeyError, FileNotFoundError)) as caught:
        ConfigWorkflow(config, logging_file=False, **overrides).initialize()
    assert f"{type(caught.value).__name__}: {caught.value}" == line


def test_a_process_that_hosts_the_bundle_gets_the_error_itself(tmp_path):
    with pytest.raises(RuntimeError) as caught:
        run(BUNDLE, "train.json", dataset_dir=str(tmp_path), max_epoch=2)
    assert json.dumps(str(caught.value.__cause__)) == '"unknown key max_epoch: did you mean max_epochs?"'
