"""What would leave a mark if a plan, a dataset.json or an option were run as code: it never does."""

import copy
import json
import runpy
import subprocess

import pytest
from monai.bundle import ConfigParser
from monai.bundle.config_item import ConfigComponent

from monai_patchgrow.cli import main
from monai_patchgrow.data import write_phantom_task
from monai_patchgrow.tools.render.bundle import BundleCard, render_bundle, write_bundle
from monai_patchgrow.tools.render.config_text import CONFIG_KEYS, parse_folder_name
from monai_patchgrow.tools.render.nnunet_plans import read_nnunet_plan

FIGURES = {"percentile_00_5": -100.0, "percentile_99_5": 200.0, "mean": 50.0, "std": 25.0}
PLANS = {
    "dataset_name": "Dataset101_Ct",
    "transpose_forward": [0, 1, 2],
    "configurations": {
        "3d_fullres": {
            "batch_size": 2,
            "patch_size": [16, 32, 32],
            "spacing": [3.0, 0.625, 0.5],
            "normalization_schemes": ["CTNormalization"],
            "use_mask_for_norm": [False],
            "batch_dice": True,
            "architecture": {
                "network_class_name": "unet.PlainConvUNet",
                "arch_kwargs": {
                    "features_per_stage": [32, 64, 128],
                    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
                    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 4]],
                },
            },
        }
    },
    "foreground_intensity_properties_per_channel": {"0": FIGURES},
}
DATASET = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "lesion": 1}}

PYTHON = "$__import__('pathlib').Path('{mark}').touch()"
TARGET = {"_target_": "pathlib.Path.touch", "self": "$__import__('pathlib').Path('{mark}')"}
MACRO = "%{folder}/evil.json#run"  # of a file that says the same
CONFIG = ("configurations", "3d_fullres")
NETWORK = (*CONFIG, "architecture", "arch_kwargs")
CHANNEL = ("foreground_intensity_properties_per_channel", "0")
IN_PLANS = [
    *[((*CHANNEL, key), PYTHON) for key in FIGURES],
    ((*CHANNEL, "mean"), TARGET),
    ((*CHANNEL, "std"), MACRO),
    (CHANNEL, PYTHON),
    ((*CONFIG, "batch_size"), PYTHON),
    ((*CONFIG, "batch_dice"), PYTHON),
    ((*CONFIG, "patch_size"), PYTHON),
    ((*CONFIG, "patch_size", 1), PYTHON),
    ((*CONFIG, "patch_size", 2), TARGET),
    ((*CONFIG, "spacing", 0), PYTHON),
    ((*CONFIG, "spacing"), MACRO),
    ((*CONFIG, "normalization_schemes", 0), PYTHON),
    ((*CONFIG, "normalization_schemes", 0), TARGET),
    ((*CONFIG, "use_mask_for_norm", 0), PYTHON),
    ((*NETWORK, "features_per_stage", 1), PYTHON),
    ((*NETWORK, "features_per_stage", 2), TARGET),
    ((*NETWORK, "features_per_stage"), MACRO),
    ((*NETWORK, "kernel_sizes"), PYTHON),
    ((*NETWORK, "kernel_sizes", 0, 0), PYTHON),
    ((*NETWORK, "kernel_sizes", 1), TARGET),
    ((*NETWORK, "strides", 1), PYTHON),
    ((*NETWORK, "strides", 2, 2), TARGET),
    (("dataset_name",), PYTHON),
    (("dataset_name",), MACRO),
    (("dataset_name",), "x; touch {mark}"),
    (("dataset_name",), "$(touch {mark})"),
    (("dataset_name",), "`touch {mark}`"),
    (("dataset_name",), "../../{mark}"),
    (("transpose_forward",), PYTHON),
]
IN_DATASET = [
    (("channel_names", "0"), PYTHON),
    (("channel_names", "0"), TARGET),
    (("channel_names", "0"), MACRO),
    (("channel_names", "0"), "CT@#{mark}"),
    (("channel_names", "0"), "CT@:"),  # before the card's ": " it would be a relative reference
    (("labels",), {"background": 0, PYTHON: 1}),
    (("labels",), {"background": 0, MACRO: 1}),
    (("labels",), {"background": 0, "_target_": 1}),
    (("labels",), {"background": 0, "lesion\n$": 1}),
    (("labels",), {"0": "background", "1": PYTHON}),
    (("labels",), {"0": "background", "1": TARGET}),
    (("labels",), {"_target_": "os.mkdir", "path": "{mark}"}),
]
TEXT_ONLY = [
    " " + PYTHON,
    "lesion $HOME",
    "{{{{ 7 * 7 }}}}",
    "{{% include 'LICENSE' %}}",
    "=1+1",
    "a @labels",
    "50 % grey",
    "at@",
]


