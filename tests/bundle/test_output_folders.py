"""Whether a run may write where it is told to is known before it works."""

import os
import tempfile
from types import SimpleNamespace

import pytest

from monai_patchgrow.bundle.output_folders import check_folders, check_writable


def test_a_folder_that_is_not_there_yet_is_not_made(tmp_path):
    check_writable({"output_dir": tmp_path / "a" / "b"})
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_in_a_folder(tmp_path):
    check_writable({"output_dir": tmp_path})
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "models"):
        with pytest.raises(ValueError, match=rf"^ckpt_dir: can't write to {folder} \(Not a directory\): give another"):
            check_writable({"output_dir": tmp_path, "ckpt_dir": folder})


def test_a_link_to_nothing(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"^output_dir: can't write to .*link \(No such file or directory\)"):
        check_writable({"output_dir": tmp_path / "link"})


def deny(dir):
    raise PermissionError(13, os.strerror(13), dir)


def test_the_nearest_folder_that_is_there_may_be_read_only(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", deny)
    with pytest.raises(ValueError, match=rf"^cache_dir: can't write to {tmp_path}/a/b \(Permission denied\)"):
        check_writable({"output_dir": None, "cache_dir": tmp_path / "a" / "b"})


def test_settings_that_a_program_does_not_have_are_not_asked_for(tmp_path):
    check_folders(SimpleNamespace(output_dir=str(tmp_path), ckpt_dir=None))


def test_a_full_disk(tmp_path, monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, content):
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: Full())
    with pytest.raises(ValueError, match=r"^output_dir: can't write to .* \(No space left on device\): give another"):
        check_writable({"output_dir": tmp_path})
