"""The steps that train the Task04 bundle: whole runs, stages, options, loaders, determinism."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from bundle_runs import STAGES, counting_waits, measure_stages, workflow_of
from ignite.engine import Events
from task04 import PLAN

from monai_patchgrow.handlers.run_log import read_history
from monai_patchgrow.schedules import GrowthSchedule

__all__ = ["compare_loaders", "compare_options", "measure_performance", "smoke", "sweep_stages", "train_twice"]

_OPTIONS: dict[str, dict[str, Any]] = {
    "bfloat16": {},
    "float32": {"amp": False},
    "float16": {"amp_kwargs": {"dtype": "$torch.float16"}},
    "channels_last": {"channels_last": True},
    "not deterministic": {"deterministic": False},
    "compiled": {"compile": True},
    "reduce-overhead": {"compile": "reduce-overhead"},
    "cuda-graphs": {"compile": "cuda-graphs"},
}
_CPU_OPTIONS = ("float32", "channels_last", "not deterministic")


def smoke(device: str, folder: Path) -> dict[str, Any]:
    """A run over all stages that is stopped after eight and resumed, its validation, and where iterations wait."""
    shutil.rmtree(folder, ignore_errors=True)
    keys = {"max_epochs": len(STAGES), "iterations_per_epoch": 4, "val_interval": len(STAGES)}
    workflow = workflow_of(device, folder, **keys)
    trainer = workflow.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=8), trainer.terminate)
    with counting_waits(trainer) as waits:
        workflow.run()
    resumed = workflow_of(device, folder, **keys, resume=True)
    resumed.run()
    history = read_history(folder / "history.jsonl")
    return {
        "epochs": [record["epoch"] for record in history],
        "patches": [record["patch_size"] for record in history],
        "losses": [round(record["loss"], 4) for record in history],
        "dice": history[-1]["dice"],
        "files": sorted(path.name for path in (folder / "models").iterdir()),
        "waits_per_iteration": len(waits) / (8 * 4 - 2) if device == "cuda" else None,
        "waits": Counter(waits).most_common(10),
    }


def sweep_stages(device: str, folder: Path) -> dict[str, Any]:
    """Every stage of Task04's plan, and the share of `constant`'s time that the curriculum takes by them."""
    stages = measure_stages(device, folder, iterations=8, seconds=1.5)
    time = {tuple(row["patch"]): row["ms"] for row in stages}
    planned = sum(stage.num_epochs * time[stage.patch_size] for stage in STAGES) / PLAN["max_epochs"]
    return {"share_of_constant": round(planned / stages[-1]["ms"], 3), "stages": stages}


def compare_options(device: str, folder: Path) -> dict[str, Any]:
    """Number formats, memory formats, compilers and graphs on the first, a middle and the last stage."""
    names = tuple(_OPTIONS) if device == "cuda" else _CPU_OPTIONS
    sizes = (0, len(STAGES) // 2, len(STAGES) - 1)
    results: dict[str, Any] = {}
    for name in names:
        try:
            results[name] = measure_stages(device, folder, iterations=10, seconds=1.5, sizes=sizes, **_OPTIONS[name])
        except (RuntimeError, ValueError, SystemExit) as error:
            results[name] = {"error": " ".join(str(error).split())[:300]}
    return results


def compare_loaders(device: str, folder: Path) -> dict[str, Any]:
    """The first and the last stage with several numbers of workers."""
    sizes, numbers = (0, len(STAGES) - 1), (0, 1, 2, 4, 8) if device == "cuda" else (0, 2)
    return {
        str(workers): [
            {name: row[name] for name in ("patch", "ms", "host_ms", "parts_ms")}
            for row in measure_stages(device, folder, iterations=20, seconds=1.5, sizes=sizes, num_workers=workers)
        ]
        for workers in numbers
    }


def train_twice(device: str, folder: Path) -> dict[str, Any]:
    """Whether two runs end on the same weights, and a third that is not deterministic."""
    digests = []
    for number, deterministic in enumerate((True, True, False)):
        keys = {"max_epochs": 3, "iterations_per_epoch": 10, "val_interval": 3, "deterministic": deterministic}
        output = folder / str(number)
        shutil.rmtree(output, ignore_errors=True)
        workflow = workflow_of(device, output, **keys)
        workflow.run()
        weights = workflow.parser.get_parsed_content("network_on_device").state_dict().values()
        digests.append(hashlib.sha256(b"".join(one.cpu().numpy().tobytes() for one in weights)).hexdigest()[:16])
    return {"same": digests[0] == digests[1], "same_as_not_deterministic": digests[0] == digests[2]}


def measure_performance(device: str, folder: Path) -> dict[str, Any]:
    """The first stage of `performance`: as many of the smallest patches as fill the full patch's batch."""
    plan = GrowthSchedule.plan(**PLAN, curriculum="performance")
    keys = {"curriculum": "performance", "max_epochs": len(plan.stages), "iterations_per_epoch": 6, "num_workers": 0}
    trainer = workflow_of(device, folder, **keys).parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.EPOCH_COMPLETED, trainer.terminate)
    trainer.run()
    epoch = trainer.state.throughput.epoch
    return {
        "patch": list(plan.stages[0].patch_size),
        "patches": plan.stages[0].batch_size,
        "ms": round(1000 * (epoch.seconds - epoch.waiting_seconds) / 6, 2),
        "waiting_ms": round(1000 * epoch.waiting_seconds / 6, 2),
        "peak_GiB": round(torch.cuda.max_memory_allocated() / 2**30, 3) if device == "cuda" else None,
    }