def filled(value, folder):
    """A payload whose mark lies in a folder."""
    if isinstance(value, dict):
        return {filled(key, folder): filled(one, folder) for key, one in value.items()}
    return value.format(mark=folder / "mark", folder=folder) if isinstance(value, str) else value


def replaced(content, place, value):
    content = copy.deepcopy(content)
    holder = content
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return content


def write(folder, plans=PLANS, dataset=DATASET):
    (folder / "evil.json").write_text(json.dumps({"run": filled(PYTHON, folder)}))
    paths = folder / "plans.json", folder / "dataset.json"
    for path, content in zip(paths, (plans, dataset), strict=True):
        path.write_text(json.dumps(content))
    return paths


def resolved(config, metadata):
    """What MONAI makes of the data at the top of a config, with a bundle's metadata."""
    parser = ConfigParser({**copy.deepcopy(config), "_meta_": metadata})
    keys = ("dataset_dir", "channels", "labels", "normalisation", "patch_size", "spacing", "features", "orientation")
    return {key: parser.get_parsed_content(key) for key in keys}


@pytest.mark.parametrize("payload", [PYTHON, TARGET, MACRO], ids=["python", "target", "macro"])
def test_the_payloads_leave_a_mark_where_they_are_run(tmp_path, payload):
    write(tmp_path)
    ConfigParser({"mean": filled(payload, tmp_path)}).get_parsed_content("mean")
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize(("place", "payload"), IN_PLANS)
def test_a_payload_of_a_plan_is_refused(tmp_path, place, payload):
    paths = write(tmp_path, plans=replaced(PLANS, place, filled(payload, tmp_path)))
    with pytest.raises(ValueError, match=r"^[^\n]*plans\.json: [^\n]*$"):
        read_nnunet_plan(*paths)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize(("place", "payload"), IN_DATASET)
def test_a_payload_of_a_data_set_is_refused(tmp_path, place, payload):
    paths = write(tmp_path, dataset=replaced(DATASET, place, filled(payload, tmp_path)))
    with pytest.raises(ValueError, match=r"^[^\n]*dataset\.json: [^\n]*$"):
        read_nnunet_plan(*paths)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("payload", TEXT_ONLY)
def test_a_name_that_no_config_evaluates_stays_text(tmp_path, payload):
    name = filled(payload, tmp_path)
    plan = read_nnunet_plan(*write(tmp_path, dataset={**DATASET, "labels": {"background": 0, name: 1}}))
    files = render_bundle(plan, BundleCard.of(plan))
    metadata = json.loads(files["configs/metadata.json"])
    for config in ("train", "evaluate", "inference"):
        content = resolved(json.loads(files[f"configs/{config}.json"]), metadata)
        assert content["labels"] == {"0": "background", "1": name}
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("option", ["orientation", "configuration"])
def test_a_payload_of_an_option_is_refused(tmp_path, option):
    plans, dataset = write(tmp_path)
    with pytest.raises(SystemExit, match=r"^error: [^\n]*$"):
        main(["bundle", f"--plans={plans}", f"--dataset={dataset}", f"--output={tmp_path / 'bundle'}",
              f"--{option}={filled(PYTHON, tmp_path)}"])  # fmt: skip
    assert not (tmp_path / "mark").exists()
    assert not (tmp_path / "bundle").exists()


def test_the_environment_is_not_expanded_in_options(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "swordfish")
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    with pytest.raises(SystemExit, match=r"^error: \$SECRET/plans\.json: can't be read"):
        main(["bundle", "--plans=$SECRET/plans.json", "--dataset=dataset.json", "--output=bundle"])
    main(["bundle", "--plans=plans.json", "--dataset=dataset.json", "--output=$SECRET"])
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"$SECRET"}


def test_the_name_of_a_data_set_is_one_word_of_a_shell():
    name = parse_folder_name("Dataset101_Pet-Ct+1.0", key="dataset_name")
    told = subprocess.run(["sh", "-c", f"echo {name}"], capture_output=True, text=True, check=True)
    assert told.stdout == "Dataset101_Pet-Ct+1.0\n"


def test_the_keys_are_those_that_monai_reads():
    assert set(CONFIG_KEYS) == ConfigComponent.non_arg_keys


def test_a_relative_data_set_has_absolute_paths_in_the_table_of_metrics(tmp_path, monkeypatch):
    plan = read_nnunet_plan(*write(tmp_path))
    bundle = write_bundle(render_bundle(plan, BundleCard.of(plan)), tmp_path / "bundle")
    task = json.loads((write_phantom_task(tmp_path / "=1+1", num_cases=5) / "dataset.json").read_text())
    monkeypatch.chdir(tmp_path)
    labelled = runpy.run_path(str(bundle / "scripts" / "evaluation.py"))["labelled_cases"]
    items = labelled("=1+1", fold=0, channels=list(task["modality"].values()), labels=task["labels"])
    assert items[0]["image"].startswith(f"{tmp_path}/=1+1/imagesTr/")
