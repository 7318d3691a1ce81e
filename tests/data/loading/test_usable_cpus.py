"""usable_cpus: those that the process is bound to, within the limits of containers and of SLURM's jobs."""

import os

import pytest

from monai_patchgrow.data.loading import usable_cpus as module
from monai_patchgrow.data.loading.usable_cpus import _quotas, usable_cpus


@pytest.fixture
def bound(monkeypatch):
    """A process that is bound to 24 CPUs, in no container and no job."""
    for name in ("SLURM_CPUS_ON_NODE", "SLURM_CPUS_PER_TASK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(24)), raising=False)
    monkeypatch.setattr(module, "_quotas", lambda membership, root: [])
    return monkeypatch


@pytest.mark.parametrize(("processes", "cpus"), [(1, 24), (4, 6), (48, 1)])
def test_processes_share_the_cpus(bound, processes, cpus):
    assert usable_cpus(processes=processes) == cpus


def test_a_system_that_binds_nothing_has_all_cpus(bound):
    bound.delattr(os, "sched_getaffinity")
    bound.setattr(os, "cpu_count", lambda: 10)
    assert usable_cpus() == 10


@pytest.mark.parametrize(("quotas", "cpus"), [([6.0, 9.0], 6), ([1.5], 1), ([0.5], 1), ([99.0], 24)])
def test_a_quota_counts(bound, quotas, cpus):
    bound.setattr(module, "_quotas", lambda membership, root: quotas)
    assert usable_cpus() == cpus


def test_a_job_has_its_cpus_of_the_node(bound):
    bound.setenv("SLURM_CPUS_ON_NODE", "12")
    assert (usable_cpus(), usable_cpus(processes=4)) == (12, 3)


def test_a_task_s_cpus_are_its_own(bound):
    bound.setenv("SLURM_CPUS_ON_NODE", "16")
    bound.setenv("SLURM_CPUS_PER_TASK", "4")
    assert usable_cpus(processes=4) == 4


def test_torchrun_s_processes_share_what_a_task_has(bound):
    bound.setenv("SLURM_CPUS_ON_NODE", "16")
    bound.setenv("SLURM_CPUS_PER_TASK", "16")
    bound.setenv("TORCHELASTIC_RUN_ID", "none")
    assert usable_cpus(processes=4) == 4


def test_the_quotas_of_all_groups_above_a_process(tmp_path):
    job = tmp_path / "groups" / "slurm" / "job_7"
    job.mkdir(parents=True)
    (job / "cpu.max").write_text("150000 100000\n")
    (job.parent / "cpu.max").write_text("max 100000\n")
    (tmp_path / "membership").write_text("0::/slurm/job_7\n")
    assert _quotas(tmp_path / "membership", tmp_path / "groups") == [1.5]
