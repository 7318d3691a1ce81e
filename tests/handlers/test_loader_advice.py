"""LoaderAdvice: one line at the end of a stage that waited for data, on a GPU."""

import logging

import pytest
import torch
from ignite.engine import Engine, Events
from torch.utils.data import DataLoader

from monai_patchgrow import GrowthSchedule, PatchCount, PatchGrowth, PatchSize
from monai_patchgrow.handlers import LoaderAdvice, Throughput, loader_advice
from monai_patchgrow.handlers.loader_advice import workers_needed
from monai_patchgrow.handlers.throughput import EpochThroughput


@pytest.mark.parametrize(
    ("workers", "waiting_seconds", "needed"), [(1, 0.0, 1), (3, 4.5, 6), (4, 9.0, 40), (0, 2.0, 1), (0, 7.5, 3)]
)
def test_workers_that_draw_as_fast_as_the_training_steps(workers, waiting_seconds, needed):
    assert workers_needed(workers=workers, seconds=10.0, waiting_seconds=waiting_seconds) == needed


@pytest.fixture
def run(monkeypatch, caplog):
    """Return what runs two stages of two epochs, each of which took 10 s, and the lines of the handler."""

    def run(waiting, *, device="cuda", cpus=16):
        monkeypatch.setattr(loader_advice, "usable_cpus", lambda *, processes: cpus)
        schedule = GrowthSchedule.plan(
            patch_size=(16,), total_stride=(8,), batch_size=2, max_epochs=4, curriculum="efficiency"
        )
        trainer = Engine(lambda engine, batch: None)
        throughput = Throughput()
        trainer.state.throughput, trainer.state.device = throughput, torch.device(device)
        PatchGrowth(schedule, PatchSize((16,)), PatchCount()).attach(trainer)

        def measure(engine):
            throughput.epoch = EpochThroughput(seconds=10.0, waiting_seconds=waiting[engine.state.epoch - 1])

        trainer.add_event_handler(Events.EPOCH_COMPLETED, measure)
        LoaderAdvice().attach(trainer)
        with caplog.at_level(logging.INFO, logger=loader_advice.__name__):
            trainer.run(DataLoader(range(2)), max_epochs=4)
        return [record.getMessage() for record in caplog.records if record.name == loader_advice.__name__]

    return run


def test_a_stage_that_waited_says_how_many_workers_would_do(run):
    assert run([6.0, 8.0, 0.0, 0.0]) == ["stage 1 waited 70 % for data: num_workers=3 would do"]


def test_more_workers_than_cpus_are_said(run):
    assert run([0.0, 0.0, 8.0, 8.0], cpus=2) == [
        "stage 2 waited 80 % for data: num_workers=4 would do, more than the 2 CPUs that the process has"
    ]


@pytest.mark.parametrize(("waiting", "device"), [([3.0, 0.5, 0.0, 1.0], "cuda"), ([6.0, 6.0, 6.0, 6.0], "cpu")])
def test_little_waiting_and_runs_on_a_cpu_are_not_spoken_of(run, waiting, device):
    assert run(waiting, device=device) == []
