"""Trainings of seconds with two real bundles, in a process of their own, and the state that each ends on."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from monai_patchgrow.handlers.run_log import read_history

ROOT = Path(__file__).parents[1]
HIPPOCAMPUS, ULTRAMNIST = "hippocampus_segmentation_patchgrow", "ultramnist_classification_patchgd"
SEGMENTATION = {
    "patch_size": [16, 16, 16],
    "features": [4, 4, 8, 8],
    "batch_size": 2,
    "max_epochs": 5,
    "iterations_per_epoch": 8,
    "val_interval": 2,
    "spacing": [2.0, 2.0, 2.0],
    "labels": {"0": "background", "1": "head", "2": "tail"},
    "network_def#dropout": 0.1,
}
CLASSIFICATION = {
    "backbone": "small_cnn",
    "backbone_options": {"channels": [8, 8, 8, 8]},
    "latent_dim": 8,
    "patch_size": [32, 32],
    "image_size": [64, 64],
    "train_images": 42,
    "val_images": 7,
    "batch_size": 7,
    "max_epochs": 4,
    "head": "attention",
    "curriculum": "efficiency",
}
IMPORTED = (
    "monai.apps",
    "monai.bundle",
    "monai.engines",
    "monai.handlers",
    "monai.inferers",
    "monai_patchgrow.bundle.patchgd.program",
    "monai_patchgrow.bundle.segmentation",
    "monai_patchgrow.handlers",
    "scipy.ndimage",
    "torch.utils.tensorboard",
)


@dataclass(frozen=True)
class TinyRun:
    """A training: its bundle, and what it changes there."""

    name: str
    bundle: str
    settings: Mapping[str, Any]
    others: Mapping[str, Any] = field(default_factory=dict)  # what changes no result, such as the workers

    def workflow(self, output: Path, *, task: Path, cache: Path, **more: Any) -> ConfigWorkflow:
        """MONAI's workflow of the run.

        Args:
            output: folder that it writes to.
            task: folder of a segmentation's data set.
            cache: folder of its preprocessed cases.
            **more: further settings.
        """
        folders = {"dataset_dir": str(task), "cache_dir": str(cache)} if self.bundle == HIPPOCAMPUS else {}
        return ConfigWorkflow(
            str(ROOT / "bundles" / self.bundle / "configs" / "train.json"),
            workflow_type="train",
            logging_file=False,
            output_dir=str(output),
            **{**self.settings, **self.others, **folders, **more},
        )


def tiny_runs() -> list[TinyRun]:
    """Every kind of run that is resumed otherwise: curricula, workers, PatchGD's two variants."""
    return [
        TinyRun(
            "segmentation, efficiency",
            HIPPOCAMPUS,
            {**SEGMENTATION, "curriculum": "efficiency"},
            {"num_workers": 0},
        ),
        TinyRun("PatchGD, stepwise", ULTRAMNIST, {**CLASSIFICATION, "exact": False}, {"num_workers": 0}),
        TinyRun(
            "segmentation, performance, 2 workers",
            HIPPOCAMPUS,
            {**SEGMENTATION, "curriculum": "performance"},
            {"num_workers": 2},
        ),
        TinyRun("PatchGD, exact, 2 workers", ULTRAMNIST, {**CLASSIFICATION, "exact": True}, {"num_workers": 2}),
    ]


def start(function: Callable[..., Any], *arguments: Any, log: Path) -> tuple[BaseProcess, Connection]:
    """Start a process that has imported what a bundle needs.

    Args:
        function: of a module; it is given a connection and `arguments`.
        *arguments: of the function.
        log: file that the process's output is appended to.

    Returns:
        The process, and this one's end of the connection.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    ours, theirs = context.Pipe()
    process = context.Process(target=_call, args=(function, log, theirs, arguments))
    process.start()
    theirs.close()
    return process, ours


def _call(function: Callable[..., Any], log: Path, connection: Connection, arguments: tuple[Any, ...]) -> None:
    multiprocessing.set_start_method("fork", force=True)  # of loaders' workers: as in a process that nobody serves
    os.setsid()
    opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(opened, number)
    warnings.simplefilter("ignore")
    function(connection, *arguments)


def state_of(output: Path) -> dict[str, str]:
    """The SHA-256 of each part of what a run left, without its times.

    Args:
        output: folder of a run that has ended.
    """
    last = torch.load(output / "models" / "last.pt", weights_only=True)
    last["throughput"] = {name: number for name, number in last["throughput"].items() if not _is_time(name)}
    history = [
        {name: value for name, value in record.items() if not _is_time(name)}
        for record in read_history(output / "history.jsonl")
    ]
    parts = {
        **last,
        "model.pt": torch.load(output / "models" / "model.pt", weights_only=True),
        "model.safetensors": (output / "models" / "model.safetensors").read_bytes().hex(),
        "history.jsonl": history,
        "TensorBoard": curves(output / "tensorboard"),
    }
    return {name: digest(part) for name, part in parts.items()}


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of TensorBoard's curves, as its page shows them, without those of speed."""
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # of the points that a resumed run drops
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(point.step, point.value) for point in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.startswith("speed/")
    }


def digest(value: Any) -> str:
    """The SHA-256 of tensors and plain values, in whatever containers."""
    content = hashlib.sha256()
    _add(value, content.update)
    return content.hexdigest()


def _add(value: Any, update: Callable[[bytes], None]) -> None:
    if isinstance(value, Mapping):
        for name in sorted(value, key=repr):
            update(repr(name).encode())
            _add(value[name], update)
    elif isinstance(value, list | tuple):
        update(f"{len(value)}".encode())
        for one in value:
            _add(one, update)
    elif isinstance(value, torch.Tensor):
        update(f"{value.dtype} {tuple(value.shape)}".encode())
        update(value.detach().cpu().contiguous().numpy().tobytes())
    else:
        update(json.dumps(value).encode())


def _is_time(name: str) -> bool:
    return "second" in name or name == "waiting_share"
