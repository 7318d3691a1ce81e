"""PatchGD's quickstart trains each method in a process of its own and ends on a table, evidence and a picture."""

import multiprocessing
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import IMPORTED

from monai_patchgrow.cli import main
from monai_patchgrow.tools.compare import own_process
from monai_patchgrow.tools.compare import quickstart_patchgd as module

pytest.importorskip("tifffile", reason="needs the extra tiff")
pytest.importorskip("imagecodecs", reason="needs the extra tiff")

BUNDLE = Path(__file__).parents[3] / "bundles" / "panda_classification_patchgd"


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Few small slides; trainings start in processes that have imported MONAI already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTED, module.__name__])
    monkeypatch.setattr(own_process, "multiprocessing", SimpleNamespace(get_context=lambda _: context))
    for name, value in {"_NUM_SLIDES": 12, "_SIZE": 256, "_SHRUNK": 32, "_PATCH": 32, "_PICTURE_SIDE": 64}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module, "_SETTINGS", {**module._SETTINGS, "patch_size": [32, 32]})


def test_table_evidence_and_picture(tmp_path):
    text = module.quickstart_patchgd(BUNDLE, epochs=1, output_dir=tmp_path)
    rows = [line.split("|") for line in text.splitlines()[:5]]
    names = ["training", "---", "PatchGD, 256 px", "gradient descent, 32 px", "gradient descent, 256 px"]
    assert [row[1].strip() for row in rows] == names
    ours, _, whole = (float(row[5]) for row in rows[2:])
    assert min(whole, ours) > 0
    assert "evidence for a higher grade that lies in the tumour: " in text
    assert (tmp_path / "comparison.png").stat().st_size > 10_000
    assert "evidence for" in (tmp_path / "comparison.md").read_text()


def test_a_training_that_fails_is_one_line_with_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_TRAINING", {**module._TRAINING, "sampling": 0})
    with pytest.raises(SystemExit) as caught:
        main(["quickstart_patchgd", str(BUNDLE), "--epochs", "1", "--output_dir", str(tmp_path)])
    log = tmp_path / "PatchGD_256_px" / "train.log"
    assert caught.value.code.startswith("error: ValueError: ")
    assert caught.value.code.endswith(f"(its log: {log})")
    assert len(caught.value.code.splitlines()) == 1
    assert "Traceback" in log.read_text()
