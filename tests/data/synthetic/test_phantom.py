from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from monai_patchgrow.data import DataError
from monai_patchgrow.data.synthetic.phantom import PHANTOM_SPACING, phantom_case, write_phantom_task


@pytest.fixture(scope="module")
def cases():
    return [phantom_case(index, seed=0)[:2] for index in range(10)]


def content_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def dice(prediction, truth):
    return 2 * (prediction & truth).sum() / (prediction.sum() + truth.sum())


def standardise(image):
    return (image - image.mean()) / image.std()


def best_threshold_dice(images, masks):
    """Mean Dice of the one threshold, over the whole data set, that suits the masks best."""
    thresholds = np.quantile(np.concatenate([image.ravel() for image in images]), np.linspace(0, 0.999, 100))
    return max(np.mean([dice(i > t, m) for i, m in zip(images, masks, strict=True)]) for t in thresholds)


def connected(mask):
    """Whether the mask is one piece, by its faces."""
    seen = np.zeros_like(mask)
    seen[tuple(np.argwhere(mask)[0])] = True
    while True:
        grown = np.pad(seen, 1)
        neighbours = [np.roll(grown, step, axis)[1:-1, 1:-1, 1:-1] for axis in range(3) for step in (-1, 1)]
        larger = mask & np.logical_or.reduce([seen, *neighbours])
        if larger.sum() == seen.sum():
            return larger.sum() == mask.sum()
        seen = larger


# one case


def test_types_and_affine():
    image, label, affine = phantom_case(0, seed=0)
    assert (image.dtype, label.dtype) == (np.float32, np.uint8)
    assert image.shape == label.shape == (34, 41, 28)
    assert affine.tolist() == [[1, 0, 0, -16.5], [0, 1, 0, -20], [0, 0, 1.5, -20.25], [0, 0, 0, 1]]


def test_spacing_is_anisotropic():
    assert PHANTOM_SPACING == (1.0, 1.0, 1.5)


def test_shapes_vary_around_32_40_28(cases):
    shapes = np.array([image.shape for image, _ in cases])
    assert (shapes.min(axis=0) >= (30, 38, 26)).all()
    assert (shapes.max(axis=0) <= (34, 42, 30)).all()
    assert len(np.unique(shapes, axis=0)) > 5


def test_same_arguments_give_the_same_bits():
    assert all(np.array_equal(a, b) for a, b in zip(phantom_case(4, seed=7), phantom_case(4, seed=7), strict=True))


@pytest.mark.parametrize(("index", "seed"), [(5, 7), (4, 8)])
def test_other_arguments_give_another_case(index, seed):
    assert not np.array_equal(phantom_case(4, seed=7)[0], phantom_case(index, seed=seed)[0])


@pytest.mark.parametrize(("index", "seed"), [(-1, 0), (0, -1)])
def test_negative_arguments_are_refused(index, seed):
    with pytest.raises(ValueError, match="must not be negative"):
        phantom_case(index, seed=seed)


def test_intensities_are_whole_numbers_that_fit_int16(cases):
    assert all(np.array_equal(image, image.astype(np.int16)) for image, _ in cases)


def test_head_is_several_times_the_tail(cases):
    ratios = [(label == 1).sum() / (label == 2).sum() for _, label in cases]
    assert 3.0 < min(ratios) < max(ratios) < 5.5


def test_head_and_tail_touch(cases):
    assert all(connected(label > 0) for _, label in cases)


def test_head_and_tail_are_one_piece_each(cases):
    assert all(connected(label == value) for _, label in cases for value in (1, 2))


def test_structures_lie_inside_the_scan(cases):
    for _, label in cases:
        inside = np.pad(np.ones(np.array(label.shape) - 2, bool), 1)
        assert (label[~inside] > 0).mean() < 0.01


def test_head_and_tail_are_equally_bright(cases):
    means = [[image[label == value].mean() / image.mean() for value in (1, 2)] for image, label in cases]
    head, tail = np.mean(means, axis=0)
    assert head == pytest.approx(tail, rel=0.05)
    assert head > 1.3


def test_background_has_as_many_bright_voxels_as_the_tail(cases):
    bright = [image > np.median(image[label > 0]) for image, label in cases]
    distractors = sum((mask & (label == 0)).sum() for mask, (_, label) in zip(bright, cases, strict=True))
    tails = sum((mask & (label == 2)).sum() for mask, (_, label) in zip(bright, cases, strict=True))
    assert distractors > tails


