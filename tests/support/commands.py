"""Runs Python commands in processes that have imported MONAI when they begin.

A command such as ``python -m monai.bundle run`` imports for five seconds and more before it does anything, and tests
start dozens. Here each runs in a process that is forked from a server, which has imported what they need and has done
nothing else: no training, no test, no parallel region of OpenMP. The rest is as `subprocess.run` has it: arguments,
working directory, environment, output, exit code and traceback are the command's own, and nothing that it does stays.

Start an interpreter itself where its start is what is tested: its imports, packages that it may not find, its hash
seed (all commands of a server share one), and variables such as OMP_NUM_THREADS that are read during imports.

The client is `run_python`; this file run as a script is the server.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import re
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import types
import warnings
from pathlib import Path

IMPORTED = (
    "monai.bundle",
    "monai.apps",
    "monai.engines",
    "monai.handlers",
    "monai.inferers",
    "monai_patchgrow.bundle.known_keys",
    "monai_patchgrow.bundle.one_line",
    "monai_patchgrow.data",
    "monai_patchgrow.data.loading",
    "monai_patchgrow.engines",
    "monai_patchgrow.handlers",
    "monai_patchgrow.losses",
    "monai_patchgrow.metrics",
    "monai_patchgrow.networks",
    "monai_patchgrow.transforms",
    "scipy.ndimage",
    "torch.utils.tensorboard",
)


def run_python(
    *arguments: object, cwd: str | Path | None = None, stdout: str | Path | None = None, timeout: float = 200
) -> subprocess.CompletedProcess[str]:
    """Run ``python [-W ignore] (-m MODULE | -c CODE | SCRIPT) ...`` to its end.

    Args:
        arguments: of the interpreter; of its options there are ``-W ACTION[:MESSAGE]`` alone, as often as wanted.
        cwd: the command's working directory, by default this process's.
        stdout: the file that the command's output is appended to, by default one that is deleted.
        timeout: of the command, seconds.

    Raises:
        subprocess.TimeoutExpired: the command took too long; it and what it started are killed.
    """
    words = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        files = {"stdout": Path(stdout or Path(folder, "stdout")).absolute(), "stderr": Path(folder, "stderr")}
        places = {"cwd": os.path.abspath(cwd or "."), **{name: str(file) for name, file in files.items()}}
        code = _ask({"words": words, "environment": dict(os.environ), **places}, timeout)
        return subprocess.CompletedProcess(words, code, *(file.read_text() for file in files.values()))


def _ask(request: dict[str, object], timeout: float) -> int:
    """Have the server run a command; its exit code."""
    server = _server()
    try:
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        pid = int(server.stdout.readline())
        if not select.select([server.stdout], [], [], timeout)[0]:
            os.killpg(pid, signal.SIGKILL)
            server.stdout.readline()
            raise subprocess.TimeoutExpired(request["words"], timeout)
        return int(server.stdout.readline())
    except (KeyboardInterrupt, ValueError):  # ValueError: an empty line, as the server has ended
        server.kill()
        _server.cache_clear()
        raise


@functools.cache
def _server() -> subprocess.Popen[str]:
    """The server of this process; it ends when this process does, which closes its input."""
    command = [sys.executable, "-W", "ignore", __file__]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


def serve() -> dict[str, object]:
    """Answer requests until there are no more; returns only in processes that were forked, with their request."""
    atexit.register(_end_at_once)  # before all imports, so that it is the last to be called
    for name in IMPORTED:
        importlib.import_module(name)
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            return json.loads(line)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    sys.exit()


def _end_at_once() -> None:
    """End without tearing down all modules, which takes a forked process three seconds."""
    if _exit_code:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_exit_code[0])


def become(*, words: list[str], environment: dict[str, str], cwd: str, stdout: str, stderr: str) -> None:
    """Do in this process what an interpreter that is started with these words does."""
    os.setsid()
    for number, (path, flags) in enumerate([(os.devnull, os.O_RDONLY), (stdout, _WRITE), (stderr, _WRITE)]):
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    _draw_new_seeds()
    try:
        _run(_set_filters(words), cwd)
    except SystemExit as error:
        _exit_code.append(0 if error.code is None else error.code & 255 if isinstance(error.code, int) else 1)
        raise
    except BaseException:
        _exit_code.append(1)
        raise
    _exit_code.append(0)


def _set_filters(words: list[str]) -> list[str]:
    """Filter warnings as the options ``-W`` say; the words behind them."""
    sys.warnoptions.clear()
    if "ignore" not in words[1:2]:
        warnings.filters.remove(("ignore", None, Warning, None, 0))  # the server's own
    while words[0] == "-W":
        _, option, *words = words
        sys.warnoptions.append(option)
        if option != "ignore":
            action, _, message = option.partition(":")
            warnings.filterwarnings(action, re.escape(message))
    return words


def _run(words: list[str], cwd: str) -> None:
    if words[0] == "-m":
        sys.argv, sys.path[0] = words[1:], cwd
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv, sys.path[0] = ["-c", *words[2:]], ""
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(words[1], "<string>", "exec"), main.__dict__)
    else:
        sys.argv, sys.path[0] = words, os.path.dirname(os.path.abspath(words[0]))
        runpy.run_path(words[0], run_name="__main__")


_exit_code: list[int] = []
"""How the command of a forked process has ended."""

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def _draw_new_seeds() -> None:
    """Seed anew what was seeded at random during imports: two commands must not agree for having one parent."""
    import random

    import numpy as np
    from monai.transforms import Randomizable

    random.seed()
    np.random.seed()
    Randomizable.R = np.random.RandomState()


if __name__ == "__main__":
    become(**serve())
