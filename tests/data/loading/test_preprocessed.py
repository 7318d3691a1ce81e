"""PreprocessedDataset: cases preprocessed once, held in memory or mapped, found again by their key."""

import copy
import errno
import importlib
import logging
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from monai.transforms import (
    Compose,
    CropForegroundd,
    EnsureTyped,
    Lambdad,
    LoadImaged,
    Randomizable,
    RandSpatialCropd,
    SelectItemsd,
    Spacingd,
    Transform,
)
from torch.utils.data import DataLoader

from monai_patchgrow.data import DataError, read_task
from monai_patchgrow.data.loading.preprocessed import PreprocessedDataset

KEYS = ["image", "label"]
LOGGER = "monai_patchgrow.data.loading.preprocessed"
ROOT = Path(__file__).parents[3]

PIPELINE = """
import os, sys
from pathlib import Path
from monai.transforms import Lambdad, LoadImaged, Transform
from monai_patchgrow.data.tasks.decathlon import read_task
from monai_patchgrow.data.loading.preprocessed import PreprocessedDataset

class Mortal(Transform):
    done = 0

    def __init__(self):
        self.names = {"head", "body", "tail"}

    def __call__(self, data):
        type(self).done += 1
        if "MORTAL" in os.environ and self.done > 2:
            os._exit(9)
        return data

def make(task, cache_dir):
    items = [case.as_item() for case in read_task(task).cases[:4]]
    transform = [LoadImaged(["image", "label"]), Lambdad("image", lambda image: image + 1), Mortal()]
    return PreprocessedDataset(items, transform, cache_dir)

if __name__ == "__main__":
    import mortal_pipeline

    mortal_pipeline.make(*sys.argv[1:])
"""


class Note(Transform):
    """Appends a line to a file for each case that it sees."""

    def __init__(self, notes):
        self.notes = notes

    def __call__(self, data):
        with open(self.notes, "a") as stream:
            stream.write("case\n")
        return data


class AddKey(Randomizable, Transform):
    """A random transform that adds to the very dictionary that it is given."""

    def __call__(self, data):
        data["added"] = 1
        data["parts"].append(1)
        return data


@pytest.fixture
def items(phantom_task):
    return [case.as_item() for case in read_task(phantom_task).cases[:4]]


@pytest.fixture
def copied_items(phantom_task, tmp_path):
    """Cases of a copy of the phantom task, to damage."""
    folder = Path(shutil.copytree(phantom_task, tmp_path / "task"))
    return [case.as_item() for case in read_task(folder).cases[:3]]


@pytest.fixture
def notes(tmp_path):
    path = tmp_path / "notes.txt"
    path.touch()
    return path


@pytest.fixture
def cache_dir(tmp_path):
    return tmp_path / "preprocessed"


def pipeline(*more, notes=None, spacing=2.0):
    loaded = [LoadImaged(KEYS, ensure_channel_first=True), Spacingd(KEYS, (spacing,) * 3, mode=("bilinear", "nearest"))]
    return Compose([*loaded, EnsureTyped(KEYS), *([Note(notes)] if notes else []), *more])


def count(notes):
    return len(notes.read_text().splitlines())


def written(cache_dir):
    return {path.name: path.stat().st_mtime_ns for path in cache_dir.iterdir()}


def cut_in_half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def random_crop():
    return RandSpatialCropd(KEYS, (8, 8, 8), random_size=False)


def first(case):
    return {"image": [float(case)]}


# once per case


def test_a_case_is_preprocessed_once(items, notes, cache_dir):
    dataset = PreprocessedDataset(items, pipeline(random_crop(), notes=notes), cache_dir)
    for _ in range(2):
        assert [dataset[index]["image"].shape for index in range(4)] == [(1, 8, 8, 8)] * 4
    assert count(notes) == 4


def test_another_run_and_another_fold_find_the_cases(items, notes, cache_dir):
    PreprocessedDataset(items, pipeline(notes=notes), cache_dir)
    files = written(cache_dir)
    PreprocessedDataset(items[::-1], pipeline(random_crop(), notes=notes), cache_dir)
    PreprocessedDataset(items[1:3], pipeline(notes=notes), cache_dir)
    assert count(notes) == 4
    assert written(cache_dir) == files


def test_transforms_that_have_loaded_other_files_find_the_cases(items, notes, cache_dir):
    transform = pipeline(notes=notes)
    for _ in range(2):
        PreprocessedDataset(items, transform, cache_dir)
    assert count(notes) == 4


