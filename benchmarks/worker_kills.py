"""Kills and stops the loaders' workers of tiny trainings: does each run end, in one line, with nothing left behind?

.venv/bin/python benchmarks/worker_kills.py --kills 100 --stalls 20
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fire
from ignite.engine import Events
from results_file import table, write_results
from tiny_runs import ULTRAMNIST, TinyRun, start, tiny_runs

from monai_patchgrow.data import write_phantom_task
from monai_patchgrow.handlers.stop_signals import STOPPED

WORKER_SECONDS = 3  # without a batch, after which a loader gives its workers up
MOST_SECONDS, SECONDS_TO_END = 60, 30
GOES_ON = "goes on, and stops on SIGTERM"
TRAINING_SECONDS = 3.0  # in which the signal comes
LINE = "error: num_workers: DataLoader "


def train(connection: Connection, run: TinyRun, output: Path, folders: Mapping[str, Path]) -> None:
    """Train as ``python -m monai.bundle`` does, until something ends it."""
    sys.modules["__main__"].__spec__ = SimpleNamespace(name="monai.bundle.__main__")  # type: ignore[assignment]
    loaders = ["train", "validate"] if run.bundle == ULTRAMNIST else ["train"]  # others validate without workers
    timeouts = {f"{part}#dataloader#timeout": WORKER_SECONDS for part in loaders}
    workflow = run.workflow(output, max_epochs=1000, **folders, **timeouts)
    workflow.initialize()
    trainer = workflow.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=1), lambda: connection.send("begins"))
    workflow.run()
    workflow.finalize()


def trial(
    run: TinyRun, sent: signal.Signals, output: Path, folders: Mapping[str, Path], *, seed: str
) -> dict[str, Any]:
    """Signal one worker of a training; how the training ended.

    Args:
        run: what is trained, with workers.
        sent: SIGKILL or SIGSTOP.
        output: folder that it writes to; made here.
        folders: of data set and cases.
        seed: of the moment and the worker.
    """
    draw = random.Random(seed)
    output.mkdir()
    process, connection = start(train, run, output, folders, log=output / "log.txt")
    connection.recv()
    time.sleep(draw.uniform(0, TRAINING_SECONDS))
    while not (workers := _workers_of(process.pid)):
        time.sleep(0.01)
    os.kill(draw.choice(workers), sent)
    began = time.monotonic()
    process.join(SECONDS_TO_END)
    history = output / "history.jsonl"
    goes_on = (
        process.exitcode is None and history.exists() and time.time() - history.stat().st_mtime < SECONDS_TO_END / 2
    )
    if goes_on:  # it was a worker that had done its work
        began = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        process.join(MOST_SECONDS)
    seconds, code = time.monotonic() - began, process.exitcode
    time.sleep(0.5)
    left = _session_of(process.pid)
    for one in left:
        os.kill(one, signal.SIGKILL)
    text = (output / "log.txt").read_text().replace(f"{output}/", "")  # results name no folder of a machine
    line = (text.strip().splitlines() or [""])[-1]
    return {
        "run": run.name,
        "signal": sent.name,
        "seconds": seconds,
        "exit_code": code,
        "line": line,
        "verdict": _verdict(code, text, line, has_left=bool(left), goes_on=goes_on),
    }


def _verdict(code: int | None, text: str, line: str, *, has_left: bool, goes_on: bool) -> str:
    if code is None:
        return "hangs"
    if has_left:
        return "orphans"
    if goes_on and code == STOPPED:
        return GOES_ON
    return "one line" if code == 1 and line.startswith(LINE) and "Traceback" not in text else "other words"


def _workers_of(process: int | None) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in children]


def _session_of(leader: int | None) -> list[int]:
    """The processes that a run has left, or that hang."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if session == str(leader) and state != "Z":
            found.append(int(folder.name))
    return found


def trials(*, kills: int, stalls: int, folder: Path, seed: int = 0) -> list[dict[str, Any]]:
    """Do so many of both, of all runs that have workers in turn.

    Args:
        kills: by SIGKILL.
        stalls: by SIGSTOP.
        folder: an empty one.
        seed: of the moments.
    """
    folders = {"task": write_phantom_task(folder / "task", num_cases=6), "cache": folder / "cases"}
    runs = [run for run in tiny_runs() if run.others["num_workers"]]
    records = []
    for number in range(kills + stalls):
        sent = signal.SIGKILL if number < kills else signal.SIGSTOP
        run = runs[number % len(runs)]
        records.append(trial(run, sent, folder / f"trial_{number}", folders, seed=f"{seed}/{number}"))
        print(records[-1], flush=True)
    return records


def main(kills: int = 100, stalls: int = 20, *, seed: int = 0, name: str = "worker_kills") -> None:
    """Signal workers and write the table.

    Args:
        kills: by SIGKILL.
        stalls: by SIGSTOP.
        seed: of the moments.
        name: of the result.
    """
    with tempfile.TemporaryDirectory() as folder:
        records = trials(kills=kills, stalls=stalls, folder=Path(folder), seed=seed)
    rows = []
    for sent in ("SIGKILL", "SIGSTOP"):
        for run in sorted({one["run"] for one in records}):
            some = [one for one in records if (one["run"], one["signal"]) == (run, sent)]
            if some:
                seconds = [one["seconds"] for one in some]
                counts = [
                    sum(one["verdict"] == kind for one in some)
                    for kind in ("one line", GOES_ON, "other words", "hangs", "orphans")
                ]
                rows.append([sent, run, len(some), *counts, f"{sum(seconds) / len(some):.1f}", f"{max(seconds):.1f}"])
    good = sum(one["verdict"] in ("one line", GOES_ON) for one in records)
    lines = [
        f"{good} of {len(records)} runs ended with exit code 1, one line and no process left, or went on where the "
        "worker had done its work, and stopped on SIGTERM with exit code 75. A loader gives its workers up after "
        f"{WORKER_SECONDS} s here (1800 s by default); a run counts as hung after {MOST_SECONDS} s.",
        "",
        *table(
            [
                "signal",
                "run",
                "runs",
                "one line",
                GOES_ON,
                "other words",
                "hang",
                "orphans",
                "seconds to the end, mean",
                "at most",
            ],
            rows,
        ),
    ]
    write_results(
        name,
        "Loaders' workers that were killed or stopped",
        script="benchmarks/worker_kills.py",
        record={"worker_seconds": WORKER_SECONDS, "trials": records},
        lines=lines,
    )
    if good < len(records):
        sys.exit("not all ended in one line")


if __name__ == "__main__":
    fire.Fire(main)
