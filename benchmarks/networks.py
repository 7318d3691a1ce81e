"""Trains SegResNet, UNETR and SwinUNETR with a growing patch on the real MSD Task04, by one override each.

    bash scripts/setup.sh plot && . scripts/environment.sh && .venv/bin/python benchmarks/networks.py

The bundle's own train.json, 160 cases train and 40 validate (fold 0); the networks are narrowed so that two CPU cores
do. Writes a dated JSON, Markdown and PNG to benchmarks/results: of every network its stages, and Dice at its first and
its last validation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fire
from results_file import table, write_results
from task04 import BUNDLE, find_task04

from monai_patchgrow.schedules.arguments import format_size
from monai_patchgrow.tools.compare.compare import train
from monai_patchgrow.tools.compare.report import Run, plot_dice, read_run, summary_json

SETTINGS: dict[str, Any] = {
    "batch_size": 2,
    "fold": 0,
    "augment": False,
    "curriculum": "efficiency",
    "deep_supervision_weights": [1.0],
    "learning_rate": 1e-3,
    "optimizer": {
        "_target_": "torch.optim.AdamW",
        "params": "$@network_on_device.parameters()",
        "lr": "@learning_rate",
        "weight_decay": 1e-5,
    },
}
# Of each the full patch, in multiples of its total stride that hold a whole hippocampus or nearly so.
NETWORKS: dict[str, dict[str, Any]] = {
    "segresnet": {"patch_size": [40, 56, 40], "networks#segresnet#init_filters": 8},
    "unetr": {
        "patch_size": [48, 64, 48],
        "networks#unetr#feature_size": 8,
        "networks#unetr#hidden_size": 192,
        "networks#unetr#mlp_dim": 768,
        "networks#unetr#num_heads": 6,
    },
    "swinunetr": {"patch_size": [32, 64, 32], "networks#swinunetr#feature_size": 12},
}


def measure(
    data: str | None = None,
    networks: Sequence[str] = tuple(NETWORKS),
    iterations: int = 200,
    validations: int = 4,
    seed: int = 0,
    output_dir: str = "runs/networks",
    iterations_per_epoch: int = 10,
    num_workers: int = 1,
    **overrides: Any,
) -> None:
    """Train each network for the same number of iterations, and write the results.

    Further keys of the bundle's train.json may follow (``--learning_rate 0.0003``).
    """
    epochs = iterations // iterations_per_epoch
    shared = {
        **SETTINGS,
        "seed": seed,
        "max_epochs": epochs,
        "iterations_per_epoch": iterations_per_epoch,
        "val_interval": max(1, epochs // validations),
        "num_workers": num_workers,
        **overrides,
    }
    runs = []
    for name in networks:
        folder = Path(output_dir) / name
        train(
            BUNDLE,
            dataset_dir=find_task04(data),
            cache_dir=Path(output_dir) / "preprocessed",
            output_dir=folder,
            network_def=f"%networks#{name}",
            **{**NETWORKS[name], **shared},
        )
        runs.append(read_run(folder, label=name))
    _write(shared, runs)


def _write(shared: dict[str, Any], runs: list[Run]) -> None:
    title = "MSD Task04, other networks on a growing patch"
    networks = {run.label: NETWORKS[run.label] for run in runs}
    record = {"settings": shared, "networks": networks, "runs": json.loads(summary_json(runs))}
    lines = [
        f"160 cases train, 40 validate (fold 0); settings `{json.dumps(shared)}`; networks `{json.dumps(networks)}`. "
        "Mean Dice of the first and the last validation, each with the full patch.",
        "",
        *table(["network", "patches", "first Dice", "last Dice", "training, s"], [_row(run) for run in runs]),
    ]
    page = write_results("task04_networks", title, script="benchmarks/networks.py", record=record, lines=lines)
    picture = plot_dice(runs, page.with_suffix(".png"), title=title)
    with page.open("a") as text:
        text.write(f"\n![Dice over time]({picture.name})\n")


def _row(run: Run) -> list[str]:
    sizes = list(dict.fromkeys(format_size(epoch["patch_size"]) for epoch in run.history))
    dice = [epoch["dice"]["mean"] for epoch in run.history if epoch["dice"]]
    return [run.label, ", ".join(sizes), f"{dice[0]:.3f}", f"{dice[-1]:.3f}", f"{run.seconds:.0f}"]


if __name__ == "__main__":
    fire.Fire(measure)
