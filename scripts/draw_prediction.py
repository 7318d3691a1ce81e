"""Draws a case with its label and a prediction: the slices through the label's middle along each axis, as a PNG.

python scripts/draw_prediction.py --image IMAGE --label LABEL --prediction PREDICTION --output PNG
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fire
import nibabel as nib
import numpy as np

from monai_patchgrow.tools.compare.figure import new_figure, save_png

_VIEWS = ("sagittal", "coronal", "axial")  # the axis that is cut, in RAS


def main(image: str, label: str, prediction: str, output: str, title: str = "") -> None:
    """Write the picture; images in RAS, labels as lines, predictions as areas."""
    volume, truth, found = (_read(path) for path in (image, label, prediction))
    middle = [round(float(axis.mean())) for axis in np.nonzero(truth)]
    figure = new_figure(9, 3.4)
    for number, axes in enumerate(figure.subplots(1, 3)):
        slices = [np.take(array, middle[number], axis=number).T for array in (volume, truth, found)]
        _draw(axes, *slices)
        axes.set_title(_VIEWS[number], fontsize=9)
    figure.suptitle(title or "areas: prediction; lines: label", fontsize=10)
    save_png(figure, Path(output))


def _draw(axes: Any, image: np.ndarray, truth: np.ndarray, found: np.ndarray) -> None:
    low, high = np.percentile(image, (1, 99))
    axes.imshow(image, cmap="gray", origin="lower", vmin=low, vmax=high)
    for value in range(1, int(max(truth.max(), found.max())) + 1):
        colour = f"C{value}"
        if (found == value).any():
            axes.contourf(found == value, levels=[0.5, 1.5], colors=[colour], alpha=0.4)
        if (truth == value).any():
            axes.contour(truth == value, levels=[0.5], colors=[colour], linewidths=1.2)
    axes.set_axis_off()


def _read(path: str) -> np.ndarray:
    return np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj)


if __name__ == "__main__":
    fire.Fire(main)
