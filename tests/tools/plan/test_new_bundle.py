"""`patchgrow new`, with a package that stands in for nnunetv2: what is asked for, kept, written and cleaned up."""

import json
import os
import shutil
import signal
import sys
import threading
import time
from importlib.util import find_spec

import pytest

from monai_patchgrow import cli
from monai_patchgrow.data import write_phantom_like
from monai_patchgrow.tools.plan.new_bundle import new_bundle
from monai_patchgrow.tools.plan.options import PlanOptions


def make(phantom_task, tmp_path, name="bundle", *, memory=None, preset="default", configuration="3d_fullres"):
    options = PlanOptions(memory=memory, preset=preset, configuration=configuration, num_workers=1)
    return new_bundle(phantom_task, tmp_path / name, options)


def fault(*arguments):
    """The line that the command exits with."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["new", *map(str, arguments)])
    assert isinstance(caught.value.code, str)
    assert len(caught.value.code.splitlines()) == 1
    return caught.value.code


def read_config(bundle):
    return json.loads((bundle / "configs" / "train.json").read_text())


def test_the_plan_becomes_a_bundle(stand_in, phantom_task, tmp_path):
    config = read_config(make(phantom_task, tmp_path))
    assert (config["patch_size"], config["batch_size"], config["dataset_dir"]) == ([24, 32, 16], 2, "task")


def test_the_plan_lies_in_the_bundle(stand_in, phantom_task, tmp_path):
    plan = json.loads((make(phantom_task, tmp_path) / "docs" / "nnUNetPlans.json").read_text())
    assert plan["configurations"]["3d_fullres"]["patch_size"] == [16, 32, 24]


def test_the_command_tells_steps_and_what_to_run_next(stand_in, phantom_task, tmp_path, capsys):
    cli.main(["new", str(phantom_task), "-o", str(tmp_path / "bundle"), "--trust_label_voxels"])
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'bundle'}\n"
    assert [line.split()[0] for line in told.err.splitlines()] == ["1/3", "2/3", "2/3", "3/3", "page:", "look", "train"]
    assert told.err.endswith(f"train.json --dataset_dir {phantom_task} --trust_label_voxels True\n")


def test_nnunet_is_asked_for_planner_and_memory(stand_in, phantom_task, tmp_path):
    make(phantom_task, tmp_path, memory="12GiB", preset="ResEncL")
    cases = [f"phantom_{number:03d}" for number in range(10)]
    fingerprint, plan = stand_in.asked()
    assert fingerprint[:-1] == ["fingerprint", [1], 1, cases]
    assert plan == ["plan", "nnUNetPlannerResEncL", 12.0]


def test_without_memory_the_planner_has_its_own(stand_in, phantom_task, tmp_path):
    make(phantom_task, tmp_path)
    assert stand_in.asked()[-1] == ["plan", "ExperimentPlanner", None]


def test_a_second_call_reads_no_image(stand_in, phantom_task, tmp_path):
    make(phantom_task, tmp_path, "first")
    make(phantom_task, tmp_path, "second", memory=4)
    assert [words[0] for words in stand_in.asked()] == ["fingerprint", "plan", "plan"]


def test_what_was_planned_before_needs_no_nnunet(stand_in, phantom_task, tmp_path):
    first, second = (make(phantom_task, tmp_path, name) for name in ("first", "second"))
    assert [words[0] for words in stand_in.asked()] == ["fingerprint", "plan"]
    assert read_config(first) == read_config(second)


def test_images_that_changed_are_read_again(stand_in, phantom_task, tmp_path):
    data = shutil.copytree(phantom_task, tmp_path / "task")
    make(data, tmp_path, "first")
    os.utime(data / "labelsTr" / "phantom_003.nii.gz", (1, 1))
    make(data, tmp_path, "second")
    assert [words[0] for words in stand_in.asked()] == ["fingerprint", "plan"] * 2


def test_a_fingerprint_outlives_a_planner_that_fails(stand_in, phantom_task, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_FAULT", "planner")
    fault(phantom_task, tmp_path / "bundle")
    monkeypatch.delenv("STAND_IN_FAULT")
    make(phantom_task, tmp_path)
    assert [words[0] for words in stand_in.asked()] == ["fingerprint", "plan", "plan"]


def test_a_planner_that_fails_leaves_its_log_where_the_line_says(stand_in, phantom_task, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN_FAULT", "planner")
    log = tmp_path / "bundle.nnunet.log"
    assert fault(phantom_task, tmp_path / "bundle") == (
        f"error: nnU-Net's plan failed (RuntimeError: no patch fits): its log is {log}"
    )
    assert "Traceback" in log.read_text()
    assert not (tmp_path / "bundle").exists()
    assert list(stand_in.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "ResEncS"], "preset must be one of default, ResEncM, ResEncL, ResEncXL, got 'ResEncS'"),
        (["--configuration", "4d"], "configuration must be one of 3d_fullres, 3d_lowres, 2d, got '4d'"),
        (["--memory", "much"], "memory must be GiB of the GPU, as 8GiB, got 'much'"),
        (["--memory", "0"], "memory must be GiB of the GPU, as 8GiB, got 0"),
        (["--num_workers", "0"], "num_workers must be an integer of at least 1, got 0"),
        (["--python", "no-such-python"], "python: can't start no-such-python (No such file or directory)"),
    ],
)
def test_wrong_options_are_one_line_before_anything_runs(stand_in, phantom_task, tmp_path, options, message):
    assert fault(phantom_task, tmp_path / "bundle", *options).startswith(f"error: {message}")
    assert stand_in.asked() == []


def test_data_with_a_fault_is_refused_before_nnunet_reads_it(stand_in, phantom_task, tmp_path):
    data = shutil.copytree(phantom_task, tmp_path / "task")
    image = data / "imagesTr" / "phantom_004.nii.gz"
    image.write_bytes(b"")
    assert fault(data, tmp_path / "bundle").startswith(f"error: {image}: ")
    assert (stand_in.asked(), (tmp_path / "cache").exists(), (tmp_path / "bundle").exists()) == ([], False, False)


def test_a_truncated_image_is_refused_before_nnunet_takes_it_for_a_whole_one(stand_in, phantom_task, tmp_path):
    data = shutil.copytree(phantom_task, tmp_path / "task")
    image = data / "imagesTr" / "phantom_004.nii.gz"
    image.write_bytes(image.read_bytes()[:9000])
    assert fault(data, tmp_path / "bundle", "--num_workers", "1").startswith(f"error: {image}: truncated")
    assert (stand_in.asked(), (tmp_path / "cache").exists(), (tmp_path / "bundle").exists()) == ([], False, False)


def test_a_label_that_no_config_can_hold_is_refused_before_nnunet_reads_the_data(stand_in, phantom_task, tmp_path):
    data = shutil.copytree(phantom_task, tmp_path / "task")
    content = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**content, "labels": {**content["labels"], "2": "$tail"}}))
    assert "names must not start with $" in fault(data, tmp_path / "bundle")
    assert stand_in.asked() == []


def test_a_folder_that_holds_something_is_refused_at_once(stand_in, phantom_task, tmp_path):
    assert fault(phantom_task, phantom_task) == f"error: {phantom_task} is there already: name a new folder"
    assert stand_in.asked() == []


def test_a_configuration_that_was_not_planned(stand_in, phantom_task, tmp_path):
    line = fault(phantom_task, tmp_path / "bundle", "--configuration", "3d_lowres")
    assert line == f"error: {phantom_task}: nnU-Net planned no 3d_lowres for it, but 3d_fullres"


def test_a_plan_of_which_no_bundle_can_be_made(stand_in, phantom_task, tmp_path):
    plan = tmp_path / "site" / "nnunetv2" / "experiment_planning" / "plan.json"
    plan.write_text(plan.read_text().replace("[16, 32, 24]", "[16, 32, 23]"))
    line = fault(phantom_task, tmp_path / "bundle")
    kept = next((tmp_path / "cache").rglob("ExperimentPlanner_default.json"))
    assert line.startswith(f"error: {kept}: patch_size must be a multiple of total_stride")


def test_another_version_of_nnunet_is_refused(stand_in, phantom_task, tmp_path):
    site = tmp_path / "site"
    folder = (site / "nnunetv2-2.8.1.dist-info").rename(site / "nnunetv2-2.5.1.dist-info")
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: nnunetv2\nVersion: 2.5.1\n")
    line = fault(phantom_task, tmp_path / "bundle")
    assert line.startswith(
        f"error: {sys.executable} has nnunetv2 2.5.1, and plans are made by nnunetv2 2.8: python -m venv"
    )


@pytest.mark.skipif(find_spec("nnunetv2") is not None, reason="nnunetv2 is installed here")
def test_without_nnunet_one_line_says_how_to_get_it(phantom_task, tmp_path, monkeypatch):
    monkeypatch.delenv("PATCHGROW_NNUNET_PYTHON", raising=False)
    line = fault(phantom_task, tmp_path / "bundle")
    assert line.startswith(
        f"error: {sys.executable} has no nnunetv2, and plans are made by nnunetv2 2.8: python -m venv"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_nnunet_and_leaves_nothing(stand_in, phantom_task, tmp_path, monkeypatch, request, number):
    monkeypatch.setenv("STAND_IN_FAULT", "hang")
    # As in a shell: of a process in the background SIGINT is ignored.
    given = signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(number, given))
    before = signal.getsignal(number)
    threading.Thread(target=send, args=(number, stand_in), daemon=True).start()
    with pytest.raises(SystemExit) as caught:
        cli.main(["new", str(phantom_task), "-o", str(tmp_path / "bundle")])
    assert (caught.value.code, signal.getsignal(number)) == (128 + number, before)
    assert (list(stand_in.temporary.iterdir()), (tmp_path / "bundle").exists()) == ([], False)
    with pytest.raises(ProcessLookupError):
        os.kill(stand_in.asked()[0][-1], 0)


def send(number, stand_in):
    """Send this process a signal once nnU-Net is at work."""
    while not stand_in.asked():
        time.sleep(0.05)
    os.kill(os.getpid(), number)


@pytest.mark.skipif("PATCHGROW_NNUNET_PYTHON" not in os.environ, reason="PATCHGROW_NNUNET_PYTHON names no nnU-Net")
@pytest.mark.slow
def test_the_plan_of_a_file_with_channels_is_that_of_a_file_per_channel(tmp_path):
    kind = {"channels": ["T2", "ADC"], "labels": {0: "background", 1: "PZ"}, "spacing": (0.6, 0.6, 3.6)}
    plans = {}
    for layout in ("decathlon", "nnunet"):
        data = write_phantom_like(tmp_path / layout, layout=layout, shape=(64, 72, 16), **kind)
        bundle = new_bundle(data, tmp_path / f"{layout}_bundle", PlanOptions(cache_dir=tmp_path, num_workers=1))
        plans[layout] = json.loads((bundle / "docs" / "nnUNetPlans.json").read_text())
    assert plans["decathlon"] == {**plans["nnunet"], "dataset_name": "decathlon"}
    assert plans["nnunet"]["configurations"]["3d_fullres"]["spacing"] == pytest.approx([3.6, 0.6, 0.6])
