"""torch's threads beside a loader's workers: fewer on a GPU, untouched elsewhere."""

from types import SimpleNamespace

import pytest
import torch

from monai_patchgrow.bundle import cpu_threads, ranks
from monai_patchgrow.bundle.cpu_threads import leave_cpus_to_workers


@pytest.fixture
def threads(monkeypatch):
    """The numbers of threads that torch was told; it has 12, as the process has CPUs."""
    told = []
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cpu_threads, "usable_cpus", lambda *, processes: 12 // processes)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 12)
    monkeypatch.setattr(torch, "set_num_threads", told.append)
    return told


def engine(device, workers):
    return SimpleNamespace(
        state=SimpleNamespace(device=torch.device(device)), data_loader=SimpleNamespace(num_workers=workers)
    )


@pytest.mark.parametrize(("workers", "left"), [(4, 8), (16, 1)])
def test_a_run_on_a_gpu_leaves_the_workers_their_cpus(threads, workers, left):
    leave_cpus_to_workers(engine("cuda", workers))
    assert threads == [left]


@pytest.mark.parametrize(("device", "workers"), [("cpu", 4), ("cuda", 0)])
def test_other_runs_keep_their_threads(threads, device, workers):
    leave_cpus_to_workers(engine(device, workers))
    assert threads == []


def test_what_the_user_says_stays(threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    leave_cpus_to_workers(engine("cuda", 4))
    assert threads == []


@pytest.mark.parametrize(("cpus", "workers"), [(1, 0), (2, 1), (7, 3), (64, 8)])
def test_half_of_the_cpus_are_for_workers(monkeypatch, cpus, workers):
    monkeypatch.setattr(ranks, "usable_cpus", lambda *, processes: cpus)
    assert ranks.default_workers() == workers
