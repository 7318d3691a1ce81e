"""What evaluate.json checks, what becomes of a broken case, and that no NaN counts as background."""

import json
import multiprocessing
import resource
import runpy
import shutil
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from full_disk import files_up_to
from monai.bundle import ConfigWorkflow

BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_segmentation_patchgrow"
EVALUATION = runpy.run_path(str(BUNDLE / "scripts" / "evaluation.py"))
CLASSES = {"channels": ["MRI"], "labels": {"0": "background", "1": "head", "2": "tail"}}


class Bright(torch.nn.Module):
    """Label 1 where the normalised image is bright; NaN on request."""

    def __init__(self, is_broken=False):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(float("nan") if is_broken else 1.0))

    def forward(self, images):
        margin = (images - 0.5) * self.scale
        return torch.cat([-margin, margin, torch.full_like(margin, -1e3)], 1)


class FillsTheDisk(Bright):
    """From its first patch on, no file takes a byte."""

    def forward(self, images):
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return super().forward(images)


class KillsAWorker(Bright):
    """Kills, from its first case on, the workers of the evaluation that it is made for."""

    def __init__(self):
        super().__init__()
        self.others = multiprocessing.active_children()

    def forward(self, images):
        for worker in multiprocessing.active_children():
            if worker not in self.others:
                worker.kill()
        time.sleep(0.5)  # in which torch is told of it
        return super().forward(images)


@pytest.fixture
def task(phantom_task, tmp_path):
    """A copy of the phantom task, to damage."""
    return Path(shutil.copytree(phantom_task, tmp_path / "task"))


def evaluate(task, *, network=None, **overrides):
    workflow = ConfigWorkflow(
        str(BUNDLE / "configs" / "evaluate.json"),
        logging_file=False,
        dataset_dir=str(task),
        output_dir=str(task.parent / "eval"),
        ckpt_path=[],
        patch_size=[16, 16, 16],
        features=[4, 4, 8, 8],
        labels=CLASSES["labels"],
        network_def=network or Bright(),
        predictor="@network",
        device="cpu",
        **{"fold": "all", **overrides},
    )
    workflow.initialize()
    workflow.run()


def error_of(task, **overrides):
    """The first cause, which MONAI's parser wraps."""
    with pytest.raises(RuntimeError) as caught:
        evaluate(task, **overrides)
    error = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def means(task):
    """Cases by name, of metrics' detailed table."""
    lines = (task.parent / "eval" / "val_mean_dice_raw.csv").read_text().splitlines()[1:]
    return {Path(line.split(",")[0]).name.split(".")[0]: float(line.split(",")[-1]) for line in lines}


def change(path, function, *, dtype=None):
    nifti = nib.load(path)
    voxels = function(np.asanyarray(nifti.dataobj))
    nib.save(nib.Nifti1Image(voxels.astype(dtype or voxels.dtype), nifti.affine), path)


IMAGE, LABEL = "imagesTr/phantom_003.nii.gz", "labelsTr/phantom_003.nii.gz"


@pytest.mark.filterwarnings("ignore")
def test_sound_cases_are_all_evaluated(phantom_task, tmp_path):
    task = Path(shutil.copytree(phantom_task, tmp_path / "task"))
    evaluate(task)
    assert len(means(task)) == 10


def with_nan(voxels):
    voxels = voxels.astype(np.float32)
    voxels[2, 2, 2] = np.nan
    return voxels


def mirrored(path):
    nib.save(nib.Nifti1Image(np.asanyarray(nib.load(path).dataobj), np.diag([-1, -1, 1, 1])), path)


DAMAGES = {
    "label value 0.9999 is not a": lambda image, label: change(label, lambda voxels: voxels * 0.9999, dtype=np.float32),
    "label value 255, but dataset": lambda image, label: change(
        label, lambda voxels: (voxels > 0) * 255, dtype=np.uint8
    ),
    "1 values are NaN or infinite": lambda image, label: change(image, with_nan),
    "but its image has (": lambda image, label: change(label, lambda voxels: voxels[1:]),
    "all voxels are 0": lambda image, label: change(image, np.zeros_like),
    "values beyond 3.4e+38": lambda image, label: change(image, lambda voxels: voxels + 1e39, dtype=np.float64),
    "truncated or corrupt NIfTI": lambda image, label: image.write_bytes(image.read_bytes()[:900]),
    "its header puts voxels": lambda image, label: mirrored(label),
}


