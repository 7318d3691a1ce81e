"""Commands that tests start in forked processes are, for whoever looks at them, those of an interpreter."""

import subprocess
from pathlib import Path

import pytest
from commands import run_python

STATE = """
import random, sys
import numpy as np
from monai.transforms import Randomizable
print(sys.argv, sys.path[0], sys.warnoptions, __name__, __spec__)
print(random.random(), np.random.rand(), Randomizable.R.rand())
"""
MAIN = """
import sys
print(sys.modules["__main__"].__spec__.name, sys.modules["__main__"].__name__, sys.argv[1:], sys.path[0])
"""


@pytest.mark.parametrize(
    ("code", "ended", "error"),
    [
        ("", 0, ""),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('error: none')", 1, "error: none\n"),
        ("import os; os._exit(9)", 9, ""),
        ("import os; os.kill(os.getpid(), 9)", -9, ""),
    ],
)
def test_the_end_of_a_command(code, ended, error):
    process = run_python("-c", code)
    assert (process.returncode, process.stdout, process.stderr) == (ended, "", error)


def test_a_traceback():
    process = run_python("-c", "1 / 0")
    assert process.returncode == 1
    assert process.stderr.startswith("Traceback (most recent call last):\n")
    assert process.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_what_runs_at_exit_still_runs():
    code = "import atexit, threading, time; atexit.register(print, 'last')\n"
    code += "threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()"
    assert run_python("-c", code).stdout == "thread\nlast\n"


def test_arguments_folder_and_seeds(tmp_path):
    first, second = (run_python("-W", "ignore", "-c", STATE, "a b", cwd=tmp_path).stdout for _ in range(2))
    assert first.splitlines()[0] == "['-c', 'a b']  ['ignore'] __main__ None"
    numbers = [*first.splitlines()[1].split(), *second.splitlines()[1].split()]
    assert len(set(numbers)) == 6


def test_a_module_and_a_script(tmp_path):
    (tmp_path / "looks.py").write_text(MAIN)
    assert run_python("-m", "looks", "1", cwd=tmp_path).stdout == f"looks __main__ ['1'] {tmp_path}\n"
    script = tmp_path / "script.py"
    script.write_text(MAIN.replace(".__spec__.name", ".__spec__"))
    assert run_python(script, "1").stdout == f"None __main__ ['1'] {tmp_path}\n"


@pytest.mark.parametrize(
    ("options", "warned"), [((), True), (("-W", "ignore"), False), (("-W", "ignore", "-W", "default:old"), True)]
)
def test_warnings_are_shown_as_the_options_say(options, warned):
    process = run_python(*options, "-c", "import warnings; warnings.warn('old'); warnings.warn('other')")
    assert ("old" in process.stderr) is warned
    assert ("other" in process.stderr) is (options == ())


def test_the_environment_is_that_of_the_moment(monkeypatch):
    monkeypatch.setenv("PATCHGROW_OF_A_TEST", "1")
    code = "import os; print(os.environ.get('PATCHGROW_OF_A_TEST'))"
    assert run_python("-c", code).stdout == "1\n"
    monkeypatch.delenv("PATCHGROW_OF_A_TEST")
    assert run_python("-c", code).stdout == "None\n"


def test_a_command_that_takes_too_long_is_killed_with_what_it_started(tmp_path):
    code = "import os, time; os.fork(); open(str(os.getpid()), 'w').close(); time.sleep(60)"
    with pytest.raises(subprocess.TimeoutExpired):
        run_python("-c", code, cwd=tmp_path, timeout=1)
    assert len(list(tmp_path.iterdir())) == 2
    assert run_python("-c", "print(1)").stdout == "1\n"
    for started in tmp_path.iterdir():
        status = Path("/proc", started.name, "status")
        assert not status.exists() or "State:\tZ" in status.read_text()
