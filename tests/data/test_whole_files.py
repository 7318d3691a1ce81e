"""Whole files and folders: there with all of their content, or as they were; and nobody writes them otherwise."""

import ast
import contextlib
import errno
import itertools
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import monai_patchgrow
from monai_patchgrow.data.whole_files import save_whole, set_aside
from monai_patchgrow.files import put_in_place, whole_file, whole_folder, whole_pair, write_whole

PACKAGE = Path(monai_patchgrow.__file__).parent


class FailureError(Exception):
    pass


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_file_is_replaced_when_the_block_ends(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert contents(tmp_path) == {"a.txt": "new"}


def test_a_block_that_fails_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FailureError), whole_file(path) as temporary:
        temporary.write_text("half")
        raise FailureError
    assert contents(tmp_path) == {"a.txt": "old"}


def test_temporary_files_end_in_tmp_beside_the_file(tmp_path):
    with whole_file(tmp_path / "a.txt") as temporary:
        temporary.touch()
        assert (temporary.parent, temporary.suffix) == (tmp_path, ".tmp")


def test_two_writers_of_one_file_don_t_share_a_temporary_file(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as first, whole_file(path) as second:
        first.write_text("1"), second.write_text("2")
    assert contents(tmp_path) == {"a.txt": "1"}


@pytest.fixture
def calls(monkeypatch):
    """What is done to the disk, in order."""
    calls, replace, unlink = [], os.replace, Path.unlink

    def sync(descriptor):
        state = os.fstat(descriptor)
        calls.append("sync folder" if stat.S_ISDIR(state.st_mode) else f"sync {state.st_size} bytes")

    def rename(old, new):
        replace(old, new)
        calls.append(f"rename to {new.name}")

    def delete(path, missing_ok=False):
        if path.exists():
            unlink(path)
            calls.append(f"delete {path.name}")

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    monkeypatch.setattr(Path, "unlink", delete)
    return calls


def test_the_bytes_are_on_the_disk_before_the_name_is_and_that_before_the_block_ends(tmp_path, calls):
    write_whole("text", tmp_path / "a.txt")
    assert calls == ["sync 4 bytes", "rename to a.txt", "sync folder"]


def test_a_file_system_that_syncs_no_folders_will_do(tmp_path, monkeypatch):
    def sync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", sync)
    write_whole("text", tmp_path / "a.txt")
    assert contents(tmp_path) == {"a.txt": "text"}


def write_pair(folder, text):
    with whole_pair(folder / "a.pt", folder / "a.safetensors") as (temporary, twin):
        temporary.write_text(text), twin.write_text(text)


def test_a_twin_is_away_while_the_other_is_replaced(tmp_path, calls):
    write_pair(tmp_path, "old")
    calls.clear()
    write_pair(tmp_path, "newer")
    order = [call for call in calls if not call.endswith("bytes")]
    assert calls[:2] == ["sync 5 bytes"] * 2
    assert order == [
        "delete a.safetensors", "sync folder", "rename to a.pt", "sync folder", "rename to a.safetensors", "sync folder"
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(12))
def test_a_pair_that_is_broken_off_anywhere_never_disagrees(tmp_path, monkeypatch, number):
    write_pair(tmp_path, "old")
    done = itertools.count()

    def broken_off(call):
        def step(*arguments, **options):
            if next(done) == number:
                raise FailureError
            return call(*arguments, **options)

        return step

    with monkeypatch.context() as patched:
        for owner, name in ((os, "fsync"), (os, "replace"), (Path, "unlink")):
            patched.setattr(owner, name, broken_off(getattr(owner, name)))
        with contextlib.suppress(FailureError):
            write_pair(tmp_path, "new")
    found = {name: text for name, text in contents(tmp_path).items() if not name.endswith(".tmp")}
    assert "a.pt" in found
    assert len({*found.values()}) == 1


def test_a_pair_s_block_that_fails_leaves_both_old_ones(tmp_path):
    write_pair(tmp_path, "old")
    with pytest.raises(FailureError), whole_pair(tmp_path / "a.pt", tmp_path / "a.safetensors") as (temporary, twin):
        temporary.write_text("new"), twin.write_text("half")
        raise FailureError
    assert contents(tmp_path) == {"a.pt": "old", "a.safetensors": "old"}


def test_without_a_new_twin_the_old_one_goes(tmp_path):
    write_pair(tmp_path, "old")
    with whole_pair(tmp_path / "a.pt", tmp_path / "a.safetensors") as (temporary, _):
        temporary.write_text("new")
    assert contents(tmp_path) == {"a.pt": "new"}


def test_text_is_utf_8(tmp_path):
    write_whole("ü", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xbc"


def test_a_file_that_was_written_in_parts_is_put_in_place(tmp_path):
    (tmp_path / "a.partial").write_text("rows")
    put_in_place(tmp_path / "a.partial", tmp_path / "a.csv")
    assert contents(tmp_path) == {"a.csv": "rows"}


def test_saved_weights_load_again_from_a_new_folder(tmp_path):
    path = tmp_path / "models" / "model.pt"
    save_whole({"weight": torch.tensor([1.5])}, path)
    assert torch.load(path, weights_only=True)["weight"].item() == 1.5


def test_the_same_content_makes_the_same_file(tmp_path):
    for name in ("a.pt", "b.pt"):
        save_whole({"weight": torch.tensor([1.5])}, tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_content_that_can_t_be_saved_leaves_no_file(tmp_path):
    with pytest.raises(AttributeError):
        save_whole({"weight": lambda: None}, tmp_path / "a.pt")
    assert contents(tmp_path) == {}


def test_a_folder_appears_when_the_block_ends(tmp_path):
    with whole_folder(tmp_path / "runs" / "a") as partial:
        (partial / "file").write_text("text")
        assert not (tmp_path / "runs" / "a").exists()
    assert contents(tmp_path) == {"runs/a/file": "text"}


def test_an_empty_folder_is_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    with whole_folder(tmp_path / "a") as partial:
        (partial / "file").write_text("text")
    assert contents(tmp_path) == {"a/file": "text"}


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_text("old")
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "a") as partial:
        (partial / "file").write_text("text")
    assert contents(tmp_path) == {"a/old": "old"}


def test_a_folder_s_block_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(FailureError), whole_folder(tmp_path / "a") as partial:
        (partial / "file").write_text("text")
        raise FailureError
    assert list(tmp_path.iterdir()) == []


def test_others_may_read_the_folder(tmp_path):
    with whole_folder(tmp_path / "a"):
        pass
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755


def test_what_is_set_aside_gets_the_first_free_number(tmp_path):
    (tmp_path / "last.1.pt").write_text("first run")
    (tmp_path / "last.pt").write_text("second run")
    assert set_aside([tmp_path / "last.pt"]) == {tmp_path / "last.pt": tmp_path / "last.2.pt"}


def test_what_one_run_wrote_gets_one_number(tmp_path):
    for name in ("last.pt", "model.pt", "last.1.pt", "model.1.pt", "model.2.pt"):
        (tmp_path / name).write_text(name)
    kept = set_aside(tmp_path / name for name in ("last.pt", "model.pt", "history.jsonl"))
    assert [path.name for path in kept.values()] == ["last.3.pt", "model.3.pt"]


def test_nobody_else_renames_or_makes_temporary_files():
    names = {"replace", "rename", "fsync", "mkstemp", "mkdtemp", "NamedTemporaryFile"}
    found = set()
    for path in PACKAGE.rglob("*.py"):
        # A lock stays open, and is no result; nnU-Net's own interpreter need not have this package.
        if "templates" in path.parts or path.name in ("files.py", "run_lock.py", "run_nnunet.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            owner = node.value if isinstance(node, ast.Attribute) else None
            if isinstance(owner, ast.Name) and owner.id in ("os", "tempfile") and node.attr in names:
                found.add(path.name)
    assert found == set()


def test_text_is_written_without_torch():
    code = "import sys, monai_patchgrow.tools.render.bundle; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PACKAGE.parent, check=False).returncode == 0
