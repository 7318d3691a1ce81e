"""Makes DICOM files of arrays: series, multi-frame files, and objects that are no images; with pydicom alone."""

import copy
from pathlib import Path

import numpy as np
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

AXIAL, SAGITTAL, CORONAL = (1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)
OBLIQUE = (0.8, 0.6, 0.0, -0.48, 0.64, 0.6)
ORIGIN, PIXELS, STEP = (-30.0, 12.5, 64.25), (1.0, 1.0), 1.0  # pixels: mm between rows, between columns
_DRAWN = {"series": "1.2.826.0.1.3680043.2.1125.2.1", "study": "1.2.826.0.1.3680043.2.1125.1"}


def ball_and_bar(shape=(24, 30, 18)):
    """Values (column, row, slice): a bright ball and bar, no mirror image of themselves, on a ground that ends in 0."""
    x, y, z = np.meshgrid(*(np.arange(size) for size in shape), indexing="ij")
    image = 100.0 + (7 * x + 3 * y + 5 * z) % 4
    image[(x - 9) ** 2 + (y - 16) ** 2 + (z - 8) ** 2 < 30] = 300
    image[15:20, 5:9, 10:15] = 300
    image[:2], image[:, -3:], image[:, :, :1] = 0, 0, 0
    return image


def affine_of(orientation=AXIAL, *, pixels=PIXELS, step=STEP, origin=ORIGIN, way=None):
    """From (column, row, slice) to mm (RAS); `way` is the direction of steps, where it isn't the normal."""
    lps = np.eye(4)
    rows, columns = np.reshape(orientation, (2, 3)).astype(float)
    lps[:3, 0], lps[:3, 1] = rows * pixels[1], columns * pixels[0]
    lps[:3, 2] = (np.cross(rows, columns) if way is None else np.array(way, float)) * step
    lps[:3, 3] = origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps


def make_series(image, affine=None, *, rescale=(1, 0), syntax=uid.ExplicitVRLittleEndian, modality="CT", **extra):
    """One dataset per slice of (column, row, slice); `rescale` is a pair, or one for each slice."""
    affine = affine_of() if affine is None else affine
    pairs = [rescale] * image.shape[2] if np.ndim(rescale) == 1 else rescale
    return [
        _make_slice(image[:, :, number].T, affine, number, pairs[number], syntax, modality, extra)
        for number in range(image.shape[2])
    ]


def _make_slice(pixels, affine, number, rescale, syntax, modality, extra):
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :2], axis=0)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = uid.CTImageStorage if modality == "CT" else uid.MRImageStorage
    dataset.SOPInstanceUID = uid.generate_uid()
    dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate, dataset.PatientSex = "1", "P", "", ""
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _DRAWN["study"], _DRAWN["series"]
    dataset.FrameOfReferenceUID = f"{_DRAWN['study']}.9"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "20200101", "000000", "1", ""
    dataset.ReferringPhysicianName, dataset.Manufacturer, dataset.PositionReferenceIndicator = "", "", ""
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = modality, 1, number + 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.ImagePositionPatient = [float(f"{mm:.6f}") for mm in lps[:3, 3] + lps[:3, 2] * number]
    dataset.ImageOrientationPatient = [float(f"{part:.8f}") for part in (lps[:3, :2] / spacing).T.ravel()]
    dataset.PixelSpacing, dataset.SliceThickness = spacing[::-1].tolist(), float(np.linalg.norm(lps[:3, 2]))
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    if rescale is not None:
        dataset.RescaleSlope, dataset.RescaleIntercept = rescale
    slope, intercept = rescale or (1, 0)
    stored = np.rint((pixels - intercept) / slope).astype(">i2" if syntax == uid.ExplicitVRBigEndian else "<i2")
    dataset.add_new("PixelData", "OW", stored.tobytes())
    for key, value in extra.items():
        setattr(dataset, key, value)
    return dataset


def make_enhanced(slices):
    """One multi-frame dataset of the slices, in their order; functional groups say where each lies."""
    first = slices[0]
    dataset = copy.deepcopy(first)
    dataset.SOPClassUID = uid.EnhancedCTImageStorage if first.Modality == "CT" else uid.EnhancedMRImageStorage
    dataset.SOPInstanceUID = uid.generate_uid()
    described = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")
    for key in (*described, "RescaleSlope", "RescaleIntercept"):
        if key in dataset:
            delattr(dataset, key)
    dataset.NumberOfFrames = len(slices)
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = first.PixelSpacing, first.SliceThickness
    orientation.ImageOrientationPatient = first.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [_make_groups(one, number) for number, one in enumerate(slices, 1)]
    dataset.PixelData = b"".join(one.PixelData for one in slices)
    return dataset


def _make_groups(one, number):
    groups, position, values, content = Dataset(), Dataset(), Dataset(), Dataset()
    if "ImagePositionPatient" in one:
        position.ImagePositionPatient = one.ImagePositionPatient
        groups.PlanePositionSequence = [position]
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = one.RescaleSlope, one.RescaleIntercept, "US"
    content.StackID = one.get("StackID", "1")
    content.InStackPositionNumber = number
    content.TemporalPositionIndex = one.get("TemporalPositionIdentifier", 1)
    content.DimensionIndexValues = [1, number]
    groups.PixelValueTransformationSequence, groups.FrameContentSequence = [values], [content]
    return groups


def make_other(kind, first):
    """An object that is no image, of the study of a slice."""
    dataset = copy.deepcopy(first)
    classes = {
        "SEG": uid.SegmentationStorage,
        "RTDOSE": uid.RTDoseStorage,
        "RTSTRUCT": uid.RTStructureSetStorage,
        "PR": uid.GrayscaleSoftcopyPresentationStateStorage,
        "SR": uid.ComprehensiveSRStorage,
    }
    dataset.SOPClassUID, dataset.Modality = classes[kind], kind
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = uid.generate_uid(), uid.generate_uid()
    if kind not in ("SEG", "RTDOSE"):
        for key in ("PixelData", "Rows", "Columns", "BitsAllocated"):
            delattr(dataset, key)
    return dataset


def write(datasets, folder, *, name="IM{:04d}.dcm", with_preamble=True):
    """Write datasets as files that are named by their place in the list."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, dataset in enumerate(datasets):
        path = Path(folder) / name.format(number)
        syntax = dataset.file_meta.TransferSyntaxUID
        options = {"implicit_vr": syntax == uid.ImplicitVRLittleEndian, "little_endian": syntax.is_little_endian}
        if not with_preamble:
            bare = Dataset()
            for element in dataset:
                bare.add(element)
            pydicom.dcmwrite(path, bare, enforce_file_format=False, **options)
        elif syntax == uid.ExplicitVRBigEndian:
            dataset.preamble = bytes(128)
            dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            pydicom.dcmwrite(path, dataset, force_encoding=True, **options)
        else:
            pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return folder
