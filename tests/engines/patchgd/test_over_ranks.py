"""Two ranks with unequal shares of each batch train as one process does with all of it."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("rank_training.py")
SECONDS = 120
# Tests are no package, so the training is loaded by its place.
_spec = importlib.util.spec_from_file_location("rank_training", SCRIPT)
rank_training = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(rank_training)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """The weights that each of two ranks ended on."""
    output = tmp_path_factory.mktemp("ranks")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = str(listening.getsockname()[1])
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(output)]
    started = [subprocess.Popen(command, env={**shared, "RANK": rank, "LOCAL_RANK": rank}) for rank in ("0", "1")]
    try:
        assert [process.wait(SECONDS) for process in started] == [0, 0]
    finally:
        for process in started:
            process.kill()
    return [torch.load(output / f"weights{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize("kind", ["exact", "stepwise"])
def test_two_ranks_end_on_the_weights_of_one(ranks, kind):
    alone = rank_training.train(slice(0, 3), seed=0, **rank_training.KINDS[kind])
    assert max(float((alone[name] - ranks[0][kind][name]).abs().max()) for name in alone) < 1e-12


@pytest.mark.parametrize("kind", rank_training.KINDS)
def test_all_ranks_end_on_the_same_weights_and_running_statistics(ranks, kind):
    assert all(torch.equal(ranks[0][kind][name], ranks[1][kind][name]) for name in ranks[0][kind])


def test_parameter_without_a_gradient_anywhere_is_left_alone(ranks):
    assert [rank["exact"]["unused"].item() for rank in ranks] == [1.0, 1.0]


def test_the_kinds_are_two(ranks):
    assert not torch.equal(*(ranks[0][kind]["head.1.weight"] for kind in ("exact", "stepwise")))
