"""Two processes on gloo train as one process does, and none of them waits for one that died."""

import json
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from commands import run_python

from monai_patchgrow.handlers.run_log import read_history

SCRIPT = Path(__file__).with_name("rank_process.py")
BUNDLE = Path(__file__).parents[1] / "bundles" / "hippocampus_segmentation_patchgrow"
TINY_BUNDLE = {
    "patch_size": [16, 16, 16],
    "features": [4, 4, 8, 8],
    "spacing": [2.0, 2.0, 2.0],
    "labels": {"0": "background", "1": "head", "2": "tail"},
}
QUIET = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
SECONDS = 60


@pytest.fixture(scope="module")
def processes():
    """Starts processes from one that has imported what they need, and nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["ignite.distributed", "monai.engines", "monai.handlers", "monai_patchgrow.bundle.ranks"]
    )
    return context


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def environment(rank, ranks, port):
    values = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {name: str(value) for name, value in values.items()}


def start(processes, task, output, *, ranks=2, **options):
    """Do a task of rank_process.py on several ranks; what each left behind, when all have ended."""
    port, began = free_port(), time.monotonic()
    started = []
    for rank in range(ranks):
        names = {"TASK": task, "OUTPUT": str(output), "OPTIONS": options, "ENVIRONMENT": environment(rank, ranks, port)}
        started.append(processes.Process(target=runpy.run_path, args=(str(SCRIPT), names, "rank")))
        started[-1].start()
    try:
        for process in started:
            process.join(max(0.0, began + SECONDS - time.monotonic()))
        codes = [process.exitcode for process in started]
    finally:
        for process in started:
            process.kill()
    return SimpleNamespace(
        output=output,
        codes=codes,
        errors=[(output / f"stderr{rank}.txt").read_text() for rank in range(ranks)],
        results=[json.loads(file.read_text()) for file in sorted(output.glob("result*.json"))],
    )


def weights(run, rank=0):
    return torch.load(run.output / f"weights{rank}.pt", weights_only=True)


def largest_difference(first, second):
    return max(float((first[name] - second[name]).abs().max()) for name in first)


# the same training

KINDS = {
    "efficiency": {"validation_cases": 3},
    "performance": {"validation_cases": 1, "curriculum": "performance", "batch_dice": True, "batch": 4},
}


@pytest.fixture(scope="module", params=list(KINDS))
def runs(request, processes, tmp_path_factory):
    """One training on one rank and on two."""
    both = {}
    for ranks in (1, 2):
        output = tmp_path_factory.mktemp(f"{request.param}{ranks}")
        both[ranks] = start(processes, "train", output, ranks=ranks, **KINDS[request.param])
        assert both[ranks].codes == [0] * ranks, both[ranks].errors
    return SimpleNamespace(kind=request.param, one=both[1], two=both[2])


def test_two_ranks_end_on_the_weights_of_one(runs):
    assert len(runs.one.results[0]["seen"]) == 28
    assert largest_difference(weights(runs.one), weights(runs.two)) < 1e-5


def test_all_ranks_end_on_the_same_weights(runs):
    assert largest_difference(weights(runs.two), weights(runs.two, rank=1)) == 0


def test_every_rank_has_its_part_of_every_batch_and_the_same_patch_size(runs):
    whole, *parts = (run["seen"] for run in (*runs.one.results, *runs.two.results))
    for together, first, second in zip(whole, *parts, strict=True):
        assert first[1] > second[1] > 0
        assert first[1] + second[1] == together[1]
        assert first[2:] == second[2:] == together[2:]


def test_history_tells_of_the_whole_batch(runs):
    one, two = (read_history(run.output / "history.jsonl") for run in (runs.one, runs.two))
    for name in ("epoch", "stage", "patch_size", "total_voxels", "foreground_share", "patches_without_foreground"):
        assert [record[name] for record in two] == [record[name] for record in one]
    assert [record["loss"] for record in two] == pytest.approx([record["loss"] for record in one], abs=1e-5)


def test_validation_counts_each_case_once(runs):
    one, two = (read_history(run.output / "history.jsonl") for run in (runs.one, runs.two))
    dice = [record["dice"]["mean"] for record in one if record["dice"]]
    assert len(dice) == 2
    assert [record["dice"]["mean"] for record in two if record["dice"]] == pytest.approx(dice, abs=1e-3)
    assert runs.two.results[0]["best"] == runs.two.results[1]["best"]


def test_only_the_first_rank_writes(runs):
    assert sorted(file.name for file in runs.two.output.glob("*[!0-9]*")) == [
        "history.jsonl",
        "last.previous.pt",
        "last.pt",
        "model.pt",
        "model.safetensors",
        "result0.json",
        "result1.json",
        "stderr0.txt",
        "stderr1.txt",
        "tensorboard",
        "weights0.pt",
        "weights1.pt",
    ]
    assert len(list((runs.two.output / "tensorboard").iterdir())) == 1
    assert "28/28" in runs.two.errors[0]
    assert runs.two.errors[1] == ""


def test_a_run_that_broke_off_goes_on_to_the_same_bits(processes, tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir()
    part.mkdir()
    unbroken = start(processes, "train", whole, num_workers=1)
    stopped = start(processes, "train", part, stop_in=10)  # by a signal that only one of them gets
    assert stopped.codes == [75, 75]
    start(processes, "train", part, resume=True, break_off_after=3)
    resumed = start(processes, "train", part, resume=True)
    assert [len(run["seen"]) for run in resumed.results] == [7, 7]
    assert largest_difference(weights(unbroken), weights(resumed)) == 0
    assert resumed.results[1]["throughput"]["voxels"] == 38976


@pytest.mark.parametrize("batch_dice", [False, True])
@pytest.mark.parametrize("kind", [None, "ignore", "regions"])
def test_averaged_gradients_are_those_of_the_whole_batch(processes, tmp_path, batch_dice, kind):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    [one] = start(processes, "measure_loss", whole, ranks=1, batch_dice=batch_dice, kind=kind).results
    two = start(processes, "measure_loss", parts, batch_dice=batch_dice, kind=kind).results
    averaged = torch.cat([torch.tensor(rank["gradient"], dtype=torch.float64) for rank in two]) / 2
    assert float((averaged - torch.tensor(one["gradient"], dtype=torch.float64)).abs().max()) < 1e-8
    assert sum(rank["value"] for rank in two) / 2 == pytest.approx(one["value"], abs=1e-6)


def test_kappa_is_that_of_the_images_of_all_ranks(processes, tmp_path):
    # Disagreements of weights 1 and 4; by chance there would be 59 / 7.
    run = start(processes, "measure_kappa", tmp_path)
    assert run.results == [[pytest.approx(0.4067796610, abs=1e-9)] * 2] * 2


@pytest.fixture(scope="module")
def trained_bundle(phantom_task, tmp_path_factory):
    """A bundle that torchrun trained on two ranks."""
    folder = tmp_path_factory.mktemp("bundle")
    settings = {"batch_size": 3, "max_epochs": 4, "iterations_per_epoch": 2, "val_interval": 2, "num_workers": 0}
    names = {"dataset_dir": phantom_task, "output_dir": folder, "cache_dir": folder / "cache"}
    run_bundle("train", folder, ranks=2, **names, **settings)
    return folder


# torchrun's processes, forked after their imports
_RANKS = """
import os, runpy, sys
ranks, port = int(sys.argv.pop(1)), sys.argv.pop(1)
started = []
for rank in map(str, range(ranks)):
    started.append(os.fork())
    if started[-1] == 0:
        os.environ.update(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=str(ranks), MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
        sys.exit()
sys.exit(sum(os.waitpid(process, 0)[1] != 0 for process in started))
"""


def words_of(kind, **overrides):
    """The words of MONAI's command."""
    configs = [str(BUNDLE / "configs" / f"{name}.json") for name in (kind, f"multi_gpu_{kind}")]
    words = ["run", "--config_file", repr(configs)]
    for name, value in {**TINY_BUNDLE, **overrides}.items():
        words += [f"--{name}", str(value)]
    return words


def run_bundle(kind, cwd, *, ranks, **overrides):
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc_per_node={ranks}",
    ]
    command += ["-m", "monai.bundle", *words_of(kind, **overrides)]
    process = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=2 * SECONDS, env={**os.environ, **QUIET}
    )
    assert process.returncode == 0, process.stderr[-3000:]


