"""What an expression finds out about the config that it belongs to, however that config was started."""

import json
from pathlib import Path

import pytest
from commands import run_python
from monai.bundle import ConfigParser, ConfigWorkflow, create_workflow, run_workflow

from monai_patchgrow.bundle.running_config import bundle_root, callers, read_keys, running_parser

CONFIG = {
    "imports": [
        "$from pathlib import Path",
        "$from monai_patchgrow.bundle.running_config import bundle_root",
        "$from monai_patchgrow.bundle.running_config import read_keys",
        "$from monai_patchgrow.bundle.running_config import running_parser",
    ],
    "bundle_root": "$bundle_root()",
    "seed": "$1 + 1",
    "wrong": "$nowhere",
    "values": "$read_keys(['seed', 'section::entry'])",
    "section": {"entry": "@seed"},
    "initialize": ["$@bundle_root"],
    "run": ["$Path('root.txt').write_text(@bundle_root)"],
}


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A bundle's folder; the working directory is another one."""
    (tmp_path / "bundle" / "configs").mkdir(parents=True)
    (tmp_path / "bundle" / "configs" / "train.json").write_text(json.dumps(CONFIG))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "bundle"


def test_the_root_in_a_workflow(bundle):
    workflow = ConfigWorkflow(str(bundle / "configs" / "train.json"), logging_file=False)
    assert workflow.initialize() == [str(bundle)]


def test_the_root_of_a_config_named_by_a_relative_path(bundle, monkeypatch):
    monkeypatch.chdir(bundle / "configs")
    assert ConfigWorkflow("train.json", logging_file=False).initialize() == [str(bundle)]


@pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning")  # MONAI's, of foreign configs
def test_the_root_in_a_workflow_that_monai_creates(bundle):
    workflow = create_workflow(config_file=str(bundle / "configs" / "train.json"))
    assert workflow.parser.get_parsed_content("bundle_root") == str(bundle)


@pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning")
def test_the_root_in_a_workflow_that_monai_runs(bundle):
    run_workflow(config_file=str(bundle / "configs" / "train.json"))
    assert Path("root.txt").read_text() == str(bundle)


def test_the_root_in_monai_s_command(bundle):
    command = ["-W", "ignore", "-m", "monai.bundle", "run"]
    process = run_python(*command, "--config_file", bundle / "configs" / "train.json")
    assert process.returncode == 0, process.stderr[-2000:]
    assert Path("root.txt").read_text() == str(bundle)


def test_the_root_in_a_plain_parser_is_the_working_directory():
    assert ConfigParser(dict(CONFIG)).get_parsed_content("bundle_root") == "."


def test_the_root_without_any_config_is_the_working_directory():
    assert bundle_root() == "."


def test_the_parser_is_the_one_that_evaluates():
    parser = ConfigParser({**CONFIG, "found": "$running_parser()"})
    assert parser.get_parsed_content("found") is parser


def test_without_a_config_there_is_no_parser():
    with pytest.raises(ValueError, match="no config is being evaluated"):
        running_parser()


def test_callers_are_objects_whose_methods_run():
    class Host:
        def work(self):
            return callers()

    host = Host()
    assert host.work()[0] is host


def test_monai_still_has_what_is_looked_for(bundle):
    # Of MONAI 1.6.1; where this fails, see what the folder of the configs is called now.
    assert ConfigWorkflow(str(bundle / "configs" / "train.json")).config_root_path == bundle / "configs"


def test_keys_are_read_evaluated():
    assert ConfigParser(dict(CONFIG)).get_parsed_content("values") == {"seed": 2, "section::entry": 2}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("wrong", "wrong: '$nowhere' can't be evaluated: NameError: name 'nowhere' is not defined"),
        ("absent", "absent: the config has no such key"),
    ],
)
def test_a_key_that_can_t_be_read(name, line):
    parser = ConfigParser({**CONFIG, "values": f"$read_keys(['{name}'])"})
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content("values")
    assert str(caught.value.__cause__) == line


def test_keys_are_read_where_a_config_runs_only():
    with pytest.raises(ValueError, match="no config is being evaluated"):
        read_keys(["seed"])
