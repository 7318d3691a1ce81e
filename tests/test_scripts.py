"""What the scripts promise without a network: they parse, and refuse in one line with nothing destroyed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"]
BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(BASH is None, reason="needs bash")


def bash(*arguments: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [BASH, *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def clone(tmp_path):
    """Return a folder with all that set-up reads, under a name with a space."""
    folder = tmp_path / "a clone"
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    for name in ("setup.cfg", "setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder


def assert_refuses(result, *words):
    assert result.returncode == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert [word for word in words if word not in result.stderr] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_parses(script):
    assert bash("-n", script).returncode == 0


def test_ci_calls_the_test_script_and_nothing_else():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert [line.rpartition("&& ")[2] for line in lines[1:]] == ["exec bash scripts/test.sh"]


def test_setup_refuses_a_python_that_is_not_there(clone):
    result = bash(clone / "scripts/setup.sh", PYTHON="/no/such/python3")
    assert_refuses(result, "PYTHON=/no/such/python3", "3.10 to 3.13")
    assert not (clone / ".venv").exists()


def test_setup_refuses_a_python_that_fails(clone):
    result = bash(clone / "scripts/setup.sh", PYTHON=shutil.which("false"))
    assert_refuses(result, "3.10 to 3.13")


def test_setup_without_any_python_says_what_to_do(clone, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("cat", "cksum", "dirname", "grep", "mktemp", "rm", "sed", "tail", "uname"):
        (tools / name).symlink_to(shutil.which(name))
    result = bash(clone / "scripts/setup.sh", PATH=str(tools), PYTHON="")
    assert_refuses(result, "no Python 3.10 to 3.13", "PYTHON=/path/to/python3")


def test_setup_that_finds_no_python_leaves_what_was_there(clone):
    (clone / ".venv").write_text("mine", encoding="utf-8")
    bash(clone / "scripts/setup.sh", PYTHON="/no/such/python3")
    assert (clone / ".venv").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("extras", ["plto", "plot,,test", "plot test", ".*"])
def test_setup_refuses_extras_that_are_none(clone, extras):
    result = bash(clone / "scripts/setup.sh", extras)
    assert_refuses(result, "extra", extras)
    assert not (clone / ".venv").exists()


def test_setup_refuses_a_root_it_cannot_write_to(clone, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    mkdir = tools / "mkdir"
    mkdir.write_text("#!/bin/sh\necho 'mkdir: Read-only file system' >&2\nexit 1\n", encoding="utf-8")
    mkdir.chmod(0o755)
    result = bash(clone / "scripts/setup.sh", PYTHON=sys.executable, PATH=f"{tools}:{os.environ['PATH']}")
    assert_refuses(result, "cannot make .venv", "Read-only file system")


def test_environment_keeps_what_the_caller_has_set():
    line = ". scripts/environment.sh; echo $MALLOC_MMAP_THRESHOLD_ $MALLOC_TOP_PAD_ ${PYTHONPATH-none}"
    result = bash("-c", line, MALLOC_MMAP_THRESHOLD_="65536", MALLOC_TOP_PAD_="", PYTHONPATH="/elsewhere")
    assert result.stdout.split() == ["65536", "268435456", "none"]
