"""PatchGD's quickstart: UltraMNIST at 512 pixels, against gradient descent under the same memory, on a CPU."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow

from monai_patchgrow.bundle.one_line import reason_of
from monai_patchgrow.data.synthetic.digits import read_digits
from monai_patchgrow.files import write_whole
from monai_patchgrow.handlers.run_log import read_history
from monai_patchgrow.tools.compare.patchgd_report import PatchGDRun, plot_errors, result_table

__all__ = ["quickstart_patchgd"]

_SIZE, _PATCH, _SAMPLING = 512, 64, 1 / 8
_SHRUNK = 192  # 9 patches, where PatchGD holds 8 of its 64
_CELLS = (_SIZE // _PATCH) ** 2
_HELD = round(_SAMPLING * _CELLS)
_NOTE = f"""\
same memory: of an image of {_SIZE} pixels PatchGD holds up to {_HELD} of {_CELLS} patches with gradients, of empty ones
but one; gradient descent holds whole images, which within that memory have {_SHRUNK} pixels. Encoder, head, images,
epochs and seed are the same. Peak memory is that of the process beyond what it took before the first step."""

_SETTINGS = {
    "image_size": [_SIZE, _SIZE],
    "patch_size": [_PATCH, _PATCH],
    "sampling": _SAMPLING,
    "digit_pixels": [20, 28],
    "target": "grades",
    "backbone": "plain_cnn",
    "backbone_options": {"channels": [8, 16, 32, 64]},
    "latent_dim": 64,
    "head": "sum",
    "skip_background": True,
    "batch_size": 8,
    "learning_rate": 0.002,
    "warm_up_epochs": 0,
    "train_images": 1120,
    "val_images": 168,
    "num_workers": 0,
    "amp": False,
}


def quickstart_patchgd(
    bundle: str | Path,
    *,
    digits: str | Path | None = None,
    epochs: int = 7,
    whole: bool = True,
    output_dir: str | Path = "runs/quickstart_patchgd",
    seed: int = 0,
) -> str:
    """Train the sum of a few small digits in large images by PatchGD and by gradient descent.

    Args:
        bundle: folder of ``ultramnist_classification_patchgd``.
        digits: folder of MNIST's IDX files; default: scikit-learn's digits.
        epochs: epochs of 1 120 images each.
        whole: also train by gradient descent on whole images, at whatever memory that takes.
        output_dir: gets a folder per run, the table and the picture.
        seed: of all runs.

    Returns:
        The table, what it compares, and where picture and evidence are.

    Raises:
        ValueError: digits that can't be read; nothing has been trained then.
        SystemExit: a training that failed, with the reason and its log's path.
    """
    folder = Path(output_dir)
    read_digits(digits, "val")
    methods: dict[str, dict[str, Any]] = {
        f"PatchGD, {_SIZE} px": {},
        f"gradient descent, {_SHRUNK} px": {"shrink_to": [_SHRUNK, _SHRUNK]},
        **({f"gradient descent, {_SIZE} px": {"shrink_to": None}} if whole else {}),
    }
    settings = {**_SETTINGS, "dataset_dir": None if digits is None else str(digits), "max_epochs": epochs, "seed": seed}
    runs = []
    for label, changes in methods.items():
        output = folder / label.replace(",", "").replace(" ", "_")
        memory = _train_apart(Path(bundle), {**settings, **changes, "output_dir": str(output)})
        runs.append(PatchGDRun(label, tuple(read_history(output / "history.jsonl")), memory))
    table = result_table(runs)
    write_whole(f"{table}\n", folder / "comparison.md")
    plot_errors(runs, folder / "comparison.png", title=f"UltraMNIST, digits of 20 to 28 pixels in {_SIZE}")
    return f"{table}\n\n{_NOTE}\n\npicture: {folder / 'comparison.png'}"


def _train_apart(bundle: Path, settings: Mapping[str, Any]) -> int:
    """Train in a process of its own; returns its peak memory in bytes."""
    context = multiprocessing.get_context("spawn")
    Path(settings["output_dir"]).mkdir(parents=True, exist_ok=True)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_train, args=(str(bundle), dict(settings), sender))
    process.start()
    sender.close()
    try:
        result = receiver.recv()
    except EOFError:
        result = "the training has ended without a word"
    finally:
        process.join()
    if isinstance(result, str):
        raise SystemExit(f"error: {result} (its log: {_log_of(settings)})")
    return int(result)


def _train(bundle: str, settings: dict[str, Any], sender: Any) -> None:
    """Run the bundle, its log in ``train.log``, and send the peak memory in bytes, or why it failed."""
    warnings.simplefilter("ignore")
    with _log_of(settings).open("w") as log:
        os.dup2(log.fileno(), 1)  # stdout itself: MONAI's loggers have got hold of the stream
        try:
            sender.send(_peak_of_training(Path(bundle) / "configs", settings))
        except Exception as error:
            traceback.print_exc(file=log)
            sender.send(reason_of(error))


def _peak_of_training(configs: Path, settings: dict[str, Any]) -> int:
    """Run the bundle; returns the bytes that training took beyond what the process had."""
    files = ["train.json", *(["gradient_descent.json"] if "shrink_to" in settings else [])]
    workflow = ConfigWorkflow([str(configs / file) for file in files], workflow_type="train", **settings)
    workflow.initialize()
    network = workflow.parser.get_parsed_content("network")
    network.encoder(torch.zeros(1, 1, _PATCH, _PATCH)).sum().backward()  # what the first step of any run loads
    network.zero_grad(set_to_none=True)
    before = _peak_bytes()
    workflow.run()
    workflow.finalize()
    return _peak_bytes() - before


def _log_of(settings: Mapping[str, Any]) -> Path:
    return Path(settings["output_dir"]) / "train.log"


def _peak_bytes() -> int:
    """The most memory that this process has had so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
