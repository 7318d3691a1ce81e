from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import Dataset
from torch.utils.data import DataLoader

from monai_patchgrow.data import DataError
from monai_patchgrow.data.array_tiles import MemmapTiles
from monai_patchgrow.data.tile_items import OpenTilesd, collate_tiles


@pytest.fixture
def items(tmp_path):
    paths = [tmp_path / f"{rows}.npy" for rows in (20, 30)]
    for path in paths:
        np.save(path, np.full((int(path.stem), 10, 3), int(path.stem), np.uint8))
    return [{"image": str(path), "label": label} for label, path in enumerate(paths)]


def test_paths_become_sources(items):
    item = OpenTilesd("image", channel_dim=-1, padding=255)(items[0])
    assert isinstance(item["image"], MemmapTiles)
    assert (item["image"].shape, item["image"].padding, item["label"]) == ((3, 20, 10), 255, 0)
    assert isinstance(items[0]["image"], str)


def test_a_missing_key_is_left_out():
    assert OpenTilesd("image", allow_missing_keys=True)({"label": 1}) == {"label": 1}


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent.npy: no such file"):
        OpenTilesd("image")({"image": tmp_path / "absent.npy"})


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_batch_of_sources_of_several_sizes(items, num_workers):
    dataset = Dataset(items, OpenTilesd("image", channel_dim=-1))
    loader = DataLoader(dataset, batch_size=2, num_workers=num_workers, collate_fn=collate_tiles)
    batch = next(iter(loader))
    assert [source.shape for source in batch["image"]] == [(3, 20, 10), (3, 30, 10)]
    assert [source.read([(slice(0, 1), slice(0, 1))]).max().item() for source in batch["image"]] == [20, 30]
    assert torch.equal(batch["label"], torch.tensor([0, 1]))
