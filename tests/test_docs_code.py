"""The code blocks of README and docs: Python runs, JSON resolves, and commands name options and files that exist."""

import inspect
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine
from monai.bundle import ConfigItem, ConfigParser
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, RandCropByPosNegLabeld

from monai_patchgrow import GrowthSchedule, cli
from monai_patchgrow.data import SeededDataLoader, read_task

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
STAND_INS = re.compile(r"<!-- stand-ins: ([\w, ]+) -->")


def blocks(*languages):
    """(page, number on the page, text) of the blocks in one of the languages."""
    found = []
    for page in PAGES:
        texts = [text for _, language, text in BLOCK.findall(page.read_text()) if language in languages]
        found += [pytest.param(page, text, id=f"{page.stem}-{number}") for number, text in enumerate(texts)]
    return found


# ---- Python ----


def stand_in(name):
    """What a page says that the reader has."""
    torch.manual_seed(0)
    if name == "preprocessing":
        options = {"spatial_size": (96, 96, 96), "num_samples": 4}
        return Compose([RandCropByPosNegLabeld(["image", "label"], label_key="label", **options)])
    if name == "trainer":
        trainer = Engine(lambda engine, batch: None)
        trainer.data_loader = SeededDataLoader(Dataset([{"image": 0}] * 2), seed=0, batch_size=2)
        return trainer
    if name == "loader":
        images = [{"image": torch.rand(3, 64, 64), "label": number} for number in range(2)]
        return DataLoader(Dataset(images), batch_size=2)
    network = torch.nn.Linear(1, 1)
    others = {
        "network": network,
        "optimizer": torch.optim.SGD(network.parameters(), lr=0.1),
        "loss": torch.nn.CrossEntropyLoss(),
        "device": torch.device("cpu"),
    }
    return others[name]


def pages_with_python():
    return [page for page in PAGES if "```python" in page.read_text()]


@pytest.mark.filterwarnings("ignore:.*more stages than epochs")
@pytest.mark.parametrize("page", pages_with_python(), ids=lambda page: page.stem)
def test_python_runs_in_the_order_of_the_page(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    namespace = {}
    for block in BLOCK.finditer(text):
        if block[2] != "python":
            continue
        said = STAND_INS.search(text[: block.start()].rpartition("\n\n")[2])
        namespace |= {name.strip(): stand_in(name.strip()) for name in (said[1].split(",") if said else ())}
        exec(compile(block[3], f"{page.name}", "exec"), namespace)
        expected = re.findall(r"^# (.+)$", block[3].splitlines()[-1])
        assert expected in ([], capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(("page", "text"), blocks("console"))
def test_shown_output_is_what_the_command_prints(page, text, capsys):
    command, _, shown = text.partition("\n")
    program, *arguments = shlex.split(command.removeprefix("$ "))
    assert program == "patchgrow"
    cli.main(arguments)
    assert capsys.readouterr().out == shown


# ---- JSON ----


def targets(config):
    """Every _target_ of a config."""
    if isinstance(config, dict):
        return [*([config] if "_target_" in config else []), *(t for value in config.values() for t in targets(value))]
    return [target for value in config for target in targets(value)] if isinstance(config, list) else []


@pytest.mark.parametrize(("page", "text"), blocks("json"))
def test_json_names_components_that_exist(page, text):
    parser = ConfigParser({})
    for config in targets(json.loads(text)):
        component = parser.ref_resolver and config["_target_"]
        if "." not in component:
            component = parser.locator.get_component_module_name(component) + "." + component
        assert callable(ConfigItem and locate(component)), component


def locate(path):
    module, _, name = path.rpartition(".")
    try:
        return getattr(__import__(module, fromlist=[name]), name)
    except ModuleNotFoundError:
        return getattr(locate(module), name)


def test_fast_path_draws_batches_as_it_stands(phantom_task, tmp_path):
    (config,) = [
        json.loads(parameter.values[1]) for parameter in blocks("json") if "RandPatchesd" in parameter.values[1]
    ]
    rest = [{"_target_": name, "keys": ["image", "label"]} for name in ("LoadImaged", "EnsureChannelFirstd")]
    indices = {"_target_": "ClassesToIndicesd", "keys": "label", "num_classes": 3}
    transforms = config["preprocessing"]["transforms"]
    assert transforms.pop(0) == "..."  # the reader's own
    kept = {"_target_": "SelectItemsd", "keys": ["image", "label", "label_cls_indices"]}
    config["preprocessing"]["transforms"] = [*rest, indices, kept, *transforms]
    config["dataset"] |= {"cache_dir": str(tmp_path), "num_workers": 0}
    plan = {"patch_size": [96] * 3, "total_stride": [16] * 3, "batch_size": 2, "max_epochs": 1}
    config["schedule"] = GrowthSchedule.plan(**plan, curriculum="constant")
    config["cases"] = [case.as_item() for case in read_task(phantom_task).cases[:2]]
    config["dataloader"]["num_workers"] = 0
    parser = ConfigParser(config)
    batch = next(iter(parser.get_parsed_content("dataloader")))
    assert batch["image"].shape == batch["label"].shape == (2, 1, 96, 96, 96)
    assert len(parser.get_parsed_content("handlers")) == 2


# ---- commands ----


def commands(text):
    """The words of each command of a block."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines for part in line.split("&&") if (words := shlex.split(part, comments=True))]


def config_of(name, bundle):
    """A config as a page names it: of the repository, of the page's own bundle, or of one that is to be made."""
    path = ROOT / name
    if not path.exists():
        path = ROOT / "bundles" / bundle / "configs" / Path(name).name
    if not path.exists() and Path(name).name == "growth_override.json":
        path = ROOT / "docs" / Path(name).name
    return json.loads(path.read_text())


def unknown_options(words, bundle):
    """Options of a `monai.bundle run` that none of its configs has at the top."""
    options = [word.removeprefix("--").partition("=")[0] for word in words if word.startswith("--")]
    start = words.index("run")
    given = words[words.index("--config_file", start) + 1]
    names = [name.strip(" '\"") for name in given.strip("[]").split(",")]
    keys = {key for name in names for key in config_of(name, bundle)}
    after = [word.removeprefix("--").partition("=")[0] for word in words[start:] if word.startswith("--")]
    assert options
    keys |= {"allow", "config_file", "tracking", "trust"}
    return [option for option in after if option.partition("#")[0] not in keys]


@pytest.mark.parametrize(("page", "text"), blocks("bash"))
def test_commands_name_options_that_exist(page, text):
    for words in commands(text):
        if "monai.bundle" in words or words[:2] == ["patchgrow", "run"]:
            kind = "panda_classification_patchgd" if "patchgd" in text else "hippocampus_segmentation_patchgrow"
            assert unknown_options(words, kind) == [], words
        elif words[0] == "patchgrow":
            parameters = inspect.signature(getattr(cli, words[1])).parameters
            assert {word.removeprefix("--") for word in words if word.startswith("--")} <= set(parameters), words


@pytest.mark.parametrize(("page", "text"), blocks("bash"))
def test_commands_name_files_that_exist(page, text):
    files = [
        word for words in commands(text) for word in words if re.match(r"(scripts|bundles|benchmarks|docs)/", word)
    ]
    assert [file for file in files if not (ROOT / file).exists()] == []
