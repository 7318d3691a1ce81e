"""Trains one bundle under a curriculum and under `constant` for the same time, and sets the runs side by side."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_patchgrow.files import write_whole
from monai_patchgrow.tools.compare import logged_bundle
from monai_patchgrow.tools.compare.report import (
    Run,
    dice_table,
    epochs_in_equal_time,
    plot_dice,
    read_run,
    summary_json,
)

__all__ = ["compare", "train"]

_BASELINE = "constant"


def compare(
    bundle: str | Path,
    *,
    dataset_dir: str | Path,
    output_dir: str | Path,
    curriculum: str = "efficiency",
    max_epochs: int,
    validations: int,
    title: str = "",
    **settings: Any,
) -> list[Run]:
    """Train a curriculum, then ``constant`` for the same time, and write ``comparison.md``, ``.json`` and ``.png``.

    Each run is planned for its own epochs, with its own learning rate down to the end. How many epochs of the full
    patch the time holds, the growing run's last stage tells, which trains on it.

    Args:
        bundle: a training bundle's folder.
        dataset_dir: folder in Decathlon layout.
        output_dir: gets the comparison, and a folder per run.
        curriculum: name of what is compared with ``constant``.
        max_epochs: epochs of the curriculum's run.
        validations: of each run, spread over its epochs.
        title: headline of the picture.
        **settings: further keys of the bundle's train.json, the same for both.

    Returns:
        The runs, ``constant`` first; that one alone where it is the curriculum.

    Raises:
        SystemExit: a training that failed.
    """
    folder = Path(output_dir)

    def run(name: str, epochs: int) -> Run:
        train(
            bundle,
            dataset_dir=dataset_dir,
            output_dir=folder / name,
            cache_dir=folder / "preprocessed",
            curriculum=name,
            max_epochs=epochs,
            val_interval=max(1, epochs // validations),
            **settings,
        )
        return read_run(folder / name, label=name)

    runs = [run(curriculum, max_epochs)]
    if curriculum != _BASELINE:
        runs.insert(0, run(_BASELINE, epochs_in_equal_time(runs[0])))
    write_whole(dice_table(runs) + "\n", folder / "comparison.md")
    write_whole(summary_json(runs) + "\n", folder / "comparison.json")
    plot_dice(runs, folder / "comparison.png", title=title)
    return runs


def train(
    bundle: str | Path,
    *,
    dataset_dir: str | Path,
    output_dir: str | Path,
    cache_dir: str | Path,
    **settings: Any,
) -> None:
    """Run a training bundle in a process of its own, as ``python -m monai.bundle run`` does on the command line.

    Its log goes to ``output_dir/train.log``, a traceback too; progress bars and the one line of an error stay on the
    terminal. Preprocessed cases are kept in `cache_dir`, for other runs too.

    Raises:
        SystemExit: the run failed, with its exit code; it has said why.
    """
    output = Path(output_dir).absolute()
    output.mkdir(parents=True, exist_ok=True)
    config = Path(bundle).absolute() / "configs" / "train.json"
    folders = {"dataset_dir": dataset_dir, "output_dir": output_dir, "cache_dir": cache_dir}
    overrides = {**{name: str(Path(folder).absolute()) for name, folder in folders.items()}, **settings}
    # Of all warnings only the schedule's, that it merged stages.
    quiet = ["-W", "ignore", "-W", "default:max_epochs"]
    log = output / "train.log"
    command = [sys.executable, *quiet, "-m", logged_bundle.__name__, str(log), "run", "--config_file", str(config)]
    with log.open("w") as stdout:
        process = subprocess.run([*command, *_as_arguments(overrides)], stdout=stdout, check=False)
    if process.returncode < 0:
        raise SystemExit(f"error: the training was ended by signal {-process.returncode} (its log: {log})")
    if process.returncode:
        raise SystemExit(process.returncode)


def _as_arguments(overrides: Mapping[str, Any]) -> list[str]:
    arguments = []
    for name, value in overrides.items():
        # Python literals, as fire reads them: JSON's false would arrive as a string, which is true.
        arguments += [f"--{name}", value if isinstance(value, str) else repr(value)]
    return arguments
