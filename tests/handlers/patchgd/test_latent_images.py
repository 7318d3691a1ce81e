"""Z becomes an image of its first three principal components, written once per epoch."""

import logging
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from monai_patchgrow.handlers import LatentImages
from monai_patchgrow.handlers.patchgd.latent_images import latent_image


def test_a_single_feature_runs_from_black_to_white():
    picture = latent_image(torch.tensor([[[-3.0, 1.0, 5.0]]]))
    assert picture.tolist() == [[[0, 128, 255]]] * 3


def test_red_is_the_strongest_component():
    latent = torch.zeros(2, 1, 4)
    latent[0, 0], latent[1, 0] = torch.tensor([0.0, 0.0, 8.0, 8.0]), torch.tensor([0.0, 1.0, 0.0, 1.0])
    assert latent_image(latent)[:2].tolist() == [[[0, 0, 255, 255]], [[0, 255, 0, 255]]]


def test_cells_that_an_image_does_not_have_are_black_and_do_not_count():
    latent = torch.tensor([[[0.0, 1.0, 99.0]]])
    assert latent_image(latent, torch.tensor([[True, True, False]]))[0].tolist() == [[0, 255, 0]]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_cells_that_are_not_finite_are_magenta_and_do_not_count(wrong):
    latent = torch.tensor([[[0.0, 1.0, wrong]], [[0.0, 0.0, 0.0]]])
    assert latent_image(latent)[:2].tolist() == [[[0, 255, 255]], [[0, 0, 0]]]
    assert latent_image(latent)[2, 0, 2] == 255


def test_a_latent_that_is_all_nan_is_all_magenta():
    assert latent_image(torch.full((4, 1, 2), float("nan"))).tolist() == [[[255, 255]], [[0, 0]], [[255, 255]]]


def test_values_whose_squares_overflow():
    latent = torch.tensor([[[-1e200, 1e200]], [[0.0, 1e200]]], dtype=torch.double)
    assert latent_image(latent)[0].tolist() == [[0, 255]]


@pytest.mark.parametrize(("grid", "size"), [((5,), (1, 5)), ((4, 3), (4, 3)), ((4, 3, 2), (4, 6))])
def test_size(grid, size):
    assert latent_image(torch.rand(8, *grid)).shape == (3, *size)


def test_equal_cells_are_no_fault():
    assert latent_image(torch.ones(4, 2, 2)).sum() == 0


def test_the_random_generator_stays_where_it_is():
    before = torch.get_rng_state()
    latent_image(torch.arange(24.0).reshape(2, 3, 4))
    assert torch.equal(before, torch.get_rng_state())


def test_the_first_iteration_of_each_interval_is_written(tmp_path):
    engine = Engine(lambda engine, batch: None)

    @engine.on(Events.ITERATION_STARTED)
    def fill():
        mask = torch.ones(2, 4, 4, dtype=torch.bool)
        engine.state.latent = SimpleNamespace(z=torch.rand(2, 8, 4, 4), mask=mask)

    LatentImages(tmp_path, interval=2, num_images=2).attach(engine)
    engine.run([0, 1, 2], max_epochs=4)
    found = set()
    for file in (tmp_path / "tensorboard" / "latent").iterdir():
        events = EventAccumulator(str(file))
        events.Reload()
        found |= {(tag, e.step, e.width) for tag in events.Tags()["images"] for e in events.Images(tag)}
    assert found == {(f"latent/{number}", epoch, 128) for number in range(2) for epoch in (2, 4)}


def test_a_latent_of_nan_stops_no_run_and_is_logged_once(tmp_path, caplog):
    latent = torch.rand(1, 8, 2, 2)
    latent[0, 3, 0, 0] = float("nan")
    engine = Engine(lambda engine, batch: None)
    engine.state.latent = SimpleNamespace(z=latent, mask=torch.ones(1, 2, 2, dtype=torch.bool))
    LatentImages(tmp_path).attach(engine)
    with caplog.at_level(logging.WARNING, "monai_patchgrow"):
        engine.run([0], max_epochs=2)
    line = "Z of image 0 in epoch 1 holds NaN or infinity in 1 of 4 cells: they are drawn in magenta"
    assert [record.getMessage() for record in caplog.records] == [line]


@pytest.mark.parametrize("option", ["num_images", "interval"])
def test_none_is_refused(option, tmp_path):
    with pytest.raises(ValueError, match="num_images and interval must be at least 1"):
        LatentImages(tmp_path, **{option: 0})
