"""Prediction and evaluation with cases that are read ahead and written behind: the same files, lines and errors."""

import copy
import gc
import json
import logging
import re
import runpy
import shutil
import signal
import threading
import time
import types
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from commands import run_python
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import ImageReader
from monai.transforms import Transform

from monai_patchgrow.data import read_task, split_cases

BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_segmentation_patchgrow"
AHEAD, PREDICT = (runpy.run_path(str(BUNDLE / "scripts" / f"{name}.py")) for name in ("ahead", "predict"))
read_ahead = AHEAD["read_ahead"]
SECONDS = 20  # for what comes at once, or never


class Bright(torch.nn.Module):
    """Label 1 where the normalised image is bright; it takes a while, in which others read and write."""

    def forward(self, images):
        time.sleep(0.005)
        margin = images - 0.5
        return torch.cat([-margin, margin, torch.full_like(margin, -1e3)], 1)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Cases that are turned, resampled and in microns, and broken ones among them."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(6):
        voxels = np.random.default_rng(number).normal(100, 20, (18 + number, 20, 14)).astype(np.float32)
        image = nib.Nifti1Image(voxels, np.diag([-1.3, 1, 0.9, 1]))
        if number % 2:
            image = nib.Nifti1Image(voxels, np.diag([1300, 1000, 900, 1]))
            image.header.set_xyzt_units("micron")
        nib.save(image, folder / f"case_{number}.nii.gz")
    content = (folder / "case_1.nii.gz").read_bytes()
    (folder / "case_1.nii.gz").write_bytes(content[: len(content) // 2])
    nib.save(nib.Nifti1Image(np.full((20, 20, 20), np.nan, np.float32), np.eye(4)), folder / "case_2.nii.gz")
    return folder


def config_of(name="inference.json", **overrides):
    config = ConfigParser(ConfigParser.load_config_file(BUNDLE / "configs" / name))
    config.update({"bundle_root": str(BUNDLE), "patch_size": [16, 16, 16], "device": "cpu", **overrides})
    return config


def predict(images, output_dir, *, network=None, preprocessing=None, **options):
    config = config_of(dataset_dir=str(images))
    parts = {key: config.get_parsed_content(key) for key in ("inferer", "preprocessing", "postprocessing")}
    parts |= {"network": network or Bright(), "preprocessing": preprocessing or parts["preprocessing"]}
    items = config.get_parsed_content("images")
    return PREDICT["predict"](items, output_dir=output_dir, device="cpu", **parts, **options)


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class Told(logging.Handler):
    """What is logged from INFO on, line by line, without seconds and the folder."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.lines = folder, []

    def emit(self, record):
        self.lines.append(re.sub(r"\d+\.\d s$", "s", record.getMessage().replace(str(self.folder), "")))

    def __enter__(self):
        self.level_before = logging.getLogger("predict").level
        logging.getLogger("predict").setLevel(logging.INFO)
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_):
        logging.getLogger().removeHandler(self)
        logging.getLogger("predict").setLevel(self.level_before)


def predicted(images, folder, **options):
    """The files and lines of a prediction in which two cases fail."""
    with Told(folder) as told, pytest.raises(RuntimeError, match="2 of 6 cases failed: case_1, case_2"):
        predict(images, folder, **options)
    return files_of(folder), told.lines


@pytest.fixture(scope="module")
def in_turn(images, tmp_path_factory):
    return predicted(images, tmp_path_factory.mktemp("in_turn"))


def test_a_prediction_in_turn_tells_of_one_case_after_the_other(images, in_turn):
    told = [line.replace(f"{images}/", "").partition(": ")[0] for line in in_turn[1]]
    assert told == [
        *("1/6 /case_0.nii.gz", "case_1.nii.gz", "case_1.nii.gz", "case case_1 failed and is skipped"),
        *("case case_2 failed and is skipped", "case_3.nii.gz", "4/6 /case_3.nii.gz", "5/6 /case_4.nii.gz"),
        *("case_5.nii.gz", "6/6 /case_5.nii.gz"),
    ]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_same_files_and_lines_in_the_same_order(num_workers, images, in_turn, tmp_path):
    assert predicted(images, tmp_path, num_workers=num_workers) == in_turn


def test_a_case_is_read_while_another_is_computed_and_no_more_than_one():
    begun = [threading.Event() for _ in range(4)]
    seen = []

    def read(number):
        begun[number].set()
        return number

    for number, case in enumerate(read_ahead(range(4), read, None, num_workers=1)):
        assert case.result()[0] == number
        assert begun[min(number + 1, 3)].wait(SECONDS)
        time.sleep(0.02)
        seen.append([event.is_set() for event in begun])
    assert [sum(one) for one in seen] == [2, 3, 4, 4]


def test_nothing_is_read_before_its_turn_without_workers():
    read = []
    for number, case in enumerate(read_ahead(range(3), read.append, None, num_workers=0)):
        assert len(read) == number
        case.result()


def test_what_a_reading_thread_warns_of_waits_for_its_case_s_turn(caplog):
    warn = runpy.run_path(str(BUNDLE / "scripts" / "command.py"))["warn"]  # a copy of its own, as each reader has
    cases = []
    for case in read_ahead(["first", "second"], warn, None, num_workers=1):
        case.result()
        cases.append(case)
    assert caplog.messages == []
    for case in cases:
        case.say()
    assert caplog.messages == ["first", "second"]


class Step:
    """A preprocessing that is in use until its case is inverted."""

    def __init__(self):
        self.item = None

    def __call__(self, item):
        assert self.item is None
        self.item = item
        time.sleep(0.001)
        return item


class Inverse:
    def __init__(self, step):
        self.step = step

    def __call__(self, item):
        assert self.step.item == item
        self.step.item = None


@pytest.mark.parametrize("num_workers", [1, 3])
def test_a_case_has_its_transforms_for_itself_until_it_is_inverted(num_workers):
    step = Step()
    for case in read_ahead(range(20), step, Inverse(step), num_workers=num_workers):
        item, inverse = case.result()
        inverse(item)


def transforms_in(root):
    """The transforms that an object refers to, directly or not, by their ids."""
    found, left = {}, [root]
    while left:
        one = left.pop()
        if id(one) not in found and not isinstance(one, type | types.ModuleType | types.FunctionType):
            found[id(one)] = one
            left += gc.get_referents(one)
    return {key for key, one in found.items() if isinstance(one, Transform | ImageReader)}


def test_copies_of_a_bundle_s_transforms_share_none():
    config = config_of(dataset_dir="missing.nii.gz", images=[])
    pair = [config.get_parsed_content(name) for name in ("preprocessing", "postprocessing")]
    PREDICT["register_readers"](pair[0])
    PREDICT["resample_per_case"](pair[0])
    copies = [transforms_in(one) for one in (pair, copy.deepcopy(pair))]
    assert len(copies[0]) == len(copies[1]) > 10
    assert copies[0].isdisjoint(copies[1])


def test_a_reading_thread_computes_in_as_many_threads_as_the_caller():
    (case,) = read_ahead([None], lambda _: torch.get_num_threads(), None, num_workers=1)
    assert case.result()[0] == torch.get_num_threads()


def test_a_label_map_that_can_t_be_written_is_told_of_its_case(images, in_turn, tmp_path, monkeypatch):
    save = nib.save

    def fill_the_disk(image, path):
        save(image, path)
        if "case_3" in str(path):
            time.sleep(0.1)  # the next case is being computed
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(nib, "save", fill_the_disk)
    lines = {}
    for num_workers in (0, 1):
        with Told(tmp_path) as told, pytest.raises(RuntimeError, match="3 of 6 cases failed: case_1, case_2, case_3"):
            predict(images, tmp_path, num_workers=num_workers)
        assert list(files_of(tmp_path)) == ["case_0.nii.gz", "case_4.nii.gz", "case_5.nii.gz"]
        lines[num_workers] = told.lines
    why = "OSError: [Errno 28] No space left on device"
    assert f"case case_3 failed and is skipped: {why} ({images / 'case_3.nii.gz'})" in lines[1]
    assert lines[0] == lines[1]


_STOPPED = """
import os, runpy, signal, sys
from pathlib import Path
import nibabel as nib
signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored in the background
script, sent, *words = sys.argv[1:]
save = nib.save
def save_and_stop(image, path):
    if len(list(Path(path).parent.iterdir())) == 1:
        Path(path).write_bytes(b"half")
        os.kill(os.getpid(), int(sent))
        import time; time.sleep(0.2)
    save(image, path)
nib.save = save_and_stop
sys.argv = [script, *words]
sys.modules["__main__"].__file__ = script
runpy.run_path(script)["main"]()
"""


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_stopped_leaves_no_half_file(num_workers, sent, images, tmp_path):
    weights, features = tmp_path / "model.pt", [4, 4, 8, 8]
    torch.save(config_of(features=features).get_parsed_content("network_def").state_dict(), weights)
    output = tmp_path / "out"
    options = {"dataset_dir": images, "output_dir": output, "ckpt_path": weights, "num_workers": num_workers}
    options |= {"patch_size": "[16,16,16]", "features": json.dumps(features), "device": "cpu"}
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    script = BUNDLE / "scripts" / "predict.py"
    process = run_python("-W", "ignore", "-c", _STOPPED, script, int(sent), *words)
    assert process.returncode == (143 if sent == signal.SIGTERM else 1), process.stderr
    # The first was being written when the second was; a thread ends what it writes.
    assert {path.name for path in output.iterdir()} <= {"case_0.nii.gz", "case_3.nii.gz"}


def evaluated(task, output_dir, **options):
    """The table of a validation, and what was told."""
    with Told(output_dir) as told:
        workflow = ConfigWorkflow(
            str(BUNDLE / "configs" / "evaluate.json"),
            logging_file=False,
            dataset_dir=str(task),
            output_dir=str(output_dir),
            ckpt_path=[],
            patch_size=[32, 32, 32],
            network_def=Bright(),
            predictor="@network",
            device="cpu",
            fold=0,
            spacing=[1.3, 0.9, 1.1],
            labels={"0": "background", "1": "head", "2": "tail"},
            **options,
        )
        workflow.initialize()
        with pytest.raises(RuntimeError) as caught:
            workflow.run()
    error = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in told.lines if "left out" in line]
    return (output_dir / "val_mean_dice_raw.csv").read_text(), lines, str(error)


@pytest.mark.filterwarnings("ignore")
def test_an_evaluation_that_reads_ahead_gives_the_same(phantom_task, tmp_path):
    task = Path(shutil.copytree(phantom_task, tmp_path / "task"))
    _, cases = split_cases(read_task(task).cases, fold=0)
    cases[1].image.write_bytes(cases[1].image.read_bytes()[:900])
    results = [evaluated(task, tmp_path / str(n), num_workers=n, verify_data=False) for n in (0, 1)]
    table, lines, error = results[0]
    assert table.count("\n") == len(cases)  # a line less, and a header
    assert [line.partition(" failed")[0] for line in lines] == [f"case {cases[1].name}"]
    assert error == f"1 of {len(cases)} cases were not evaluated: {cases[1].name}"
    assert results[1] == results[0]


@pytest.mark.parametrize("name", ["inference.json", "evaluate.json"])
@pytest.mark.parametrize(("device", "workers"), [("cuda:0", 1), ("cpu", 0)])
def test_a_case_is_read_ahead_where_the_device_leaves_the_cores_free(name, device, workers):
    assert config_of(name, device=device).get_parsed_content("num_workers") == workers
