"""Each of the ten bundles: sound configs, the names that consumers read, and a run from training to prediction."""

import csv
import json
import runpy
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out

from monai_patchgrow.data.synthetic.phantom_like import write_phantom_like
from monai_patchgrow.handlers.run_log import read_history
from monai_patchgrow.tools.render.bundle import bundle_name

ROOT = Path(__file__).parents[2]
TASKS = runpy.run_path(str(ROOT / "scripts" / "render_bundles.py"))["read_tasks"]()
BUNDLES = {bundle_name(card): plan for plan, card in TASKS.values()}
CT = {"CTNormalization"}

# DESIGN's table of consumers.
NAMES = {
    "train.json": [
        *("bundle_root", "device", "dataset_dir", "output_dir", "initialize", "run", "finalize"),
        *("train#trainer", "train#trainer#max_epochs", "train#dataset", "train#dataset#data", "train#inferer"),
        *("train#handlers", "train#preprocessing", "validate#handlers", "validate#preprocessing"),
        *("validate#postprocessing", "validate#key_metric", "validate#dataset#data", "validate#evaluator"),
        *("val_interval", "network", "network_def", "curriculum", "patch_size", "total_stride", "batch_size"),
        *("spacing", "normalisation", "strides", "kernel_sizes", "features", "labels", "max_epochs", "fold"),
    ],
    "evaluate.json": ["bundle_root", "device", "dataset_dir", "validate#evaluator", "network_def", "initialize", "run"],
    "inference.json": [
        *("bundle_root", "device", "dataset_dir", "dataset", "evaluator", "network_def", "inferer"),
        *("preprocessing", "postprocessing", "initialize", "run", "finalize"),
    ],
}


def folder(name):
    return ROOT / "bundles" / name


def small(plan):
    """The plan's network and levels, but narrow, and a patch that grows once."""
    stride = plan.total_stride
    return {"patch_size": [stride[0], stride[1], 2 * stride[2]], "features": [4] * len(plan.features)}


@pytest.fixture(scope="module", params=BUNDLES)
def bundle(request):
    return request.param


@pytest.mark.filterwarnings("ignore:No hash value:UserWarning")
def test_metadata_follows_its_schema(bundle):
    schema = Path(__file__).parents[1] / "data_files" / "meta_schema_20240725.json"
    verify_metadata(meta_file=str(folder(bundle) / "configs" / "metadata.json"), filepath=str(schema))


def test_network_takes_and_gives_what_the_metadata_says(bundle):
    configs = folder(bundle) / "configs"
    verify_net_in_out(
        net_id="network_def",
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.json"),
    )


@pytest.mark.parametrize("config", NAMES)
def test_names_that_consumers_read_are_there(bundle, config):
    parser = ConfigParser(ConfigParser.load_config_file(folder(bundle) / "configs" / config))
    assert [name for name in NAMES[config] if name not in parser] == []


def test_all_configs_have_the_same_network(bundle):
    configs = {
        name: ConfigParser.load_config_file(folder(bundle) / "configs" / name)
        for name in ("train.json", "evaluate.json", "inference.json")
    }
    keys = ("network_def", "strides", "kernel_sizes", "features", "channels", "labels", "spacing", "normalisation")
    for key in (*keys, "patch_size", "orientation"):
        assert configs["train.json"][key] == configs["evaluate.json"][key] == configs["inference.json"][key]


@pytest.fixture(scope="module")
def trained(bundle, tmp_path_factory):
    """A run of two stages on a phantom of the task's own kind."""
    plan, output = BUNDLES[bundle], tmp_path_factory.mktemp(bundle)
    entry = plan.normalisation[0]
    kind = dict(
        channels=plan.channels,
        labels=plan.labels,
        spacing=plan.spacing,
        shape=(44, 40, 24),
        modality="CT" if entry["scheme"] in CT else "MRI",
        masked=bool(entry.get("masked_to_nonzero")),
        **({"mean": entry["mean"], "std": entry["std"]} if entry["scheme"] in CT else {}),
        spacing_spread=0.1,
    )
    write_phantom_like(output / "task", num_cases=5, **kind)
    settings = {"max_epochs": 2, "iterations_per_epoch": 2, "val_interval": 2, "num_workers": 0, "fold": 1}
    run(bundle, "train.json", dataset_dir=output / "task", output_dir=output, cache_dir=str(output / "cache"),
        batch_size=2, **settings, **small(plan))  # fmt: skip
    return output


