"""The right patch size in every batch, whatever MONAI data set, workers and epoch length a pipeline has."""

import gc
import multiprocessing
import time

import pytest
import torch
from ignite.engine import Engine
from monai.data import (
    CacheDataset,
    DataLoader,
    Dataset,
    PersistentDataset,
    SmartCacheDataset,
    ThreadDataLoader,
)
from monai.handlers import SmartCacheHandler
from monai.transforms import Compose, RandSpatialCropSamplesd, ScaleIntensityd

from monai_patchgrow import GrowthSchedule, PatchCount, PatchGrowth, PatchSize

MAX_EPOCHS = 6
LOADER_LENGTH = 4
VOLUMES_PER_BATCH = 2


def make_dataset(kind, transform, folder):
    items = [{"image": torch.rand(1, 24, 24)} for _ in range(LOADER_LENGTH * VOLUMES_PER_BATCH)]
    if kind is PersistentDataset:
        return PersistentDataset(items, transform, cache_dir=folder)
    if kind is CacheDataset:
        return CacheDataset(items, transform, progress=False)
    if kind is SmartCacheDataset:
        return SmartCacheDataset(items, transform, replace_rate=0.25, cache_num=6, progress=False)
    return Dataset(items, transform)


def run(loader, dataset, size, count, *, epoch_length):
    """Train on nothing; returns (patch size, patches) of every batch by epoch."""
    schedule = GrowthSchedule.plan(
        patch_size=(16, 16), total_stride=(4, 4), batch_size=2, max_epochs=MAX_EPOCHS, curriculum="performance",
        smallest_patch=(8, 8),
    )  # fmt: skip
    batches = []

    def step(engine, batch):
        batches.append((engine.state.epoch, tuple(batch["image"].shape[2:]), len(batch["image"])))

    trainer = Engine(step)
    PatchGrowth(schedule, size, count).attach(trainer)
    if isinstance(dataset, SmartCacheDataset):
        SmartCacheHandler(dataset).attach(trainer)
    trainer.run(loader, max_epochs=MAX_EPOCHS, epoch_length=epoch_length)
    wanted = [(e, schedule.stage_at(e)) for e in range(1, MAX_EPOCHS + 1) for _ in range(epoch_length)]
    return batches, [(epoch, stage.patch_size, stage.batch_size) for epoch, stage in wanted]


def wait_for_no_children():
    deadline = time.monotonic() + 20
    while multiprocessing.active_children() and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    return multiprocessing.active_children()


@pytest.mark.parametrize("epoch_length", [LOADER_LENGTH - 1, LOADER_LENGTH, LOADER_LENGTH + 3])
@pytest.mark.parametrize(("num_workers", "persistent"), [(0, False), (2, False), (2, True)])
@pytest.mark.parametrize("kind", [Dataset, CacheDataset, PersistentDataset, SmartCacheDataset])
def test_no_stale_and_no_torn_batch(kind, num_workers, persistent, epoch_length, tmp_path, caplog):
    size, count = PatchSize((16, 16)), PatchCount()
    crop = RandSpatialCropSamplesd("image", roi_size=size, num_samples=count, random_size=False)
    dataset = make_dataset(kind, Compose([ScaleIntensityd("image"), crop]), tmp_path)
    loader = DataLoader(
        dataset,
        batch_size=VOLUMES_PER_BATCH,
        num_workers=num_workers,
        persistent_workers=persistent,
        drop_last=True,
    )
    if kind is SmartCacheDataset:
        epoch_length = min(epoch_length, 3)  # its cache holds six of the eight volumes
    seen, wanted = run(loader, dataset, size, count, epoch_length=epoch_length)
    assert seen == wanted
    assert "collate" not in caplog.text
    del loader, dataset
    assert wait_for_no_children() == []


@pytest.mark.parametrize("epoch_length", [3, 4, 7])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_thread_loader(num_workers, epoch_length, caplog):
    size, count = PatchSize((16, 16)), PatchCount()
    crop = RandSpatialCropSamplesd("image", roi_size=size, num_samples=count, random_size=False)
    dataset = make_dataset(Dataset, Compose([crop]), None)
    loader = ThreadDataLoader(dataset, batch_size=VOLUMES_PER_BATCH, num_workers=num_workers)
    seen, wanted = run(loader, dataset, size, count, epoch_length=epoch_length)
    assert seen == wanted
    assert "collate" not in caplog.text
    del loader
    assert wait_for_no_children() == []
