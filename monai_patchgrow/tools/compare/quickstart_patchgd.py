"""PatchGD's quickstart: grades that only show in a slide's texture at full resolution, learnt on a CPU."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch

from monai_patchgrow.data.synthetic.phantom_slides import GLASS, phantom_slide, write_phantom_slides
from monai_patchgrow.data.tasks.image_split import find_image_split
from monai_patchgrow.data.tasks.labelled_images import read_labelled_images
from monai_patchgrow.files import write_whole
from monai_patchgrow.handlers.run_log import read_history
from monai_patchgrow.tools.compare.own_process import in_own_process, peak_of_run
from monai_patchgrow.tools.compare.patchgd_report import EvidencePicture, PatchGDRun, plot_runs, result_table
from monai_patchgrow.tools.compare.shrunk_slides import shrink_slides
from monai_patchgrow.tools.compare.slide_evidence import evidence_in_tumour

__all__ = ["quickstart_patchgd"]

_NUM_SLIDES, _SIZE, _GRADES = 80, 3072, 6
_PATCH, _CHUNK = 128, 4
_SHRUNK = 256  # as many pixels as a chunk has
_VALIDATIONS = 3
_PICTURE_SIDE = 256  # of the outline of the tumour

_SETTINGS: dict[str, Any] = {
    "patch_size": [_PATCH, _PATCH],
    "level": 0,
    "padding": GLASS,
    "num_classes": _GRADES,
    "backbone": "plain_cnn",
    "backbone_options": {"channels": [8, 16, 32, 32], "mean": [0.77, 0.55, 0.72], "std": 0.1},
    "latent_dim": 32,
    "head": "mean",
    "chunk_size": _CHUNK,
    "skip_background": True,
    "ignore_background": True,
    "num_workers": 0,
    "amp": False,
    "device": torch.device("cpu"),
}
_TRAINING: dict[str, Any] = {
    "sampling": 1 / 8,
    "inner_steps": 1,
    "batch_size": 1,
    "learning_rate": 0.004,
    "warm_up_epochs": 0,
    "mirror_axes": [],
    "rotate90": False,
    "verify_data": False,
}
_NOTE = f"""\
the grade is the share of tumour, which differs from other tissue in its texture alone. PatchGD encodes {_CHUNK} patches
of {_PATCH} pixels at a time; gradient descent has the whole slide at once: shrunk to {_SHRUNK} pixels, so that it takes
no more memory, or as it is. Encoder, head, slides, seed and number of steps are the same. Peak memory is that of the
process beyond what it took before the first step."""


def quickstart_patchgd(
    bundle: str | Path,
    *,
    epochs: int = 5,
    output_dir: str | Path = "runs/quickstart_patchgd",
    seed: int = 0,
) -> str:
    """Train the grades of phantom slides by PatchGD, and by gradient descent on slides shrunk to the same memory.

    Args:
        bundle: folder of ``panda_classification_patchgd``.
        epochs: of 64 slides each.
        output_dir: gets the slides, a folder per run, the table and the picture.
        seed: of all runs; the slides are always the same.

    Returns:
        The table, what it compares, how much of the evidence lies in the tumour, and where the picture is.

    Raises:
        ValueError: no packages to write slides or the picture with.
        SystemExit: a training that failed, with the reason and its log's path.
    """
    folder, configs = Path(output_dir), Path(bundle) / "configs"
    slides = write_phantom_slides(
        folder / "slides", num_slides=_NUM_SLIDES, size=_SIZE, num_grades=_GRADES, tile_size=_PATCH
    )
    items = read_labelled_images(slides, _GRADES)
    shrunk = shrink_slides(items, folder / "shrunk", longer_side=_SHRUNK)
    steps = epochs * len(find_image_split(items, fold=0)[0])
    learning = {"_target_": "torch.optim.lr_scheduler.PolynomialLR", "optimizer": "@optimizer", "total_iters": steps}
    interval = {"max_epochs": epochs, "val_interval": max(1, -(-epochs // _VALIDATIONS))}
    training = {**_SETTINGS, **_TRAINING, **interval, "lr_scheduler": learning, "seed": seed}
    whole = {"sampling": 1.0, "chunk_size": None, "skip_background": False}
    one_step = {"max_epochs": 1, "train#trainer#epoch_length": 1, "val_interval": 1, **_without_validation()}
    methods: dict[str, dict[str, Any]] = {
        f"PatchGD, {_SIZE} px": {"dataset_dir": str(slides)},
        f"gradient descent, {_SHRUNK} px": {**whole, "dataset_dir": str(shrunk)},
        f"gradient descent, {_SIZE} px": {**whole, **one_step, "dataset_dir": str(slides)},
    }
    train = partial(_train, configs / "train.json", folder, training)
    with ThreadPoolExecutor(2) as pool:  # each training has a process of one thread
        runs = list(pool.map(train, methods, methods.values()))
    evidence, words = _explain(configs, items, folder, runs[0])
    table = result_table(runs)
    write_whole(f"{table}\n\n{words}\n", folder / "comparison.md")
    plot_runs(runs, folder / "comparison.png", evidence=evidence, title=f"{_GRADES} grades of slides of {_SIZE} pixels")
    curves = shlex.join([str(Path(sys.executable).with_name("tensorboard")), "--logdir", str(folder)])
    return f"{table}\n\n{_NOTE}\n\n{words}\npicture: {folder / 'comparison.png'}\ncurves:  {curves}"


def _train(config: Path, folder: Path, training: dict[str, Any], label: str, changes: dict[str, Any]) -> PatchGDRun:
    output = folder / _folder_name(label)
    settings = {**training, **changes, "output_dir": str(output)}
    options: dict[str, Any] = {"log": output / "train.log", "shows_progress": label.startswith("PatchGD")}
    peak = in_own_process(peak_of_run, str(config), settings, encode_one, **options)
    return PatchGDRun(label, tuple(read_history(output / "history.jsonl")), peak)


def _folder_name(label: str) -> str:
    return label.replace(",", "").replace(" ", "_")


def encode_one(network: Any) -> None:
    """Encode a patch forward and backward: what the first step of any run loads."""
    network.encoder(torch.zeros(1, 3, _PATCH, _PATCH)).sum().backward()
    network.zero_grad(set_to_none=True)


def _without_validation() -> dict[str, Any]:
    return {f"train#handlers#{place}#_disabled_": True for place in (8, 9)}


def _explain(configs: Path, items: list[dict[str, Any]], folder: Path, run: PatchGDRun) -> tuple[EvidencePicture, str]:
    """The evidence of the slides that were held back and have tumour, the one of most tumour as a picture."""
    held_back = [item for item in find_image_split(items, fold=0)[1] if item["label"]]
    held_back.sort(key=lambda item: item["label"])
    output = folder / "evidence"
    weights = folder / _folder_name(run.label) / "models" / "model.pt"
    places: Mapping[str, Any] = {
        "dataset_dir": [item["image"] for item in held_back],
        "output_dir": str(output),
        "ckpt_path": str(weights),
    }
    numbers = {Path(item["image"]).stem: int(Path(item["image"]).stem.rsplit("_", 1)[1]) for item in held_back}
    found = in_own_process(
        evidence_in_tumour,
        *(str(configs / "inference.json"), {**_SETTINGS, **places}, numbers, _SIZE, _GRADES),
        log=output / "inference.log",
    )
    inside = sum(one.inside for one in found) / len(found)
    chance = sum(one.chance for one in found) / len(found)
    words = (
        f"evidence for a higher grade that lies in the tumour: {inside:.0%}; chance would put {chance:.0%} there "
        f"(mean of {len(found)} validation slides)"
    )
    name = Path(held_back[len(held_back) // 2]["image"]).stem
    shown = next(one for one in found if one.name == name)
    slide = phantom_slide(numbers[name], size=_SIZE, num_grades=_GRADES)
    step = _SIZE // _PICTURE_SIDE
    cells = [
        (slice(row, row + 1), slice(column, column + 1))
        for row in range(step // 2, slide.shape[1], step)
        for column in range(step // 2, slide.shape[2], step)
    ]
    tumour = slide.shares(cells)[:, 1].reshape(-1, len(range(step // 2, slide.shape[2], step))).numpy() > 0
    title = f"evidence (red), {shown.inside:.0%} in the tumour (outlined)"
    return EvidencePicture(output / "evidence" / f"{name}.png", tumour, title), words
