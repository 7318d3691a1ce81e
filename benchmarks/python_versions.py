"""The whole suite and both quickstarts on several interpreters, each from a fresh clone with an environment of its own.

    .venv/bin/python benchmarks/python_versions.py "['/usr/bin/python3.10','/usr/bin/python3.12']" --work DIR

An interrupted sweep goes on where it was; each clone's environment may take 7 GB.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fire
from results_file import table, write_results

ROOT = Path(__file__).parents[1]
JOBS = ("test", "quickstart", "quickstart_patchgd")
COUNTS = re.compile(r"(\d+) (passed|failed|skipped|errors?)\b")


def run(interpreter: str, *, clone: Path, job: str, log: Path) -> dict[str, Any]:
    """Run one of the scripts in a clone; its output goes to `log`."""
    began = time.monotonic()
    with log.open("w") as output:
        environment = {**os.environ, "PYTHON": interpreter}
        command = ["bash", str(clone / "scripts" / f"{job}.sh")]
        code = subprocess.run(command, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    return {"exit_code": code, "seconds": round(time.monotonic() - began)}


def counts(log: str) -> str:
    """What pytest's last line says; empty where there is none."""
    lines = [line for line in log.splitlines() if line.startswith("=====") and " in " in line and COUNTS.search(line)]
    return ", ".join(" ".join(found) for found in COUNTS.findall(lines[-1])) if lines else ""


def sweep(interpreters: Sequence[str], *, work: str, note: str = "") -> None:
    """Run all jobs on all interpreters and write the table.

    Args:
        interpreters: paths.
        work: folder of the clones and logs; another run goes on in it.
        note: what is to be known of the machine.
    """
    folder = Path(work)
    folder.mkdir(parents=True, exist_ok=True)
    data = os.environ.setdefault("PATCHGROW_DATA", str(ROOT.parent / "shared" / "data"))
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip()
    records = []
    for interpreter in interpreters:
        asks = "import platform; print(platform.python_version())"
        version = subprocess.check_output([interpreter, "-c", asks], text=True).strip()
        clone = folder / version
        if not clone.exists():
            subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        for job in JOBS:
            log, done = folder / f"{version}.{job}.log", folder / f"{version}.{job}.json"
            if not done.exists():
                done.write_text(json.dumps(run(interpreter, clone=clone, job=job, log=log)))
            result = json.loads(done.read_text())
            tail = log.read_text(errors="replace")
            records.append({"python": version, "job": job, **result, "tests": counts(tail) if job == "test" else ""})
    rows = [[r["python"], r["job"], r["tests"] or "", r["exit_code"], r["seconds"]] for r in records]
    write_results(
        "python_versions",
        "Suite and quickstarts on several Pythons",
        script="benchmarks/python_versions.py",
        record={"commit": commit, "data": Path(data).name, "note": note, "runs": records},
        lines=[*([note, ""] if note else []), *table(["Python", "script", "tests", "exit code", "s"], rows)],
    )


if __name__ == "__main__":
    fire.Fire(sweep)