@pytest.mark.filterwarnings("ignore")
def test_broken_cases_are_named_and_the_others_evaluated(task, caplog):
    for number, damage in enumerate(DAMAGES.values()):
        damage(*(task / folder / f"phantom_00{number}.nii.gz" for folder in ("imagesTr", "labelsTr")))
    names = ", ".join(f"phantom_00{number}" for number in range(8))
    assert error_of(task) == f"8 of 10 cases were not evaluated: {names}"
    told = [line for line in caplog.messages if " is left out: " in line]
    assert len(told) == 8
    for number, (line, problem) in enumerate(zip(told, DAMAGES, strict=True)):
        assert line.startswith(f"case phantom_00{number} is left out: {task}")
        assert problem in line
    assert set(means(task)) == {"phantom_008", "phantom_009"}


@pytest.mark.filterwarnings("ignore")
def test_a_missing_file_is_told_before_anything_runs(task):
    (task / IMAGE).unlink()
    assert error_of(task) == f"{task / IMAGE}: image named in dataset.json, but there is no such file"


@pytest.mark.filterwarnings("ignore")
def test_a_case_that_fails_on_the_way_is_left_out(task, caplog):
    change(task / IMAGE, with_nan, dtype=np.float32)
    assert error_of(task, verify_data=False) == "1 of 10 cases were not evaluated: phantom_003"
    line = "case phantom_003 failed and is left out: ValueError: the image has voxels that are no finite number"
    assert line in caplog.messages
    assert len(means(task)) == 9


@pytest.mark.filterwarnings("ignore")
def test_a_full_disk_is_no_fault_of_a_case(phantom_task, tmp_path, caplog):
    task = tmp_path / "task"
    task.symlink_to(phantom_task)
    with files_up_to(2**40):  # as it is, and again after this
        told = error_of(task, fold=0, network=FillsTheDisk())
    assert told == (
        "output_dir: the metrics can't be written (File too large): make room there, or give another folder"
    )
    assert "failed and is left out" not in caplog.text


@pytest.mark.filterwarnings("ignore")
def test_a_worker_s_end_is_no_fault_of_a_case(phantom_task, tmp_path, caplog):
    task = tmp_path / "task"
    task.symlink_to(phantom_task)
    told = error_of(task, fold=0, network=KillsAWorker(), **{"validate#dataloader#num_workers": 1})
    assert told.startswith("num_workers: DataLoader worker (pid")
    assert told.endswith("is /dev/shm or the memory full? fewer num_workers need less")
    assert "failed and is left out" not in caplog.text


def test_a_network_s_nan_is_not_background(task):
    line = "the network's output has values that are no finite number"
    error = error_of(task, network=Bright(is_broken=True), fold=0)
    assert error == f"case phantom_007 can't be evaluated: ValueError: {line}"


@pytest.mark.filterwarnings("ignore")
def test_labels_whose_voxels_are_trusted(task, caplog):
    mirrored(task / LABEL)
    evaluate(task, trust_label_voxels=True)
    assert len(means(task)) == 10
    assert any(message.endswith("its voxels are trusted") for message in caplog.messages)


@pytest.mark.filterwarnings("ignore")
def test_a_label_on_another_grid_is_refused_without_verification_too(task, caplog):
    mirrored(task / LABEL)
    assert error_of(task, verify_data=False) == "1 of 10 cases were not evaluated: phantom_003"
    assert any("its header puts voxels" in message for message in caplog.messages)


def test_folds_are_the_training_s_whatever_lies_beside(phantom_task, tmp_path):
    task = Path(shutil.copytree(phantom_task, tmp_path / "task"))
    names = [case["name"] for case in EVALUATION["labelled_cases"](task, fold=1, **CLASSES)]
    shutil.copy(task / "imagesTr" / "phantom_000.nii.gz", task / "imagesTr" / "another.nii.gz")
    nib.save(nib.load(task / IMAGE), task / "imagesTr" / "a.nii")
    assert [case["name"] for case in EVALUATION["labelled_cases"](task, fold=1, **CLASSES)] == names