def test_torchrun_trains_a_bundle(trained_bundle):
    history = read_history(trained_bundle / "history.jsonl")
    assert [record["patch_size"] for record in history] == [[8, 8, 8], [8, 8, 16], [8, 16, 16], [16, 16, 16]]
    assert [record["total_voxels"] for record in history] == [3072, 9216, 21504, 46080]
    assert [record["dice"] is not None for record in history] == [False, True, False, True]
    assert (trained_bundle / "models" / "last.pt").is_file()


def test_a_bundle_is_evaluated_on_more_ranks_than_cases(trained_bundle, phantom_task):
    names = {"dataset_dir": phantom_task, "ckpt_path": trained_bundle / "models" / "model.pt"}
    output = trained_bundle / "eval"
    words = words_of("evaluate", **names, output_dir=output)
    process = run_python("-W", "ignore", "-c", _RANKS, 3, free_port(), *words, cwd=trained_bundle, timeout=2 * SECONDS)
    assert process.returncode == 0, process.stderr[-3000:]
    lines = (output / "val_mean_dice_raw.csv").read_text().splitlines()
    assert len(lines) == 3  # the heading and the fold's two cases
    mean = sum(float(line.rpartition(",")[2]) for line in lines[1:]) / 2
    assert mean == pytest.approx(read_history(trained_bundle / "history.jsonl")[-1]["dice"]["mean"], abs=0.05)


# nobody waits


def test_ranks_with_different_cases_all_refuse_in_one_line(processes, tmp_path):
    run = start(processes, "differ", tmp_path)
    line = "error: training cases: rank 0 has 3, rank 1 has 4: give every rank the same data and settings\n"
    assert run.codes == [1, 1]
    assert run.errors == [line, line]


def test_a_batch_of_fewer_volumes_than_ranks_is_refused_in_one_line(processes, tmp_path):
    run = start(processes, "join", tmp_path, batch_size=1)
    advice = "start 1 or fewer, or give batch_size 2 or more"
    assert run.codes == [1, 1]
    assert run.errors == [f"error: batch_size must be at least the number of processes, got 1 for 2: {advice}\n"] * 2


@pytest.mark.parametrize("at", ["exchange", "work"])
def test_the_others_end_when_a_rank_is_killed(processes, tmp_path, at):
    run = start(processes, "die", tmp_path, at=at, num_workers=1)
    assert run.codes == [1, -9]
    assert "Connection" in run.errors[0] or "another process of this run has ended" in run.errors[0]


def test_the_others_end_when_a_loader_fails(processes, tmp_path):
    run = start(processes, "die", tmp_path, at="loader")
    assert run.codes == [1, 1]
    assert "another process of this run has ended" in run.errors[0]
    assert "case_7.nii.gz can't be read" in run.errors[1]
