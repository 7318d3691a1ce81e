"""quick_settings: a network and a patch that a CPU can train, for any Decathlon folder."""

import math

import nibabel as nib
import numpy as np
import pytest

from monai_patchgrow import GrowthSchedule
from monai_patchgrow.data import Case, DecathlonTask, read_task
from monai_patchgrow.tools.compare.quick_settings import quick_settings

BUDGET = 32 * 40 * 32


def write_header(path, shape, spacing, *, axes=(0, 1, 2)):
    """A NIfTI without voxels, its array axes along the given axes of the patient: nothing may read the voxels."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, patient_axis in enumerate(axes):
        affine[patient_axis, axis] = spacing[axis]
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header.set_zooms((*spacing, 1.0)[: len(shape)])
    header.set_sform(affine, 1)
    header.set_qform(affine, 1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    path.write_bytes(header.binaryblock + b"\0" * 4)
    return path


def make_task(folder, *scans, channels=("CT",), **options):
    cases = []
    for number, (shape, spacing) in enumerate(scans):
        path = write_header(folder / f"scan_{number}.nii", shape, spacing, **options)
        cases.append(Case(f"scan_{number}", path, path))
    return DecathlonTask("Synthetic", channels, {0: "background", 1: "organ"}, tuple(cases))


def test_phantom(phantom_task):
    wanted = {
        "channels": ["synthetic"],
        "labels": {"0": "background", "1": "head", "2": "tail"},
        "spacing": [1.0, 1.0, 1.5],
        "patch_size": [32, 40, 24],
        "features": [8, 16, 32, 64],
        "batch_size": 2,
    }
    settings = quick_settings(read_task(phantom_task))
    assert {name: settings[name] for name in wanted} == wanted


LARGE = ((512, 512, 90), (0.8, 0.8, 5.0))


def test_large_anisotropic_scans_get_a_larger_spacing_of_the_same_shape(tmp_path):
    spacing = quick_settings(make_task(tmp_path, LARGE))["spacing"]
    assert spacing == pytest.approx([3.328, 3.328, 20.801], abs=0.001)
    assert spacing[2] / spacing[0] == pytest.approx(6.25, abs=0.01)


def test_large_anisotropic_scans_have_eight_patches_of_voxels_at_most(tmp_path):
    spacing = quick_settings(make_task(tmp_path, LARGE))["spacing"]
    assert 512 * 512 * 90 * 0.8 * 0.8 * 5.0 / math.prod(spacing) == pytest.approx(8 * BUDGET, rel=0.001)


@pytest.mark.parametrize(
    "scan",
    [
        LARGE,
        ((512, 512, 12), (0.7, 0.7, 8.0)),
        ((10, 10, 10), (1.0, 1.0, 1.0)),
        ((3, 600, 600), (5.0, 0.5, 0.5)),
        ((240, 240, 155), (1.0, 1.0, 1.0)),
    ],
)
def test_patch_is_legal_and_within_the_budget(tmp_path, scan):
    patch = quick_settings(make_task(tmp_path, scan))["patch_size"]
    assert math.prod(patch) <= BUDGET
    assert GrowthSchedule.plan(patch_size=patch, total_stride=(8, 8, 8), batch_size=2, max_epochs=100)


def test_patch_keeps_the_long_axes_of_a_flat_scan(tmp_path):
    assert quick_settings(make_task(tmp_path, ((80, 64, 8), (1.0, 1.0, 5.0))))["patch_size"] == [80, 64, 8]


def test_spacing_is_the_median_of_the_cases(tmp_path):
    task = make_task(tmp_path, *[((32, 32, 32), (1.0, 1.0, mm)) for mm in (1.0, 2.0, 9.0)])
    assert quick_settings(task)["spacing"] == [1.0, 1.0, 2.0]


def test_channels_are_no_axis(tmp_path):
    task = make_task(tmp_path, ((32, 40, 24, 4), (1.0, 1.0, 1.0)), channels=("FLAIR", "T1", "T1c", "T2"))
    assert quick_settings(task)["patch_size"] == [32, 40, 24]
    assert quick_settings(task)["channels"] == ["FLAIR", "T1", "T1c", "T2"]


def test_scan_of_another_orientation_is_read_by_its_header_alone(tmp_path):
    task = make_task(tmp_path, ((24, 32, 40), (1.5, 1.0, 1.0)), axes=(2, 0, 1))
    assert quick_settings(task)["spacing"] == [1.0, 1.0, 1.5]
    assert quick_settings(task)["patch_size"] == [32, 40, 24]


def test_image_of_several_files(tmp_path):
    files = tuple(write_header(tmp_path / f"{number}.nii", (32, 40, 24), (1.0, 1.0, 1.0)) for number in range(2))
    case = Case("scan", files, files[0])
    task = DecathlonTask("Synthetic", ("T2", "ADC"), {0: "background", 1: "organ"}, (case,))
    assert quick_settings(task)["patch_size"] == [32, 40, 24]
