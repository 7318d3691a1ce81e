"""The quickstart: one data set, `constant` against a curriculum for the same time, in a few minutes on a CPU."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from monai_patchgrow.data import read_task, split_cases, verify_cases, write_phantom_task
from monai_patchgrow.schedules.curricula import find_curriculum
from monai_patchgrow.tools.compare.compare import compare
from monai_patchgrow.tools.compare.quick_settings import quick_settings
from monai_patchgrow.tools.compare.report import dice_table

__all__ = ["quickstart"]

_ITERATIONS_PER_EPOCH = 20
_VALIDATIONS = 6
_ON_REAL_DATA = (
    "on real data (MSD Task04): constant 0.580, efficiency 0.837 in the same 230 s, 0.851 and 0.859 in 460 s; for as "
    "many iterations, in half of the time, efficiency ends 0.015 lower: docs/explanation/time-and-dice.md"
)


def quickstart(
    bundle: str | Path,
    *,
    data: str | Path | None = None,
    curriculum: str = "efficiency",
    epochs: int = 45,
    output_dir: str | Path = "runs/quickstart",
    seed: int = 0,
) -> str:
    """Train a bundle with a curriculum, then with `constant` for as long: same seed, network and recipe.

    Args:
        bundle: a training bundle's folder.
        data: folder in Decathlon layout; default: the phantom task, written to `output_dir`.
        curriculum: what to compare with `constant`.
        epochs: epochs of the curriculum, of 20 iterations each; `constant` gets those that the same time holds.
        output_dir: gets a folder per run, the table and the picture.
        seed: seed of both runs.

    Returns:
        The table, and where the picture and the curves are.

    Raises:
        ValueError: unsound data, or an unknown curriculum; nothing has been trained then.
        SystemExit: a training that failed; it has said why.
    """
    folder = Path(output_dir)
    find_curriculum(curriculum)  # before the phantom is written
    task_dir = Path(data) if data else write_phantom_task(folder / "phantom")
    task = read_task(task_dir)
    split_cases(task.cases, fold=0)
    verify_cases(task)
    runs = compare(
        bundle,
        dataset_dir=task_dir,
        output_dir=folder,
        curriculum=curriculum,
        max_epochs=epochs,
        validations=_VALIDATIONS,
        title=f"{task.name}: both trained for the same time",
        iterations_per_epoch=_ITERATIONS_PER_EPOCH,
        seed=seed,
        verify_data=False,  # just done
        **quick_settings(task),
    )
    curves = shlex.join([str(Path(sys.executable).with_name("tensorboard")), "--logdir", str(folder)])
    return f"{dice_table(runs)}\n\n{_ON_REAL_DATA}\npicture: {folder / 'comparison.png'}\ncurves:  {curves}"
