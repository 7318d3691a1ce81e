"""Measures everything about a GPU that a CPU can't tell: one step after the other, one line of JSON each.

    bash benchmarks/gpu.sh                  # on a GPU
    bash benchmarks/gpu.sh --device cpu     # the same as far as a CPU goes, to try it

Each step runs in a process of its own, with a limit of time, and adds a line to steps.jsonl in the output folder; one
that has succeeded on this device is not repeated. A table of all of them ends it. Cases are phantoms: no data needed.
"""

from __future__ import annotations

import json
import multiprocessing
import queue
import sys
import time
from pathlib import Path
from typing import Any

import fire

sys.path.insert(0, str(Path(__file__).parents[1]))

from results_file import hardware
from steps import STEPS, do_step


def main(
    device: str = "cuda", output: str = "runs/gpu", only: str | tuple[str, ...] = (), limit_s: float = 480
) -> None:
    """Run the steps that are not done.

    Args:
        device: "cuda" or "cpu".
        output: folder of steps.jsonl.
        only: names of steps, with commas between them.
        limit_s: after so many seconds no further step is begun.
    """
    names = (only.split(",") if isinstance(only, str) else list(only)) or list(STEPS)
    folder, began = Path(output) / device, time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    lines = folder / "steps.jsonl"
    done = {record["step"] for record in _read(lines) if "error" not in record}
    for name in names:
        if name in done:
            continue
        if time.monotonic() - began > limit_s:
            print(f"{limit_s:g} s are over: start it again for {name} and what follows", flush=True)
            break
        record = _run(name, device, folder)
        with lines.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(json.dumps(record), flush=True)
    _tell({record["step"]: record for record in _read(lines)})


def _run(name: str, device: str, folder: Path) -> dict[str, Any]:
    limit = STEPS[name][1]
    context, began = multiprocessing.get_context("spawn"), time.monotonic()
    results: Any = context.Queue()
    process = context.Process(target=do_step, args=(name, device, folder / name, results))
    process.start()
    try:
        result = results.get(timeout=limit if device == "cuda" else 20 * limit)
    except queue.Empty:
        result = {"error": f"not done within {limit} s"}
        process.kill()
    process.join(20)
    if process.is_alive():
        process.kill()
    return {
        "step": name,
        "device": device,
        "hardware": hardware(),
        "seconds": round(time.monotonic() - began, 1),
        **result,
    }


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _tell(records: dict[str, dict[str, Any]]) -> None:
    for name in STEPS:
        record = records.get(name, {"error": "not done"})
        print(f"{name:14} {record.get('seconds', 0):6.1f} s  {record.get('error', 'done')}")


if __name__ == "__main__":
    fire.Fire(main)
