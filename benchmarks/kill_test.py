"""Kills tiny trainings of two real bundles again and again, resumes them, and compares what they end on.

    .venv/bin/python benchmarks/kill_test.py --kills 300 --progress kills.jsonl

A training is ended by SIGKILL at a random or at a named moment, resumed, killed again, until it has had its kills or
ends. Then every part of its state must have the SHA-256 of an unbroken run's.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fire
from kill_moments import CASE_WRITTEN, CHECKPOINT_MINUTES, IN_START, IN_TRAINING, NAMED, moments_of, train
from results_file import table, write_results
from tiny_runs import TinyRun, start, state_of, tiny_runs

from monai_patchgrow.data import write_phantom_task

RANDOM_SHARE = 0.4
SAME = "same bits"
MOST_KILLS = 6
SECONDS = 600  # after which a run counts as hung


@dataclass
class Kill:
    """One SIGKILL: the moment, and the time since the last checkpoint, or since the start where none came."""

    moment: str
    seconds_lost: float


class KillTest:
    """Trains and kills in a folder of its own.

    Args:
        folder: an empty one.
        seed: of the moments.
    """

    def __init__(self, folder: Path, *, seed: int = 0) -> None:
        self.folder, self.seed = folder, seed
        self.task = write_phantom_task(folder / "task", num_cases=6)
        warm, _ = start(_do_nothing, log=folder / "imports.txt")
        warm.join()
        self._unbroken: dict[str, tuple[dict[str, str], float, float]] = {}

    def unbroken(self, run: TinyRun) -> tuple[dict[str, str], float, float]:
        """State of a run that nobody killed, and the seconds that its start and its training took."""
        if run.name not in self._unbroken:
            output = self._make_folder(f"unbroken {run.name}")
            began = time.time()
            process, connection = self._start(run, output, cases=self.folder / "cases", moment=None, nth=0)
            connection.recv()
            started = time.time()
            process.join(SECONDS)
            self._unbroken[run.name] = state_of(output), started - began, time.time() - started
        return self._unbroken[run.name]

    def trial(self, number: int, run: TinyRun, *, kills: int) -> dict[str, Any]:
        """Kill one training up to `kills` times; its kills, and what differs in the end."""
        output, (state, *_) = self._make_folder(f"trial {number}"), self.unbroken(run)
        draw, cases, done = random.Random(f"{self.seed}/{number}"), self.folder / "cases", list[Kill]()
        code: int | None = -9
        while code == -9:
            began, moment = time.time(), self._draw_moment(draw, run, is_resumed=bool(done))
            if moment == CASE_WRITTEN:
                cases = output / f"cases_{len(done)}"  # to be made anew; else all trials share theirs
            code = self._run_until(moment if len(done) < kills else None, draw, run, output, cases)
            if code == -9:
                written = [path.stat().st_mtime for path in (output / "models").glob("last.*pt")]
                done.append(Kill(moment, time.time() - max([began, *written])))
        verdict = self._verdict(code, output, state)
        if verdict == SAME:
            shutil.rmtree(output)
        return {"trial": number, "run": run.name, "kills": [asdict(kill) for kill in done], "verdict": verdict}

    def _draw_moment(self, draw: random.Random, run: TinyRun, *, is_resumed: bool) -> str:
        if draw.random() < RANDOM_SHARE:
            return draw.choice([IN_TRAINING, IN_TRAINING, IN_START])
        return draw.choice(moments_of(run.bundle, is_resumed=is_resumed))

    def _run_until(
        self, moment: str | None, draw: random.Random, run: TinyRun, output: Path, cases: Path
    ) -> int | None:
        """Train to a moment, or to the end where it doesn't come; the exit code, None where it does not end."""
        _, start_seconds, training_seconds = self.unbroken(run)
        spans = {IN_START: start_seconds, IN_TRAINING: training_seconds}
        nth, seconds = draw.choice([1, 1, 2]), draw.random() * spans.get(moment or "", 0.0)
        named = None if moment in spans else moment
        process, connection = self._start(run, output, cases=cases, moment=named, nth=nth)
        if moment in spans:
            if moment == IN_START or _receives(connection):
                process.join(seconds)
            process.kill()
        process.join(SECONDS)
        code = process.exitcode
        process.kill()
        return code

    def _verdict(self, code: int | None, output: Path, state: dict[str, str]) -> str:
        if code is None:
            return f"still running after {SECONDS} s"
        if code:
            lines = (output / "log.txt").read_text().strip().splitlines()
            return f"exit code {code}: {lines[-1] if lines else 'nothing said'}"
        found = state_of(output)
        differing = sorted(name for name in {*state, *found} if state.get(name) != found.get(name))
        return f"differs in {', '.join(differing)}" if differing else SAME

    def _start(self, run: TinyRun, output: Path, *, cases: Path, moment: str | None, nth: int) -> Any:
        folders = {"task": self.task, "cache": cases}
        return start(train, run, output, folders, moment, nth, log=output / "log.txt")

    def _make_folder(self, name: str) -> Path:
        output = self.folder / name.replace(" ", "_").replace(",", "")
        output.mkdir()
        return output


