"""Inference names an image that can't be read, leaves it out, and goes on."""

import csv
import logging

import numpy as np
import pytest
import torch
from monai.data import DataLoader

from monai_patchgrow.bundle.patchgd.images import ImagePreprocessing
from monai_patchgrow.bundle.patchgd.inference import (
    ImagesToClassify,
    SkippingEvaluator,
    check_output,
    classify,
    collate_sound,
)
from monai_patchgrow.data import DataError, OpenImaged
from monai_patchgrow.handlers import PredictionTable
from monai_patchgrow.losses import ImageTarget

TABLE = "image,prediction,label,p_0,p_1\n"


@pytest.fixture
def items(tmp_path):
    """Five images of 8 pixels."""
    for name in "abcde":
        np.save(tmp_path / f"{name}.npy", np.full((1, 8, 8), 9, np.uint8))
    return [{"image": str(tmp_path / f"{name}.npy"), "name": name} for name in "abcde"]


class BrokenWhenRead:
    """A source whose header is sound."""

    shape = (1, 8, 8)
    dtype = torch.uint8

    def read(self, cells):
        raise DataError("c.npy: a tile can't be decoded")


def open_but_for_c(item):
    opened = ImagePreprocessing([OpenImaged("image", channels=1)])(item)
    return {**opened, "image": BrokenWhenRead()} if item["name"] == "c" else opened


def evaluate(items, folder, *, preprocessing=open_but_for_c, batch_size=1, num_workers=0, encoder=None):
    images = ImagesToClassify(items, preprocessing)
    loader = DataLoader(images, num_workers, batch_size=batch_size, collate_fn=collate_sound)
    evaluator = SkippingEvaluator(
        device=torch.device("cpu"),
        val_data_loader=loader,
        encoder=encoder or torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2)),
        head=torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()),
        patch_size=(4, 4),
        val_handlers=[PredictionTable(folder / "t.csv", ImageTarget("classes", 2))],
    )
    classify(evaluator)


def names(folder):
    with (folder / "t.csv").open() as table:
        return [row["image"] for row in csv.DictReader(table)]


@pytest.mark.parametrize(("batch_size", "num_workers"), [(1, 0), (2, 0), (5, 0), (2, 1)])
def test_images_that_cannot_be_read_are_left_out(batch_size, num_workers, items, tmp_path, caplog):
    (tmp_path / "a.npy").write_bytes(b"broken")
    caplog.set_level(logging.ERROR)
    with pytest.raises(DataError, match=r"^2 of 5 images failed: a, c$"):
        evaluate(items, tmp_path, batch_size=batch_size, num_workers=num_workers)
    assert names(tmp_path) == ["b", "d", "e"]
    assert caplog.messages[0].startswith(
        f"image a failed and is skipped: {tmp_path}/a.npy: no array that can be mapped"
    )
    assert caplog.messages[1] == "image c failed and is skipped: c.npy: a tile can't be decoded"


def test_sound_images_end_without_an_error(items, tmp_path):
    evaluate([item for item in items if item["name"] != "c"], tmp_path, batch_size=2)
    assert names(tmp_path) == ["a", "b", "d", "e"]


def test_an_earlier_table_stays_where_no_image_could_be_classified(items, tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    with pytest.raises(DataError, match=r"^1 of 1 images failed: c$"):
        evaluate([item for item in items if item["name"] == "c"], tmp_path)
    assert (tmp_path / "t.csv").read_text() == TABLE


def test_what_goes_wrong_in_the_network_fails_the_images_of_its_batch(items, tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    with pytest.raises(DataError, match=r"^2 of 2 images failed: a, b$"):
        evaluate(items[:2], tmp_path, batch_size=2, encoder=torch.nn.Linear(3, 2))
    assert "image a failed and is skipped: RuntimeError: " in caplog.text


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"^output_dir: can't write to .*file"):
        check_output(tmp_path / "file")
