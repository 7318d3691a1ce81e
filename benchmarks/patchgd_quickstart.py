"""Runs PatchGD's quickstart with several seeds: kappa, seconds, memory and the evidence in the tumour.

    bash scripts/setup.sh plot,tiff && . scripts/environment.sh && .venv/bin/python benchmarks/patchgd_quickstart.py

Seeds change the weights, the order of the slides and the cells; the slides are always the same. Seeds whose table is in
`folder` aren't run again. Writes a dated JSON and Markdown to benchmarks/results, and the first seed's picture.
"""

from __future__ import annotations

import re
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import fire
from results_file import table, write_results

from monai_patchgrow.tools.compare.quickstart_patchgd import quickstart_patchgd

ROOT = Path(__file__).parents[1]
BUNDLE = ROOT / "bundles" / "panda_classification_patchgd"


def measure(folder: str = "runs/patchgd_quickstart", seeds: int = 3) -> None:
    """Run every seed in turn, and write what each reached."""
    runs = []
    for seed in range(seeds):
        place = Path(folder) / str(seed)
        seconds = None
        if not (place / "comparison.md").is_file():
            start = time.perf_counter()
            quickstart_patchgd(BUNDLE, output_dir=place, seed=seed)
            seconds = time.perf_counter() - start
        runs.append({"seed": seed, "seconds": seconds, **read_table(place / "comparison.md")})
        print(runs[-1], flush=True)
    page = report(runs)
    shutil.copyfile(Path(folder) / "0" / "comparison.png", page.with_suffix(".png"))
    print(page.read_text())


def read_table(path: Path) -> dict[str, Any]:
    """The rows of a quickstart's table by name, and its two shares of the evidence."""
    text = path.read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    numbers = {row[0]: [float(cell) if _is_number(cell) else None for cell in row[1:]] for row in rows[2:]}
    inside, chance = (float(share) / 100 for share in re.findall(r"(\d+)%", text))
    return {"rows": numbers, "evidence_in_tumour": inside, "tumour_of_tissue": chance}


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", cell) is not None


def report(runs: list[dict[str, Any]]) -> Path:
    """Write medians, and each seed's figures."""
    rows = []
    for label in runs[0]["rows"]:
        kappas, accuracies, seconds, memories = zip(*(run["rows"][label] for run in runs), strict=True)
        trained = kappas[0] is not None
        rows.append(
            [
                label,
                f"{statistics.mean(kappas):.3f}" if trained else "one step",
                ", ".join(f"{kappa:.3f}" for kappa in kappas) if trained else "",
                f"{statistics.mean(accuracies):.2f}" if trained else "",
                ", ".join(f"{each:.0f}" for each in seconds) if trained else "",
                ", ".join(f"{each:.0f}" for each in memories),
            ]
        )
    inside = ", ".join(f"{run['evidence_in_tumour']:.0%}" for run in runs)
    walls = ", ".join("-" if run["seconds"] is None else f"{run['seconds']:.0f}" for run in runs)
    return write_results(
        "patchgd_quickstart",
        "PatchGD's quickstart",
        script="benchmarks/patchgd_quickstart.py",
        record={"runs": runs},
        lines=[
            "80 phantom slides of 3072 px, 16 of them for validation; six grades by the share of tumour. Columns have "
            "the seeds in turn.",
            "",
            *table(["", "kappa", "each seed", "accuracy", "training, s", "peak memory, MiB"], rows),
            "",
            f"Of the evidence for a higher grade {inside} lies in the tumour, where chance would put "
            f"{runs[0]['tumour_of_tissue']:.0%}. Whole quickstart, slides written included: {walls} s.",
        ],
    )


if __name__ == "__main__":
    fire.Fire(measure)
