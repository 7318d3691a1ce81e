"""Damages what a run reads back, again and again, and looks whether any damage is used without a word.

    .venv/bin/python benchmarks/damage_test.py

Bit flips, byte changes, zeroed blocks and truncations of a checkpoint, of weights and of a preprocessed case, each read
as a run, an evaluation or an inference reads it.
"""

from __future__ import annotations

import logging
import random
import runpy
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fire
import torch
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from results_file import table, write_results
from tiny_runs import HIPPOCAMPUS, ROOT, ULTRAMNIST, TinyRun, digest, tiny_runs

from monai_patchgrow.bundle.patchgd.network import load_weights
from monai_patchgrow.data import PreprocessedDataset, write_phantom_task
from monai_patchgrow.data.whole_files import load_checkpoint

REFUSED, REPLACED, HARMLESS, SILENT, UNCLEAR = "refused", "made again", "changes nothing", "SILENT", "UNCLEAR"
LARGEST_BLOCK = 4096
END_BYTES = 93  # of a zip archive's end record with the seal as its comment


def flip_bit(content: bytearray, draw: random.Random) -> bytearray:
    """Turn one bit over."""
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return content


def flip_end_bit(content: bytearray, draw: random.Random) -> bytearray:
    """Turn one bit over of the archive's end and the seal in it."""
    content[-draw.randint(1, END_BYTES)] ^= 1 << draw.randrange(8)
    return content


def change_byte(content: bytearray, draw: random.Random) -> bytearray:
    """Give one byte another value."""
    place = draw.randrange(len(content))
    content[place] = (content[place] + draw.randrange(1, 256)) % 256
    return content


def zero_block(content: bytearray, draw: random.Random) -> bytearray:
    """Zero 1 to 4096 bytes in a row."""
    place = draw.randrange(len(content))
    length = min(draw.randint(1, LARGEST_BLOCK), len(content) - place)
    content[place : place + length] = bytes(length)
    return content


def truncate(content: bytearray, draw: random.Random) -> bytearray:
    """Cut off the end."""
    return content[: draw.randrange(len(content))]


DAMAGES = {
    "bit flips": flip_bit,
    "bit flips of the end": flip_end_bit,
    "byte changes": change_byte,
    "zeroed blocks": zero_block,
    "truncations": truncate,
}


@dataclass(frozen=True)
class Target:
    """A file, and how it is read: what the reader returns is its content, what it raises its refusal."""

    name: str
    path: Path
    read: Callable[[Path], Any]


class Cases:
    """Reads a preprocessed case as a training does, which makes a damaged one again."""

    def __init__(self, task: Path, folder: Path) -> None:
        self.item = {"image": str(next(iter(sorted((task / "imagesTr").iterdir()))))}
        self.folder = folder

    def __call__(self, path: Path) -> Any:
        """The case; its path follows from the data."""
        transform = Compose([LoadImaged("image"), EnsureChannelFirstd("image")])
        return PreprocessedDataset([self.item], transform, self.folder, progress=False)[0]


def targets(folder: Path) -> list[Target]:
    """What is damaged: files of two short trainings.

    Args:
        folder: an empty one.
    """
    task = write_phantom_task(folder / "task", num_cases=6)
    segmentation = next(run for run in tiny_runs() if run.bundle == HIPPOCAMPUS)
    classification = next(run for run in tiny_runs() if run.bundle == ULTRAMNIST)
    segmented, into_segmentation = _train(segmentation, folder, task)
    classified, into_classification = _train(classification, folder, task)
    script = runpy.run_path(str(ROOT / "bundles" / HIPPOCAMPUS / "scripts" / "ensemble.py"))["load_weights"]
    cases = Cases(task, folder / "case")
    cases(folder)

    def loaded(load: Callable[..., None], network: torch.nn.Module) -> Callable[[Path], Any]:
        def read(path: Path) -> Any:
            load(network, ckpt_path=str(path))
            return network.state_dict()

        return read

    return [
        Target("last.pt, resumed from", segmented / "last.pt", load_checkpoint),
        Target("model.pt of a classification", classified / "model.pt", loaded(load_weights, into_classification)),
        Target("model.pt of a segmentation", segmented / "model.pt", loaded(script, into_segmentation)),
        Target(
            "model.safetensors of a classification",
            classified / "model.safetensors",
            loaded(load_weights, into_classification),
        ),
        Target(
            "model.safetensors of a segmentation", segmented / "model.safetensors", loaded(script, into_segmentation)
        ),
        Target("preprocessed case", next((folder / "case").iterdir()), cases),
    ]


