"""What a check found, as a table, as JSON, as an exit code, and as the rules' own page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from data_faults import DECATHLON, LABEL

from monai_patchgrow import cli
from monai_patchgrow.data.tasks.rules import RULES

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "data-check.md"


@pytest.fixture
def task_dir(phantom_task, tmp_path):
    return Path(shutil.copytree(phantom_task, tmp_path / "task"))


def run(*arguments):
    """The exit code of the command."""
    try:
        cli.main(["verify_data", *map(str, arguments), "--num_workers", "0"])
    except SystemExit as ended:
        return ended.code
    return 0


def test_a_fault_is_a_row_with_its_repair(task_dir, capsys):
    DECATHLON["label-unknown"][0](task_dir)
    DECATHLON["entry-count"][0](task_dir)
    assert run(task_dir) == 1
    assert capsys.readouterr().out.splitlines()[:9] == [
        "Phantom: 10 cases, 1 fault and 1 warning",
        "",
        "level    rule           file                         what is wrong",
        'warning  entry-count    dataset.json                 "numTraining" is 99, but "training" lists 10',
        f"fault    label-unknown  {LABEL}  label value 7, but dataset.json names 0 to 2 only",
        "",
        "what mends it",
        "entry-count    correct it (--repair does)",
        "label-unknown  name it, or relabel the voxels",
    ]


def test_warnings_alone_are_no_failure(task_dir, capsys):
    DECATHLON["entry-count"][0](task_dir)
    assert run(task_dir) == 0
    assert "1 warning" in capsys.readouterr().out


def test_json_is_printed(task_dir, capsys):
    DECATHLON["label-unknown"][0](task_dir)
    assert run(task_dir, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["name"], report["count"], report["sound"]) == ("Phantom", "10 cases", False)
    assert report["faults"] == [
        {
            "level": "fault",
            "rule": "label-unknown",
            "file": str(task_dir / LABEL),
            "what": "label value 7, but dataset.json names 0 to 2 only",
            "repair": "name it, or relabel the voxels",
        }
    ]


def test_json_is_written(task_dir, tmp_path, capsys):
    assert run(task_dir, "--json", tmp_path / "faults.json") == 0
    assert json.loads((tmp_path / "faults.json").read_text())["faults"] == []
    assert capsys.readouterr().out.startswith("Phantom: 10 cases, no problems found\n")


def test_the_copy_decides_the_exit_code(task_dir, tmp_path, capsys):
    DECATHLON["label-grid"][0](task_dir)
    assert run(task_dir, "--headers_only", "--repair", tmp_path / "mended") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path / 'mended'}: mended 1"
    assert lines[1].startswith(f"{task_dir / LABEL}: its header puts voxels ")
    assert lines[3] == "Phantom: 10 cases, no problems found"


def test_the_page_has_every_rule_as_it_is():
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", PAGE.read_text(), re.MULTILINE))
    assert list(rows) == list(RULES)
    for name, rule in RULES.items():
        finds = rule.finds + " (warning)" * rule.is_warning
        assert rows[name] == f"{finds} | {rule.repair}{' (`--repair` does)' * rule.is_harmless}"
