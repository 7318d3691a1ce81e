"""The Task04 bundle runs with stock MONAI commands: trains, stops, resumes to the bit, evaluates, predicts."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from commands import run_python
from monai.bundle import ConfigParser, ConfigWorkflow

from monai_patchgrow.data import read_task, split_cases
from monai_patchgrow.handlers.run_log import read_history

BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_segmentation_patchgrow"
TINY = {
    "patch_size": [16, 16, 16],
    "features": [4, 4, 8, 8],
    "batch_size": 2,
    "max_epochs": 5,
    "iterations_per_epoch": 2,
    "val_interval": 2,
    "spacing": [2.0, 2.0, 2.0],
    "labels": {"0": "background", "1": "head", "2": "tail"},
}
NETWORK = {key: TINY[key] for key in ("patch_size", "features", "spacing", "labels")}


def run(config, cwd, *, check=True, bundle=BUNDLE, start=run_python, **overrides):
    """``python -m monai.bundle run`` in a process of its own, from a folder that has nothing to do with it."""
    command = ["-W", "ignore", "-m", "monai.bundle", "run", "--config_file", str(bundle / "configs" / config)]
    if config == "train.json" and bundle is BUNDLE:
        overrides = {"cache_dir": str(cwd / "cache"), **overrides}  # not into the source tree
    for name, value in overrides.items():
        command += [f"--{name}", value if isinstance(value, str) else repr(value)]
    process = start(*command, cwd=cwd, timeout=280)
    if check and process.returncode:
        raise AssertionError(process.stderr[-3000:])
    return process


def run_interpreter(*arguments, **options):
    """As `run_python`, from the very start: an interpreter that has imported nothing, with a hash seed of its own."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def trained(phantom_task, tmp_path_factory):
    """A tiny run that nothing interrupted."""
    output = tmp_path_factory.mktemp("trained")
    dropout = {"network_def#dropout": 0.1}
    run(
        "train.json",
        output,
        dataset_dir=str(phantom_task),
        output_dir=str(output),
        num_workers=0,
        start=run_interpreter,
        **TINY,
        **dropout,
    )
    return output


def test_history_tells_the_stage_of_every_epoch(trained):
    history = read_history(trained / "history.jsonl")
    assert [record["epoch"] for record in history] == [1, 2, 3, 4, 5]
    # z, the last axis of a NIfTI array, plays the authors' axis 0
    assert [record["patch_size"] for record in history] == [[8, 8, 8], [8, 8, 16], [8, 16, 16]] + [[16, 16, 16]] * 2
    assert [record["dice"] is not None for record in history] == [False, True, False, True, True]
    assert set(history[-1]["dice"]) == {"mean", "head", "tail"}
    assert [record["total_voxels"] for record in history] == [2048, 6144, 14336, 30720, 47104]


def test_model_is_a_bare_state_dict_of_the_plain_network(trained):
    config = ConfigParser.load_config_file(BUNDLE / "configs" / "inference.json")
    parser = ConfigParser({**config, **NETWORK, "network_def": {**config["network_def"], "dropout": 0.1}})
    network = parser.get_parsed_content("network_def")
    weights = torch.load(trained / "models" / "model.pt", weights_only=True)
    assert network.load_state_dict(weights).missing_keys == []