def run(bundle, config, **overrides):
    """What ``python -m monai.bundle run`` does, in this process."""
    overrides = {name: str(value) if isinstance(value, Path) else value for name, value in overrides.items()}
    workflow = ConfigWorkflow(
        str(folder(bundle) / "configs" / config),
        workflow_type="train" if config == "train.json" else "infer",
        logging_file=False,
        **overrides,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


def test_training_grows_and_validates(bundle, trained):
    history = read_history(trained / "history.jsonl")
    stride = list(BUNDLES[bundle].total_stride)
    assert [record["patch_size"] for record in history] == [stride, [*stride[:2], 2 * stride[2]]]
    assert all(np.isfinite(record["loss"]) for record in history)
    assert set(history[-1]["dice"]) == {"mean", *list(BUNDLES[bundle].labels.values())[1:]}


def test_evaluation_scores_the_case_of_the_fold(bundle, trained, tmp_path):
    weights = trained / "models" / "model.pt"
    run(bundle, "evaluate.json", dataset_dir=trained / "task", output_dir=tmp_path, ckpt_path=str(weights), fold=1,
        **small(BUNDLES[bundle]))  # fmt: skip
    with (tmp_path / "val_mean_dice_raw.csv").open() as table:
        rows = list(csv.reader(table, delimiter="\t"))
    assert len(rows) == 2


def test_predictions_lie_in_the_space_of_the_images(bundle, trained, tmp_path):
    weights, images = trained / "models" / "model.pt", sorted((trained / "task" / "imagesTr").glob("*.nii.gz"))
    run(bundle, "inference.json", dataset_dir=trained / "task" / "imagesTr", output_dir=tmp_path,
        ckpt_path=str(weights), **small(BUNDLES[bundle]))  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name for path in images]
    for path in images:
        image, predicted = nib.load(path), nib.load(tmp_path / path.name)
        assert predicted.shape == image.shape[:3]
        assert np.array_equal(predicted.affine, image.affine)
        assert set(np.unique(np.asarray(predicted.dataobj))) <= {int(value) for value in BUNDLES[bundle].labels}


def test_weights_export_to_torchscript(bundle, trained, tmp_path):
    configs, plan = folder(bundle) / "configs", BUNDLES[bundle]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The TorchScript type system", UserWarning)
        ckpt_export(
            net_id="network_def",
            filepath=str(tmp_path / "model.ts"),
            ckpt_file=str(trained / "models" / "model.pt"),
            meta_file=str(configs / "metadata.json"),
            config_file=str(configs / "inference.json"),
            **small(plan),
        )
    shape = [2 * stride for stride in plan.total_stride]
    answer = torch.jit.load(tmp_path / "model.ts")(torch.rand(1, len(plan.channels), *shape))
    assert answer.shape == (1, len(plan.labels), *shape)


def test_workflows_have_the_properties_that_monai_asks_for(bundle, trained, tmp_path):
    for config, kind in (("train.json", "train"), ("inference.json", "infer")):
        workflow = ConfigWorkflow(
            str(folder(bundle) / "configs" / config),
            workflow_type=kind,
            logging_file=False,
            dataset_dir=str(trained / "task" if kind == "train" else trained / "task" / "imagesTr"),
            output_dir=str(tmp_path),
            **({"cache_dir": str(trained / "cache"), "num_workers": 0, "max_epochs": 2} if kind == "train" else {}),
            **small(BUNDLES[bundle]),
        )
        workflow.initialize()
        assert workflow.check_properties() == []


def test_bundles_that_are_resampled_across_slices_by_themselves():
    two_steps = []
    for name in BUNDLES:
        text = (folder(name) / "configs" / "inference.json").read_text()
        if json.loads(text) and text.count('"_target_": "Spacingd"') == 2:
            two_steps.append(name.partition("_")[0])
    assert sorted(two_steps) == ["colon", "pancreas", "prostate"]
