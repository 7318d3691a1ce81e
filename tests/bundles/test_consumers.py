"""Programs that take a bundle's parts into their own hands: MONAI Label's trainer, a federated client."""

import shutil
import warnings
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics
from monai.fl.utils.exchange_object import ExchangeObject

from monai_patchgrow.data import read_task
from monai_patchgrow.handlers.run_log import read_history

BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_segmentation_patchgrow"
SMALL = {"patch_size": [16, 16, 16], "features": [4, 4, 8, 8], "spacing": [2.0, 2.0, 2.0]}
TRAINING = {**SMALL, "batch_size": 2, "iterations_per_epoch": 2, "val_interval": 1, "num_workers": 0}


def test_monai_label_overrides_the_cases_and_the_epochs(phantom_task, tmp_path):
    items = [case.as_item() for case in read_task(phantom_task).cases]
    workflow = ConfigWorkflow(
        str(BUNDLE / "configs" / "train.json"),
        workflow_type="train",
        logging_file=False,
        dataset_dir=str(phantom_task),
        output_dir=str(tmp_path),
        cache_dir=str(tmp_path / "cache"),
        **{"train#dataset#data": items[:3], "validate#dataset#data": items[3:4], "train#trainer#max_epochs": 4},
        **TRAINING,
    )
    workflow.initialize()
    workflow.run()
    assert len(workflow.parser.get_parsed_content("train#dataset")) == 3
    history = read_history(tmp_path / "history.jsonl")
    assert [record["patch_size"] for record in history] == [[8, 8, 8], [8, 8, 16], [8, 16, 16], [16, 16, 16]]
    assert history[-1]["dice"]["mean"] >= 0


@pytest.fixture
def client(phantom_task, tmp_path):
    bundle = tmp_path / BUNDLE.name
    shutil.copytree(BUNDLE, bundle, ignore=shutil.ignore_patterns("models", "preprocessed", "tensorboard"))
    algorithm = MonaiAlgo(
        bundle_root=str(bundle),
        local_epochs=2,
        config_train_filename="configs/train.json",
        config_evaluate_filename="configs/evaluate.json",
        train_kwargs={"dataset_dir": str(phantom_task), "planned_epochs": 4, **TRAINING},
        eval_kwargs={"dataset_dir": str(phantom_task), "fold": 0, **SMALL},
        save_dict_key=None,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "executing the bundle config", UserWarning)  # of foreign configs
        algorithm.initialize(extra={ExtraItems.CLIENT_NAME: "hospital", ExtraItems.APP_ROOT: str(tmp_path)})
    yield algorithm
    algorithm.finalize()


def test_a_federated_client_trains_and_exchanges_the_plain_network_s_weights(client):
    plain = client.eval_workflow.network_def
    received = {name: torch.full_like(values, 0.01) for name, values in plain.state_dict().items()}
    for _ in range(2):  # rounds of two epochs
        client.train(ExchangeObject(weights=received))
        sent = client.get_weights()
        assert set(received) <= set(sent.weights)
        assert sent.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS] == 4
    scores = client.evaluate(ExchangeObject(weights=received))
    assert "val_mean_dice" in scores.metrics
    history = read_history(Path(client.bundle_root) / "history.jsonl")
    assert [record["patch_size"] for record in history] == [[8, 8, 8], [8, 8, 16], [8, 16, 16], [16, 16, 16]]
