"""The checks of version 0.1.0 still refuse settings before anything is read."""

import pytest

from monai_patchgrow.bundle.patchgd.version_0_1 import check_device, check_settings, check_training

SETTINGS = {
    "patch_size": [32, 32],
    "stride": None,
    "image_size": [64, 64],
    "backbone": "small_cnn",
    "head": "attention",
    "target": "classes",
    "num_classes": 3,
    "class_names": [],
    "chunk_size": None,
    "positive": {"latent_dim": 8},
    "not_negative": {"num_workers": 0},
    "boolean": {"amp": True, "evidence": "False"},
}
TRAINING = {
    **{name: SETTINGS[name] for name in ("patch_size", "backbone", "head", "target", "num_classes")},
    "class_weights": None,
    "sampling": 0.25,
    "inner_steps": None,
    "accumulation": None,
    "learning_rate": 1e-3,
    "max_gradient_norm": None,
    "plan": {"batch_size": 2, "max_epochs": 2, "curriculum": "constant"},
}


def line_of(check, **settings):
    with pytest.raises(ValueError) as caught:
        check(**settings)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def fault(**changes):
    return line_of(check_settings, **{**SETTINGS, **changes})


def fault_in_training(**changes):
    return line_of(check_training, **{**TRAINING, **changes})


def test_sound_settings_pass():
    check_settings(**SETTINGS)
    check_training(**TRAINING)


@pytest.mark.parametrize("switch", ["yes", "maybe", None, 1])
def test_a_switch_that_is_none(switch):
    assert fault(boolean={"evidence": switch}) == f"evidence must be True or False, got {switch!r}"


@pytest.mark.parametrize("names", [["healthy", "ill"], "abc", None])
def test_names_of_another_number_of_classes(names):
    assert fault(class_names=names) == (
        f"class_names must be a list of 3 names, one per class, or empty, got {names!r}"
    )


def test_names_of_all_classes():
    check_settings(**{**SETTINGS, "target": "grades", "class_names": ["benign", "low", "high"]})


def test_a_head_that_there_is_not():
    assert fault(head="max") == "head must be one of conv, conv_pooled, attention, mean, sum, got 'max'"


def test_a_head_of_one_grid_without_the_size():
    assert fault(head="conv", image_size=None).startswith("the head conv needs image_size")


def test_a_backbone_that_there_is_not():
    assert fault(backbone="vgg").startswith("backbone must be one of ")


def test_a_stride_that_leaves_voxels_out():
    assert fault(stride=[32, 40]).startswith("stride must be at most the patch, or voxels are left out, got 40")


def test_growth_of_one_grid_s_head():
    plan = {**TRAINING["plan"], "curriculum": "efficiency"}
    assert fault_in_training(head="conv", plan=plan) == (
        "curriculum efficiency changes the grid, and the head conv takes one grid only: "
        "take conv_pooled, attention, mean or sum"
    )


def test_more_patches_per_batch():
    assert fault_in_training(plan={**TRAINING["plan"], "curriculum": "performance"}).startswith(
        "curriculum performance changes the number of patches per batch"
    )


@pytest.mark.parametrize("rate", [0, -1, "fast", True])
def test_a_learning_rate_that_is_none(rate):
    assert fault_in_training(learning_rate=rate) == f"learning_rate must be a number above 0, got {rate!r}"


def test_a_gradient_norm_below_zero():
    assert fault_in_training(max_gradient_norm=-1) == "max_gradient_norm must be a number above 0, got -1"


@pytest.mark.parametrize("device", ["cuda:99", "tpu"])
def test_a_device_that_is_not_there(device):
    message = line_of(check_device, device=device)
    assert message.startswith(f"device must be one that is there, such as cpu, got '{device}': ")
