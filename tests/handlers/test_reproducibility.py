"""Reproducibility: every epoch draws from (seed, epoch) alone, whatever ran before."""

import random

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, RandSpatialCropSamplesd
from monai.utils import set_determinism

from monai_patchgrow import GrowthSchedule, PatchCount, PatchGrowth, PatchSize
from monai_patchgrow.bundle.seeding import seed_all
from monai_patchgrow.data import SeededDataLoader
from monai_patchgrow.handlers import Reproducibility

ITEMS = [{"image": torch.arange(576.0).reshape(1, 24, 24) + 1000 * number} for number in range(6)]
DRAWS = {
    "torch": lambda: torch.rand(()).item(),
    "numpy": lambda: np.random.rand(),
    "random": lambda: random.random(),
}


@pytest.fixture(autouse=True)
def keep_cudnn(monkeypatch):
    for name in ("deterministic", "benchmark", "allow_tf32"):
        monkeypatch.setattr(torch.backends.cudnn, name, getattr(torch.backends.cudnn, name))


def run(what, *, seed=0, global_seed=0, start=0, max_epochs=3, loader=None, handler=None):
    """Note `what(batch)` in every iteration, two an epoch."""
    torch.manual_seed(global_seed), np.random.seed(global_seed), random.seed(global_seed)
    seen = []
    engine = Engine(lambda engine, batch: seen.append(what(batch)))
    if start:
        engine.load_state_dict({"epoch": start, "max_epochs": max_epochs, "epoch_length": 2})
    (handler or Reproducibility(seed)).attach(engine)
    loader = loader or SeededDataLoader(Dataset(ITEMS), batch_size=2, iterations_per_epoch=2)
    engine.run(loader, max_epochs=max_epochs, epoch_length=2)
    return seen


def first_voxels(batch):
    return batch["image"][:, 0, 0, 0].tolist()


@pytest.mark.parametrize("name", DRAWS)
def test_draws_depend_on_the_seed_alone(name):
    assert run(lambda _: DRAWS[name](), global_seed=1) == run(lambda _: DRAWS[name](), global_seed=2)


@pytest.mark.parametrize("name", DRAWS)
def test_another_seed_draws_otherwise(name):
    assert run(lambda _: DRAWS[name](), seed=1) != run(lambda _: DRAWS[name](), seed=2)


@pytest.mark.parametrize("name", DRAWS)
def test_no_draw_comes_twice_in_a_run(name):
    assert len(set(run(lambda _: DRAWS[name]()))) == 6


@pytest.mark.parametrize("name", DRAWS)
def test_resumed_run_draws_what_an_unbroken_one_does(name):
    unbroken = run(lambda _: DRAWS[name](), global_seed=1)
    assert run(lambda _: DRAWS[name](), global_seed=2, start=1) == unbroken[2:]


def test_resumed_run_gets_the_batches_of_an_unbroken_one():
    assert run(first_voxels, start=2) == run(first_voxels)[4:]


def test_loader_takes_the_seed_of_the_handler():
    loaders = [SeededDataLoader(Dataset(ITEMS), seed=seed, batch_size=2, iterations_per_epoch=2) for seed in (1, 2)]
    assert run(first_voxels, loader=loaders[0]) == run(first_voxels, loader=loaders[1])


def test_second_run_of_an_engine_repeats_the_first():
    seen = []
    engine = Engine(lambda engine, batch: seen.append(first_voxels(batch)))
    Reproducibility(0).attach(engine)
    loader = SeededDataLoader(Dataset(ITEMS), batch_size=2, iterations_per_epoch=2)
    for _ in range(2):
        engine.run(loader, max_epochs=3)
    assert seen[:6] == seen[6:]


