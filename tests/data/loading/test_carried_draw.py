"""A sample carries its own draw to the transforms that read it: through caches and workers, and no further."""

import pytest
import torch
from monai.data import CacheDataset, Dataset, PersistentDataset
from monai.transforms import Compose, MapTransform, OneOf, RandGaussianNoised, RandomizableTransform, SelectItemsd
from torch.utils.data import Subset

from monai_patchgrow import GrowthSchedule
from monai_patchgrow.data import PreprocessedDataset, SeededDataLoader
from monai_patchgrow.data.loading.carried_draw import CarriedDraw
from monai_patchgrow.schedules.sample import DRAW_KEY, SamplePlan

ITEMS = [{"image": torch.full((1, 4), float(number)), "other": torch.zeros(1)} for number in range(4)]


class Report(RandomizableTransform, MapTransform):
    """Leaves in an item what it carries: case, place, size and number of patches."""

    reads_draw = True

    def __init__(self):
        MapTransform.__init__(self, "image")
        RandomizableTransform.__init__(self)

    def __call__(self, data):
        draw = data[DRAW_KEY]
        told = [draw.index, draw.position, *draw.patches.size, draw.patches.count, draw.patches.before]
        return {"told": torch.tensor(told), "case": data["image"][0, 0]}


class Keep(RandomizableTransform, MapTransform):
    """Asks for the draw, and leaves it in the item."""

    reads_draw = True

    def __init__(self):
        MapTransform.__init__(self, "image")
        RandomizableTransform.__init__(self)

    def __call__(self, data):
        return data


def make_dataset(kind, transform, folder):
    if kind is CacheDataset:
        return CacheDataset(ITEMS, transform, progress=False)
    if kind is Dataset:
        return Dataset(ITEMS, transform)
    return kind(ITEMS, transform, str(folder))


def loader_of(dataset, **options):
    loader = SeededDataLoader(dataset, batch_size=2, **options)
    schedule = GrowthSchedule.plan(
        patch_size=(16, 16), total_stride=(8, 8), batch_size=3, max_epochs=6, curriculum="efficiency"
    )
    loader.follow(SamplePlan(schedule=schedule, volumes=2, epoch_length=2, seed=0))
    loader.set_epoch(3)
    return loader


def told(loader):
    return [sample for batch in loader for sample in batch["told"].tolist()]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("kind", [Dataset, CacheDataset, PersistentDataset, PreprocessedDataset])
def test_a_sample_carries_its_own_size_count_and_place(kind, num_workers, tmp_path):
    pipeline = Compose([SelectItemsd("image"), Report()])
    loader = loader_of(make_dataset(kind, pipeline, tmp_path), num_workers=num_workers)
    assert [sample[1:] for sample in told(loader)] == [
        [0, 16, 8, 2, 0],
        [1, 16, 8, 1, 2],
        [2, 16, 8, 2, 3],
        [3, 16, 8, 1, 5],
    ]


def test_a_sample_carries_the_number_of_its_case():
    assert all(batch["told"][:, 0].equal(batch["case"]) for batch in loader_of(Dataset(ITEMS, Compose([Report()]))))


@pytest.mark.parametrize(
    "transform",
    [Compose([SelectItemsd("image"), Report()]), OneOf([Report(), Report()])],
    ids=["a nested pipeline", "one of two"],
)
def test_a_draw_finds_its_way_into(transform):
    assert len(told(loader_of(Dataset(ITEMS, Compose([RandGaussianNoised("image"), transform]))))) == 4


def test_a_data_set_that_wraps_another_carries_too():
    assert len(told(loader_of(Subset(Dataset(ITEMS, Compose([Report()])), [1, 0])))) == 2


def test_a_draw_that_stays_in_the_item_does_not_reach_the_batch():
    (batch, *_) = loader_of(Dataset(ITEMS, Compose([Keep()])))
    assert set(batch) == {"image", "other"}


def test_items_are_left_as_they_are():
    list(loader_of(Dataset(ITEMS, Compose([Keep()]))))
    assert set(ITEMS[0]) == {"image", "other"}


def test_a_pipeline_that_reads_nothing_stays_as_it_is():
    noise = RandGaussianNoised("image")
    dataset = Dataset(ITEMS, Compose([noise]))
    SeededDataLoader(dataset)
    assert dataset.transform.transforms == (noise,)


def test_two_loaders_of_one_data_set_put_in_one_transform():
    dataset = Dataset(ITEMS, Compose([Report()]))
    SeededDataLoader(dataset), SeededDataLoader(dataset)
    assert [type(transform) for transform in dataset.transform.transforms] == [CarriedDraw, Report]


def test_the_seeds_of_the_other_transforms_are_those_without_a_draw(monkeypatch):
    noise = RandGaussianNoised("image", prob=1.0)
    with_draw = next(iter(loader_of(Dataset(ITEMS, Compose([noise, Keep(), noise])))))["image"]
    monkeypatch.setattr(Keep, "reads_draw", False)
    without = next(iter(loader_of(Dataset(ITEMS, Compose([noise, Keep(), noise])))))["image"]
    assert with_draw.equal(without)


def test_outside_of_a_loader_an_item_carries_nothing():
    dataset = Dataset(ITEMS, Compose([Keep()]))
    list(loader_of(dataset))
    assert set(dataset[0]) == {"image", "other"}
