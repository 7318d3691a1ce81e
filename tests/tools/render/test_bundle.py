"""Bundles are rendered from plans: the ten committed ones are, and a plan of nnU-Net gives the same configs."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from monai_patchgrow.cli import main
from monai_patchgrow.tools.render.bundle import BundleCard, bundle_name, render_bundle, write_bundle
from monai_patchgrow.tools.render.nnunet_plans import read_nnunet_plan

ROOT = Path(__file__).parents[3]
RENDER = runpy.run_path(str(ROOT / "scripts" / "render_bundles.py"))
TABLE = json.loads((ROOT / "bundles" / "tasks.json").read_text())["tasks"]
TASKS = RENDER["read_tasks"]()
CONFIGS = ("train", "evaluate", "inference", "multi_gpu_train", "multi_gpu_evaluate")
DRAWN = {"docs/growth.svg"}


def as_nnunet(dataset):
    """The task table's entry in the words of nnU-Net's files."""
    task = TABLE[dataset]
    configuration = {**task["configuration"]}
    del configuration["residual"]
    network = {key: configuration.pop(key) for key in ("features_per_stage", "kernel_sizes", "strides")}
    architecture = {"network_class_name": "architectures.unet.PlainConvUNet", "arch_kwargs": network}
    plans = {
        "dataset_name": dataset,
        "transpose_forward": [0, 1, 2],
        "configurations": {"3d_fullres": {**configuration, "architecture": architecture}},
        "foreground_intensity_properties_per_channel": task["intensities"],
    }
    labels = {name: int(value) for value, name in task["labels"].items()}
    channels = {str(number): name for number, name in enumerate(task["channels"])}
    return plans, {"channel_names": channels, "labels": labels, "file_ending": ".nii.gz"}


def as_planned(config):
    # A plan doesn't tell which axis Anterior and Posterior lie along; the task table does.
    return config.replace('"mirror_axes": [0, 2]', '"mirror_axes": [0, 1, 2]')


@pytest.mark.parametrize("dataset", TASKS)
def test_a_committed_bundle_is_its_rendering(dataset):
    plan, card = TASKS[dataset]
    folder = ROOT / "bundles" / bundle_name(card)
    written = {"models", "preprocessed", "eval", "predictions", "tensorboard", "__pycache__"}
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    found = {path.as_posix() for path in found if not written & set(path.parts)}
    rendered = render_bundle(plan, card)
    assert found == {*rendered, *DRAWN, *(["docs/prediction.png"] if card.weights else [])}
    assert {name: (folder / name).read_text() for name in rendered} == rendered


@pytest.mark.parametrize("dataset", TASKS)
def test_a_plan_gives_the_same_configs(dataset, tmp_path):
    for name, content in zip(("plans.json", "dataset.json"), as_nnunet(dataset), strict=True):
        (tmp_path / name).write_text(json.dumps(content))
    main(["bundle", f"--plans={tmp_path / 'plans.json'}", f"--dataset={tmp_path / 'dataset.json'}",
          f"--output={tmp_path / 'bundle'}"])  # fmt: skip
    folder = ROOT / "bundles" / bundle_name(TASKS[dataset][1])
    for name in CONFIGS:
        made, committed = (one / "configs" / f"{name}.json" for one in (tmp_path / "bundle", folder))
        assert made.read_text() == as_planned(committed.read_text())


@pytest.mark.parametrize(
    ("file", "dataset"),
    [
        ("Task04_Hippocampus", "Dataset004_Hippocampus"),
        ("Task05_Prostate", "Dataset005_Prostate"),
        ("Task09_Spleen", "Dataset009_Spleen"),
    ],
)
def test_a_plan_that_nnunet_wrote_gives_the_same_configs(reference, tmp_path, file, dataset):
    (tmp_path / "dataset.json").write_text(json.dumps(as_nnunet(file)[1]))
    plan = read_nnunet_plan(reference / "nnunet_plans" / f"{file}.json", tmp_path / "dataset.json")
    made, committed = render_bundle(plan, BundleCard.of(plan)), render_bundle(*TASKS[file])
    for name in CONFIGS:
        path = f"configs/{name}.json"
        config = json.loads(made[path].replace(dataset, file))
        if "network_def" in config:
            # nnU-Net's network has these biases, which the committed bundles' weights don't.
            assert config["network_def"].pop("trans_bias") is True
        assert config == json.loads(as_planned(committed[path]))


@pytest.mark.parametrize("configuration", ["2d", "3d_lowres"])
def test_other_configurations_render(reference, tmp_path, configuration):
    (tmp_path / "dataset.json").write_text(json.dumps(as_nnunet("Task09_Spleen")[1]))
    path = reference / "nnunet_plans" / "Task09_Spleen.json"
    plan = read_nnunet_plan(path, tmp_path / "dataset.json", configuration=configuration)
    files = render_bundle(plan, BundleCard.of(plan))
    assert json.loads(files["configs/train.json"])["batch_size"] == {"2d": 12, "3d_lowres": 2}[configuration]


def test_the_hippocampus_alone_keeps_an_axis_unmirrored():
    files = {card.name: render_bundle(plan, card) for plan, card in TASKS.values()}
    mirrored = {name: json.loads(one["configs/train.json"])["mirror_axes"] for name, one in files.items()}
    assert mirrored.pop("hippocampus") == [0, 2]
    assert all(axes == [0, 1, 2] for axes in mirrored.values())
    assert "not axis 1, along which Anterior and Posterior lie" in files["hippocampus"]["docs/README.md"]


def test_cards_name_the_kind_of_bundle():
    # MONAI Label tells a segmentation bundle by this word in its name.
    assert all("segmentation" in bundle_name(card) for _, card in TASKS.values())


def test_an_unknown_data_set_has_a_card():
    plan, _ = TASKS["Task09_Spleen"]
    card = BundleCard.of(plan)
    assert (card.name, card.modality, card.is_decathlon) == ("spleen", "CT", False)
    assert "fill in who owns the data" in render_bundle(plan, card)["docs/data_license.txt"]


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is there already: name a new folder"):
        write_bundle({"LICENSE": "text"}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_bundle({"LICENSE": "text", "broken": None}, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_fault_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["patchgrow"])
    with pytest.raises(SystemExit, match=r"error: .*no\.json: can't be read as JSON"):
        main(["bundle", "--plans=no.json", "--dataset=no.json", f"--output={tmp_path / 'bundle'}"])
