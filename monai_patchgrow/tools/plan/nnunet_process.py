"""Runs nnU-Net in a process and a folder of its own, of which nothing is left."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from tqdm import tqdm

__all__ = ["NnunetProcess", "nnunet_version", "signals_as_exit"]

_SCRIPT = Path(__file__).with_name("run_nnunet.py")
_LOG, _PLAN = "nnunet.log", "plan.json"
_VERSION, _SUPPORTED = re.compile(r"\d[\w.+!-]*"), re.compile(r"2\.8\b")
_HOW_TO = (
    'python -m venv nnunet_env && nnunet_env/bin/pip install "nnunetv2>=2.8,<2.9", '
    "then add --python nnunet_env/bin/python"
)
_COUNT = re.compile(rb"\| (\d+)/\d+ \[")  # of nnU-Net's own progress bar
_SECONDS_PER_LOOK = 0.2
_LONGEST_REASON = 200  # characters
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def nnunet_version(python: str) -> str:
    """The version of nnunetv2 that an interpreter has.

    Args:
        python: path or name of the interpreter.

    Raises:
        ValueError: it can't be started, or has no nnunetv2 2.8.
    """
    try:
        told = subprocess.run([python, str(_SCRIPT), "version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise ValueError(f"python: can't start {python} ({error.strerror}): name an interpreter") from None
    if not _SUPPORTED.match(told.stdout):
        found = f"has nnunetv2 {told.stdout}" if _VERSION.fullmatch(told.stdout) else "has no nnunetv2"
        raise ValueError(f"{python} {found}, and plans are made by nnunetv2 2.8: {_HOW_TO}")
    return told.stdout


@dataclass(frozen=True)
class NnunetProcess:
    """nnU-Net in an interpreter.

    python: path or name of the interpreter, which has nnunetv2.
    version: of nnunetv2.
    kept_log: file that gets what nnU-Net printed where a step fails.
    """

    python: str
    version: str
    kept_log: Path

    def extract_fingerprint(self, folder: Path, cases: Path, *, num_cases: int, num_workers: int) -> None:
        """Read all cases, and write ``dataset_fingerprint.json``.

        Args:
            folder: that holds nnU-Net's folders, and gets its log.
            cases: folder that keeps what is found in each case, for a further call where this one is interrupted.
            num_cases: of the data set, for the progress bar on a terminal.
            num_workers: processes, each with one case in memory.

        Raises:
            ValueError: it failed.
        """
        self._run(folder, "fingerprint", str(num_workers), str(cases.absolute()), num_cases=num_cases)

    def plan(self, folder: Path, planner: str, gib: float | None) -> dict[str, Any]:
        """Make a plan of the data set, whose fingerprint is there.

        Args:
            folder: that holds nnU-Net's folders, and gets its log.
            planner: name of nnU-Net's class.
            gib: memory to plan for; None: the planner's own.

        Raises:
            ValueError: it failed.
        """
        self._run(folder, "plan", planner, "default" if gib is None else str(gib))
        content: dict[str, Any] = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
        return content

    def _run(self, folder: Path, step: str, *words: str, num_cases: int | None = None) -> None:
        log = folder / _LOG
        with log.open("ab") as output:
            process = subprocess.Popen(
                [self.python, str(_SCRIPT), step, str(folder), *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its own processes can be ended with it
            )
            try:
                _watch(process, log, num_cases)
            finally:
                with suppress(OSError):  # none of them is left
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if process.returncode:
            self.kept_log.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, self.kept_log)
            what = _reason(log) if process.returncode > 0 else f"ended by signal {-process.returncode}"
            raise ValueError(f"nnU-Net's {step} failed ({what}): its log is {self.kept_log}")


def _watch(process: subprocess.Popen[bytes], log: Path, num_cases: int | None) -> None:
    """Wait for the end of a process, and show how many cases it has read, on a terminal."""
    disable = None if num_cases else True  # None: silent unless stderr is a terminal
    with (
        log.open("rb") as told,
        tqdm(total=num_cases, desc="fingerprint", unit="case", disable=disable, leave=False) as bar,
    ):
        while process.poll() is None:
            if counts := _COUNT.findall(told.read()):
                bar.update(int(counts[-1]) - bar.n)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_PER_LOOK)


def _reason(log: Path) -> str:
    """The last line, which is that of the error."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip()[:_LONGEST_REASON] for line in reversed(lines) if line.strip()), "it said nothing")


@contextmanager
def signals_as_exit() -> Iterator[None]:
    """Let Ctrl-C, SIGTERM and a closed terminal end the block as an exception does, so that it cleans up.

    A signal that is ignored stays so, as those of ``nohup``; further ones don't disturb the cleaning. Only for the main
    thread of a process.

    Raises:
        SystemExit: a signal came; its exit code is 128 and the signal's number, as shells have it.
    """
    taken = [one for one in _SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        for one in taken:
            signal.signal(one, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before = {one: signal.signal(one, leave) for one in taken}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