def growing_run(*, num_workers, iterations):
    """Where the patches of a growing run were cut out, with Reproducibility attached in front of PatchGrowth."""
    size, count, seen = PatchSize((16, 16)), PatchCount(), []
    crop = RandSpatialCropSamplesd("image", roi_size=size, num_samples=count, random_size=False)
    loader = SeededDataLoader(
        Dataset(ITEMS, Compose([crop])), batch_size=2, iterations_per_epoch=iterations, num_workers=num_workers
    )
    schedule = GrowthSchedule.plan(patch_size=(16, 16), total_stride=(8, 8), batch_size=2, max_epochs=3)
    engine = Engine(lambda engine, batch: seen.append(first_voxels(batch)))
    for handler in (Reproducibility(0), PatchGrowth(schedule, size, count)):
        handler.attach(engine)
    engine.run(loader, max_epochs=3)
    return seen


@pytest.mark.parametrize("iterations", [2, 6])
def test_workers_draw_the_patches_of_the_main_process_through_all_stages(iterations):
    assert growing_run(num_workers=2, iterations=iterations) == growing_run(num_workers=0, iterations=iterations)


# cuDNN


def cudnn_after(deterministic):
    """Whether cuDNN is deterministic, tries algorithms, and computes in TF32, after a run that found all of it off."""
    cudnn = torch.backends.cudnn
    cudnn.deterministic = cudnn.benchmark = cudnn.allow_tf32 = False
    run(first_voxels, handler=Reproducibility(0, deterministic_cudnn=deterministic))
    return cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32


def test_cudnn_is_made_deterministic():
    assert cudnn_after(True) == (True, False, False)


def test_cudnn_is_made_fast_on_request():
    assert cudnn_after(False) == (False, True, True)


def test_cudnn_is_left_alone_on_request():
    assert cudnn_after(None) == (False, False, False)


def test_matrix_products_stay_in_float32():
    cudnn_after(False)
    assert torch.get_float32_matmul_precision() == "highest"


def test_seeding_leaves_cudnn_to_the_handler():
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, True
    seed_all(3)
    drawn = torch.rand(()).item(), np.random.rand(), random.random()
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (False, True)
    set_determinism(3)
    assert drawn == (torch.rand(()).item(), np.random.rand(), random.random())


# what is refused, and what a checkpoint holds


def test_loader_that_is_not_seeded_is_refused():
    message = r"^Reproducibility needs a monai_patchgrow\.data\.SeededDataLoader, got a DataLoader$"
    with pytest.raises(ValueError, match=message):
        run(first_voxels, loader=DataLoader(Dataset(ITEMS), batch_size=2))


def test_state_is_the_seed_and_the_kind_of_algorithms():
    assert Reproducibility(7).state_dict() == {"seed": 7, "deterministic_cudnn": True}


def test_another_kind_of_algorithms_than_the_checkpoint_s_is_told(caplog):
    handler = Reproducibility(7, deterministic_cudnn=False)
    handler.load_state_dict({"seed": 7, "deterministic_cudnn": True})
    assert not handler.deterministic_cudnn
    told = "resumed with deterministic False, the run before had True: on a GPU the bits are those of neither"
    assert caplog.messages == [told]


def test_the_checkpoint_s_seed_is_adopted_with_a_warning(caplog):
    handler = Reproducibility(1)
    handler.load_state_dict({"seed": 7})
    assert handler.seed == 7
    assert caplog.messages == ["resumed with the checkpoint's seed 7 instead of 1"]


def test_the_same_seed_is_adopted_in_silence(caplog):
    Reproducibility(7).load_state_dict({"seed": 7})
    assert caplog.text == ""


def test_seed_that_a_handler_adopts_on_start_counts_from_the_first_epoch():
    engine_seen = []
    handler = Reproducibility(1)
    engine = Engine(lambda engine, batch: engine_seen.append(first_voxels(batch)))
    engine.add_event_handler(Events.STARTED, lambda: handler.load_state_dict({"seed": 7}))
    handler.attach(engine)
    engine.run(SeededDataLoader(Dataset(ITEMS), batch_size=2, iterations_per_epoch=2), max_epochs=3)
    assert engine_seen == run(first_voxels, seed=7)
