"""Every key that nobody reads, reference to nothing and target that is not there is told in one line."""

import json
import re

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow

from monai_patchgrow.bundle.known_keys import check_keys, find_fault

TRAIN = {
    "imports": ["$from monai_patchgrow.bundle.running_config import check_config"],
    "max_epochs": 3,
    "curriculum": "efficiency",
    "normalisation": [{"scheme": "z", "mean": 0.0}],
    "mean": "@normalisation#0#mean",
    "labels": {"0": "background", "1": "spleen"},
    "amp_kwargs": {"dtype": "$torch.bfloat16"},
    "network_def": {"_target_": "BasicUNet", "spatial_dims": 3},
    "networks": {"segresnet": {"_target_": "SegResNet", "spatial_dims": 3}},
    "train": {
        "dataset": {"_target_": "Dataset", "data": [1]},
        "loader": {"_target_": "DataLoader", "dataset": "@train#dataset", "batch_size": 1},
    },
    "key_metric": {"dice": {"_target_": "MeanDice"}},
    "initialize": ["$check_config()"],
    "run": ["$@train#loader", "$@network_def", "$@key_metric", "$@mean", "$@curriculum", "$@max_epochs"],
}
INFERENCE = {"images": [], "dataloader": "@images", "run": ["$@dataloader"]}
MULTI_GPU = {"process_group_timeout": 7200, "join": "$print(@process_group_timeout)", "+initialize": ["$@join"]}


@pytest.fixture
def folder(tmp_path):
    """The configs of a small bundle."""
    folder = tmp_path / "configs"
    folder.mkdir()
    for name, content in (("train", TRAIN), ("inference", INFERENCE), ("multi_gpu_train", MULTI_GPU)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "metadata.json").write_text('{"version": "0.1.0", "max_epoch": 1}')
    return folder


def fault(folder, *, files=("train.json",), **overrides):
    parser = ConfigParser()
    parser.read_config([str(folder / file) for file in files])
    parser.update({name.replace("__", "#"): value for name, value in overrides.items()})
    parser.parse()
    return find_fault(parser.get(), [folder], locator=parser.locator)


def test_a_bundle_s_own_keys_are_known(folder):
    assert fault(folder) is None
    assert fault(folder, files=("train.json", "multi_gpu_train.json"), process_group_timeout=1) is None
    assert fault(folder, files=("inference.json",)) is None


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("max_epoch", "did you mean max_epochs?"),
        ("curiculum", "did you mean curriculum?"),
        ("foo", "the bundle's config does not have it, and nothing refers to it"),
        ("images", "it belongs to inference.json, which this run does not read"),
        ("process_group_timeout", "it belongs to multi_gpu_train.json, which this run does not read"),
        ("spatial_dims", "the bundle's config does not have it, and nothing refers to it"),
        ("train#datset", "did you mean train#dataset?"),
        ("train#loader#batchsize", "did you mean train#loader#batch_size?"),
        ("normalisation#0#men", "did you mean normalisation#0#mean?"),
        ("network_def#drop_out", "did you mean network_def#dropout?"),
        ("network_def#foo", "BasicUNet takes no such argument"),
        ("networks#segresnet#init_filter", "did you mean networks#segresnet#init_filters?"),
        ("networks#mine", "the bundle's config does not have it, and nothing refers to it"),
        ("key_metric#diec", "did you mean key_metric#dice?"),
    ],
)
def test_a_key_that_nobody_reads(folder, key, line):
    assert fault(folder, **{key: 2}) == f"unknown key {key}: {line}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("network_def#dropout", 0.1),
        ("train#loader#num_workers", 0),
        ("train#loader#pin_memory", True),  # of the class below MONAI's DataLoader, which passes **kwargs on
        ("labels#2", "liver"),
        ("labels", {"0": "background", "1": "liver", "2": "tumour"}),
        ("amp_kwargs#cache_enabled", False),
        ("networks#mine", {"_target_": "UNETR", "in_channels": 1, "out_channels": 2, "img_size": 32}),
        ("key_metric#distance", {"_target_": "HausdorffDistance"}),
        ("network_def", {"_target_": "SegResNet", "_desc_": "mine", "init_filters": 4}),
        ("network_def", "%networks#segresnet"),
        ("experiment_name", "of MLflow"),
        ("run_name", "of MLflow"),
        ("tracking_uri", "of MLflow"),
        ("save_execute_config", False),
        ("displayable_configs", {}),
    ],
)
def test_a_key_that_somebody_reads(folder, key, value):
    assert fault(folder, **{key: value}) is None


