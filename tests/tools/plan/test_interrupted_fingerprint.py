"""A fingerprint that was interrupted: the next call reads what is left, and finds the same."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import time
from hashlib import sha256

import pytest

from monai_patchgrow.data import write_phantom_like
from monai_patchgrow.tools.plan import run_nnunet
from monai_patchgrow.tools.plan.new_bundle import new_bundle
from monai_patchgrow.tools.plan.options import PlanOptions

FINGERPRINT = "preprocessed/Dataset001_Data/dataset_fingerprint.json"
LABELS = [f"phantom_{number:03d}.nii.gz" for number in range(10)]


def make(data, output):
    return new_bundle(data, output, PlanOptions(num_workers=1))


def fingerprint(tmp_path):
    (file,) = (tmp_path / "cache").rglob("dataset_fingerprint.json")
    return file.read_text()


@pytest.fixture
def kept(stand_in, phantom_task, tmp_path, monkeypatch):
    """The files of an extraction that ended at the seventh of ten cases."""
    monkeypatch.setenv("STAND_IN_BROKEN", LABELS[6])
    with pytest.raises(ValueError, match="nnU-Net's fingerprint failed"):
        make(phantom_task, tmp_path / "bundle")
    monkeypatch.delenv("STAND_IN_BROKEN")
    return sorted((tmp_path / "cache").glob("monai_patchgrow/plans/*-cases/*"))


def test_what_was_read_is_kept_whole(stand_in, kept):
    assert len(kept) == len(stand_in.cases_read()) == 6
    assert [file.suffix for file in kept] == [""] * 6


def test_the_next_call_reads_what_is_left(stand_in, kept, phantom_task, tmp_path):
    make(phantom_task, tmp_path / "bundle")
    assert stand_in.cases_read() == LABELS


def test_the_fingerprint_is_that_of_one_call(stand_in, kept, phantom_task, tmp_path, monkeypatch):
    make(phantom_task, tmp_path / "bundle")
    resumed = fingerprint(tmp_path)
    shutil.rmtree(tmp_path / "cache")
    make(phantom_task, tmp_path / "other")
    assert fingerprint(tmp_path) == resumed


def test_nothing_is_kept_of_a_fingerprint_that_is_there(stand_in, kept, phantom_task, tmp_path):
    make(phantom_task, tmp_path / "bundle")
    assert not kept[0].parent.exists()


def test_the_next_call_says_what_is_kept(kept, phantom_task, tmp_path):
    said = []
    new_bundle(phantom_task, tmp_path / "bundle", PlanOptions(num_workers=1), say=said.append)
    assert "2/3 fingerprint: nnU-Net reads 10 cases (what it found in 6 before is kept)" in said


def test_a_damaged_file_is_read_again(stand_in, kept, phantom_task, tmp_path):
    content = bytearray(kept[0].read_bytes())
    content[-20] ^= 1
    kept[0].write_bytes(content)
    make(phantom_task, tmp_path / "bundle")
    again = [label for label in stand_in.cases_read()[6:] if label not in LABELS[6:]]
    assert (len(again), len(stand_in.cases_read())) == (1, 11)


def test_code_in_a_kept_file_is_not_run(stand_in, kept, phantom_task, tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    for file in kept:
        content = pickle.dumps(Malicious())
        file.write_bytes(sha256(content).digest() + content)
    make(phantom_task, tmp_path / "bundle")
    assert (len(stand_in.cases_read()), (tmp_path / "made").exists()) == (16, False)


def test_a_case_that_changed_is_read_again(stand_in, phantom_task, tmp_path, monkeypatch):
    data = shutil.copytree(phantom_task, tmp_path / "task")
    monkeypatch.setenv("STAND_IN_BROKEN", LABELS[6])
    with pytest.raises(ValueError, match="nnU-Net's fingerprint failed"):
        make(data, tmp_path / "bundle")
    monkeypatch.delenv("STAND_IN_BROKEN")
    os.utime(data / "imagesTr" / LABELS[2], (1, 1))
    make(data, tmp_path / "bundle")
    assert stand_in.cases_read()[6:] == [LABELS[2], *LABELS[6:]]


@pytest.mark.skipif("PATCHGROW_NNUNET_PYTHON" not in os.environ, reason="PATCHGROW_NNUNET_PYTHON names no nnU-Net")
@pytest.mark.slow
def test_nnunets_fingerprint_is_the_same_after_a_kill(tmp_path):
    labels = {0: "background", 1: "organ"}
    data = write_phantom_like(tmp_path / "task", num_cases=12, channels=["T2", "ADC"], labels=labels, layout="nnunet")
    killed = extract(data, tmp_path / "resumed", kill_after=3)
    assert (killed.returncode, (tmp_path / "resumed" / FINGERPRINT).exists()) == (-signal.SIGKILL, False)
    assert 3 <= len(list((tmp_path / "resumed" / "cases").iterdir())) < 12
    assert [extract(data, tmp_path / name).returncode for name in ("resumed", "whole")] == [0, 0]
    resumed, whole = ((tmp_path / name / FINGERPRINT).read_text() for name in ("resumed", "whole"))
    assert (len(json.loads(whole)["spacings"]), resumed) == (12, whole)


def extract(data, folder, *, kill_after=None):
    """Run nnU-Net's extractor, killed with all its processes once some cases are kept."""
    if not folder.exists():
        (folder / "raw").mkdir(parents=True)
        (folder / "raw" / "Dataset001_Data").symlink_to(data)
        (folder / "cases").mkdir()
    words = ["fingerprint", str(folder), "1", str(folder / "cases")]
    process = subprocess.Popen(
        [os.environ["PATCHGROW_NNUNET_PYTHON"], run_nnunet.__file__, *words], start_new_session=True
    )
    while process.poll() is None and not (kill_after and len(list((folder / "cases").iterdir())) >= kill_after):
        time.sleep(0.01)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return process
