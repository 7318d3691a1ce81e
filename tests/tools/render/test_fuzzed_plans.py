"""A plan or dataset.json that is broken anywhere makes a bundle without foreign code, or one line: no traceback."""

import copy
import json
import random

import pytest

from monai_patchgrow.cli import main
from monai_patchgrow.tools.render.bundle import BundleCard, render_bundle
from monai_patchgrow.tools.render.nnunet_plans import read_nnunet_plan

CT = {"percentile_00_5": -100.0, "percentile_99_5": 200.0, "mean": 50.0, "std": 25.0}
CONFIGURATION = {
    "batch_size": 2,
    "patch_size": [16, 32, 32],
    "spacing": [3.0, 0.625, 0.5],
    "normalization_schemes": ["CTNormalization", "ZScoreNormalization"],
    "use_mask_for_norm": [False, True],
    "batch_dice": True,
}
NETWORK = {
    "features_per_stage": [32, 64, 128],
    "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 4]],
    "n_conv_per_stage": [2, 2, 2],
}
FORMER = {
    "UNet_class_name": "PlainConvUNet",
    "UNet_base_num_features": 32,
    "unet_max_num_features": 320,
    "pool_op_kernel_sizes": NETWORK["strides"],
    "conv_kernel_sizes": NETWORK["kernel_sizes"],
}
ARCHITECTURE = {"network_class_name": "architectures.unet.PlainConvUNet", "arch_kwargs": NETWORK}


def plans_with(**configuration):
    return {
        "dataset_name": "Dataset101_PetCt",
        "transpose_forward": [0, 1, 2],
        "configurations": {
            "base": {**CONFIGURATION, **configuration},
            "3d_fullres": {"inherits_from": "base", "batch_size": 4},
        },
        "foreground_intensity_properties_per_channel": {"0": CT, "1": CT},
    }


PLANS = [plans_with(architecture=ARCHITECTURE), plans_with(**FORMER)]
DATASETS = [
    {"channel_names": {"0": "CT", "1": "PET"}, "labels": {"background": 0, "lesion": 1, "node": 2}, "numTraining": 3},
    {"modality": {"0": "CT", "1": "PET"}, "labels": {"0": "background", "1": "lesion"}, "name": "PetCt"},
]
CLEAN = [  # the templates' branches that a broken figure can reach
    plans_with(architecture=ARCHITECTURE),
    plans_with(architecture=ARCHITECTURE, spacing=[1.0, 1.0, 1.0]),
    plans_with(architecture=ARCHITECTURE, normalization_schemes=["ZScoreNormalization"] * 2),
]
RENDERED = {}
BROKEN = [
    None, True, False, "", "3", "$__import__('os').system('touch mark')", "@bundle_root", "%train.json#labels", "a\nb",
    "\ud800", "\x00", [], {}, [[]], [1], [1, [2]], {"_target_": "os.system", "command": "touch mark"}, 0, -1, 1.5,
    10**30, -(10**30), 1e300, float("nan"), float("inf"), -float("inf"), 2**63, "x" * 1000,
]  # fmt: skip