def _do_nothing(connection: Any) -> None:
    """What the first process does: the server has imported everything when it ends."""


def _receives(connection: Any) -> bool:
    try:
        connection.recv()
    except EOFError:  # the process has ended
        return False
    return True


def kill_runs(
    kills: int, runs: Sequence[TinyRun], *, folder: Path, seed: int = 0, progress: Path | None = None
) -> list[dict[str, Any]]:
    """Do trials until there were so many kills.

    Args:
        kills: how many.
        runs: what is trained and killed in turn.
        folder: an empty one.
        seed: of the moments.
        progress: file that each trial is added to; those that it holds are not done again.
    """
    trials = [json.loads(line) for line in progress.read_text().splitlines()] if progress and progress.exists() else []
    test = KillTest(folder, seed=seed)
    while (left := kills - _count(trials)) > 0:
        number = len(trials)
        trials.append(test.trial(number, runs[number % len(runs)], kills=min(left, MOST_KILLS)))
        if progress:
            with progress.open("a") as file:
                file.write(json.dumps(trials[-1]) + "\n")
    return trials


def _count(trials: Iterable[dict[str, Any]]) -> int:
    return sum(len(trial["kills"]) for trial in trials)


def main(kills: int = 300, *, seed: int = 0, progress: str | None = None, name: str = "kill_test") -> None:
    """Kill and write the table.

    Args:
        kills: how many in all.
        seed: of the moments.
        name: of the result.
        progress: file of the trials that are done; a test that broke off goes on from it.
    """
    kept = Path(progress) if progress else None
    with tempfile.TemporaryDirectory() as folder:
        trials = kill_runs(kills, tiny_runs(), folder=Path(folder), seed=seed, progress=kept)
    write_results(
        name,
        "Trainings that were killed",
        script="benchmarks/kill_test.py",
        record={"kills": _count(trials), "checkpoint_minutes": CHECKPOINT_MINUTES, "trials": trials},
        lines=_report(trials),
    )
    if any(trial["verdict"] != SAME for trial in trials):
        sys.exit("not all the same")


def _report(trials: list[dict[str, Any]]) -> list[str]:
    rows: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for trial in trials:
        for kill in trial["kills"]:
            rows[kill["moment"]].append((kill["seconds_lost"], trial["verdict"] == SAME))
    good = [trial for trial in trials if trial["verdict"] == SAME]
    lost = [seconds for kills in rows.values() for seconds, _ in kills]
    lines = [
        f"{_count(good)} of {_count(trials)} kills, in {len(good)} of {len(trials)} trainings, left a run that ended "
        "on the same bits as an unbroken one: network, optimiser, scheduler, best metric, every handler's state, "
        "model.pt, model.safetensors, history.jsonl without its times, TensorBoard's curves (each step once).",
        "",
        f"Lost are the seconds since the last checkpoint: {sum(lost) / len(lost):.1f} s a kill on average, "
        f"{max(lost):.1f} s at most, of trainings of seconds with a checkpoint every {60 * CHECKPOINT_MINUTES:.1f} s.",
        "",
    ]
    named = [IN_TRAINING, IN_START, *NAMED]
    lines += table(
        ["killed when", "kills", "same bits", "seconds lost, mean", "at most"],
        [
            [
                moment,
                len(rows[moment]),
                sum(same for _, same in rows[moment]),
                f"{sum(seconds for seconds, _ in rows[moment]) / len(rows[moment]):.1f}",
                f"{max(seconds for seconds, _ in rows[moment]):.1f}",
            ]
            for moment in named
            if rows[moment]
        ],
    )
    bad = [[trial["trial"], trial["run"], trial["verdict"]] for trial in trials if trial not in good]
    return [*lines, "", *(table(["trial", "run", "verdict"], bad) if bad else [])]


if __name__ == "__main__":
    fire.Fire(main)
