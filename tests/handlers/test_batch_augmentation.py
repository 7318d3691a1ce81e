"""AugmentBatches: the batch that the trainer sees, drawn from the seed and the iteration alone."""

from types import SimpleNamespace

import torch
from ignite.engine import Engine

from monai_patchgrow.handlers import AugmentBatches
from monai_patchgrow.transforms import AugmentationRecipe, BatchAugmentation

RECIPE = AugmentationRecipe.nnunet((8, 8))


def batch():
    ramp = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(6, 1, 1, 1)
    return {"image": ramp, "label": ramp.to(torch.int16), "case": "kept"}


def run(*, seed=0, epochs=2, start_seed=0, reproducibility=None):
    torch.manual_seed(start_seed)
    seen = []
    engine = Engine(lambda engine, batch: seen.append(engine.state.batch))
    engine.state.device = torch.device("cpu")
    AugmentBatches(BatchAugmentation(RECIPE), seed=seed).attach(engine)
    engine.state.reproducibility = reproducibility
    engine.run([batch() for _ in range(3)], max_epochs=epochs)
    return seen


def same(first, second):
    return all(torch.equal(a[key], b[key]) for a, b in zip(first, second, strict=True) for key in ("image", "label"))


def test_image_and_label_are_augmented_and_the_rest_is_kept():
    seen = run()
    assert all(not torch.equal(one["image"], batch()["image"]) for one in seen)
    assert any(not torch.equal(one["label"], batch()["label"]) for one in seen)
    assert {one["case"] for one in seen} == {"kept"}


def test_iterations_differ():
    first, second, *_ = run()
    assert not torch.equal(first["image"], second["image"])


def test_what_is_drawn_depends_on_seed_and_iteration_alone():
    assert same(run(start_seed=1), run(start_seed=2))
    assert not same(run(seed=0), run(seed=1))


def test_the_global_generator_is_left_alone():
    torch.manual_seed(7)
    untouched = torch.rand(3)
    run(start_seed=7)
    assert torch.equal(torch.rand(3), untouched)


def test_the_seed_of_the_run_comes_first_so_that_a_resumed_one_goes_on_with_it():
    reproducibility = SimpleNamespace(seed=1)
    assert same(run(seed=0, reproducibility=reproducibility), run(seed=1))


def test_with_another_loader_each_rank_draws_for_itself(monkeypatch):
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    first = run()
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    assert not same(first, run())
    assert same(run(), run())
