"""docs/growth_override.json gives growth to a bundle of the Model Zoo's form that knows nothing of this package."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from commands import run_python
from ignite.engine import Events
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle.utils import merge_kv

from monai_patchgrow.data import write_phantom_like

BUNDLE = Path(__file__).parent / "model_zoo_form"
OVERRIDE = Path(__file__).parents[2] / "docs" / "growth_override.json"
TRAIN = str(BUNDLE / "configs" / "train.json")
MAX_EPOCHS = 7  # one for each stage
PLAN = {
    "growth_patch_size": [16, 16, 16],
    "growth_total_stride": [4, 4, 4],
    "growth_batch_size": 4,
    "growth_smallest_patch": [8, 8, 8],
}
GROWN = [[8, 8, 8], [8, 8, 12], [8, 12, 12], [12, 12, 12], [12, 12, 16], [12, 16, 16], [16, 16, 16]]


@pytest.fixture(scope="module")
def spleen(tmp_path_factory):
    """Six CT phantoms with a spleen."""
    folder = tmp_path_factory.mktemp("spleen") / "task"
    labels = {0: "background", 1: "spleen"}
    kind = {"channels": ["CT"], "labels": labels, "modality": "CT", "mean": 99.0, "std": 40.0, "shape": (24, 24, 20)}
    return write_phantom_like(folder, num_cases=6, spacing=(1.0, 1.0, 1.5), **kind)


def merge(*files):
    return ConfigParser.load_config_files([str(file) for file in files])


def make_workflow(files, spleen, folder, **overrides):
    options = {"bundle_root": str(folder), "dataset_dir": str(spleen), "train#trainer#max_epochs": MAX_EPOCHS}
    return ConfigWorkflow(files, workflow_type="train", logging_file=False, **{**options, **overrides})


def train(files, spleen, folder, **overrides):
    """Run in this process; returns the sizes of all batches by epoch, and the workflow."""
    workflow = make_workflow(files, spleen, folder, **overrides)
    workflow.initialize()
    trainer, batches = workflow.parser.get_parsed_content("train#trainer"), []
    trainer.add_event_handler(
        Events.ITERATION_STARTED,
        lambda engine: batches.append((engine.state.epoch, [*engine.state.batch["image"].shape])),
    )
    workflow.run()
    workflow.finalize()
    return batches, workflow


def test_override_changes_nothing_but_one_handler():
    stock, grown = merge(TRAIN), merge(TRAIN, OVERRIDE)
    added = grown["train"]["handlers"].pop()
    assert added["_target_"] == "monai_patchgrow.PatchGrowth"
    assert {key for key in grown if key not in stock} == {key for key in grown if key.startswith("growth_")}
    assert {key: value for key, value in grown.items() if not key.startswith("growth_")} == stock


def test_bundle_knows_nothing_of_this_package():
    assert "patchgrow" not in Path(TRAIN).read_text()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_batch_of_every_epoch_has_its_stage_s_size(spleen, tmp_path, num_workers):
    batches, _ = train([TRAIN, str(OVERRIDE)], spleen, tmp_path, num_workers=num_workers, **PLAN)
    assert batches == [(epoch, [4, 1, *GROWN[epoch - 1]]) for epoch in range(1, 8) for _ in range(2)]


def test_dice_accuracy_and_weights_are_made_as_before(spleen, tmp_path):
    _, workflow = train([TRAIN, str(OVERRIDE)], spleen, tmp_path, **PLAN)
    trainer, evaluator = (workflow.parser.get_parsed_content(name) for name in ("train#trainer", "validate#evaluator"))
    assert 0 < evaluator.state.metrics["val_mean_dice"] <= 1
    assert 0.5 < trainer.state.metrics["train_accuracy"] <= 1
    assert evaluator.state.epoch == MAX_EPOCHS
    weights = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    workflow.parser.get_parsed_content("network_def").load_state_dict(weights)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_with_a_constant_size_the_weights_are_the_stock_bundle_s(spleen, tmp_path, num_workers):
    networks = []
    for name, files in (("stock", TRAIN), ("grown", [TRAIN, str(OVERRIDE)])):
        plan = {**PLAN, "growth_curriculum": "constant"} if name == "grown" else {}
        settings = {"num_workers": num_workers, "train#trainer#max_epochs": 3, **plan}
        _, workflow = train(files, spleen, tmp_path / name, **settings)
        networks.append(workflow.parser.get_parsed_content("network").state_dict())
    assert all(torch.equal(networks[0][key], networks[1][key]) for key in networks[0])


def test_growth_s_weights_are_others(spleen, tmp_path):
    networks = []
    for name, plan in (("constant", {"growth_curriculum": "constant"}), ("grown", {})):
        _, workflow = train([TRAIN, str(OVERRIDE)], spleen, tmp_path / name, **{**PLAN, **plan})
        networks.append(workflow.parser.get_parsed_content("network").state_dict())
    assert not all(torch.equal(networks[0][key], networks[1][key]) for key in networks[0])


def test_a_plan_for_another_patch_than_the_crop_s_is_refused(spleen, tmp_path):
    workflow = make_workflow([TRAIN, str(OVERRIDE)], spleen, tmp_path, **{**PLAN, "growth_patch_size": [8, 16, 16]})
    workflow.initialize()
    with pytest.raises(RuntimeError) as caught:
        workflow.run()
    assert str(caught.value.__cause__) == (
        "RandCropByPosNegLabeld's spatial_size must be the schedule's full patch (8, 16, 16), got [16, 16, 16]"
    )


def test_lines_of_the_documentation_for_instance_norm():
    lines = re.findall(r"```json\n(.*?)```", OVERRIDE.with_suffix(".md").read_text(), re.DOTALL)
    config = ConfigParser.load_config_files(TRAIN)
    config["network_def"]["norm"] = "instance"
    parser = ConfigParser(config)
    for key, value in json.loads(lines[0]).items():
        merge_kv(parser, key, value)
    network = parser.get_parsed_content("network").train()
    assert network(torch.rand(2, 1, 4, 4, 4)).shape == (2, 2, 4, 4, 4)


def test_command_line_of_the_documentation(spleen, tmp_path):
    bundle = Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))
    shutil.copy(OVERRIDE, bundle / "configs")
    command = ["-W", "ignore", "-m", "monai.bundle", "run"]
    command += ["--config_file", "['configs/train.json','configs/growth_override.json']"]
    for name, value in {**PLAN, "dataset_dir": str(spleen), "train#trainer#max_epochs": 3}.items():
        command += [f"--{name}", value]
    process = run_python(*command, cwd=bundle)
    assert process.returncode == 0, process.stderr[-3000:]
    assert (bundle / "models" / "model.pt").is_file()