def test_a_path_from_here_is_the_same_case(items, notes, cache_dir):
    PreprocessedDataset(items[:1], pipeline(notes=notes), cache_dir)
    relative = {key: os.path.relpath(path) for key, path in items[0].items()}
    PreprocessedDataset([relative], pipeline(notes=notes), cache_dir)
    assert count(notes) == 1


def test_processes_make_the_same_files(items, notes, tmp_path):
    alone = PreprocessedDataset(items, pipeline(notes=notes), tmp_path / "alone")
    shared = PreprocessedDataset(items, pipeline(notes=notes), tmp_path / "shared", num_workers=2)
    assert count(notes) == 8
    assert written(tmp_path / "alone").keys() == written(tmp_path / "shared").keys()
    assert all(torch.equal(shared[index]["image"], alone[index]["image"]) for index in range(4))


def test_two_runs_at_a_time_leave_whole_cases(items, cache_dir):
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: PreprocessedDataset(items, pipeline(), cache_dir, memory_gib=0), range(2))
    assert sorted(path.suffix for path in cache_dir.iterdir()) == [".pt"] * 4
    assert all(torch.equal(one[index]["image"], other[index]["image"]) for index in range(4))


def test_a_changed_parameter_preprocesses_again(items, notes, cache_dir):
    PreprocessedDataset(items, pipeline(notes=notes, spacing=2.0), cache_dir)
    changed = PreprocessedDataset(items, pipeline(notes=notes, spacing=2.5), cache_dir)
    assert count(notes) == 8
    assert (
        changed[0]["image"].shape[1] < PreprocessedDataset(items, pipeline(notes=notes), cache_dir)[0]["image"].shape[1]
    )


def test_lazy_resampling_preprocesses_again(items, notes, cache_dir):
    transform = pipeline(notes=notes)
    PreprocessedDataset(items, transform, cache_dir)
    transform.lazy = True
    PreprocessedDataset(items, transform, cache_dir)
    assert count(notes) == 8


def test_a_replaced_source_file_preprocesses_its_case_again(copied_items, notes, cache_dir):
    PreprocessedDataset(copied_items, pipeline(notes=notes), cache_dir)
    os.utime(copied_items[1]["label"], ns=(1, 1))
    PreprocessedDataset(copied_items, pipeline(notes=notes), cache_dir)
    assert count(notes) == 4


def test_files_are_named_after_their_cases(items, cache_dir):
    PreprocessedDataset(items[:1], pipeline(), cache_dir)
    (name,) = written(cache_dir)
    assert name.startswith("phantom_000_")
    assert name.endswith(".pt")


def test_a_list_of_channels_and_no_label(items, cache_dir):
    several = {"image": [items[0]["image"], items[0]["image"]], "case": "both"}
    dataset = PreprocessedDataset([several], [LoadImaged("image"), EnsureTyped("image")], cache_dir)
    assert dataset[0]["image"].shape[0] == 2
    assert dataset[0]["case"] == "both"
    assert next(iter(written(cache_dir))).startswith("phantom_000_")


def test_the_same_case_twice_is_one_file(items, notes, cache_dir):
    dataset = PreprocessedDataset([items[0], items[0]], pipeline(notes=notes), cache_dir)
    assert len(dataset) == 2
    assert count(notes) == 1


def test_other_data_leave_the_files(items, notes, cache_dir):
    dataset = PreprocessedDataset(items[:3], pipeline(notes=notes), cache_dir)
    dataset.set_data(items[2:])
    assert len(dataset) == 2
    assert count(notes) == len(written(cache_dir)) == 4


def test_torch_s_generator_stays_where_it_is(items, cache_dir):
    before = torch.get_rng_state()
    PreprocessedDataset(items[:2], pipeline(), cache_dir, num_workers=2)
    assert torch.equal(torch.get_rng_state(), before)


# keys


def test_a_parameter_that_can_t_be_told_from_others_is_refused(cache_dir):
    with pytest.raises(ValueError, match="lock"):
        PreprocessedDataset([first(0)], [Note(threading.Lock())], cache_dir)


# a run that was killed


def test_only_old_temporary_files_are_deleted(items, cache_dir):
    cache_dir.mkdir(exist_ok=True)
    fresh, stale = cache_dir / "fresh.pt.1.tmp", cache_dir / "stale.pt.2.tmp"
    fresh.touch(), stale.touch()
    os.utime(stale, (0, 0))
    PreprocessedDataset(items[:1], pipeline(), cache_dir)
    assert fresh.exists()
    assert not stale.exists()


