"""DICOM is read voxel by voxel right, or refused in one line that names the files."""

import copy
import itertools
import locale
import re
import runpy
from pathlib import Path

import imagecodecs
import itk
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import ITKReader
from pydicom import Dataset, encaps, uid

FILES = runpy.run_path(str(Path(__file__).with_name("dicom_files.py")))
BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_segmentation_patchgrow"
CASES, DICOM, PREDICT = (runpy.run_path(str(BUNDLE / "scripts" / f"{n}.py")) for n in ("cases", "dicom", "predict"))
affine_of, ball_and_bar, make_series, make_enhanced, make_other, write = (
    FILES[name] for name in ("affine_of", "ball_and_bar", "make_series", "make_enhanced", "make_other", "write")
)
IMAGE = ball_and_bar()

# ITK's bindings, where Python 3.11 and later has an error of this warning, end the process
pytestmark = pytest.mark.filterwarnings("ignore:builtin type .* has no __module__ attribute:DeprecationWarning")


@pytest.fixture(autouse=True)
def same_locale():
    """GDCM sets the process's locale to C, after which it would read other processes' output as ASCII."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


def read(source):
    """Values (column, row, slice) and affine (RAS)."""
    reader = DICOM["SeriesReader"]()
    values, meta = reader.get_data(reader.read(str(source)))
    return np.asarray(values), meta["affine"]


def refusal(folder):
    with pytest.raises(ValueError) as caught:
        DICOM["plan_series"](folder)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def check(folder, affine=None, image=IMAGE):
    values, found = read(folder)
    assert values.shape == image.shape
    assert np.array_equal(values, image)
    assert np.allclose(found, affine_of() if affine is None else affine, atol=1e-4)


# what is right


@pytest.mark.parametrize("plane", ["AXIAL", "SAGITTAL", "CORONAL", "OBLIQUE"])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_planes(plane, modality, tmp_path):
    affine = affine_of(FILES[plane], pixels=(0.9, 0.7), step=2.5)
    check(write(make_series(IMAGE, affine, modality=modality), tmp_path / "in"), affine)


@pytest.mark.parametrize("plane", ["AXIAL", "SAGITTAL", "CORONAL", "OBLIQUE"])
def test_a_regular_series_keeps_the_bits_that_monai_alone_gives(plane, tmp_path):
    folder = write(make_series(IMAGE, affine_of(FILES[plane], step=2.5), rescale=(2, -1024)), tmp_path / "in")
    plain = ITKReader()
    values, meta = plain.get_data(plain.read(str(folder)))
    found, affine = read(folder)
    assert found.dtype == values.dtype
    assert np.array_equal(found, values)
    assert np.array_equal(affine, meta["affine"])


@pytest.mark.parametrize("syntax", ["ImplicitVRLittleEndian", "ExplicitVRBigEndian", "DeflatedExplicitVRLittleEndian"])
def test_transfer_syntaxes(syntax, tmp_path):
    check(write(make_series(IMAGE, syntax=getattr(uid, syntax)), tmp_path / "in"))


def compressed(dataset, syntax):
    pixels = np.frombuffer(dataset.PixelData, np.uint16).reshape(dataset.Rows, dataset.Columns)
    if syntax == uid.RLELossless:
        dataset.PixelRepresentation = 0
        dataset.compress(syntax, pixels, generate_instance_uid=False)
        return dataset
    if syntax == uid.JPEG2000Lossless:
        data = imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="j2k")
    else:
        data = imagecodecs.jpegls_encode(pixels)
    dataset.PixelRepresentation = 0
    dataset.PixelData = encaps.encapsulate([data])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEG2000Lossless", "JPEGLSLossless"])
@pytest.mark.parametrize("is_enhanced", [False, True])
def test_compressed(syntax, is_enhanced, tmp_path):
    slices = make_series(IMAGE)
    packed = [compressed(one, getattr(uid, syntax)) for one in copy.deepcopy(slices)]
    if is_enhanced:
        frames = [next(encaps.generate_frames(one.PixelData, number_of_frames=1)) for one in packed]
        whole = make_enhanced(slices)
        whole.PixelRepresentation, whole.file_meta.TransferSyntaxUID = 0, getattr(uid, syntax)
        whole.PixelData = encaps.encapsulate(frames)
        whole["PixelData"].VR = "OB"
        whole["PixelData"].is_undefined_length = True
        packed = [whole]
    check(write(packed, tmp_path / "in"))


@pytest.mark.parametrize("syntax", ["ImplicitVRLittleEndian", "ExplicitVRLittleEndian"])
def test_files_without_a_preamble_are_found_and_read(syntax, tmp_path):
    write(make_series(IMAGE, syntax=getattr(uid, syntax)), tmp_path / "in" / "p1", with_preamble=False)
    items = CASES["find_images"](tmp_path / "in", num_channels=1)
    assert [item["name"] for item in items] == ["p1"]
    check(items[0]["image"])


def test_other_files_are_not_taken_for_dicom(tmp_path):
    contents = {"a.txt": b"text " * 50, "b.nii": b"\x5c\x01\0\0" * 90, "c.png": b"\x89PNG\r\n\x1a\n" + bytes(200)}
    contents |= {"d.bin": bytes(200), "e.ico": b"\0\0\1\0" + bytes(200), "f": b"\x08\0"}
    contents["g.bin"] = b"\x08\0" + b"\xff" * 200
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert not any(CASES["_is_dicom"](tmp_path / name) for name in contents)


@pytest.mark.parametrize("order", [range(17, -1, -1), np.random.default_rng(0).permutation(18).tolist()])
@pytest.mark.parametrize("name", ["{}", "IM{:04d}.dcm", "1.2.3.{}"])
def test_neither_names_nor_instance_numbers_tell_the_order(order, name, tmp_path):
    slices = make_series(IMAGE)
    for number, one in zip(order, slices, strict=True):
        one.InstanceNumber = number + 1
    check(write([slices[number] for number in order], tmp_path / "in", name=name))


@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
def test_a_slope_for_each_slice(modality, tmp_path):
    slopes = [(0.5 + number % 3, 10 * number) for number in range(18)]
    slices = make_series(IMAGE, rescale=slopes, modality=modality)
    stored = [np.frombuffer(one.PixelData, np.int16).reshape(30, 24).T for one in slices]
    truth = np.stack([s * slope + intercept for s, (slope, intercept) in zip(stored, slopes, strict=True)], 2)
    check(write(slices, tmp_path / "in"), image=truth.astype(np.float32))


def test_a_few_slices_with_a_broken_slope_of_their_own(tmp_path):
    slices = make_series(IMAGE, rescale=[(1, 0)] * 9 + [(0.25, -3.5)] * 9)  # the first decides ITK's kind of pixel
    values, _ = read(write(slices, tmp_path / "in"))
    assert np.abs(values - IMAGE).max() <= 0.125


def test_a_slope_of_zero_is_none(tmp_path):
    slices = make_series(IMAGE)
    slices[3].RescaleSlope = 0
    check(write(slices, tmp_path / "in"))


def test_slices_with_and_without_a_sign(tmp_path):
    slices = make_series(IMAGE)
    for one in slices[::2]:
        one.PixelRepresentation = 0
    slices[1].PixelData = np.full(720, -1000, np.int16).tobytes()
    image = IMAGE.copy()
    image[:, :, 1] = -1000
    check(write(slices, tmp_path / "in"), image=image)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("is_enhanced", [False, True])
def test_twelve_bits_with_a_sign(photometric, is_enhanced, tmp_path):
    slices = make_series(IMAGE - 150, BitsStored=12, HighBit=11, PhotometricInterpretation=photometric)
    for one in slices:
        one.PixelData = (np.frombuffer(one.PixelData, np.int16) & 0xFFF).astype(np.uint16).tobytes()
    check(write([make_enhanced(slices)] if is_enhanced else slices, tmp_path / "in"), image=IMAGE - 150)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("rescale", [(1, 0), (2, -1024)])
def test_monochrome1_is_a_matter_of_display(bits, rescale, tmp_path, caplog):
    options = {"PhotometricInterpretation": "MONOCHROME1", "PixelRepresentation": 0}
    options |= {"BitsStored": bits, "HighBit": bits - 1}
    check(write(make_series(2 * IMAGE, rescale=rescale, **options), tmp_path / "in"), image=2 * IMAGE)
    assert "MONOCHROME1 of IM0000.dcm says how to display values, not what they mean" in caplog.text


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("SliceThickness", [1.0, 1.2, 2.0]),
        ("SeriesDate", ["20200101", "20200102"]),
        ("SeriesTime", ["100000", "100001", "100002"]),
        ("SeriesNumber", [1, 2]),
        ("AcquisitionNumber", [1, 2]),
        ("AcquisitionTime", ["100000", "100100"]),
        ("SequenceName", ["a", "b"]),
        ("ContentDate", ["20200101", "20200102"]),
    ],
)
def test_one_uid_is_one_series(key, values, tmp_path):
    slices = make_series(IMAGE)
    for one, value in zip(slices, itertools.cycle(values)):
        setattr(one, key, value)
    check(write(slices, tmp_path / "in"))


@pytest.mark.parametrize("digits", [1, 2])
def test_rounded_positions_are_regular(digits, tmp_path):
    slices = make_series(IMAGE, affine_of(step=0.75))
    for one in slices:
        one.ImagePositionPatient = [round(float(mm), digits) for mm in one.ImagePositionPatient]
    check_values, affine = read(write(slices, tmp_path / "in"))
    assert np.array_equal(check_values, IMAGE)
    assert np.allclose(affine, affine_of(step=0.75), atol=0.1)


# enhanced


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("plane", ["AXIAL", "SAGITTAL", "OBLIQUE"])
@pytest.mark.parametrize("order", ["sorted", "reversed", "shuffled"])
def test_frames_of_one_file(modality, plane, order, tmp_path):
    affine = affine_of(FILES[plane], pixels=(0.9, 0.7), step=2.5)
    slices = make_series(IMAGE, affine, modality=modality)
    numbers = {"sorted": range(18), "reversed": range(17, -1, -1), "shuffled": np.random.default_rng(0).permutation(18)}
    write([make_enhanced([slices[number] for number in numbers[order]])], tmp_path / "in")
    check(tmp_path / "in", affine)
    check(tmp_path / "in" / "IM0000.dcm", affine)


def test_a_slope_for_each_frame(tmp_path):
    slices = make_series(IMAGE, rescale=[(1, number % 5) for number in range(18)])
    check(write([make_enhanced(slices)], tmp_path / "in"))


def test_frames_spread_over_files(tmp_path):
    slices = make_series(IMAGE)
    check(write([make_enhanced(slices[10:]), make_enhanced(slices[:10])], tmp_path / "in"))


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_a_file_of_one_frame_for_each_slice(modality, tmp_path):
    slices = make_series(2 * IMAGE, rescale=(2, -1024), modality=modality)
    check(write([make_enhanced([one]) for one in slices], tmp_path / "in"), image=2 * IMAGE)


def test_frames_of_an_odd_number_of_bytes(tmp_path):
    image = IMAGE[:23, :29] // 2
    slices = make_series(image, BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0)
    for one in slices:
        one.PixelData = np.frombuffer(one.PixelData, np.int16).astype(np.uint8).tobytes()
    check(write([make_enhanced(slices)], tmp_path / "in"), image=image)


def test_a_frame_that_is_twice_there_is_taken_once(tmp_path, caplog):
    slices = make_series(IMAGE)
    check(write([make_enhanced([*slices, slices[4]])], tmp_path / "in"))
    assert "1 slice left out, having the place and voxels of another: IM0000.dcm frame 19" in caplog.text


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda s: s[:7] + s[8:], r"1 of 18 slices is missing, between IM0000.dcm frame 7 "),
        (lambda s: [*s, *s[:4]], None),
        (lambda s: [*s, *other_values(s)], r"2 volumes of 18 slices each .*such as IM0000.dcm frame 1 and .* frame 19"),
        (lambda s: [*s, *with_value(other_values(s), "TemporalPositionIdentifier", 2)], r"TemporalPositionIndex"),
        (lambda s: [*s[:9], *with_value(s[9:], "StackID", "2")], r"several StackID .*; split the file"),
        (lambda s: without(s, "ImagePositionPatient"), r"18 of 18 slices have no ImagePositionPatient.*frame 1"),
    ],
)
def test_faults_of_frames(change, line, tmp_path):
    write([make_enhanced(change(make_series(IMAGE)))], tmp_path / "in")
    if line is None:
        check(tmp_path / "in")
    else:
        assert re.search(line, refusal(tmp_path / "in"))


# what is no grid


def other_values(slices):
    copies = copy.deepcopy(slices)
    for one in copies:
        one.PixelData = one.PixelData[::-1]
        one.SOPInstanceUID = uid.generate_uid()
    return copies


def with_value(slices, key, value):
    copies = copy.deepcopy(slices)
    for one in copies:
        setattr(one, key, value)
    return copies


def without(slices, key):
    copies = copy.deepcopy(slices)
    for one in copies:
        delattr(one, key)
    return copies


def moved(slices, number, by):
    copies = copy.deepcopy(slices)
    place = copies[number].ImagePositionPatient
    copies[number].ImagePositionPatient = [float(mm) + more for mm, more in zip(place, by, strict=True)]
    return copies


def crossing(slices, count):
    turned = make_series(IMAGE, affine_of(FILES["SAGITTAL"]))[:count]
    return [*slices, *turned]


FAULTS = {
    "one slice missing": (
        lambda s: s[:8] + s[9:],
        r"1 of 18 slices is missing, between IM0007.dcm at \(-30, 12.5, 71.25\)",
    ),
    "last but one missing": (lambda s: s[:16] + s[17:], r"1 of 18 slices is missing, between IM0015.dcm"),
    "five missing": (
        lambda s: s[0:10:2] + s[10:],
        r"5 of 18 slices are missing, in 5 gaps, the first between IM0000.dcm",
    ),
    "three missing at one place": (lambda s: s[:5] + s[8:], r"3 of 18 slices are missing, between IM0004.dcm"),
    "one moved by a half": (
        lambda s: moved(s, 5, (0, 0, 0.5)),
        r"steps between slices are not equal, 0.5 to 1.5 mm, odd",
    ),
    "growing steps": (
        lambda s: [moved(s, n, (0, 0, 0.02 * n * n))[n] for n in range(18)],
        r"steps between slices are not equal, 1.02 to 1.66 mm",
    ),
    "one shifted in its plane": (
        lambda s: moved(s, 5, (2, 0, 0)),
        r"do not lie behind each other .* IM0005.dcm at \(-28, 12.5, 69.25\) lies 1.\d pixels beside",
    ),
    "a copy with other voxels": (
        lambda s: [*s, *other_values(s[3:4])],
        r"19 slices lie at 18 places, such as IM0003.dcm and IM0018.dcm at \(-30, 12.5, 67.25\); leave one for each",
    ),
    "two time points": (lambda s: s + other_values(s), r"2 volumes of 18 slices each .*IM0000.dcm and IM0018.dcm"),
    "two time points by their time": (
        lambda s: with_value(s, "AcquisitionTime", "10") + with_value(other_values(s), "AcquisitionTime", "20"),
        r"differ in AcquisitionTime \(10, 20\); give the files of each a folder of its own",
    ),
    "three echoes": (
        lambda s: s + with_value(s, "EchoNumbers", 2) + with_value(s, "EchoNumbers", 3),
        r"several EchoNumbers are no one volume: 2 in 18 slices \(IM0018.dcm, IM0019.dcm and 16 more\), 3 in ",
    ),
    "halves of two time points": (
        lambda s: (
            with_value(s[::2], "TemporalPositionIdentifier", 1) + with_value(s[1::2], "TemporalPositionIdentifier", 2)
        ),
        r"several TemporalPositionIdentifier are no one volume: 1 in 9 slices",
    ),
    "two frames of reference": (
        lambda s: s[:9] + with_value(s[9:], "FrameOfReferenceUID", "1.2.3"),
        r"several FrameOfReferenceUID are no one volume: .*, 1.2.3 in 9 slices",
    ),
    "magnitude and phase": (
        lambda s: s[:9] + with_value(s[9:], "ImageType", ["ORIGINAL", "PRIMARY", "P"]),
        r"several ImageType are no one volume",
    ),
    "a localiser": (
        lambda s: crossing(s, 2),
        r"several orientations .* \(1, 0, 0, 0, 1, 0\) in 18 slices .*\(0, 1, 0, 0, 0, -1\) in 2 slices \(IM0018.dcm",
    ),
    "another size": (
        lambda s: s[:17] + make_series(IMAGE[:20], affine_of())[17:],
        r"several sizes .*\(30, 20\) in 1 slice \(IM0017.dcm\)",
    ),
    "another pixel spacing": (
        lambda s: s[:17] + with_value(s[17:], "PixelSpacing", [1.0, 1.1]),
        r"several pixel spacings .*\(1, 1.1\) in 1 slice",
    ),
    "no positions": (lambda s: without(s, "ImagePositionPatient"), r"18 of 18 slices have no ImagePositionPatient"),
    "one without a position": (lambda s: without(s[:1], "ImagePositionPatient") + s[1:], r"1 of 18 .*: IM0000.dcm$"),
    "no orientation": (lambda s: without(s, "ImageOrientationPatient"), r"18 of 18 slices have no ImageOrientation"),
    "an orientation of zeros": (lambda s: with_value(s, "ImageOrientationPatient", [0] * 6), r"no ImageOrientation"),
    "no pixel spacing": (lambda s: without(s, "PixelSpacing"), r"18 of 18 slices have no PixelSpacing"),
    "all in one plane": (lambda s: [moved(s, n, (0, 0, -n))[n] for n in range(18)], r"18 slices lie at 1 place, such"),
    "two series": (
        lambda s: s + with_value(s, "SeriesInstanceUID", "1.2.3"),
        r"2 DICOM series in one place: .*1.2.3 \(18 slices, such as IM0018.dcm\); give the files of each a folder",
    ),
    "mosaics": (lambda s: with_value(s[:1], "ImageType", ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), r"mosaics hold many"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_grid_is_refused_with_the_files(fault, tmp_path):
    change, line = FAULTS[fault]
    found = refusal(write(change(make_series(IMAGE)), tmp_path / "in"))
    assert re.search(line, found), found


@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.parametrize("which", [[3], [0], [17], [2, 3, 4, 5]])
def test_a_slice_sent_twice_is_taken_once(is_new, which, tmp_path, caplog):
    slices = make_series(IMAGE)
    copies = [copy.deepcopy(slices[number]) for number in which]
    for one in copies if is_new else []:
        one.SOPInstanceUID, one.InstanceNumber = uid.generate_uid(), 99
    check(write(slices + copies, tmp_path / "in"))
    assert "left out, having the place and voxels of another: IM0018.dcm" in caplog.text


@pytest.mark.parametrize("same_series", [True, False])
def test_a_localiser_that_says_so_is_left_out(same_series, tmp_path, caplog):
    turned = with_value(crossing([], 2), "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"])
    turned = turned if same_series else with_value(turned, "SeriesInstanceUID", "1.2.3")
    check(write(make_series(IMAGE) + turned, tmp_path / "in"))
    assert "2 localisers left out, as ImageType says: IM0018.dcm, IM0019.dcm" in caplog.text


@pytest.mark.parametrize("kind", ["SEG", "RTDOSE", "RTSTRUCT", "PR", "SR"])
def test_other_objects_are_no_images(kind, tmp_path, caplog):
    slices = make_series(IMAGE)
    other = make_other(kind, slices[0])
    check(write([*slices, other], tmp_path / "beside"))
    assert f"DICOM files that are no images are left out: {kind} (1, such as IM0018.dcm)" in caplog.text
    assert refusal(write([other], tmp_path / "alone")) == (
        f"no image among its 1 DICOM files, but {kind} (1, such as IM0000.dcm)"
    )


def test_a_header_that_cannot_be_used_is_named(tmp_path):
    slices = make_series(IMAGE)
    enhanced = make_enhanced(slices)
    enhanced.NumberOfFrames = 17
    assert "IM0000.dcm can't be used: NumberOfFrames is 17, but 18 frames are described" in refusal(
        write([enhanced], tmp_path / "in")
    )


def test_a_number_that_is_none_is_named(tmp_path):
    folder = write(make_series(IMAGE), tmp_path / "in")
    path = folder / "IM0003.dcm"
    path.write_bytes(path.read_bytes().replace(b"-30.0\\12.5", b"-3a.0\\12.5"))
    assert re.search(r"header of IM0003.dcm can't be used: could not convert string to float", refusal(folder))


def test_without_pydicom_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    folder = write(make_series(IMAGE), tmp_path / "in")
    monkeypatch.setitem(DICOM["_HEADERS"]["read_slices"].__globals__, "_has_pydicom", False)
    assert refusal(folder) == "DICOM needs pydicom: pip install pydicom"


@pytest.mark.parametrize("kind", ["native", "JPEG2000Lossless", "enhanced"])
def test_a_file_that_is_cut_short_is_named(kind, tmp_path):
    slices = make_series(IMAGE)
    if kind == "JPEG2000Lossless":
        slices = [compressed(one, uid.JPEG2000Lossless) for one in slices]
    folder = write([make_enhanced(slices)] if kind == "enhanced" else slices, tmp_path / "in")
    last = max(folder.iterdir())
    last.write_bytes(last.read_bytes()[:-400])
    with pytest.raises(ValueError, match=rf"{last.name}.*(cut short|pixels of 17 frames, and not of 18)"):
        read(folder)


def test_files_of_one_series_are_one_volume_and_folders_are_channels(tmp_path):
    slices = make_series(IMAGE)
    folder = write(slices, tmp_path / "in")
    other = write(with_value(slices, "SeriesInstanceUID", "1.2.3"), tmp_path / "other")
    reader = DICOM["SeriesReader"]()
    for source, shape in ((sorted(folder.iterdir()), (24, 30, 18)), ([folder, other], (2, 24, 30, 18))):
        values, _ = reader.get_data(reader.read(source))
        assert values.shape == shape
        assert np.array_equal(values, np.broadcast_to(IMAGE, shape))


def test_a_nuclear_medicine_s_volume_has_one_position_and_a_step(tmp_path):
    affine = affine_of(pixels=(0.9, 0.7), step=2.5)
    whole = make_enhanced(make_series(IMAGE, affine, ImageType=["ORIGINAL", "PRIMARY", "RECON TOMO"], Modality="NM"))
    detector = Dataset()
    detector.ImagePositionPatient, detector.ImageOrientationPatient = map(list, (FILES["ORIGIN"], FILES["AXIAL"]))
    del whole.PerFrameFunctionalGroupsSequence, whole.SharedFunctionalGroupsSequence
    whole.DetectorInformationSequence, whole.SpacingBetweenSlices, whole.PixelSpacing = [detector], 2.5, [0.9, 0.7]
    check(write([whole], tmp_path / "in"), affine)


# single slices


@pytest.mark.parametrize(
    ("keys", "spacing"),
    [({"SliceThickness": 2.5}, 2.5), ({"SliceThickness": None, "SpacingBetweenSlices": 3.0}, 3.0)],
)
def test_a_single_slice_is_as_thick_as_it_says(keys, spacing, tmp_path):
    image = IMAGE[:, :, 8:9]
    affine = affine_of(FILES["CORONAL"], pixels=(0.9, 0.7), step=spacing)
    write(make_series(image, affine, **keys), tmp_path / "in")
    check(tmp_path / "in", affine, image)
    check(tmp_path / "in" / "IM0000.dcm", affine, image)


def test_a_single_slice_that_leaves_its_thickness_out(tmp_path, caplog):
    image = IMAGE[:, :, 8:9]
    check(write(make_series(image, SliceThickness=None), tmp_path / "in"), image=image)
    assert "IM0000.dcm is a single slice without SliceThickness, which is taken as 1 mm" in caplog.text


def test_a_single_slice_that_lies_nowhere_is_said(tmp_path, caplog):
    image = IMAGE[:, :, 8:9]
    slices = without(make_series(image, affine_of(pixels=(0.9, 0.7), step=3.0)), "ImagePositionPatient")
    check(write(slices, tmp_path / "in"), affine_of(pixels=(0.9, 0.7), step=3.0, origin=(0, 0, 0)), image)
    assert "IM0000.dcm does not say where it lies in the patient" in caplog.text


# predictions


class Bright(torch.nn.Module):
    """Labels what is 1.7 deviations above the mean: half-way between grey and bright in `ball_and_bar`."""

    def forward(self, images):
        return torch.cat([1.7 - images[:, :1], images[:, :1] - 1.7], 1)


def predict(source, output, **options):
    config = ConfigParser(ConfigParser.load_config_file(BUNDLE / "configs" / "inference.json"))
    config.update({"bundle_root": str(BUNDLE), "patch_size": [32, 32, 32]})
    parts = {name: config.get_parsed_content(name) for name in ("preprocessing", "postprocessing", "inferer")}
    items = CASES["find_images"](source, num_channels=1)
    return PREDICT["predict"](items, network=Bright(), output_dir=output, device="cpu", **parts, **options)


@pytest.mark.parametrize("plane", ["AXIAL", "SAGITTAL", "CORONAL"])
@pytest.mark.parametrize("is_enhanced", [False, True])
def test_labels_lie_on_the_voxels(plane, is_enhanced, tmp_path):
    affine = affine_of(FILES[plane])
    slices = make_series(IMAGE, affine)[::-1]
    write([make_enhanced(slices)] if is_enhanced else slices, tmp_path / "in")
    files = predict(tmp_path / "in", tmp_path / "out")
    labels = nib.load(files[0])
    assert np.array_equal(np.asarray(labels.dataobj) == 1, IMAGE > 200)
    assert np.allclose(labels.affine, affine, atol=1e-4)
    assert (int(labels.header["qform_code"]), int(labels.header["sform_code"])) == (1, 1)


@pytest.mark.parametrize("degrees", [5, 15, 30, -20])
@pytest.mark.parametrize("is_enhanced", [False, True])
def test_gantry_tilt(degrees, is_enhanced, tmp_path, caplog):
    tilt = np.deg2rad(degrees)
    affine = affine_of((1, 0, 0, 0, np.cos(tilt), np.sin(tilt)), way=(0, 0, 1), step=2.0)
    slices = make_series(IMAGE, affine)
    write([make_enhanced(slices)] if is_enhanced else slices, tmp_path / "in")
    check(tmp_path / "in", affine)

    files = predict(tmp_path / "in", tmp_path / "out")

    assert f"a gantry tilt of {abs(degrees):.1f} degrees" in caplog.text
    labels = nib.load(files[0])
    assert np.allclose(labels.affine, affine, atol=1e-4)
    assert int(labels.header["qform_code"]) == 0  # it holds no shear
    assert np.array_equal(np.asarray(labels.dataobj) == 1, IMAGE > 200)
    with pytest.raises(RuntimeError, match="orthonormal"):
        itk.imread(str(files[0]))  # not silently wrong where shears are unknown


def test_a_shift_below_half_a_pixel_is_no_tilt(tmp_path):
    tilt = np.deg2rad(1)
    affine = affine_of((1, 0, 0, 0, np.cos(tilt), np.sin(tilt)), way=(0, 0, 1))
    grid = DICOM["plan_series"](write(make_series(IMAGE, affine), tmp_path / "in"))
    assert grid.tilt == 0


@pytest.mark.parametrize("fault", ["one slice missing", "two time points", "a localiser", "no positions", "two series"])
def test_a_case_that_is_no_grid_is_named_and_the_others_written(fault, tmp_path, caplog):
    slices = make_series(IMAGE)
    write(FAULTS[fault][0](slices), tmp_path / "in" / "bad")
    write(slices, tmp_path / "in" / "good")
    with pytest.raises(RuntimeError, match="1 of 2 cases failed: bad"):
        predict(tmp_path / "in", tmp_path / "out")
    assert len(re.findall(FAULTS[fault][1].rstrip("$"), caplog.text)) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.nii.gz"]


def test_several_files_of_the_evaluator_s_own_loader_are_compared_too(tmp_path):
    config = ConfigParser(ConfigParser.load_config_file(BUNDLE / "configs" / "inference.json"))
    folder = write(FAULTS["one slice missing"][0](make_series(IMAGE)), tmp_path / "in")
    config.update({"bundle_root": str(BUNDLE), "dataset_dir": str(folder), "output_dir": str(tmp_path / "out")})
    config.get_parsed_content("initialize")
    with pytest.raises(RuntimeError) as caught:
        config.get_parsed_content("dataset")[0]
    assert "1 of 18 slices is missing" in str(caught.value.__cause__)
