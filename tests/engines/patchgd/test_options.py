"""How images are read and patches encoded: one value each, whose keywords every engine takes, and no others."""

from dataclasses import fields

import pytest
import torch
from torch import nn

from monai_patchgrow import PatchGDEvaluator, PatchGDTrainer
from monai_patchgrow.engines.patchgd import fill_latent, patchgd_pass
from monai_patchgrow.engines.patchgd.options import EncodingOptions, ImageReading, PatchEncoding, ReadingOptions


def parts():
    return {"encoder": nn.Flatten(), "images": torch.zeros(1, 1, 2), "patch_size": (1,)}


def engine_parts():
    network = {"encoder": nn.Sequential(nn.Flatten(), nn.Linear(1, 1)), "head": nn.Flatten()}
    return {**network, "patch_size": (1,), "device": "cpu"}


@pytest.mark.parametrize(
    ("value", "keywords"),
    [(ImageReading, ReadingOptions), (PatchEncoding, EncodingOptions)],
    ids=["reading", "encoding"],
)
def test_the_keywords_of_a_value_are_its_fields(value, keywords):
    assert {field.name for field in fields(value)} == keywords.__optional_keys__


def test_a_wrong_option_of_a_pass_is_refused_with_the_nearest():
    steps = {"fill_chunks": [[0]], "inner_chunks": [[0]], "accumulation": 1, "step": lambda: None}
    task = {**parts(), "head": nn.Flatten(), "loss_function": nn.MSELoss(), "target": torch.zeros(1)}
    with pytest.raises(TypeError, match="patchgd_pass has no option true_gradiant: did you mean true_gradient"):
        patchgd_pass(**task, **steps, true_gradiant=True)


def test_a_wrong_option_of_a_fill_is_refused_with_the_nearest():
    with pytest.raises(TypeError, match="fill_latent has no option strides: did you mean stride"):
        fill_latent(**parts(), strides=(1,))


def test_a_wrong_option_of_the_trainer_is_refused_with_the_nearest():
    others = {"max_epochs": 1, "train_data_loader": [], "optimizer": None, "loss_function": None}
    with pytest.raises(TypeError, match="PatchGDTrainer has no option samplings: did you mean sampling"):
        PatchGDTrainer(**engine_parts(), **others, samplings=0.5)


def test_a_wrong_option_of_the_evaluator_is_refused_with_the_nearest():
    with pytest.raises(TypeError, match="PatchGDEvaluator has no option allow_smaler: did you mean allow_smaller"):
        PatchGDEvaluator(**engine_parts(), val_data_loader=[], allow_smaler=True)


def test_what_an_engine_sets_itself_is_no_option_of_it():
    with pytest.raises(TypeError, match="PatchGDEvaluator has no option autocast"):
        PatchGDEvaluator(**engine_parts(), val_data_loader=[], autocast=None)


@pytest.mark.parametrize(
    ("option", "fault"),
    [({"stride": (0,)}, "stride on axis 0 must be an integer"), ({"chunk_size": 0}, "chunk_size must be an integer")],
)
def test_a_wrong_value_is_refused_before_the_first_iteration(option, fault):
    with pytest.raises(ValueError, match=fault):
        PatchGDEvaluator(**engine_parts(), val_data_loader=[], **option)
