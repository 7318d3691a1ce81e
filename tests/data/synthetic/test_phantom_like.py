from __future__ import annotations

import json
import time

import nibabel as nib
import numpy as np
import pytest

from monai_patchgrow.data import DataError, PhantomKind, read_task, verify_cases, write_phantom_like

BRAIN = {
    "channels": ["FLAIR", "T1w", "t1gd", "T2w"],
    "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
    "masked": True,
}
LIVER = {
    "channels": ["CT"],
    "labels": {0: "background", 1: "liver", 2: "cancer"},
    "modality": "CT",
    "mean": 99.5,
    "std": 37.1,
    "spacing": (0.77, 0.77, 1.0),
}
PROSTATE = {
    "channels": ["T2", "ADC"],
    "labels": {0: "background", 1: "PZ", 2: "TZ"},
    "shape": (40, 40, 8),
    "spacing": (0.625, 0.625, 3.6),
}
KINDS = pytest.mark.parametrize("kind", [BRAIN, LIVER, PROSTATE], ids=["brain", "liver", "prostate"])


def content_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# one case


@KINDS
def test_every_class_is_in_every_case(kind):
    for index in range(20):
        label = PhantomKind(**kind).draw_case(index)[1]
        assert np.unique(label).tolist() == list(range(len(kind["labels"])))


def test_shape_channels_and_types():
    image, label, _ = PhantomKind(**PROSTATE).draw_case(0)
    assert (image.shape, image.dtype) == ((2, 40, 40, 8), np.int16)
    assert (label.shape, label.dtype) == ((40, 40, 8), np.uint8)


def test_ct_has_air_around_the_body_and_the_organ_s_figures():
    image, label, _ = PhantomKind(**LIVER).draw_case(3)
    edge = np.concatenate([image[0, 0].ravel(), image[0, :, -1].ravel(), image[0, :, :, 0].ravel()])
    assert edge.mean() == pytest.approx(-1000, abs=1)
    assert edge.max() < -970
    assert image[0][label > 0].mean() == pytest.approx(99.5, abs=0.5)
    assert image[0][label > 0].std() == pytest.approx(37.1, abs=0.5)


def test_masked_mri_is_zero_outside_of_the_head_and_positive_inside():
    image, label, _ = PhantomKind(**BRAIN).draw_case(0)
    outside = image == 0
    assert all(np.array_equal(outside[0], channel) for channel in outside)
    assert 0.4 < outside[0].mean() < 0.7
    assert not outside[0][label > 0].any()
    assert image.min() == 0


def test_mri_that_is_not_masked_has_noise_outside():
    image = PhantomKind(**PROSTATE).draw_case(0)[0]
    assert (image[:, 0] > 0).mean() > 0.9
    assert image.min() >= 0


def test_classes_differ_in_every_channel():
    image, label, _ = PhantomKind(**BRAIN).draw_case(1)
    for channel in image:
        means = sorted(channel[label == value].mean() for value in (1, 2, 3))
        assert np.diff(means).min() > 30


def test_spacing_is_the_affine_s():
    affine = PhantomKind(**PROSTATE).draw_case(0)[2]
    assert affine.diagonal().tolist() == [0.625, 0.625, 3.6, 1.0]
    assert affine[:3, 3].tolist() == pytest.approx([-12.1875, -12.1875, -12.6])


def test_spacing_may_vary_by_case():
    kind = PhantomKind(**{**PROSTATE, "spacing_spread": 0.1})
    ratios = np.array([kind.draw_case(index)[2].diagonal()[:3] for index in range(8)]) / (0.625, 0.625, 3.6)
    assert 0.9 <= ratios.min() < 0.95 < 1.05 < ratios.max() <= 1.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {0: "background", 2: "liver"}}, "labels must be numbered"),
        ({"labels": {0: "background"}}, "labels must be numbered"),
        ({"channels": []}, "channels named"),
        ({"shape": (32, 32)}, "shape needs 3 axes"),
        ({"shape": (32, 32, 7)}, "shape needs 3 axes"),
        ({"spacing": (1, 1, 0)}, "shape needs 3 axes"),
        ({"shape": (8, 8, 8)}, r"2 classes do not fit into \(8, 8, 8\) voxels"),
        ({"modality": "PET"}, 'modality must be "MRI" or "CT"'),
        ({"masked": True}, 'masked only with "MRI"'),
        ({"std": 0}, "std must be above 0"),
        ({"spacing_spread": 1}, "spacing_spread in 0 to 1"),
    ],
)
def test_what_can_not_be_met_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        PhantomKind(**{**LIVER, **change})


