"""Throughput: voxels, patches and foreground counted exactly; totals that outlive a run."""

import pytest
import torch
from ignite.engine import Engine, Events

from monai_patchgrow.handlers.throughput import EpochThroughput, Throughput
from monai_patchgrow.transforms.patches import WITHOUT_FOREGROUND


def make_batch(patches=2, *, channels=1, foreground=3):
    """Patches of 4x5 voxels; the first has some foreground, of two classes."""
    label = torch.zeros(patches, 1, 4, 5)
    label[0, 0, 0, :foreground] = torch.arange(1.0, foreground + 1)
    return {"image": torch.rand(patches, channels, 4, 5), "label": label}


def run(batches, *, max_epochs=1, throughput=None):
    throughput = throughput or Throughput()
    engine = Engine(lambda engine, batch: None)
    throughput.attach(engine)
    engine.run(batches, max_epochs=max_epochs)
    return throughput


def test_voxels_and_patches_are_counted():
    throughput = run([make_batch(2), make_batch(3)])
    assert (throughput.epoch.patches, throughput.epoch.voxels) == (5, 100)


def test_channels_are_not_counted_as_voxels():
    assert run([make_batch(2, channels=4)]).epoch.voxels == 40


def test_foreground_is_every_label_above_zero():
    assert run([make_batch(2, foreground=3), make_batch(2, foreground=1)]).epoch.foreground_voxels == 4


def test_an_ignored_label_is_no_foreground():
    throughput = run([make_batch(1, foreground=3)], throughput=Throughput(ignore_label=3))
    assert throughput.epoch.foreground_voxels == 2


def test_share_of_foreground():
    assert run([make_batch(1, foreground=5)]).epoch.foreground_share == 0.25


def test_patches_that_found_no_foreground_are_counted():
    batch = {**make_batch(3), WITHOUT_FOREGROUND: torch.tensor([True, False, True])}
    throughput = run([batch, make_batch(2)], max_epochs=2)
    assert throughput.epoch.patches_without_foreground == 2
    assert throughput.total.patches_without_foreground == 4


def test_epoch_starts_at_zero_and_total_goes_on():
    throughput = run([make_batch(2)], max_epochs=3)
    assert (throughput.epoch.voxels, throughput.total.voxels) == (40, 120)
    assert (throughput.epoch.foreground_voxels, throughput.total.foreground_voxels) == (3, 9)


def test_keys_of_the_batch_can_be_chosen():
    batch = make_batch(2)
    throughput = Throughput(image_key="ct", label_key="mask")
    assert run([{"ct": batch["image"], "mask": batch["label"]}], throughput=throughput).epoch.voxels == 40


def test_waiting_is_a_part_of_the_time():
    epoch = run([make_batch()] * 3).epoch
    assert 0 < epoch.waiting_seconds < epoch.seconds
    assert 0 < epoch.waiting_share < 1


def test_validation_behind_the_epoch_is_not_timed():
    seconds = []
    engine = Engine(lambda engine, batch: None)
    throughput = Throughput()
    throughput.attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: seconds.append(throughput.epoch.seconds))
    engine.run([make_batch()])
    assert seconds == [throughput.epoch.seconds]


def test_totals_survive_a_resume():
    first = run([make_batch(2)], max_epochs=2)
    second = Throughput()
    second.load_state_dict(first.state_dict())
    run([make_batch(2)], throughput=second)
    assert (second.total.voxels, second.total.patches, second.total.foreground_voxels) == (120, 6, 9)
    assert second.total.seconds > first.total.seconds


def test_state_is_made_of_plain_numbers():
    assert {type(value) for value in run([make_batch()]).state_dict().values()} == {int, float}


def test_rates():
    epoch = EpochThroughput(seconds=4.0, waiting_seconds=1.0, voxels=100, foreground_voxels=25)
    assert (epoch.voxels_per_second, epoch.waiting_share, epoch.foreground_share) == (25.0, 0.25, 0.25)


@pytest.mark.parametrize("rate", ["voxels_per_second", "waiting_share", "foreground_share"])
def test_rates_of_nothing_are_zero(rate):
    assert getattr(EpochThroughput(), rate) == 0.0
