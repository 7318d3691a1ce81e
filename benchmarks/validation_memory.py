"""Measures the memory of validation and evaluation behind the network, in bytes per voxel, before and after.

    .venv/bin/python benchmarks/validation_memory.py [--device cuda]

A MONAI evaluator takes one case whose logits are there already, makes label maps, and computes Dice; evaluation checks
before that the logits are finite, and resamples them to the image's voxels where those differ. Counted is what torch
holds of the case at its largest, over the voxels of the label: the image (4 bytes), the label (1; where it is resampled
float32, 4), the logits (4 a class) and what is made of them. On a CPU torch's profiler counts, on a GPU its allocator.
A tenth of the voxels is foreground.

"before" is the chain up to commit 54fcfbc, "MONAI's label maps" the same with MONAI's own way for class indices. Writes
a dated JSON and Markdown to benchmarks/results.
"""

from __future__ import annotations

import json
import math
import runpy
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fire
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.handlers import MeanDice, from_engine
from monai.transforms import AsDiscreted, Compose, Invertd, Spacingd
from results_file import table, write_results
from torch.profiler import ProfilerActivity, profile

from monai_patchgrow.metrics import LabelDice
from monai_patchgrow.transforms import LabelMapd

PROGRAMS = {  # whether logits are resampled, and checked
    "validation": (False, False),
    "evaluation, voxels kept": (False, True),
    "evaluation, resampled": (True, True),
}
CHAINS = ("before", "MONAI's label maps", "after")
BUNDLE = Path(__file__).parents[1] / "bundles" / "hippocampus_segmentation_patchgrow"
is_finite = runpy.run_path(str(BUNDLE / "scripts" / "memory.py"))["is_finite"]
BOTH = from_engine(["pred", "label"])


def measure(
    device: str = "cpu", shape: tuple[int, ...] = (256, 256, 128), classes: tuple[int, ...] = (2, 3, 16)
) -> None:
    """Run each chain once per number of classes, and write what it took."""
    warnings.simplefilter("ignore")
    rows = []
    for program, (is_resampled, is_checked) in PROGRAMS.items():
        for number in classes:
            case = make_case(shape, number, device=device, is_resampled=is_resampled)
            runs = {chain: run_chain(chain, case, number, device, is_checked=is_checked) for chain in CHAINS}
            assert len({run["dice"] for run in runs.values()}) == 1, runs
            rows.append({"program": program, "classes": number, **runs})
    report(rows, shape)


def make_case(shape: tuple[int, ...], classes: int, *, device: str, is_resampled: bool) -> dict[str, Any]:
    """Image, label and logits of one case; resampled, the logits lie on voxels of 1.25 in place of 1 mm."""
    torch.manual_seed(0)
    label = torch.zeros((1, *shape), dtype=torch.uint8, device=device)
    label[:, : shape[0] // 10] = torch.randint(0, classes, (1, shape[0] // 10, *shape[1:]), device=device)
    image, spacing = MetaTensor(torch.zeros(1, *shape, device=device)), None
    if is_resampled:
        spacing = Compose([Spacingd("image", pixdim=[1.25] * 3, padding_mode="border", dtype=torch.float32)])
        image, label = spacing({"image": image})["image"], label.float()
    logits = torch.zeros((1, classes, *image.shape[1:]), device=device)
    logits[:, 1:, : logits.shape[2] // 10] = torch.rand_like(logits[:, 1:, : logits.shape[2] // 10])
    return {"image": image, "label": label, "logits": logits, "spacing": spacing}


def run_chain(chain: str, case: dict[str, Any], classes: int, device: str, *, is_checked: bool) -> dict[str, Any]:
    """Bytes per voxel of the label, and Dice, of one evaluation."""
    invert = Invertd("pred", case["spacing"], orig_keys="image", nearest_interp=False) if case["spacing"] else None
    steps, metric = chain_of(chain, classes)
    check = (is_finite if chain == "after" else is_finite_by_copies) if is_checked else None
    evaluator = SupervisedEvaluator(
        device=torch.device(device),
        val_data_loader=DataLoader(Dataset([{"image": case["image"], "label": case["label"]}]), batch_size=1),
        network=torch.nn.Identity(),
        inferer=lambda images, network: checked(MetaTensor(case["logits"].clone()), check),
        postprocessing=Compose([*([invert] if invert else []), *steps]),
        key_val_metric={"dice": metric},
    )
    most = peak_bytes(evaluator.run, device)
    return {"bytes_per_voxel": most / math.prod(case["label"].shape), "dice": evaluator.state.metrics["dice"]}


def chain_of(chain: str, classes: int) -> tuple[list[Any], Any]:
    """What makes label maps, or one-hots, and what takes them."""
    if chain == "before":
        pred = AsDiscreted("pred", argmax=True, to_onehot=classes)
        return [pred, AsDiscreted("label", to_onehot=classes)], MeanDice(
            include_background=False, output_transform=BOTH
        )
    if chain == "after":
        return [LabelMapd("pred")], LabelDice(classes, include_background=False, output_transform=BOTH)
    metric = MeanDice(include_background=False, num_classes=classes, output_transform=BOTH)
    return [AsDiscreted("pred", argmax=True, dtype=torch.uint8)], metric


def checked(logits: torch.Tensor, check: Callable[[torch.Tensor], bool] | None) -> torch.Tensor:
    """The logits, once they have been checked as the bundles' scripts do, or did, where they do."""
    if check is not None and not check(logits):
        raise ValueError("the logits must be finite")
    return logits


def is_finite_by_copies(logits: torch.Tensor) -> bool:
    """The check up to commit 54fcfbc."""
    return bool(torch.isfinite(logits).all())


def peak_bytes(run: Callable[[], Any], device: str) -> int:
    """The most that torch holds within `run`, beyond what it held before."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        seen.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    held = most = 0
    for event in sorted((one for one in events if one.get("name") == "[memory]"), key=lambda one: one["ts"]):
        held += event["args"]["Bytes"]
        most = max(most, held)
    return most


def report(rows: list[dict[str, Any]], shape: tuple[int, ...]) -> None:
    """Write one line per program and number of classes."""
    cells = [
        [row["program"], row["classes"], *(f"{row[chain]['bytes_per_voxel']:.1f}" for chain in CHAINS)] for row in rows
    ]
    header = ["program", "classes K", *(f"{chain}, bytes per voxel" for chain in CHAINS)]
    page = write_results(
        "validation_memory",
        "Memory of validation and evaluation behind the network",
        script="benchmarks/validation_memory.py",
        record={"shape": list(shape), "rows": rows},
        lines=[
            f"One case of {' x '.join(map(str, shape))} voxels, a tenth of them foreground. Image (4 bytes), label (1; "
            "resampled 4) and logits (4 K) are counted. The Dice is the same to the bit in each row.",
            "",
            *table(header, cells),
        ],
    )
    print(page.read_text())


if __name__ == "__main__":
    fire.Fire(measure)