# the folder


@KINDS
@pytest.mark.parametrize("layout", ["decathlon", "nnunet"])
def test_either_layout_is_sound_and_read_as_the_same_task(kind, layout, tmp_path):
    task = read_task(write_phantom_like(tmp_path / "task", num_cases=3, layout=layout, **kind))
    verify_cases(task)
    assert task.channels == tuple(kind["channels"])
    assert task.labels == {int(value): name for value, name in kind["labels"].items()}
    assert [case.name for case in task.cases] == ["phantom_000", "phantom_001", "phantom_002"]


def test_channels_lie_on_the_fourth_axis_or_in_a_file_each(tmp_path):
    write_phantom_like(tmp_path / "decathlon", num_cases=1, **PROSTATE)
    write_phantom_like(tmp_path / "nnunet", num_cases=1, layout="nnunet", **PROSTATE)
    whole = nib.load(tmp_path / "decathlon/imagesTr/phantom_000.nii.gz")
    assert whole.shape == (40, 40, 8, 2)
    for number in range(2):
        part = nib.load(tmp_path / f"nnunet/imagesTr/phantom_000_000{number}.nii.gz")
        assert np.array_equal(part.dataobj, whole.dataobj[..., number])


def test_dataset_json_of_either_layout(tmp_path):
    write_phantom_like(tmp_path / "decathlon", num_cases=1, **PROSTATE)
    write_phantom_like(tmp_path / "nnunet", num_cases=1, layout="nnunet", **PROSTATE)
    decathlon, nnunet = (json.loads((tmp_path / name / "dataset.json").read_text()) for name in ("decathlon", "nnunet"))
    assert decathlon["modality"] == nnunet["channel_names"] == {"0": "T2", "1": "ADC"}
    assert decathlon["labels"] == {"0": "background", "1": "PZ", "2": "TZ"}
    assert nnunet["labels"] == {"background": 0, "PZ": 1, "TZ": 2}
    assert (nnunet["file_ending"], nnunet["numTraining"]) == (".nii.gz", 1)
    assert "training" not in nnunet


def test_same_arguments_give_the_same_bytes(tmp_path):
    first, second = (write_phantom_like(tmp_path / name, num_cases=2, seed=3, **BRAIN) for name in "ab")
    assert content_of(first) == content_of(second)


def test_another_seed_gives_other_cases(tmp_path):
    first, second = (write_phantom_like(tmp_path / str(seed), num_cases=1, seed=seed, **LIVER) for seed in (0, 1))
    name = "labelsTr/phantom_000.nii.gz"
    assert (first / name).read_bytes() != (second / name).read_bytes()


def test_the_same_task_is_reused_and_another_is_not_overwritten(tmp_path):
    folder = write_phantom_like(tmp_path, num_cases=1, **BRAIN)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert write_phantom_like(tmp_path, num_cases=1, **BRAIN) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    with pytest.raises(DataError, match="holds something else"):
        write_phantom_like(tmp_path, num_cases=1, **{**BRAIN, "mean": 500.0})


def test_a_case_is_small_and_takes_a_moment(tmp_path):
    start = time.perf_counter()
    folder = write_phantom_like(tmp_path, num_cases=4, **{**BRAIN, "shape": (48, 48, 48)})
    assert time.perf_counter() - start < 4 * 1.0
    assert sum(map(len, content_of(folder).values())) < 4 * 500_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_cases": 0}, "num_cases must be 1 or more"),
        ({"seed": -1}, "seed 0 or more"),
        ({"layout": "bids"}, 'layout must be "decathlon" or "nnunet"'),
    ],
)
def test_impossible_arguments_are_refused(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_phantom_like(tmp_path / "task", **arguments, **LIVER)
    assert list(tmp_path.iterdir()) == []
