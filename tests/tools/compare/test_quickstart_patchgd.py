"""PatchGD's quickstart trains each method in a process of its own and ends on a table and a picture."""

import multiprocessing
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import IMPORTED

from monai_patchgrow.cli import main
from monai_patchgrow.tools.compare import quickstart_patchgd as module

BUNDLE = Path(__file__).parents[3] / "bundles" / "ultramnist_classification_patchgd"
TINY = {"train_images": 8, "val_images": 4}


@pytest.fixture(autouse=True)
def forked(monkeypatch):
    """Trainings start in processes that have imported MONAI, where the quickstart would spawn them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTED, "sklearn.datasets", module.__name__])
    monkeypatch.setattr(module, "multiprocessing", SimpleNamespace(get_context=lambda _: context))


def test_table_and_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SETTINGS", {**module._SETTINGS, **TINY})
    text = module.quickstart_patchgd(BUNDLE, epochs=1, whole=False, output_dir=tmp_path)
    rows = [line.split("|") for line in text.splitlines()[:4]]
    assert [row[1].strip() for row in rows] == ["training", "---", "PatchGD, 512 px", "gradient descent, 192 px"]
    assert all(float(row[5]) >= 0 for row in rows[2:])
    assert (tmp_path / "comparison.png").stat().st_size > 10_000


def test_digits_that_are_not_there_are_one_line(tmp_path):
    with pytest.raises(SystemExit, match="error: absent: no such folder"):
        main(["quickstart_patchgd", str(BUNDLE), "--digits", "absent", "--output_dir", str(tmp_path / "out")])
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_fails_is_one_line_with_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_SETTINGS", {**module._SETTINGS, **TINY, "sampling": 0})
    with pytest.raises(SystemExit) as caught:
        main(["quickstart_patchgd", str(BUNDLE), "--epochs", "1", "--output_dir", str(tmp_path)])
    log = tmp_path / "PatchGD_512_px" / "train.log"
    assert caught.value.code.startswith("error: ValueError: ")
    assert caught.value.code.endswith(f"(its log: {log})")
    assert len(caught.value.code.splitlines()) == 1
    assert "Traceback" in log.read_text()
