"""SeededDataLoader: samples that depend on (seed, epoch, pass, index) alone."""

import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, Dataset, SmartCacheDataset
from monai.transforms import Compose, MapTransform, RandGaussianNoised, ScaleIntensityd
from torch.utils.data import Subset

from monai_patchgrow.data import SeededDataLoader
from monai_patchgrow.data.loading.seeded import SeededSampler, mix_seed
from monai_patchgrow.schedules.sample import SampleDraw, SamplePatches

ITEMS = [{"image": torch.linspace(number, number + 1, 4)[None]} for number in range(6)]
NOISE = RandGaussianNoised("image", prob=1.0)


class AddGlobalNoise(MapTransform):
    """A transform that draws from the global generators, as third-party ones do."""

    def __call__(self, data):
        noise = random.random() + np.random.rand() + float(torch.rand(()))
        return {key: data[key] + noise for key in self.keys}


def make_dataset(kind=Dataset):
    transform = Compose([ScaleIntensityd("image"), NOISE, AddGlobalNoise("image")])
    if kind is CacheDataset:
        return CacheDataset(ITEMS, transform, progress=False)
    if kind is SmartCacheDataset:
        return SmartCacheDataset(ITEMS, transform, replace_rate=0.5, cache_num=4, progress=False, shuffle=False)
    return Dataset(ITEMS, transform)


def read(loader):
    """One iteration over the loader, as a list of lists."""
    return [batch["image"].tolist() for batch in loader]


def read_epochs(dataset, *, epochs=(1, 2), seed=3, **options):
    loader = SeededDataLoader(dataset, seed=seed, batch_size=2, **options)
    samples = []
    for epoch in epochs:
        loader.set_epoch(epoch)
        samples.append(read(loader))
    return samples


# the same samples everywhere


@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("kind", [Dataset, CacheDataset, SmartCacheDataset])
def test_workers_draw_the_samples_of_the_main_process(kind, persistent):
    dataset = make_dataset(kind)
    samples = read_epochs(dataset)
    assert read_epochs(dataset, num_workers=2, persistent_workers=persistent) == samples


def test_cached_samples_are_those_of_the_plain_data_set():
    assert read_epochs(make_dataset(CacheDataset)) == read_epochs(make_dataset())


def test_workers_are_persistent_unless_told_otherwise():
    assert SeededDataLoader(make_dataset(), num_workers=2).persistent_workers
    assert not SeededDataLoader(make_dataset(), num_workers=0).persistent_workers


def test_samples_do_not_depend_on_what_ran_before():
    dataset = make_dataset()
    samples = read_epochs(dataset)
    torch.rand(3), np.random.rand(3), random.random(), NOISE.set_random_state(seed=9)
    assert read_epochs(dataset) == samples


def test_samples_do_not_depend_on_earlier_epochs():
    dataset = make_dataset()
    assert read_epochs(dataset, epochs=[1, 2])[1] == read_epochs(dataset, epochs=[2])[0]


def test_data_set_that_wraps_another_is_seeded_inside():
    dataset = Subset(make_dataset(), [4, 1, 3])
    assert read_epochs(dataset) == read_epochs(dataset)


def test_single_transform_is_seeded():
    dataset = Dataset(ITEMS, NOISE)
    assert read_epochs(dataset) == read_epochs(dataset)


# other samples


def test_epochs_differ():
    first, second = read_epochs(make_dataset())
    assert first != second


def test_seeds_differ():
    dataset = make_dataset()
    assert read_epochs(dataset, seed=3) != read_epochs(dataset, seed=4)


def test_seed_can_be_set_with_the_epoch():
    dataset = make_dataset()
    loader = SeededDataLoader(dataset, seed=0, batch_size=2)
    loader.set_epoch(1, seed=3)
    assert [read(loader)] == read_epochs(dataset, epochs=[1], seed=3)


def test_same_item_gets_other_noise_in_every_pass_of_an_epoch():
    loader = SeededDataLoader(Dataset(ITEMS[:1], Compose([NOISE])), iterations_per_epoch=3)
    assert len({tuple(batch[0][0]) for batch in read(loader)}) == 3


def test_second_iteration_within_an_epoch_differs():
    loader = SeededDataLoader(make_dataset(), batch_size=2)
    assert read(loader) != read(loader)


def test_second_iteration_within_an_epoch_is_the_same_with_workers():
    dataset = make_dataset()
    loaders = [SeededDataLoader(dataset, batch_size=2, num_workers=workers) for workers in (0, 2)]
    assert [read(loaders[0]), read(loaders[0])] == [read(loaders[1]), read(loaders[1])]


