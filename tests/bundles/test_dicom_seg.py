"""Label maps as DICOM segmentations, which refer to the series they were made of."""

import json
import locale
import runpy
from pathlib import Path

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from monai.bundle import ConfigParser

FILES = runpy.run_path(str(Path(__file__).with_name("dicom_files.py")))
BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_segmentation_patchgrow"
CASES, PREDICT = (runpy.run_path(str(BUNDLE / "scripts" / f"{name}.py")) for name in ("cases", "predict"))
affine_of, make_series, make_enhanced, write = (
    FILES[name] for name in ("affine_of", "make_series", "make_enhanced", "write")
)
IMAGE = FILES["ball_and_bar"]()
IMAGE[15:20, 5:9, 10:15] = 200  # the bar, which is another label than the ball

# ITK's bindings, where Python 3.11 and later has an error of this warning, end the process
pytestmark = pytest.mark.filterwarnings("ignore:builtin type .* has no __module__ attribute:DeprecationWarning")


@pytest.fixture(autouse=True)
def same_locale():
    """GDCM sets the process's locale to C, after which it would read other processes' output as ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


class TwoLabels(torch.nn.Module):
    """Label 1 where the normalised value is above 1, label 2 where it is above 2.6."""

    def forward(self, images):
        return torch.cat([torch.zeros_like(images), images - 1, 2 * images - 3.6], 1)


def predict(source, output, *, items=None, **options):
    config = ConfigParser(ConfigParser.load_config_file(BUNDLE / "configs" / "inference.json"))
    config.update({"bundle_root": str(BUNDLE), "patch_size": [32, 32, 32]})
    parts = {name: config.get_parsed_content(name) for name in ("preprocessing", "postprocessing", "inferer")}
    items = items or CASES["find_images"](source, num_channels=1)
    options = {"labels": config.get_parsed_content("labels"), **options}
    return PREDICT["predict"](items, network=TwoLabels(), output_dir=output, device="cpu", **parts, **options)


def truth():
    return np.select([IMAGE == 300, IMAGE == 200], [2, 1], 0)


def check(path, sources, affine):
    """Every segment's voxels lie where the image's do, and refer to the file that they were made of."""
    segmentation = highdicom.seg.segread(path)
    volume = segmentation.get_volume(combine_segments=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    found = np.zeros(IMAGE.shape, int)
    for place in np.argwhere(volume.array > 0):
        voxel = np.linalg.inv(lps) @ volume.affine @ [*place, 1]
        assert np.abs(voxel - np.rint(voxel)).max() < 1e-3
        found[tuple(np.rint(voxel[:3]).astype(int))] = volume.array[tuple(place)]
    assert np.array_equal(found, truth())
    assert segmentation.StudyInstanceUID == sources[0].StudyInstanceUID
    assert segmentation.PatientID == "1"
    assert segmentation.FrameOfReferenceUID == sources[0].FrameOfReferenceUID
    assert segmentation.SeriesInstanceUID != sources[0].SeriesInstanceUID
    referred = {uid for _, _, uid in segmentation.get_source_image_uids()}
    assert referred == {one.SOPInstanceUID for one in sources}
    return segmentation


@pytest.mark.parametrize("plane", ["AXIAL", "SAGITTAL", "CORONAL"])
def test_a_series_gets_a_segmentation(plane, tmp_path):
    affine = affine_of(FILES[plane])
    slices = make_series(IMAGE, affine)
    write(slices[::-1], tmp_path / "in")

    files = predict(tmp_path / "in", tmp_path / "out", output_format="dicom-seg")

    assert [path.name for path in files] == ["in.dcm"]
    segmentation = check(files[0], slices, affine)
    labels = [segmentation.get_segment_description(number).segment_label for number in (1, 2)]
    assert labels == ["Anterior", "Posterior"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["in.dcm"]


def test_each_region_is_a_segment_and_they_overlap(tmp_path):
    slices = make_series(IMAGE)
    write(slices, tmp_path / "in")
    labels = {"background": 0, "whole": [1, 2], "ball": 2, "ignore": 3}
    regions = {"labels": labels, "regions_class_order": [1, 2]}
    [path] = predict(tmp_path / "in", tmp_path / "out", output_format="dicom-seg", **regions)
    segmentation = highdicom.seg.segread(path)
    names = [segmentation.get_segment_description(number).segment_label for number in (1, 2)]
    voxels = segmentation.get_volume().array.reshape(-1, 2).astype(bool)
    assert names == ["whole", "ball"] and segmentation.number_of_segments == 2
    assert voxels.sum(0).tolist() == [(truth() > 0).sum(), (truth() == 2).sum()]
    assert voxels[voxels[:, 1], 0].all()


@pytest.mark.parametrize("output_format", ["nifti", "dicom-seg"])
def test_the_files_of_a_series_are_one_case(output_format, tmp_path):
    slices = make_series(IMAGE)
    files = sorted(map(str, write(slices, tmp_path / "in").iterdir()))
    items = [{"image": files, "name": "a"}]
    path = predict(None, tmp_path / "out", items=items, output_format=output_format)[0]
    if output_format == "nifti":
        assert np.array_equal(np.asarray(nib.load(path).dataobj), truth())
    else:
        check(path, slices, affine_of())


@pytest.mark.parametrize("order", [1, -1])
def test_frames_of_one_file_get_a_segmentation(order, tmp_path):
    affine = affine_of(FILES["SAGITTAL"])
    enhanced = make_enhanced(make_series(IMAGE, affine)[::order])
    write([enhanced], tmp_path / "in")
    check(predict(tmp_path / "in", tmp_path / "out", output_format="dicom-seg")[0], [enhanced], affine)


def test_what_anonymisation_took_or_spoilt_is_empty(tmp_path):
    slices = make_series(IMAGE)
    for one in slices:
        for key in ("PatientName", "PatientBirthDate", "AccessionNumber", "StudyID", "StudyTime"):
            delattr(one, key)
        one.PatientSex = "X"
    write(slices, tmp_path / "in")
    segmentation = check(predict(tmp_path / "in", tmp_path / "out", output_format="dicom-seg")[0], slices, affine_of())
    assert (segmentation.PatientSex, segmentation.StudyID, segmentation.StudyDate) == ("", "", "20200101")


@pytest.mark.parametrize("key", ["FrameOfReferenceUID", "StudyInstanceUID"])
def test_what_a_reference_needs_is_named(key, tmp_path, caplog):
    slices = make_series(IMAGE)
    for one in slices:
        delattr(one, key)
    write(slices, tmp_path / "in")
    with pytest.raises(RuntimeError, match="1 of 1 cases failed: in"):
        predict(tmp_path / "in", tmp_path / "out", output_format="dicom-seg")
    assert f"a DICOM segmentation needs {key}, which IM0000.dcm lacks: write nifti instead" in caplog.text


def test_tilted_slices_get_their_very_places(tmp_path):
    tilt = np.deg2rad(15)
    affine = affine_of((1, 0, 0, 0, np.cos(tilt), np.sin(tilt)), way=(0, 0, 1))
    slices = make_series(IMAGE, affine)
    write(slices, tmp_path / "in")
    path = predict(tmp_path / "in", tmp_path / "out", output_format="dicom-seg")[0]
    segmentation = pydicom.dcmread(path)
    known = {tuple(one.ImagePositionPatient) for one in slices}
    groups = segmentation.PerFrameFunctionalGroupsSequence
    assert {tuple(group.PlanePositionSequence[0].ImagePositionPatient) for group in groups} <= known


def test_an_empty_label_map_is_written(tmp_path):
    write(make_series(np.where(IMAGE == 0, 100, 101)), tmp_path / "in")
    path = predict(tmp_path / "in", tmp_path / "out", output_format="dicom-seg", labels={"0": "background", "1": "a"})
    assert not pydicom.dcmread(path[0]).pixel_array.any()


@pytest.mark.parametrize("output_format", ["dicom", "DICOM-SEG", "", None, 3])
def test_another_format_is_refused(output_format, tmp_path):
    write(make_series(IMAGE), tmp_path / "in")
    with pytest.raises(ValueError, match=r"output_format must be one of nifti, dicom-seg, got"):
        predict(tmp_path / "in", tmp_path / "out", output_format=output_format)


def test_what_is_no_dicom_can_have_no_segmentation(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.nii.gz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"refers to a DICOM series, and a is none: write nifti instead"):
        predict(tmp_path / "in", tmp_path / "out", output_format="dicom-seg")


def test_without_highdicom_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    write(make_series(IMAGE), tmp_path / "in")
    scripts = PREDICT["check_format"].__globals__["_dicom_seg"]()
    monkeypatch.setitem(scripts["check_sources"].__globals__, "_has_highdicom", False)
    with pytest.raises(ValueError, match="output_format dicom-seg needs highdicom: pip install highdicom"):
        predict(tmp_path / "in", tmp_path / "out", output_format="dicom-seg")


def test_nothing_stays_of_a_segmentation_that_could_not_be_written(tmp_path, monkeypatch):
    def write_half(self, path):
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    write(make_series(IMAGE), tmp_path / "in")
    monkeypatch.setattr(highdicom.seg.Segmentation, "save_as", write_half)
    with pytest.raises(RuntimeError, match="1 of 1 cases failed: in"):
        predict(tmp_path / "in", tmp_path / "out", output_format="dicom-seg")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_series_folder_is_no_place_for_its_segmentation(tmp_path):
    write(make_series(IMAGE), tmp_path / "in")
    with pytest.raises(ValueError, match="output_dir must not be the folder of a series"):
        predict(tmp_path / "in", tmp_path / "in", output_format="dicom-seg")


def test_a_slice_that_lies_nowhere_can_have_no_segmentation(tmp_path, caplog):
    single = make_series(IMAGE[:, :, 8:9])
    del single[0].ImagePositionPatient
    write(single, tmp_path / "in")
    with pytest.raises(RuntimeError, match="1 of 1 cases failed: in"):
        predict(tmp_path / "in", tmp_path / "out", output_format="dicom-seg")
    assert "a DICOM segmentation needs slices that say where they lie: write nifti instead" in caplog.text


def test_the_command_writes_segmentations(tmp_path):
    write(make_series(IMAGE), tmp_path / "in")
    config = ConfigParser(ConfigParser.load_config_file(BUNDLE / "configs" / "inference.json"))
    small = {"patch_size": [16, 16, 16], "features": [4, 4, 8, 8]}
    config.update({"bundle_root": str(BUNDLE), **small})
    torch.save(config.get_parsed_content("network_def").state_dict(), tmp_path / "model.pt")
    paths = {"dataset_dir": "in", "output_dir": "out", "ckpt_path": "model.pt"}
    arguments = [f"--{key}={tmp_path / name}" for key, name in paths.items()]
    arguments += [f"--{key}={json.dumps(value)}" for key, value in small.items()]
    PREDICT["main"]([*arguments, "--output_format", "dicom-seg"])
    assert pydicom.dcmread(tmp_path / "out" / "in.dcm").Modality == "SEG"
