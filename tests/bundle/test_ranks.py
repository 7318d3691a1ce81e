"""What a single process makes of the functions of distributed runs; several are in tests/test_distributed.py."""

import logging

import ignite.distributed as idist
import pytest
import torch.distributed as dist

from monai_patchgrow.bundle.ranks import check_ranks, join_ranks, leave_ranks


@pytest.fixture
def alone(monkeypatch):
    """A process that torchrun started as the only one."""
    values = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    yield
    idist.finalize()


def test_one_process_joins_and_leaves(alone):
    join_ranks(timeout=60)
    assert dist.is_initialized()
    assert not logging.root.manager.disable
    leave_ranks()
    assert not dist.is_initialized()


@pytest.mark.parametrize("timeout", [0, -1, "2h", None])
def test_a_timeout_that_is_none_is_refused(timeout):
    with pytest.raises(SystemExit, match="process_group_timeout must be a number of seconds above 0"):
        join_ranks(timeout=timeout)


def test_a_start_that_is_incomplete_is_refused_in_one_line(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(SystemExit, match="error: the processes of the run don't find each other"):
        join_ranks(timeout=1)


def gather(monkeypatch, *others):
    monkeypatch.setattr(idist, "get_world_size", lambda: 1 + len(others))
    monkeypatch.setattr(idist, "all_gather", lambda ours: [ours, *others])


def test_other_settings_are_refused(monkeypatch):
    gather(monkeypatch, {"seed": ["1"]})
    with pytest.raises(SystemExit, match="error: seed: rank 0 has 0, rank 1 has 1: give every rank the same"):
        check_ranks(cases={}, settings={"seed": 0})


def test_files_are_compared_by_name_and_size(monkeypatch, tmp_path):
    file = tmp_path / "case_1.nii.gz"
    file.write_bytes(b"four")
    gather(monkeypatch, {"cases": ["{'image': ['case_1.nii.gz of 4 bytes']}"]})
    check_ranks(cases={"cases": [{"image": [file]}]}, settings={})
    file.write_bytes(b"more bytes")
    with pytest.raises(SystemExit, match=r"of 10 bytes.*, rank 1 has .*of 4 bytes"):
        check_ranks(cases={"cases": [{"image": [file]}]}, settings={})


def test_ranks_that_have_nothing_to_do_are_refused(monkeypatch):
    gather(monkeypatch, {})
    line = "^error: validation images: each of the 2 processes needs one, got 1: start fewer processes$"
    with pytest.raises(SystemExit, match=line):
        check_ranks(cases={}, settings={}, divided={"training images": 2, "validation images": 1})