@pytest.fixture(scope="module")
def killed(tmp_path_factory, phantom_task):
    """A folder that another interpreter, with another hash seed, left when it died at its third case."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "mortal_pipeline.py").write_text(PIPELINE)
    environment = {**os.environ, "MORTAL": "1", "PYTHONHASHSEED": "1"}
    command = [sys.executable, folder / "mortal_pipeline.py", phantom_task, folder / "preprocessed"]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 9, ended.stderr
    return folder


def test_the_next_run_makes_what_a_killed_one_left_out(killed, phantom_task, monkeypatch, caplog):
    monkeypatch.syspath_prepend(killed)
    run = importlib.import_module("mortal_pipeline")
    before = written(killed / "preprocessed")
    assert len(before) == 2
    (killed / "preprocessed" / f"{next(iter(before))}.0123.tmp").write_bytes(b"half a case")
    caplog.set_level(logging.INFO, LOGGER)
    dataset = run.make(phantom_task, killed / "preprocessed")
    assert "2 made, 2 found" in caplog.text
    assert before.items() <= written(killed / "preprocessed").items()
    assert [dataset[index]["image"].ndim for index in range(4)] == [3] * 4


# what cannot be


def test_a_broken_file_is_made_anew_with_one_warning(items, notes, cache_dir, caplog):
    PreprocessedDataset(items, pipeline(notes=notes), cache_dir)
    whole, *_ = sorted(cache_dir.iterdir())
    content = whole.read_bytes()
    cut_in_half(whole)
    PreprocessedDataset(items, pipeline(notes=notes), cache_dir)
    assert count(notes) == 5
    assert len(whole.read_bytes()) == len(content)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(whole) in caplog.text


@pytest.mark.parametrize("content", [b"", b"text", bytes(5000)])
def test_a_file_of_something_else_is_made_anew(items, cache_dir, content):
    expected = PreprocessedDataset(items[:1], pipeline(), cache_dir)[0]["image"]
    next(cache_dir.iterdir()).write_bytes(content)
    assert torch.equal(PreprocessedDataset(items[:1], pipeline(), cache_dir)[0]["image"], expected)


def test_a_file_that_goes_meanwhile_is_made_anew(items, notes, cache_dir):
    dataset = PreprocessedDataset(items[:1], pipeline(notes=notes), cache_dir, memory_gib=0)
    next(cache_dir.iterdir()).unlink()
    assert copy.copy(dataset)[0]["image"].shape[0] == 1
    assert count(notes) == 2


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_case_that_fails_is_named_and_others_stay(copied_items, cache_dir, num_workers):
    PreprocessedDataset(copied_items[:1], pipeline(), cache_dir)
    cut_in_half(Path(copied_items[1]["image"]))
    with pytest.raises(DataError, match=r"phantom_001\.nii\.gz") as caught:
        PreprocessedDataset(copied_items, pipeline(), cache_dir, num_workers=num_workers)
    assert "\n" not in str(caught.value)
    names = written(cache_dir)
    assert any(name.startswith("phantom_000") for name in names)
    assert all(name.endswith(".pt") and not name.startswith("phantom_001") for name in names)


def test_a_worker_that_dies_ends_it(items, cache_dir):
    with pytest.raises(DataError, match="exited unexpectedly"):
        PreprocessedDataset(items[:1], [Lambdad("image", lambda _: os._exit(1))], cache_dir, num_workers=1)


def test_a_file_in_the_folder_s_place(items, cache_dir):
    cache_dir.touch()
    with pytest.raises(DataError, match="preprocessed: no folder"):
        PreprocessedDataset(items, pipeline(), cache_dir)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_can_t_be_written(items, cache_dir):
    cache_dir.mkdir(mode=0o500)
    with pytest.raises(DataError, match="preprocessed: can't write phantom_00"):
        PreprocessedDataset(items, pipeline(), cache_dir)


def test_a_full_disk_leaves_nothing(items, cache_dir, monkeypatch):
    def save(item, stream):
        stream.write(b"the first half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(DataError, match=r"^can't write .*/preprocessed/phantom_00.*No space left"):
        PreprocessedDataset(items, pipeline(), cache_dir)
    assert written(cache_dir) == {}


def test_a_value_that_a_file_can_t_hold_is_refused(cache_dir):
    with pytest.raises(DataError, match="got object"):
        PreprocessedDataset([first(0)], [Lambdad("image", lambda _: object())], cache_dir)


# in memory or mapped


def test_the_budget_decides_between_memory_and_files(items, cache_dir):
    held = PreprocessedDataset(items, pipeline(), cache_dir, memory_gib=1)
    mapped = PreprocessedDataset(items, pipeline(), cache_dir, memory_gib=held.total_bytes / 2**30 / 2)
    assert (held.in_memory, mapped.in_memory) == (True, False)
    assert held.total_bytes == mapped.total_bytes == sum(path.stat().st_size for path in cache_dir.iterdir())
    for index in range(4):
        assert all(torch.equal(held[index][key], mapped[index][key]) for key in KEYS)
        assert type(held[index]["image"]) is type(mapped[index]["image"]) is torch.Tensor


def test_cases_this_small_are_held_in_memory(items, cache_dir):
    assert PreprocessedDataset(items, pipeline(), cache_dir).in_memory


@pytest.mark.parametrize("memory_gib", [0, 1])
def test_items_are_not_copied(items, cache_dir, memory_gib):
    dataset = PreprocessedDataset(items[:1], pipeline(), cache_dir, memory_gib=memory_gib)
    assert dataset[0]["image"].data_ptr() == dataset[0]["image"].data_ptr()


@pytest.mark.parametrize("memory_gib", [0, 1])
def test_a_transform_that_adds_keys_leaves_the_case_as_it_is(cache_dir, memory_gib):
    dataset = PreprocessedDataset([{"parts": [0]}], [AddKey()], cache_dir, memory_gib=memory_gib)
    for _ in range(2):
        assert dataset[0] == {"parts": [0, 1], "added": 1}


def test_writing_into_a_mapped_case_leaves_its_file(items, cache_dir):
    dataset = PreprocessedDataset(items[:1], pipeline(), cache_dir, memory_gib=0)
    dataset[0]["image"].fill_(7)
    assert not (copy.copy(dataset)[0]["image"] == 7).any()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files through /proc")
def test_mapped_cases_hold_no_files_open(items, cache_dir):
    before = len(os.listdir("/proc/self/fd"))
    dataset = PreprocessedDataset(items, pipeline(), cache_dir, memory_gib=0)
    assert [dataset[index]["image"].ndim for index in range(4)] == [4] * 4
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_cropped_case_takes_no_more_than_the_crop(cache_dir):
    image = torch.zeros(1, 64, 64, 64)
    image[:, 3:5] = 1
    transform = [CropForegroundd("image", "image"), SelectItemsd("image")]
    assert PreprocessedDataset([{"image": image}], transform, cache_dir).total_bytes < 2 * 64 * 64 * 4 + 4096


@pytest.mark.parametrize("memory_gib", [0, 1])
@pytest.mark.parametrize("transform", [pipeline(), pipeline(random_crop())])
def test_forked_workers_serve_the_cases(items, cache_dir, memory_gib, transform):
    dataset = PreprocessedDataset(items, transform, cache_dir, memory_gib=memory_gib)
    loader = DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="fork")
    assert [batch["image"].ndim for batch in loader] == [4] * 4


def test_a_spawned_worker_maps_the_cases(items, cache_dir):
    dataset = PreprocessedDataset(items, pipeline(), cache_dir)
    assert dataset.in_memory
    loader = DataLoader(dataset, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    images = [batch["image"] for batch in loader]
    assert all(torch.equal(image, dataset[index]["image"]) for index, image in enumerate(images))


def test_no_case_is_pickled(cache_dir):
    dataset = PreprocessedDataset([{"image": [0.0] * 10}], [Lambdad("image", torch.tensor)], cache_dir)
    assert dataset.__getstate__()["_items"] == {}
    assert len(dataset._items) == 1


def test_the_log_says_in_one_line_what_was_made(items, cache_dir, caplog):
    caplog.set_level(logging.INFO, LOGGER)
    PreprocessedDataset(items[:1], pipeline(), cache_dir)
    PreprocessedDataset(items, pipeline(), cache_dir, memory_gib=0)
    assert caplog.messages == [
        f"{cache_dir}: preprocessed cases: 1 made, 0 found, 0.00 GiB in memory",
        f"{cache_dir}: preprocessed cases: 3 made, 1 found, 0.00 GiB mapped from disk",
    ]


def test_a_mapped_file_that_is_cut_short_ends_no_process(items, cache_dir):
    dataset = PreprocessedDataset(items[:1], pipeline(), cache_dir, memory_gib=0)
    (file,) = cache_dir.glob("*.pt")
    os.truncate(file, 1000)
    with pytest.raises(DataError, match=r"\.pt: was cut short while the run read it: delete it, and start the run"):
        dataset[0]


def test_a_mapped_file_that_is_deleted_is_read_all_the_same(items, cache_dir):
    dataset = PreprocessedDataset(items[:1], pipeline(), cache_dir, memory_gib=0)
    before = dataset[0]["image"].sum()
    for file in cache_dir.glob("*.pt"):
        file.unlink()
    assert dataset[0]["image"].sum() == before