def _train(run: TinyRun, folder: Path, task: Path) -> tuple[Path, torch.nn.Module]:
    """The folder of a short training's weights, and a network that they fit."""
    output = folder / run.bundle
    workflow = run.workflow(output, task=task, cache=folder / "cases", max_epochs=1, val_interval=1)
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return output / "models", workflow.parser.get_parsed_content("network_def")


def verdict(target: Target, damaged: bytes, *, expected: str) -> tuple[str, str]:
    """What became of a damaged file, and what was said of it.

    Args:
        target: whose file is damaged.
        damaged: what it holds then.
        expected: digest of the content that was written.
    """
    target.path.write_bytes(damaged)
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("monai_patchgrow").addHandler(handler)
    try:
        found = digest(target.read(target.path))
    except (ValueError, SystemExit) as error:
        is_clear = len(str(error).splitlines()) == 1 and target.path.name in str(error)
        return (REFUSED if is_clear else UNCLEAR), str(error)
    except Exception as error:
        return UNCLEAR, f"{type(error).__name__}: {error}"
    finally:
        logging.getLogger("monai_patchgrow").removeHandler(handler)
    if found != expected:
        return SILENT, "loaded with other content"
    if target.path.read_bytes() == damaged:
        return HARMLESS, ""
    return (REPLACED if any(target.path.name in line for line in said) else UNCLEAR), "; ".join(said)


def damage(target: Target, *, times: int, seed: int) -> dict[str, Any]:
    """Damage one file in every way; how often it ended how, and what was not as it should be."""
    good = target.path.read_bytes()
    expected = digest(target.read(target.path))
    counts: dict[str, Counter[str]] = {}
    faults = []
    for name, change in DAMAGES.items():
        counts[name] = Counter()
        for number in range(times):
            damaged = bytes(change(bytearray(good), random.Random(f"{seed}/{name}/{number}")))
            ending, said = verdict(target, damaged, expected=expected)
            counts[name][ending] += 1
            if ending in (SILENT, UNCLEAR):
                faults.append({"damage": name, "number": number, "ending": ending, "said": said})
    target.path.write_bytes(good)
    return {"file": target.name, "bytes": len(good), "endings": counts, "faults": faults}


def main(times: int = 1000, *, seed: int = 0) -> None:
    """Damage all files and write the table.

    Args:
        times: of each damage and file.
        seed: of the places.
    """
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        records = []
        for target in targets(Path(folder)):
            records.append(damage(target, times=times, seed=seed))
            print(records[-1], flush=True)
    endings = [REFUSED, REPLACED, HARMLESS, SILENT, UNCLEAR]
    rows = [
        [one["file"], one["bytes"], name, *(counts[ending] for ending in endings)]
        for one in records
        for name, counts in one["endings"].items()
    ]
    total = sum((counts for one in records for counts in one["endings"].values()), Counter[str]())
    lines = [
        f"{times} of each damage and file. {total[SILENT]} were used with other content and without a word; "
        f"{total[UNCLEAR]} ended in another way than one line that names the file. {total[HARMLESS]} change nothing: "
        "they hit or cut the seal alone, and every record is as it was written (CRC), or zeroed what was zero.",
        "",
        *table(["file", "bytes", "damage", *endings], rows),
    ]
    write_results(
        "damage_test",
        "Damaged files",
        script="benchmarks/damage_test.py",
        record={"times": times, "files": records},
        lines=lines,
    )
    if total[SILENT] or total[UNCLEAR]:
        sys.exit("not all were told")


if __name__ == "__main__":
    fire.Fire(main)