def test_a_split_of_one_s_own_and_its_held_out_cases(phantom_task, tmp_path, caplog):
    file = tmp_path / "splits.csv"
    rows = ["phantom_000,0", "phantom_001,1", "phantom_002,test", "phantom_003,7"]
    file.write_text("\n".join(["case,fold", *rows]))
    options = {**CLASSES, "split_file": str(file)}
    cases = [EVALUATION["labelled_cases"](phantom_task, fold=fold, **options) for fold in (7, "test")]
    assert [[case["name"] for case in one] for one in cases] == [["phantom_003"], ["phantom_002"]]
    assert caplog.messages[0] == f"{file} leaves out 6 of the data set's 10 cases: they are not used"
    with pytest.raises(ValueError, match=r"^fold must be one that .*splits\.csv has \(0, 1, 7\) or 'all', got 2$"):
        EVALUATION["labelled_cases"](phantom_task, fold=2, **options)


def test_no_case_is_held_out_without_a_split_file(phantom_task):
    with pytest.raises(ValueError, match=r"^fold 'test' needs a split_file that holds cases out"):
        EVALUATION["labelled_cases"](phantom_task, fold="test", **CLASSES)


@pytest.mark.parametrize("text", [None, "{", "[]", '{"training": [{"image": 1}]}', '{"training": []}'])
def test_a_data_set_that_cannot_be_read_gets_one_line(text, tmp_path):
    if text is not None:
        (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(ValueError, match=str(tmp_path)):
        EVALUATION["labelled_cases"](tmp_path, fold=0, **CLASSES)


def test_other_labels_than_the_bundle_s_are_refused(phantom_task):
    with pytest.raises(ValueError, match=r"has the labels .* the bundle knows"):
        EVALUATION["labelled_cases"](phantom_task, fold=0, channels=["MRI"], labels={"0": "background", "1": "spleen"})


def test_nnunet_s_layout_is_read(task):
    content = json.loads((task / "dataset.json").read_text())
    for entry in content.pop("training"):
        image = task / entry["image"]
        image.rename(image.with_name(image.name.replace(".nii.gz", "_0000.nii.gz")))
    labels = {name: int(value) for value, name in content["labels"].items()}
    names = {"channel_names": {"0": "MRI"}, "file_ending": ".nii.gz", "labels": labels, "numTraining": 10}
    (task / "dataset.json").write_text(json.dumps(names))
    cases = EVALUATION["labelled_cases"](task, fold="all", **CLASSES)
    assert cases[1]["image"] == str(task / "imagesTr" / "phantom_001_0000.nii.gz")
    assert cases[1]["label"] == str(task / "labelsTr" / "phantom_001.nii.gz")


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"device": "cuda"}, "device must be one that is there, such as cpu, got 'cuda'"),
        ({"device": "cuda:3"}, "device must be one that is there, such as cpu, got 'cuda:3'"),
        ({"device": "nonsense"}, "device must be one that is there, such as cpu, got 'nonsense'"),
        ({"amp": "maybe"}, "amp must be True or False, got 'maybe'"),
        ({"num_workers": -1}, "num_workers must be an integer of at least 0, got -1"),
        ({"patch_size": [16, 0, 16]}, "patch_size on axis 1 must be an integer of at least 1, got 0"),
        ({"spacing": [1, 0, 1]}, "spacing must be a finite number above 0, got 0"),
        ({"spacing": [1, 1]}, "spacing must be a list of 3, got [1, 1]"),
        ({"output_dir": ""}, "output_dir must be the path of a folder, got ''"),
        ({"output_dir": "/proc/out"}, "output_dir: can't write to /proc/out"),
        ({"verify_data": "maybe"}, "verify_data must be True or False, got 'maybe'"),
        ({"fold": 7}, "fold must be one of 0 to 4 or 'all', got 7"),
    ],
    ids=str,
)
@pytest.mark.parametrize("config", ["evaluate.json", "inference.json"])
@pytest.mark.filterwarnings("ignore")
def test_a_setting_that_can_t_be_used(phantom_task, tmp_path, config, setting, line):
    if config == "inference.json" and {"verify_data", "fold"} & set(setting):
        pytest.skip("no setting of inference.json")
    weights = tmp_path / "model.pt"
    weights.touch()
    folder = phantom_task / "imagesTr" if config == "inference.json" else phantom_task
    settings = {"dataset_dir": str(folder), "output_dir": str(tmp_path / "out"), "ckpt_path": str(weights), **setting}
    settings |= {"labels": CLASSES["labels"]} if config == "evaluate.json" else {}
    workflow = ConfigWorkflow(str(BUNDLE / "configs" / config), logging_file=False, **settings)
    with pytest.raises(Exception) as caught:
        workflow.initialize()
    error = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    assert str(error).splitlines()[0].startswith(line)
