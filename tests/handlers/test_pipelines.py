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
from monai_patchgrow.data import PreprocessedDataset, SeededDataLoader
from monai_patchgrow.handlers import Reproducibility
from monai_patchgrow.transforms import RandPatchesd, concatenate_patches

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


def run_random(folder, *, num_workers, epoch_length, seeds=True):
    """Train on nothing under `random`; returns the sizes of all batches, and the sizes that were announced."""
    torch.manual_seed(0)
    schedule = GrowthSchedule.plan(
        patch_size=(24, 24), total_stride=(8, 8), batch_size=4, max_epochs=3, curriculum="random"
    )
    size, count = PatchSize((24, 24)), PatchCount()
    draw = RandPatchesd(["image", "label"], "label", size, num_classes=2, num_samples=count)
    items = [{"image": torch.rand(1, 32, 32), "label": torch.ones(1, 32, 32)} for _ in range(6)]
    loader = SeededDataLoader(
        PreprocessedDataset(items, Compose([ScaleIntensityd("image"), draw]), folder, progress=False),
        batch_size=VOLUMES_PER_BATCH,
        num_workers=num_workers,
        iterations_per_epoch=epoch_length,
        collate_fn=concatenate_patches,
    )
    batches, announced = [], []

    def step(engine, batch):
        batches.append((tuple(batch["image"].shape), batch["image"].sum().item()))
        announced.append(engine.state.patch_size)

    trainer = Engine(step)
    if seeds:
        Reproducibility(seed=5).attach(trainer)
    PatchGrowth(schedule, size, count, seed=5).attach(trainer)
    trainer.run(loader, max_epochs=3, epoch_length=7)
    return batches, announced


@pytest.mark.parametrize("seeds", [True, False], ids=["seeded epochs", "unseeded"])
@pytest.mark.parametrize("epoch_length", [7, 3], ids=["one round an epoch", "three rounds an epoch"])
def test_random_has_one_size_per_batch_with_any_number_of_workers(epoch_length, seeds, tmp_path):
    batches, announced = run_random(tmp_path, num_workers=0, epoch_length=epoch_length, seeds=seeds)
    assert [shape[2:] for shape, _ in batches] == announced
    assert {shape[:2] for shape, _ in batches} == {(4, 1)}
    assert len(set(announced)) > 2
    for num_workers in (1, 2):
        again = run_random(tmp_path, num_workers=num_workers, epoch_length=epoch_length, seeds=seeds)
        assert again == (batches, announced)
    assert wait_for_no_children() == []


def run_stock(curriculum, *, num_workers):
    """Train on nothing behind a stock crop; returns announced size, size and sum of every batch."""
    schedule = GrowthSchedule.plan(
        patch_size=(24, 24), total_stride=(8, 8), batch_size=4, max_epochs=MAX_EPOCHS, curriculum=curriculum
    )
    size, count = PatchSize((24, 24)), PatchCount()
    crop = RandSpatialCropSamplesd("image", roi_size=size, num_samples=count, random_size=False)
    dataset = Dataset([{"image": torch.full((1, 32, 32), float(number))} for number in range(6)], Compose([crop]))
    loader = SeededDataLoader(dataset, batch_size=2, num_workers=num_workers, iterations_per_epoch=7)
    next(iter(loader))  # persistent workers that start before the run hold a copy that knows of no plan
    seen = []

    def step(engine, batch):
        seen.append((engine.state.patch_size, tuple(batch["image"].shape[2:]), batch["image"].sum().item()))

    trainer = Engine(step)
    Reproducibility(seed=5).attach(trainer)
    PatchGrowth(schedule, size, count, seed=5).attach(trainer)
    trainer.run(loader, max_epochs=MAX_EPOCHS)
    return seen


@pytest.mark.parametrize("curriculum", ["performance", "random"])
def test_a_stock_crop_behind_a_seeded_loader(curriculum):
    """The workers of `random` draw batches of different sizes at the same time."""
    batches = run_stock(curriculum, num_workers=0)
    assert [announced for announced, _, _ in batches] == [shape for _, shape, _ in batches]
    assert len({shape for _, shape, _ in batches}) > 2
    assert run_stock(curriculum, num_workers=2) == batches
    assert wait_for_no_children() == []


# Workers that spawn import MONAI for seconds: once, with the curriculum that changes both the size and the count.
@pytest.mark.parametrize(
    ("curriculum", "context"), [("performance", "fork"), ("efficiency", "fork"), ("efficiency", "spawn")]
)
def test_many_patches_a_volume_with_workers(curriculum, context, tmp_path):
    schedule = GrowthSchedule.plan(
        patch_size=(16, 16), total_stride=(4, 4), batch_size=3, max_epochs=7, curriculum=curriculum
    )
    size, count = PatchSize((16, 16)), PatchCount()
    draw = RandPatchesd(["image", "label"], "label", size, num_classes=2, num_samples=count)
    items = [{"image": torch.full((1, 20, 12), float(number)), "label": torch.ones(1, 20, 12)} for number in range(6)]
    loader = SeededDataLoader(
        PreprocessedDataset(items, Compose([draw]), tmp_path, progress=False),
        batch_size=3,
        num_workers=2,
        iterations_per_epoch=4,
        collate_fn=concatenate_patches,
        multiprocessing_context=context,
    )
    seen, volumes = [], []

    def step(engine, batch):
        seen.append((tuple(batch["image"].shape[2:]), len(batch["label"])))
        volumes.append(len(batch["image"].flatten(1).amax(1).unique()))

    trainer = Engine(step)
    PatchGrowth(schedule, size, count).attach(trainer)
    trainer.run(loader, max_epochs=7)
    stages = [schedule.stage_at(epoch) for epoch in range(1, 8) for _ in range(4)]
    assert seen == [(stage.patch_size, stage.batch_size) for stage in stages]
    assert set(volumes) == {3}  # every volume of a batch gives some, also where the patches are no multiple
