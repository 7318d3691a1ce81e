"""available_bytes: what the system has, within the limits of the groups that the process is in."""

import pytest

from monai_patchgrow.data.loading import available_memory
from monai_patchgrow.data.loading.available_memory import _left_in_cgroups, available_bytes


@pytest.fixture
def groups(tmp_path):
    """A job within a group: 100 bytes for the group, 80 for the job, 30 and 25 of them taken, 2 of these for files."""
    root = tmp_path / "cgroup"
    job = root / "slurm" / "job_7"
    job.mkdir(parents=True)
    for folder, limit, used in ((job, "80", "25"), (job.parent, "100", "30")):
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text("anon 5\ninactive_file 2\n")
    membership = tmp_path / "membership"
    membership.write_text("0::/slurm/job_7\n")
    return membership, root


def test_every_group_above_the_process_counts(groups):
    assert sorted(_left_in_cgroups(*groups)) == [57, 72]


def test_a_group_without_a_limit_is_left_out(groups):
    (groups[1] / "slurm" / "memory.max").write_text("max\n")
    assert _left_in_cgroups(*groups) == [57]


def test_more_taken_than_the_limit_leaves_nothing(groups):
    (groups[1] / "slurm" / "memory.current").write_text("103")
    assert min(_left_in_cgroups(*groups)) == 0


def test_without_groups_there_is_no_limit(tmp_path):
    assert _left_in_cgroups(tmp_path / "none", tmp_path) == []


def test_the_smallest_counts(monkeypatch):
    monkeypatch.setattr(available_memory, "_left_in_cgroups", lambda membership, root: [9, 4])
    assert available_bytes() == 4