def test_tensorboard_shows_the_growth(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {
        "train/loss",
        "train/learning_rate",
        "growth/stage",
        "growth/patch_size_z",
        "growth/patches_per_batch",
    } <= tags
    assert {"speed/voxels_per_second", "speed/waiting_share", "growth/foreground_share"} <= tags
    assert {"dice/mean", "dice/head", "dice/tail"} <= tags
    assert [(event.step, event.value) for event in events.Scalars("growth/patch_size_z")] == [
        (1, 8), (2, 16), (3, 16), (4, 16), (5, 16),
    ]  # fmt: skip


_KILLED_IN_EPOCH_3 = """
import json, os, sys
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
config, overrides = sys.argv[1], json.loads(sys.argv[2])
workflow = ConfigWorkflow(config, workflow_type="train", logging_file=False, **overrides)
workflow.initialize()
workflow.trainer.add_event_handler(Events.ITERATION_COMPLETED(once=5), lambda: os._exit(9))
workflow.run()
"""


def test_resumed_run_ends_on_the_same_bits(trained, phantom_task, tmp_path):
    overrides = {
        **TINY,
        "network_def#dropout": 0.1,
        "dataset_dir": str(phantom_task),
        "output_dir": str(tmp_path),
        "cache_dir": str(tmp_path / "cache"),
    }
    command = ["-W", "ignore", "-c", _KILLED_IN_EPOCH_3, str(BUNDLE / "configs" / "train.json")]
    killed = run_python(*command, json.dumps({**overrides, "num_workers": 2}), cwd=tmp_path)
    assert killed.returncode == 9, killed.stderr[-3000:]
    assert [record["epoch"] for record in read_history(tmp_path / "history.jsonl")] == [1, 2]

    run("train.json", tmp_path, resume=True, num_workers=2, **overrides)
    assert_same_end(trained, tmp_path)


_ALL_GET_SIGTERM = {
    "imports": [
        "$import os",
        "$from ignite.engine import Events",
        "$import monai_patchgrow.bundle.segmentation as bundle",
    ],
    "run": [
        "$@train#trainer.add_event_handler(Events.ITERATION_STARTED(once=5), lambda: os.killpg(0, 15))",
        "$bundle.train(@train#trainer)",
    ],
}


def test_a_run_that_a_scheduler_stops_goes_on_to_the_same_bits(trained, phantom_task, tmp_path):
    data = {"dataset_dir": str(phantom_task), "output_dir": str(tmp_path), "network_def#dropout": 0.1}
    stopped = run("train.json", tmp_path, check=False, num_workers=2, **_ALL_GET_SIGTERM, **data, **TINY)
    assert stopped.returncode == 75
    assert stopped.stderr.splitlines()[-1] == (
        f"stopped by SIGTERM after iteration 5: {tmp_path}/models/last.pt is written, resume goes on from there"
    )
    assert "Traceback" not in stopped.stdout + stopped.stderr
    run("train.json", tmp_path, resume=True, num_workers=2, **data, **TINY)
    assert_same_end(trained, tmp_path)


_DISK_IS_FULL = {
    "imports": ["$import resource", *_ALL_GET_SIGTERM["imports"]],
    "run": [
        "$@train#trainer.add_event_handler(Events.ITERATION_STARTED(once=5), "
        "lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY)))",
        "$bundle.train(@train#trainer)",
    ],
}


def test_a_full_disk_ends_a_run_in_one_line_with_its_last_checkpoint(phantom_task, tmp_path):
    data = {"dataset_dir": str(phantom_task), "output_dir": str(tmp_path), "num_workers": 0}
    stopped = run("train.json", tmp_path, check=False, **_DISK_IS_FULL, **data, **{**TINY, "val_interval": 5})
    assert stopped.returncode == 1
    assert stopped.stderr.splitlines()[-1] == (
        f"error: can't write {tmp_path}/models/last.pt (File too large): make room there, or give another folder"
    )
    assert "Traceback" not in stopped.stdout + stopped.stderr
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"last.pt", "last.previous.pt"}
    assert torch.load(tmp_path / "models" / "last.pt", weights_only=True)["trainer"]["iteration"] == 4


def assert_same_end(trained, tmp_path):
    for name in ("last.pt", "model.pt"):
        unbroken, resumed = (torch.load(folder / "models" / name, weights_only=True) for folder in (trained, tmp_path))
        weights = (unbroken["network"], resumed["network"]) if name == "last.pt" else (unbroken, resumed)
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    dice = [[record["dice"] for record in read_history(f / "history.jsonl")] for f in (trained, tmp_path)]
    assert dice[0] == dice[1]


def test_a_second_run_sets_the_first_one_aside(trained, phantom_task, tmp_path):
    for _ in range(2):
        overrides = {**TINY, "max_epochs": 1, "iterations_per_epoch": 1}
        run(
            "train.json",
            tmp_path,
            dataset_dir=str(phantom_task),
            output_dir=str(tmp_path),
            num_workers=0,
            **overrides,
        )
    kept = {path.name for path in (tmp_path / "models").iterdir()} | {path.name for path in tmp_path.iterdir()}
    weights = {"last.pt", "last.1.pt", "model.pt", "model.1.pt", "model.1.safetensors"}
    assert {*weights, "history.1.jsonl", "tensorboard.1"} <= kept