def test_iteration_that_was_abandoned_does_not_count():
    loader = SeededDataLoader(make_dataset(), batch_size=2)
    abandoned = next(iter(loader))["image"].tolist()
    assert read(loader)[0] == abandoned


def test_setting_the_epoch_again_starts_it_over():
    loader = SeededDataLoader(make_dataset(), batch_size=2)
    first = read(loader)
    loader.set_epoch(0)
    assert read(loader) == first


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_goes_on_behind_the_batches_that_are_done(num_workers):
    loader = SeededDataLoader(make_dataset(), num_workers=num_workers, iterations_per_epoch=5, batch_size=2)
    loader.set_epoch(3)
    whole = [read(loader), read(loader)]
    loader.set_epoch(3, first_batch=4)
    assert [read(loader), read(loader)] == [whole[0][3:], whole[1]]
    loader.set_epoch(3, first_batch=8)
    assert read(loader) == whole[1][2:]


def test_every_pass_holds_every_index_once():
    indices = [draw.index for draw in SeededSampler(range(5), seed=0, num_samples=15)]
    assert [sorted(indices[start : start + 5]) for start in (0, 5, 10)] == [[0, 1, 2, 3, 4]] * 3


def test_passes_are_shuffled_anew():
    indices = [draw.index for draw in SeededSampler(range(5), seed=0, num_samples=10)]
    assert indices[:5] != indices[5:]


def test_seeds_are_the_same_on_every_machine():
    assert (mix_seed(0), mix_seed(3, 1, 4)) == (2968811710, 3304465307)


# the main process


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(4).tolist(),
        lambda: np.random.rand(4).tolist(),
        lambda: [random.random() for _ in range(4)],
    ],
    ids=["torch", "numpy", "random"],
)
def test_loading_leaves_the_global_generator_alone(draw):
    def seeded_draw(load):
        torch.manual_seed(5), np.random.seed(5), random.seed(5)
        if load:
            read_epochs(make_dataset())
        return draw()

    assert seeded_draw(load=True) == seeded_draw(load=False)


def test_failing_transform_leaves_the_global_generator_alone():
    loader = SeededDataLoader(Dataset([{}], Compose([NOISE])))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="applying transform"):
        read(loader)
    assert torch.equal(torch.get_rng_state(), before)


# length


@pytest.mark.parametrize(("iterations", "batch_size"), [(1, 4), (3, 2), (7, 2), (5, 12)])
def test_epoch_has_exactly_its_iterations(iterations, batch_size):
    loader = SeededDataLoader(make_dataset(), batch_size=batch_size, iterations_per_epoch=iterations)
    assert len(loader) == iterations
    assert [len(batch) for batch in read(loader)] == [batch_size] * iterations


def test_epoch_is_one_pass_by_default():
    assert [len(batch) for batch in read(SeededDataLoader(make_dataset(), batch_size=4))] == [4, 2]


def test_empty_data_set_is_refused():
    with pytest.raises(ValueError, match=r"^the data set is empty: there is nothing to load$"):
        SeededDataLoader(Dataset([]))


# what the patches of each sample are


class AskedPlan:
    """Stands for a `SamplePlan`, and notes what it is asked for."""

    def __init__(self):
        self.asked = []

    def patches_at(self, *, epoch, batch, sample):
        self.asked.append((epoch, batch, sample))
        return SamplePatches((8,), 1 + (sample < 3), 10 * batch + sample)


def asked(sampler, *, rounds=1):
    """What the plan is asked for, over some rounds of an epoch."""
    sampler.plan = AskedPlan()
    sampler.set_epoch(3)
    for number in range(rounds):
        sampler.finished_rounds = number
        list(sampler)
    return sampler.plan.asked


def test_patches_are_asked_for_by_epoch_batch_and_sample():
    sampler = SeededSampler(range(5), seed=0, batch_size=2)
    assert asked(sampler, rounds=2) == [
        (3, 1, 0), (3, 1, 1), (3, 2, 0), (3, 2, 1), (3, 3, 0),
        (3, 4, 0), (3, 4, 1), (3, 5, 0), (3, 5, 1), (3, 6, 0),
    ]  # fmt: skip


def test_a_batch_that_the_loader_drops_is_not_counted():
    sampler = SeededSampler(range(5), seed=0, batch_size=2, drop_last=True)
    assert asked(sampler, rounds=2)[5:7] == [(3, 3, 0), (3, 3, 1)]


def test_a_draw_travels_to_workers_whole():
    draw = SampleDraw(3, 4, 5, SamplePatches((8, 8), 2, 10))
    assert pickle.loads(pickle.dumps(draw)) == draw


# ranks