def places_in(content, path=()):
    """The path of every value, inner ones after those that hold them."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in pairs:
        yield (*path, key)
        yield from places_in(value, (*path, key))


def broken(content, generator):
    """A copy with one fault: a value replaced, dropped, nested, doubled, or under another key."""
    content = copy.deepcopy(content)
    *parents, last = generator.choice(list(places_in(content)))
    holder = content
    for key in parents:
        holder = holder[key]
    fault = generator.choice(["replace", "replace", "replace", "drop", "nest", "double", "rename"])
    if fault == "drop":
        del holder[last]
    elif fault == "nest":
        holder[last] = generator.choice([[holder[last]], {"value": holder[last]}])
    elif fault == "double" and isinstance(holder[last], list):
        holder[last] = holder[last] * 2
    elif fault == "rename" and isinstance(holder, dict):
        holder[generator.choice(["", "$exit()", "@labels", "_target_", "-1", "9", "7" * 5000])] = holder.pop(last)
    else:
        holder[last] = copy.deepcopy(generator.choice(BROKEN))
    return content


def evaluated(content):
    """The strings of a config, and of its keys, that MONAI would evaluate."""
    if isinstance(content, dict):
        return set().union(*(evaluated(key) | evaluated(value) for key, value in content.items()))
    if isinstance(content, list):
        return set().union(*map(evaluated, content))
    return {content} if isinstance(content, str) and (content[:1] in tuple("$@%") or content == "_target_") else set()


def refuse_constant(text):
    raise AssertionError(f"{text} is no JSON")


def render(folder, plans, dataset):
    """What a plan's configs hold that MONAI would evaluate."""
    for name, content in (("plans.json", plans), ("dataset.json", dataset)):
        (folder / name).write_text(json.dumps(content))
    plan = read_nnunet_plan(folder / "plans.json", folder / "dataset.json")
    if repr(plan) not in RENDERED:  # most faults that make a bundle are in what no bundle has
        files = render_bundle(plan, BundleCard.of(plan))
        configs = [json.loads(text, parse_constant=refuse_constant) for name, text in files.items() if ".json" in name]
        RENDERED[repr(plan)] = set().union(*map(evaluated, configs))
    return RENDERED[repr(plan)]


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    return set().union(*(render(folder, plans, DATASETS[0]) for plans in CLEAN))


def outcome(folder, plans, dataset, clean):
    """`None` where a bundle is rendered, or the one line that says why not."""
    try:
        foreign = render(folder, plans, dataset) - clean
    except ValueError as error:
        assert len(str(error).splitlines()) == 1 and str(error).isprintable()
        assert "plans.json" in str(error) or "dataset.json" in str(error)
        return str(error)
    assert foreign == set()
    return None


@pytest.mark.filterwarnings("ignore:max_epochs=1000 is fewer")
def test_broken_plans(tmp_path, clean):
    generator = random.Random(17)
    outcomes = [
        outcome(tmp_path, broken(PLANS[number % 2], generator), DATASETS[number % 2], clean) for number in range(200)
    ]
    refused = [line for line in outcomes if line is not None]
    assert 100 < len(refused) < 200


@pytest.mark.filterwarnings("ignore:max_epochs=1000 is fewer")
def test_broken_data_sets(tmp_path, clean):
    generator = random.Random(71)
    outcomes = [outcome(tmp_path, PLANS[0], broken(DATASETS[number % 2], generator), clean) for number in range(200)]
    refused = [line for line in outcomes if line is not None]
    assert 100 < len(refused) < 200


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", "[" * 100_000, '"$exit()"', "\x00"])
def test_files_that_hold_no_plan(tmp_path, text):
    (tmp_path / "plans.json").write_text(text)
    (tmp_path / "dataset.json").write_text(json.dumps(DATASETS[0]))
    with pytest.raises(ValueError, match=r"^[^\n]*plans\.json: [^\n]*$"):
        read_nnunet_plan(tmp_path / "plans.json", tmp_path / "dataset.json")


def test_a_broken_plan_writes_nothing(tmp_path):
    (tmp_path / "plans.json").write_text(json.dumps(plans_with(architecture=ARCHITECTURE, batch_size="$exit()")))
    (tmp_path / "dataset.json").write_text(json.dumps(DATASETS[0]))
    with pytest.raises(SystemExit, match=r"^error: [^\n]*plans\.json: batch_size must be an integer") as stopped:
        main(["bundle", f"--plans={tmp_path / 'plans.json'}", f"--dataset={tmp_path / 'dataset.json'}",
              f"--output={tmp_path / 'bundle'}", "--configuration=base"])  # fmt: skip
    assert isinstance(stopped.value.code, str)  # which Python prints, with exit code 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataset.json", "plans.json"]


def test_configurations_that_inherit_in_a_circle(tmp_path):
    plans = plans_with(architecture=ARCHITECTURE, inherits_from="3d_fullres")
    with pytest.raises(ValueError, match="inherits_from must not lead back"):
        render(tmp_path, plans, DATASETS[0])