@pytest.mark.parametrize("scale", [lambda image: image, standardise])
def test_no_threshold_comes_near_what_is_learned(cases, scale):
    images = [scale(image) for image, _ in cases]
    scores = [best_threshold_dice(images, [label == value for _, label in cases]) for value in (1, 2)]
    assert max(scores) < 0.75
    assert np.mean(scores) < 0.5


# the folder


def test_files_hold_what_the_function_returned(phantom_task):
    image, label, affine = phantom_case(3, seed=0)
    stored = nib.load(phantom_task / "imagesTr" / "phantom_003.nii.gz")
    assert np.array_equal(np.asanyarray(stored.dataobj), image)
    assert np.array_equal(nib.load(phantom_task / "labelsTr" / "phantom_003.nii.gz").dataobj[...], label)
    assert np.array_equal(stored.affine, affine)


def test_images_are_int16_and_labels_uint8(phantom_task):
    types = {
        folder: {str(nib.load(path).get_data_dtype()) for path in (phantom_task / folder).iterdir()}
        for folder in ("imagesTr", "labelsTr")
    }
    assert types == {"imagesTr": {"int16"}, "labelsTr": {"uint8"}}


def test_same_arguments_give_the_same_bytes(tmp_path):
    first = content_of(write_phantom_task(tmp_path / "first", num_cases=3, seed=5))
    assert first == content_of(write_phantom_task(tmp_path / "second", num_cases=3, seed=5))
    assert len(first) == 7


def test_more_cases_leave_the_first_as_they_were(tmp_path, phantom_task):
    few = write_phantom_task(tmp_path / "few", num_cases=1)
    name = "imagesTr/phantom_000.nii.gz"
    assert (few / name).read_bytes() == (phantom_task / name).read_bytes()


def test_parameters_are_recorded(phantom_task):
    recorded = json.loads((phantom_task / "dataset.json").read_text())["phantom"]
    assert recorded == {"generator": 1, "num_cases": 10, "seed": 0}


def test_a_complete_task_is_reused(tmp_path):
    folder = write_phantom_task(tmp_path / "task", num_cases=2)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert write_phantom_task(folder, num_cases=2) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_parents_are_made_and_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert (write_phantom_task(tmp_path / "a" / "b", num_cases=1) / "dataset.json").is_file()
    assert (write_phantom_task(tmp_path / "c" / "d", num_cases=1) / "dataset.json").is_file()


@pytest.mark.parametrize("other", [{"num_cases": 3}, {"num_cases": 2, "seed": 1}])
def test_another_task_is_not_overwritten(tmp_path, other):
    folder = write_phantom_task(tmp_path / "task", num_cases=2)
    with pytest.raises(DataError, match=f"{folder} holds something else"):
        write_phantom_task(folder, **other)


def test_foreign_files_are_not_overwritten(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="holds something else"):
        write_phantom_task(tmp_path, num_cases=1)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_task_that_lost_a_file_is_not_reused(tmp_path):
    folder = write_phantom_task(tmp_path / "task", num_cases=2)
    (folder / "labelsTr" / "phantom_001.nii.gz").unlink()
    with pytest.raises(DataError, match="delete it or name another folder"):
        write_phantom_task(folder, num_cases=2)


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(nib, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        write_phantom_task(tmp_path / "task", num_cases=2)
    assert list(tmp_path.iterdir()) == []


def test_a_task_that_another_process_finished_meanwhile_is_reused(tmp_path, monkeypatch):
    folder = tmp_path / "task"
    monkeypatch.setattr("monai_patchgrow.data.synthetic.task_folder._is_free", lambda *_: not folder.exists())
    save = nib.save

    def save_after_the_other(image, path):
        monkeypatch.setattr(nib, "save", save)
        write_phantom_task(folder, num_cases=1)
        save(image, path)

    monkeypatch.setattr(nib, "save", save_after_the_other)
    assert write_phantom_task(folder, num_cases=1) == folder
    assert [path.name for path in tmp_path.iterdir()] == ["task"]


@pytest.mark.parametrize("arguments", [{"num_cases": 0}, {"num_cases": 1, "seed": -1}])
def test_impossible_arguments_are_refused(tmp_path, arguments):
    with pytest.raises(ValueError, match="num_cases must be 1 or more and seed 0 or more"):
        write_phantom_task(tmp_path / "task", **arguments)
    assert list(tmp_path.iterdir()) == []
