from __future__ import annotations

import gzip
import json

import nibabel as nib
import numpy as np
import pytest

from monai_patchgrow.data import DataError, DecathlonTask, find_problems, read_task, verify_cases


def change_json(folder, change):
    path = folder / "dataset.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def rewrite(path, change=lambda voxels: voxels, *, dtype=None, shift_mm=0.0, kind=nib.Nifti1Image):
    nifti = nib.load(path)
    voxels = change(np.asanyarray(nifti.dataobj)).astype(dtype or nifti.get_data_dtype())
    affine = nifti.affine.copy()
    affine[0, 3] += shift_mm
    nib.save(kind(voxels, affine), path)


def set_first(value):
    def change(voxels):
        voxels = voxels.astype(np.float32)
        voxels[0, 0, 0] = value
        return voxels

    return change


def error_of(function, *arguments):
    with pytest.raises(DataError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def verify_error(folder):
    return error_of(lambda: verify_cases(read_task(folder), num_workers=2))


def test_phantom_is_sound(phantom_task):
    verify_cases(read_task(phantom_task))


def test_task04_is_sound(task04):
    verify_cases(read_task(task04))


def test_nothing_is_printed_off_a_terminal(phantom_task, capfd):
    verify_cases(read_task(phantom_task))
    assert capfd.readouterr() == ("", "")


def test_a_slice_is_a_volume_of_one(task_dir):
    for folder in ("imagesTr", "labelsTr"):
        rewrite(task_dir / folder / "phantom_002.nii.gz", lambda voxels: voxels[:, :, 12])
    verify_cases(read_task(task_dir))


def test_a_row_is_no_image(task_dir):
    path = task_dir / "imagesTr" / "phantom_002.nii.gz"
    rewrite(path, lambda voxels: voxels[:, 12, 12])
    assert verify_error(task_dir) == f"{path}: shape (34,): images have 2 or 3 axes, and a last one of channels"


@pytest.mark.parametrize("folder", ["imagesTr", "labelsTr"])
@pytest.mark.parametrize("kept", [0, 8, 200, -1])
def test_truncated_file(task_dir, folder, kept):
    path = task_dir / folder / "phantom_002.nii.gz"
    path.write_bytes(path.read_bytes()[:kept])
    assert verify_error(task_dir).startswith(f"{path}: truncated or corrupt")


def test_flipped_byte_of_a_compressed_file(task_dir):
    path = task_dir / "imagesTr" / "phantom_002.nii.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert verify_error(task_dir).startswith(f"{path}: truncated or corrupt")


def test_truncated_voxels_in_a_sound_gzip_file(task_dir):
    path = task_dir / "imagesTr" / "phantom_002.nii.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-100]))
    assert verify_error(task_dir).startswith(f"{path}: truncated or corrupt")


def test_file_that_is_no_nifti(task_dir):
    path = task_dir / "labelsTr" / "phantom_002.nii.gz"
    path.write_bytes(gzip.compress(b"hello" * 200))
    assert verify_error(task_dir).startswith(f"{path}: truncated or corrupt")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_image_value_that_is_not_finite(task_dir, value):
    path = task_dir / "imagesTr" / "phantom_001.nii.gz"
    rewrite(path, set_first(value), dtype=np.float32)
    assert verify_error(task_dir).startswith(f"{path}: 1 values are NaN or infinite")


def test_wrong_number_of_channels(task_dir):
    change_json(task_dir, lambda content: content.update(modality={"0": "T1", "1": "T2"}))
    message = verify_error(task_dir)
    assert "phantom_000.nii.gz: shape (34, 41, 28) has 1 channels, dataset.json 2" in message


def test_two_channels_on_the_fourth_axis(task_dir):
    change_json(task_dir, lambda content: content.update(modality={"0": "T1", "1": "T2"}))
    for path in (task_dir / "imagesTr").iterdir():
        rewrite(path, lambda voxels: np.stack([voxels, voxels], axis=3))
    verify_cases(read_task(task_dir))


def test_shape_that_differs(task_dir):
    path = task_dir / "labelsTr" / "phantom_000.nii.gz"
    rewrite(path, lambda voxels: voxels[1:])
    assert verify_error(task_dir) == f"{path}: shape (33, 41, 28), but its image has (34, 41, 28)"


def test_affine_that_differs(task_dir):
    path = task_dir / "labelsTr" / "phantom_000.nii.gz"
    rewrite(path, shift_mm=0.6)
    assert verify_error(task_dir).startswith(f"{path}: its header puts voxels 0.6 voxels off its image's, though the")
    assert verify_error(task_dir).endswith("copy the image's header or set trust_label_voxels; else resample it")
    verify_cases(read_task(task_dir), trust_label_voxels=True)


@pytest.mark.parametrize("shift_mm", [0.0005, 0.4])
def test_affine_that_moves_no_voxel_onto_another(task_dir, shift_mm):
    rewrite(task_dir / "labelsTr" / "phantom_000.nii.gz", shift_mm=shift_mm)
    verify_cases(read_task(task_dir))


@pytest.mark.parametrize("code", [1e-9, 1e-3], ids=["almost a singular one", "one of another unit"])
def test_affine_that_is_no_grid_of_the_image(task_dir, code):
    path = task_dir / "labelsTr" / "phantom_000.nii.gz"
    nifti = nib.load(path)
    nib.save(nib.Nifti1Image(np.asanyarray(nifti.dataobj), nifti.affine * [[code], [code], [code], [1]]), path)
    assert verify_error(task_dir).startswith(f"{path}: its header puts voxels ")


@pytest.mark.parametrize("unit", ["micron", "meter"])
def test_units_are_converted_before_headers_are_compared(task_dir, unit):
    path = task_dir / "imagesTr" / "phantom_000.nii.gz"
    nifti = nib.load(path)
    factor = {"micron": 1e3, "meter": 1e-3}[unit]
    other = nib.Nifti1Image(np.asanyarray(nifti.dataobj), np.diag([factor] * 3 + [1]) @ nifti.affine)
    other.header.set_xyzt_units(unit)
    nib.save(other, path)
    verify_cases(read_task(task_dir))


def test_values_that_float32_does_not_hold(task_dir):
    path = task_dir / "imagesTr" / "phantom_001.nii.gz"
    nifti = nib.load(path)
    voxels = np.asanyarray(nifti.dataobj).astype(np.float64)
    voxels[3, 3, 3] = 1e39
    nib.save(nib.Nifti1Image(voxels, nifti.affine), path)
    assert verify_error(task_dir) == f"{path}: values beyond 3.4e+38, the largest of float32: replace or rescale them"


def test_blank_image(task_dir):
    path = task_dir / "imagesTr" / "phantom_001.nii.gz"
    rewrite(path, np.zeros_like)
    assert verify_error(task_dir) == f"{path}: all voxels are 0: leave the case out of dataset.json"


def test_a_file_that_is_not_there_is_not_called_truncated(task_dir):
    task = read_task(task_dir)
    task.cases[1].label.unlink()
    assert error_of(verify_cases, task) == f"{task.cases[1].label}: can't be read (No such file or directory)"


def test_every_problem_is_found_by_its_case(task_dir):
    for number in (7, 2):
        (task_dir / "imagesTr" / f"phantom_{number:03d}.nii.gz").write_bytes(b"")
    assert [*find_problems(read_task(task_dir))] == ["phantom_002", "phantom_007"]


@pytest.mark.parametrize("value", [3, -1])
def test_unknown_label_value(task_dir, value):
    path = task_dir / "labelsTr" / "phantom_005.nii.gz"
    rewrite(path, set_first(value), dtype=np.int16)
    assert verify_error(task_dir) == f"{path}: label value {value}, but dataset.json names 0 to 2 only"


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_label_value_that_is_no_whole_number(task_dir, value):
    path = task_dir / "labelsTr" / "phantom_005.nii.gz"
    rewrite(path, set_first(value), dtype=np.float32)
    assert verify_error(task_dir) == f"{path}: label value {value:g} is not a whole number"


def test_labels_may_be_stored_as_floats(task_dir):
    rewrite(task_dir / "labelsTr" / "phantom_005.nii.gz", dtype=np.float32)
    verify_cases(read_task(task_dir))


def test_labels_that_a_slope_rounds_are_whole(task_dir):
    path = task_dir / "labelsTr" / "phantom_005.nii.gz"
    label = nib.load(path)
    content = bytearray(nib.Nifti1Image(np.asanyarray(label.dataobj).astype(np.uint8) * 10, label.affine).to_bytes())
    content[112:120] = np.array([0.1, 0], np.float32).tobytes()
    path.write_bytes(gzip.compress(content))
    assert set(np.unique(np.asarray(nib.load(path).dataobj))) - {0, 1, 2}
    verify_cases(read_task(task_dir))


def test_a_label_may_have_an_axis_of_one_channel(task_dir):
    rewrite(task_dir / "labelsTr" / "phantom_005.nii.gz", lambda voxels: voxels[..., None])
    verify_cases(read_task(task_dir))


def test_an_image_without_a_grid(task_dir):
    for folder in ("imagesTr", "labelsTr"):
        path = task_dir / folder / "phantom_005.nii.gz"
        content = bytearray(gzip.decompress(path.read_bytes()))
        content[252:256] = np.array([0, 1], np.int16).tobytes()  # no qform, and an sform
        content[280:328] = bytes(48)  # of zeros
        path.write_bytes(gzip.compress(content))
    image = task_dir / "imagesTr" / "phantom_005.nii.gz"
    with np.errstate(all="ignore"):
        assert verify_error(task_dir).startswith(f"{image}: its header gives voxels no extent in space")


def test_nifti2_is_read(task_dir):
    rewrite(task_dir / "imagesTr" / "phantom_005.nii.gz", kind=nib.Nifti2Image)
    verify_cases(read_task(task_dir))


@pytest.mark.parametrize("num_workers", [0, 1, 4])
def test_first_problem_is_named_and_the_others_counted(task_dir, num_workers):
    for number in (7, 2, 4):
        (task_dir / "imagesTr" / f"phantom_{number:03d}.nii.gz").write_bytes(b"")
    message = error_of(lambda: verify_cases(read_task(task_dir), num_workers=num_workers))
    assert "phantom_002.nii.gz" in message
    assert message.endswith("(and 2 more)")


def test_only_the_given_cases_are_checked(task_dir):
    task = read_task(task_dir)
    task.cases[3].label.write_bytes(b"")
    verify_cases(task, task.cases[:3])


def test_file_that_vanished_after_reading(task_dir):
    task: DecathlonTask = read_task(task_dir)
    task.cases[0].image.unlink()
    assert "phantom_000.nii.gz" in error_of(verify_cases, task)


def test_voxels_that_begin_beyond_all_bounds(task_dir):
    path = task_dir / "imagesTr" / "phantom_002.nii.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[108:112] = np.array([1e30], np.float32).tobytes()
    path.write_bytes(gzip.compress(content))
    assert "more than the 16 that PATCHGROW_MAX_FILE_GIB allows" in verify_error(task_dir)


def test_a_header_that_nibabel_mends_is_read_without_remarks(task_dir, capfd):
    path = task_dir / "imagesTr" / "phantom_002.nii.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[252:254] = np.array([38], np.int16).tobytes()  # a qform_code that there isn't
    path.write_bytes(gzip.compress(content))
    verify_cases(read_task(task_dir))
    assert capfd.readouterr() == ("", "")


def test_warnings_are_logged_one_line_per_rule(task_dir, caplog):
    for number in (2, 5):
        rewrite(task_dir / "labelsTr" / f"phantom_{number:03d}.nii.gz", dtype=np.float32)
    image = task_dir / "imagesTr" / "phantom_001.nii.gz"
    rewrite(image, set_first(3e38), dtype=np.float32)
    verify_cases(read_task(task_dir))
    label = task_dir / "labelsTr" / "phantom_002.nii.gz"
    assert caplog.messages == [
        f"{image}: suspicious: a voxel of 3e+38 is so far off that normalising flattens all others: replace it "
        "[image-outlier]",
        f"{label}: label map of type float32: save it as integers (and 1 more) [label-float]",
    ]


def test_headers_alone_are_checked_without_reading_a_voxel(task_dir):
    task = read_task(task_dir)
    rewrite(task.cases[1].image, set_first(np.nan), dtype=np.float32)
    verify_cases(task, headers_only=True)
    rewrite(task.cases[2].label, lambda voxels: voxels[1:])
    message = error_of(lambda: verify_cases(task, headers_only=True))
    assert message == f"{task.cases[2].label}: shape (33, 38, 27), but its image has (34, 38, 27)"
