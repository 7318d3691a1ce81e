from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import Dataset
from monai.transforms import Compose
from torch.utils.data import DataLoader

from monai_patchgrow.data.tiles.items import PaintBackgroundd, collate_tiles
from monai_patchgrow.data.tiles.open import OpenImaged
from monai_patchgrow.data.tiles.painted import PaintedTiles
from monai_patchgrow.data.tiles.source import TensorTiles


@pytest.fixture
def items(tmp_path):
    paths = [tmp_path / f"{rows}.npy" for rows in (20, 30)]
    for path in paths:
        np.save(path, np.full((3, int(path.stem), 10), int(path.stem), np.uint8))
    return [{"image": str(path), "label": label} for label, path in enumerate(paths)]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_batch_of_sources_of_several_sizes(items, num_workers):
    dataset = Dataset(items, OpenImaged("image", channels=3))
    loader = DataLoader(dataset, batch_size=2, num_workers=num_workers, collate_fn=collate_tiles)
    batch = next(iter(loader))
    assert [source.shape for source in batch["image"]] == [(3, 20, 10), (3, 30, 10)]
    assert [source.read([(slice(0, 1), slice(0, 1))]).max().item() for source in batch["image"]] == [20, 30]
    assert torch.equal(batch["label"], torch.tensor([0, 1]))


def test_background_is_painted():
    image = torch.full((3, 8, 16), 243, dtype=torch.uint8)
    image[:, 1, 2] = 40
    item = PaintBackgroundd("image", threshold=220, colour=255)({"image": TensorTiles(image), "label": 1})
    assert isinstance(item["image"], PaintedTiles)
    patches = item["image"].read([(slice(0, 8), slice(first, first + 8)) for first in (0, 8)])
    assert torch.equal(patches[0], image[:, :, :8])
    assert patches[1].unique().tolist() == [255]
    assert item["label"] == 1


def test_dark_background_is_painted():
    item = PaintBackgroundd("image", threshold=5, colour=0, background="dark")(
        {"image": TensorTiles(torch.ones(1, 4, 4))}
    )
    assert item["image"].read([(slice(0, 4), slice(0, 4))]).max().item() == 0


@pytest.mark.parametrize("num_workers", [0, 1])
def test_painted_sources_come_from_workers(items, num_workers):
    transform = Compose([OpenImaged("image", channels=3), PaintBackgroundd("image", threshold=25, colour=255)])
    loader = DataLoader(Dataset(items, transform), batch_size=2, num_workers=num_workers, collate_fn=collate_tiles)
    sources = next(iter(loader))["image"]
    assert [source.read([(slice(0, 1), slice(0, 1))]).max().item() for source in sources] == [20, 255]
    assert [source.path.name for source in sources] == ["20.npy", "30.npy"]


def test_background_is_told_in_bytes_for_images_of_16_bits():
    image = torch.tensor([[[60000, 60000], [60000, 60000]]]).to(torch.uint16)
    dark = TensorTiles(torch.tensor([[[40000, 40000], [60000, 60000]]]).to(torch.uint16))
    paint = PaintBackgroundd("image", threshold=220, colour=255)
    whole = [(slice(0, 2), slice(0, 2))]
    assert paint({"image": TensorTiles(image)})["image"].read(whole).flatten().tolist() == [65535] * 4
    assert paint({"image": dark})["image"].read(whole).flatten().tolist() == [40000, 40000, 60000, 60000]
