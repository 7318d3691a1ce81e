"""Each place that writes, on a disk that is full: what was there stays, nothing is half written, one error names it."""

import threading

import pytest
import torch
from full_disk import files_up_to
from ignite.handlers import TensorboardLogger

from monai_patchgrow.data import PreprocessedDataset
from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.whole_files import save_whole
from monai_patchgrow.files import append_whole
from monai_patchgrow.handlers.event_files import event_files_of
from monai_patchgrow.weight_files import read_weights

BEFORE, AFTER = {"weights": torch.zeros(9)}, {"weights": torch.ones(99_999)}


@pytest.mark.parametrize("size", [0, 100_000])
def test_a_checkpoint_stays_as_it_was(tmp_path, size):
    path = tmp_path / "last.pt"
    save_whole(BEFORE, path)
    with (
        files_up_to(size),
        pytest.raises(OSError, match=r"^can't write .*/last.pt \(File too large\): make room there, or give another"),
    ):
        save_whole(AFTER, path, previous=tmp_path / "last.previous.pt")
    assert torch.equal(read_weights(path)["weights"], BEFORE["weights"])
    assert [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_a_history_has_no_half_line(tmp_path):
    path = tmp_path / "history.jsonl"
    append_whole('{"epoch": 1}\n', path)
    with files_up_to(20), pytest.raises(OSError, match=r"^can't write .*/history.jsonl \(File too large\)"):
        append_whole('{"epoch": 2}\n', path)
    assert path.read_text() == '{"epoch": 1}\n'


def test_a_preprocessed_case_is_written_whole_or_not_at_all(tmp_path):
    with files_up_to(1000), pytest.raises(DataError, match=r"^can't write .*case_.*\.pt \(File too large\): make room"):
        PreprocessedDataset([{"image": torch.ones(9999)}], [], tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("closes", [True, False], ids=["closed", "flushed"])
def test_curves_end_in_one_error_without_a_traceback(tmp_path, capfd, closes):

    curves = TensorboardLogger(log_dir=str(tmp_path))
    curves.flush()
    with (
        files_up_to(100),
        pytest.raises(OSError, match=r"^can't write .* \(File too large\): make room there"),
        event_files_of(tmp_path),
    ):
        for epoch in range(5):
            curves.add_scalar("loss", 1.0, epoch)
        curves.close() if closes else curves.flush()
    assert capfd.readouterr().err == ""


def test_other_errors_of_threads_are_told_as_ever(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    with event_files_of(tmp_path):
        thread = threading.Thread(target=int, args=("one",))
        thread.start()
        thread.join()
    assert [one.exc_type for one in told] == [ValueError]