@pytest.mark.slow
def test_evaluate_reproduces_the_training_s_dice(phantom_task, tmp_path):
    native = {"spacing": [1.0, 1.0, 1.5]}  # so that both score on the voxels of the data
    output = tmp_path / "native"
    data = {"dataset_dir": str(phantom_task), "output_dir": str(output)}
    run("train.json", tmp_path, num_workers=0, **data, **{**TINY, **native, "max_epochs": 2})
    best = max(r["dice"]["mean"] for r in read_history(output / "history.jsonl") if r["dice"])
    weights = str(output / "models" / "model.safetensors")
    run("evaluate.json", tmp_path, start=run_interpreter, ckpt_path=weights, **data, **{**NETWORK, **native})
    assert float((output / "metrics.csv").read_text().split(",")[1]) == pytest.approx(best, abs=1e-6)


def test_predictions_lie_in_the_space_of_the_input(trained, phantom_task, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    source = nib.load(next((phantom_task / "imagesTr").glob("*.nii.gz")))
    affine = np.array([[0, -1.3, 0.2, 5.0], [0.9, 0.1, 0, -20.0], [0, 0.3, 1.6, 7.5], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(np.asarray(source.dataobj), affine), images / "oblique.nii.gz")
    data = {"dataset_dir": str(images), "output_dir": str(tmp_path / "out")}
    network = {"ckpt_path": str(trained / "models" / "model.pt"), **NETWORK, "network_def#dropout": 0.1}
    run("inference.json", tmp_path, start=run_interpreter, **data, **network)
    predicted = nib.load(tmp_path / "out" / "oblique.nii.gz")
    assert predicted.shape == source.shape
    assert predicted.get_data_dtype() == np.uint8
    assert np.allclose(predicted.affine, affine, atol=1e-4)


@pytest.mark.slow
def test_everything_lies_in_the_bundle_s_own_folder_unless_told_otherwise(phantom_task, tmp_path):
    bundle, elsewhere = tmp_path / "bundle", tmp_path / "elsewhere"
    shutil.copytree(BUNDLE, bundle)
    elsewhere.mkdir()
    short = {**TINY, "max_epochs": 1, "iterations_per_epoch": 1, "num_workers": 0}
    run("train.json", elsewhere, bundle=bundle, dataset_dir=str(phantom_task), **short)
    run("evaluate.json", elsewhere, bundle=bundle, dataset_dir=str(phantom_task), **NETWORK)
    run("inference.json", elsewhere, bundle=bundle, dataset_dir=str(phantom_task / "imagesTr"), **NETWORK)
    assert (bundle / "models" / "model.pt").is_file()
    assert len(list((bundle / "preprocessed").glob("*.pt"))) == 10
    assert (bundle / "eval" / "metrics.csv").is_file()
    assert len(list((bundle / "predictions").glob("*.nii.gz"))) == 10
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(("config", "kind"), [("train.json", "train"), ("inference.json", "infer")])
def test_workflow_has_the_properties_that_monai_asks_for(config, kind, phantom_task, tmp_path):
    workflow = ConfigWorkflow(
        str(BUNDLE / "configs" / config),
        workflow_type=kind,
        logging_file=False,
        dataset_dir=str(phantom_task if kind == "train" else phantom_task / "imagesTr"),
        output_dir=str(tmp_path),
        **({**TINY, "num_workers": 0, "cache_dir": str(tmp_path / "cache")} if kind == "train" else {}),
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    assert workflow.bundle_root == str(BUNDLE)


def test_inference_does_not_overwrite_its_images(phantom_task, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(phantom_task / "imagesTr", images)
    before = {path.name: path.read_bytes() for path in images.iterdir()}
    weights = tmp_path / "model.pt"
    weights.touch()
    folders = {"dataset_dir": str(images), "output_dir": str(images), "ckpt_path": str(weights)}
    process = run("inference.json", tmp_path, check=False, **folders)
    assert process.returncode == 1
    assert process.stderr.startswith("error: output_dir must not be the folder of the images")
    assert {path.name: path.read_bytes() for path in images.iterdir()} == before


def test_resume_of_another_plan_gets_one_line(trained, phantom_task, tmp_path):
    shutil.copytree(trained / "models", tmp_path / "models")
    data = {"dataset_dir": str(phantom_task), "output_dir": str(tmp_path), "network_def#dropout": 0.1}
    process = run("train.json", tmp_path, check=False, resume=True, num_workers=0, **data, **{**TINY, "max_epochs": 9})
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1] == (
        f"error: {tmp_path}/models/last.pt is of a run with max_epochs 5, this one has 9: "
        "give both the same, or extend_to 9"
    )


@pytest.mark.filterwarnings("ignore")
def test_resume_of_another_split_is_refused_and_of_the_same_in_a_file_goes_on(trained, phantom_task, tmp_path):
    training, validation = ([case.name for case in side] for side in split_cases(read_task(phantom_task).cases, fold=0))
    shutil.copytree(trained / "models", tmp_path / "models")
    data = {"dataset_dir": str(phantom_task), "output_dir": str(tmp_path), "cache_dir": str(tmp_path / "cache")}
    file, options = tmp_path / "splits.json", {**data, **TINY, "network_def#dropout": 0.1, "num_workers": 0}

    def resume(train, val):
        file.write_text(json.dumps([{"train": train, "val": val}]))
        workflow = ConfigWorkflow(
            str(BUNDLE / "configs" / "train.json"), logging_file=False, resume=True, split_file=str(file), **options
        )
        workflow.initialize()

    resume(training[::-1], validation)
    with pytest.raises(RuntimeError) as caught:
        resume(training[1:], validation)
    line = str(caught.value.__cause__)
    assert f"{tmp_path}/models/last.pt is of a run with split 8 to train on and 2 to validate on, of digest " in line
    assert ", this one has 7 to train on and 2 to validate on, of digest " in line


@pytest.mark.filterwarnings("ignore")
def test_a_broken_case_that_a_split_leaves_out_stops_nothing(phantom_task, tmp_path):
    task, file = Path(shutil.copytree(phantom_task, tmp_path / "task")), tmp_path / "splits.csv"
    (task / "imagesTr" / "phantom_005.nii.gz").write_bytes(b"broken")
    file.write_text("case,fold\nphantom_000,0\nphantom_001,1\n")
    places = {"output_dir": str(tmp_path / "out"), "cache_dir": str(tmp_path / "cache")}
    options = {"dataset_dir": str(task), "split_file": str(file), "num_workers": 0, **places, **TINY}
    workflow = ConfigWorkflow(str(BUNDLE / "configs" / "train.json"), logging_file=False, **options)
    workflow.initialize()
    assert [len(side) for side in workflow.parser.get_parsed_content("split")] == [1, 1]


def test_wrong_input_gets_one_line_and_writes_nothing(phantom_task, tmp_path):
    output = tmp_path / "out"
    wrong = {**TINY, "patch_size": [16, 20, 16]}
    process = run("train.json", tmp_path, check=False, dataset_dir=str(phantom_task), output_dir=str(output), **wrong)
    assert process.returncode == 1
    assert process.stderr.splitlines() == [
        "error: patch_size must be a multiple of total_stride on every axis, got 20 on axis 1 (stride 8): "
        "nearest are 16 and 24"
    ]
    assert not output.exists()


@pytest.mark.parametrize("config", ["inference.json", "evaluate.json"])
def test_inference_needs_no_package_of_ours(config):
    assert "patchgrow" not in (BUNDLE / "configs" / config).read_text()


@pytest.mark.parametrize("config", ["train.json", "inference.json", "evaluate.json"])
def test_network_takes_and_gives_what_the_metadata_says(config):
    from monai.bundle import verify_net_in_out

    verify_net_in_out(
        net_id="network_def",
        meta_file=str(BUNDLE / "configs" / "metadata.json"),
        config_file=str(BUNDLE / "configs" / config),
    )


@pytest.mark.filterwarnings("ignore:No hash value:UserWarning")
def test_metadata_follows_its_schema():
    from monai.bundle import verify_metadata

    schema = Path(__file__).parents[1] / "data_files" / "meta_schema_20240725.json"
    verify_metadata(meta_file=str(BUNDLE / "configs" / "metadata.json"), filepath=str(schema))


@pytest.mark.filterwarnings("ignore:The TorchScript type system:UserWarning")
def test_weights_export_to_torchscript(trained, tmp_path):
    from monai.bundle import ckpt_export

    target = tmp_path / "model.ts"
    ckpt_export(
        net_id="network_def",
        filepath=str(target),
        ckpt_file=str(trained / "models" / "model.pt"),
        meta_file=str(BUNDLE / "configs" / "metadata.json"),
        config_file=str(BUNDLE / "configs" / "inference.json"),
        **NETWORK,
    )
    assert torch.jit.load(target)(torch.rand(1, 1, 16, 16, 16)).shape == (1, 3, 16, 16, 16)
