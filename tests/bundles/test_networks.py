"""One override trains another network on growing patches; its weights are those of MONAI's plain class."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.networks.nets import UNETR, SegResNet, SwinUNETR

from monai_patchgrow.handlers.run_log import read_history

BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_segmentation_patchgrow"
SEGRESNET = {"networks#segresnet#init_filters": 8, "patch_size": [16, 8, 8]}
UNETR_ = {
    "networks#unetr#feature_size": 2,
    "networks#unetr#hidden_size": 12,
    "networks#unetr#mlp_dim": 8,
    "networks#unetr#num_heads": 2,
    "patch_size": [32, 16, 16],
}
SWINUNETR = {"networks#swinunetr#feature_size": 12, "patch_size": [64, 32, 32]}
every_network = pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [("segresnet", SegResNet, SEGRESNET), ("unetr", UNETR, UNETR_), ("swinunetr", SwinUNETR, SWINUNETR)],
)


def workflow_of(task, output, name, settings):
    return ConfigWorkflow(
        str(BUNDLE / "configs" / "train.json"),
        workflow_type="train",
        logging_file=False,
        dataset_dir=str(task),
        output_dir=str(output),
        cache_dir=str(output / "cache"),
        num_workers=0,
        labels={"0": "background", "1": "head", "2": "tail"},
        spacing=[2.0, 2.0, 2.0],
        batch_size=2,
        max_epochs=2,
        iterations_per_epoch=1,
        val_interval=2,
        **{"network_def": f"%networks#{name}", **settings},
    )


def plain_network(name, settings):
    """The network that inference.json makes under the same overrides."""
    parser = ConfigParser()
    parser.read_config(BUNDLE / "configs" / "inference.json")
    for key, value in settings.items():
        parser[key.replace("#", "::")] = value
    parser["network_def"] = f"%networks#{name}"
    return parser.get_parsed_content("network_def")


@every_network
@pytest.mark.slow
def test_training_grows_the_patch_and_inference_loads_the_weights(name, kind, settings, phantom_task, tmp_path):
    workflow = workflow_of(phantom_task, tmp_path, name, settings)
    workflow.initialize()
    workflow.run()
    workflow.finalize()

    history = read_history(tmp_path / "history.jsonl")
    full = settings["patch_size"]
    assert [record["patch_size"] for record in history] == [[full[1]] * 3, full]
    assert history[-1]["dice"]["mean"] >= 0
    network = plain_network(name, settings)
    assert type(network) is kind
    network.load_state_dict(torch.load(tmp_path / "models" / "model.pt", weights_only=True))


@pytest.mark.parametrize(
    ("name", "settings", "line"),
    [
        (
            "unetr",
            {**UNETR_, "patch_size": [40, 16, 16]},
            "patch_size must be a multiple of total_stride on every axis, got 40 on axis 0 (stride 16): "
            "nearest are 32 and 48",
        ),
        (
            "swinunetr",
            {**SWINUNETR, "networks#swinunetr#patch_size": 4},
            "patch_size must be a multiple of total_stride on every axis, got 64 on axis 0 (stride 1024): "
            "nearest is 1024; 32 on axis 1 (stride 1024): nearest is 1024; 32 on axis 2 (stride 1024): "
            "nearest is 1024",
        ),
        (
            "unetr",
            {**UNETR_, "networks#unetr#img_size": [16, 16, 16]},
            "UNETR: patch_size must be its img_size, (16, 16, 16), got (32, 16, 16)",
        ),
        (
            "segresnet",
            {**SEGRESNET, "networks#segresnet#blocks_up": [1, 1]},
            "SegResNet can't be trained on patches of 8x8x8: ",
        ),
    ],
)
def test_a_network_that_takes_no_such_patch_gets_one_line_and_writes_nothing(
    name, settings, line, phantom_task, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", SimpleNamespace(name="monai.bundle.__main__"))
    with pytest.raises(SystemExit) as refusal:
        workflow_of(phantom_task, tmp_path, name, settings).initialize()
    assert str(refusal.value).startswith(f"error: {line}")
    assert len(str(refusal.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@every_network
def test_networks_follow_the_axes_of_the_patch(name, kind, settings):
    network = plain_network(name, {**settings, "patch_size": [64, 32], "labels": {"0": "background", "1": "tumour"}})
    assert network(torch.rand(1, 1, 64, 32)).shape == (1, 2, 64, 32)


@pytest.mark.parametrize("config", ["train.json", "evaluate.json", "inference.json"])
def test_each_config_knows_the_same_networks(config):
    networks = ConfigParser.load_config_file(BUNDLE / "configs" / config)["networks"]
    assert networks == ConfigParser.load_config_file(BUNDLE / "configs" / "train.json")["networks"]
    assert list(networks) == ["segresnet", "unetr", "swinunetr"]