def test_a_helper_of_a_user_s_file_is_known_where_something_refers_to_it(folder, tmp_path):
    parser = ConfigParser()
    for content, line in (({"epochs": 2, "max_epochs": "@epochs"}, None), ({"epochs": 2}, "did you mean max_epochs?")):
        (tmp_path / "mine.json").write_text(json.dumps(content))
        parser.read_config([str(folder / "train.json"), str(tmp_path / "mine.json")])
        parser.parse()
        assert find_fault(parser.get(), [folder]) == (line and f"unknown key epochs: {line}")


def test_a_helper_that_a_macro_copies_is_known(folder):
    helper = {"_target_": "SegResNet", "init_filters": 4}
    assert fault(folder, mine=helper, network_def="%mine") is None


def test_a_file_that_only_sets_keys_makes_none_known(folder):
    (folder / "short.json").write_text('{"max_epoch": 50}')
    line = fault(folder, files=("train.json", "short.json"))
    assert line == "unknown key max_epoch: did you mean max_epochs?"


def test_without_config_files_no_key_is_unknown(tmp_path):
    assert find_fault({**TRAIN, "foo": 1}, [tmp_path]) is None


# references and targets


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("@nope", "max_epochs refers to @nope, which the config does not have"),
        (
            "$2 * @curiculum",
            "max_epochs refers to @curiculum, which the config does not have: did you mean curriculum?",
        ),
        ("@train#loader#dataset#data", "max_epochs refers to @train#loader#dataset#data, which the config does not"),
    ],
)
def test_a_reference_to_nothing(folder, value, line):
    assert fault(folder, max_epochs=value).startswith(line)


def test_keys_that_refer_to_each_other(folder):
    line = fault(folder, max_epochs="@curriculum", curriculum="$@max_epochs")
    assert line.startswith("these keys refer to each other in a circle: ")
    assert set(re.split(r"[:,] ", line)[1:]) == {"max_epochs", "curriculum"}


def test_a_target_that_is_not_there(folder):
    line = fault(folder, network_def={"_target_": "NoSuchNet"})
    assert line == "network_def#_target_: neither MONAI nor an installed package has NoSuchNet"


def test_a_target_of_another_package_is_found(folder):
    assert fault(folder, network_def={"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}) is None


def test_a_target_that_lacks_an_argument(folder):
    line = fault(folder, network_def={"_target_": "SwinUNETR", "in_channels": 1})
    assert line == "network_def: SwinUNETR needs out_channels"


def test_a_component_that_is_disabled_is_not_looked_at(folder):
    assert fault(folder, network_def={"_target_": "NoSuchNet", "_disabled_": True}) is None


# ways of starting


def test_a_workflow_is_checked_first_of_all(folder):
    workflow = ConfigWorkflow(str(folder / "train.json"), logging_file=False, max_epoch=50)
    with pytest.raises(RuntimeError) as caught:
        workflow.initialize()
    assert repr(caught.value.__cause__) == "ValueError('unknown key max_epoch: did you mean max_epochs?')"


def test_names_of_the_workflow_s_own_programs_are_known(folder):
    workflow = ConfigWorkflow(str(folder / "train.json"), logging_file=False, run_id="trial", trial=["$@run"])
    workflow.initialize()


def test_the_line_goes_where_the_caller_wants_it(folder, monkeypatch):
    class Refusal(Exception):
        pass

    monkeypatch.chdir(folder.parent)
    parser = ConfigParser({**TRAIN, "foo": 1})
    with pytest.raises(Refusal, match="unknown key foo: "):
        check_keys([parser], stop=Refusal)


def test_the_folder_of_a_plain_parser_is_that_of_its_bundle_root(folder):
    parser = ConfigParser({**TRAIN, "bundle_root": str(folder.parent), "foo": 1})
    with pytest.raises(ValueError, match="unknown key foo: "):
        check_keys([parser])


def test_nnunets_networks_say_how_to_get_them():
    target = "dynamic_network_architectures.architectures.unet.NoSuchUNet"
    assert find_fault({"network_def": {"_target_": target}}, []) == (
        f"network_def#_target_: neither MONAI nor an installed package has {target}: "
        "pip install --no-deps dynamic-network-architectures"
    )