def sampler_of(rank, num_ranks, *, count=7, num_samples=20, batch_size=5, **options):
    sampler = SeededSampler(
        range(count), seed=0, num_samples=num_samples, batch_size=batch_size, rank=rank, num_ranks=num_ranks, **options
    )
    sampler.plan = AskedPlan()
    return sampler


@pytest.mark.parametrize("num_samples", [20, 18])
@pytest.mark.parametrize("num_ranks", [2, 3])
def test_the_ranks_together_draw_what_one_draws(num_ranks, num_samples):
    whole = list(sampler_of(0, 1, num_samples=num_samples))
    parts = [list(sampler_of(rank, num_ranks, num_samples=num_samples)) for rank in range(num_ranks)]
    assert sorted((sample for part in parts for sample in part), key=lambda sample: sample.position) == whole
    assert [len(part) for part in parts] == [
        len(sampler_of(rank, num_ranks, num_samples=num_samples)) for rank in range(num_ranks)
    ]


def test_each_rank_has_its_part_of_every_batch():
    positions = [[one.position for one in sampler_of(rank, 2)] for rank in range(2)]
    assert positions == [[0, 1, 2, 5, 6, 7, 10, 11, 12, 15, 16, 17], [3, 4, 8, 9, 13, 14, 18, 19]]


def test_no_rank_draws_of_an_incomplete_batch_that_is_dropped():
    assert [len(sampler_of(rank, 2, num_samples=9, drop_last=True)) for rank in range(2)] == [3, 2]


def test_a_sampler_knows_the_patches_of_the_other_ranks():
    assert [sampler_of(rank, 2).patches_of(1) for rank in range(2)] == [(0, 6, 8), (6, 2, 8)]
    last = [sampler_of(rank, 2, num_samples=8) for rank in range(2)]
    assert [sampler.patches_of(2) for sampler in last] == [(0, 4, 6), (4, 2, 6)]
    assert last[0].patches_of(4) == (0, 4, 6)


def test_a_loader_loads_its_rank_s_part(monkeypatch):
    whole = [tuple(batch["image"].shape) for batch in SeededDataLoader(make_dataset(), batch_size=3)]
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    part = [tuple(batch["image"].shape) for batch in SeededDataLoader(make_dataset(), batch_size=3)]
    assert (whole, part) == ([(3, 1, 4)] * 2, [(1, 1, 4)] * 2)


def test_a_batch_of_fewer_volumes_than_ranks_is_refused(monkeypatch):
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 4)
    with pytest.raises(ValueError, match="got 3 for 4: start 3 or fewer, or take a batch_size of 4 or more"):
        SeededDataLoader(make_dataset(), batch_size=3)
    with pytest.raises(ValueError, match="the last batch of a pass has 1 volumes, fewer than the 4 ranks"):
        SeededDataLoader(make_dataset(), batch_size=5)
    assert len(SeededDataLoader(make_dataset(), batch_size=5, drop_last=True)) == 1


# workers


class TellsPid(MapTransform):
    def __call__(self, data):
        return {**data, "pid": os.getpid()}


@pytest.mark.parametrize("is_served", [False, True], ids=["forked by the run", "forked by a server for it"])
def test_workers_outlive_the_signals_that_end_a_run_and_end_with_it(is_served, monkeypatch):
    if is_served:
        monkeypatch.setattr("os.getppid", lambda: 1)
    loader = SeededDataLoader(Dataset(ITEMS, TellsPid("image")), num_workers=1, batch_size=2)
    batches = iter(loader)
    worker = int(next(batches)["pid"][0])
    for one in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGTERM):
        # From a process that isn't its parent.
        subprocess.run([sys.executable, "-c", f"import os; os.kill({worker}, {int(one)})"], check=True)
    assert len(list(batches)) == 2
    process = next(one for one in multiprocessing.active_children() if one.pid == worker)
    process.terminate()
    process.join(20)
    assert process.exitcode == 0


def test_a_batch_s_samples_are_those_that_are_drawn_one_by_one():
    loader = SeededDataLoader(make_dataset(), seed=3, batch_size=6)
    draws = list(loader.sampler)
    together = loader.dataset.__getitems__(draws)
    alone = [loader.dataset[draw] for draw in reversed(draws)][::-1]
    assert [item["image"].tolist() for item in together] == [item["image"].tolist() for item in alone]


def test_the_state_of_numpy_s_generator_is_put_back_whole():
    np.random.seed(4)
    np.random.standard_normal()  # a second one waits
    before = np.random.get_state()
    read(SeededDataLoader(make_dataset(), seed=3, batch_size=2))
    assert [np.array_equal(one, other) for one, other in zip(before, np.random.get_state(), strict=True)] == [True] * 5
