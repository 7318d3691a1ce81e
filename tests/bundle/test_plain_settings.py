"""Single settings: what is read, and the line that tells what is wrong."""

import re
from pathlib import Path

import pytest
import torch

from monai_patchgrow.bundle.plain_settings import parse_device, parse_folder, parse_list, parse_number, parse_switch


@pytest.mark.parametrize(("value", "switch"), [(True, True), ("True", True), ("true", True), ("false", False)])
def test_switches(value, switch):
    assert parse_switch(value, name="amp") is switch


@pytest.mark.parametrize("value", [2, 1, "maybe", "", None, 0.0])
def test_what_is_no_switch(value):
    with pytest.raises(ValueError, match=f"^amp must be True or False, got {re.escape(repr(value))}$"):
        parse_switch(value, name="amp")


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "abc", "1", True, None, [1]])
def test_what_is_no_number_above_zero(value):
    with pytest.raises(ValueError, match=f"^lr must be a finite number above 0, got {re.escape(repr(value))}$"):
        parse_number(value, name="lr", above=0)


def test_numbers():
    assert parse_number(0, name="memory", minimum=0) == 0
    assert parse_number(10**400, name="memory", minimum=0) == 10**400
    with pytest.raises(ValueError, match=r"^memory must be a finite number of at least 0, got -1$"):
        parse_number(-1, name="memory", minimum=0)


def test_devices():
    assert parse_device("cpu") == torch.device("cpu")
    assert parse_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("value", ["foo", "cuda:99", None, "", "meta", "cpu:1", -1])
def test_a_device_that_is_not_there(value):
    with pytest.raises(ValueError, match=f"^device must be one that is there, such as cpu, got '{value}': ") as caught:
        parse_device(value)
    assert "\n" not in str(caught.value)


def test_folders():
    assert parse_folder("a/b", name="output_dir") == "a/b"
    assert parse_folder(Path("a"), name="output_dir") == "a"


@pytest.mark.parametrize("value", ["", " ", None, "None", 3, ["a"]])
def test_what_is_no_folder(value):
    with pytest.raises(ValueError, match=r"^output_dir must be the path of a folder, got "):
        parse_folder(value, name="output_dir")


def test_lists():
    assert parse_list([1, 2], name="axes") == (1, 2)
    assert parse_list((1, 2), name="axes", length=2) == (1, 2)


@pytest.mark.parametrize("value", ["abc", 3, None, [1], {"0": 1}])
def test_what_is_no_list_of_two(value):
    with pytest.raises(ValueError, match=r"^spacing must be a list of 2, got "):
        parse_list(value, name="spacing", length=2)
