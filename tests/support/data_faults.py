"""Faults of data sets, each made by a small function on a sound folder."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np

FIRST, SECOND, LABEL = "imagesTr/phantom_000.nii.gz", "imagesTr/phantom_001.nii.gz", "labelsTr/phantom_000.nii.gz"


def edit_json(folder, change):
    path = Path(folder, "dataset.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def json_fault(change):
    return lambda folder: edit_json(folder, change)


def remove(name):
    def make(folder):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return make


def rename(name, other):
    return lambda folder: (folder / name).rename(folder / other)


def copy(name, other):
    def make(folder):
        (folder / other).parent.mkdir(exist_ok=True)
        shutil.copy(folder / name, folder / other)

    return make


def content(name, change):
    """Change the bytes of a file as they lie there."""
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def unpacked(name, change):
    """Change the bytes of a file within its compression."""
    return content(name, lambda packed: gzip.compress(bytes(change(bytearray(gzip.decompress(packed))))))


def header(name, key, value):
    """Set a field of the header, also to what nibabel wouldn't write."""

    def change(data):
        found = nib.Nifti1Header(bytes(data[:348]), check=False)
        found[key] = value
        return found.binaryblock + data[348:]

    return unpacked(name, change)


def fields(name, **values):
    def make(folder):
        for key, value in values.items():
            header(name, key, value)(folder)

    return make


def voxels(name, change=lambda values: values, *, affine=lambda affine: affine, dtype=None):
    """Write a file anew, with other voxels or another affine."""

    def make(folder):
        file = nib.load(folder / name)
        values = change(np.array(file.dataobj))
        values = values.astype(dtype or file.get_data_dtype())
        nib.save(nib.Nifti1Image(values, affine(file.affine.copy())), folder / name)

    return make


def first_voxel(value):
    def change(values):
        values = values.astype(np.float64)
        values[0, 0, 0] = value
        return values

    return change


def to_colours(folder):
    file = nib.load(folder / FIRST)
    colour = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(np.zeros(file.shape, colour), file.affine), folder / FIRST)


def shift(affine):
    affine[0, 3] += 5
    return affine


def shear(affine):
    affine[0, 1] += 0.4
    return affine


def scaled(factor):
    return lambda affine: np.diag([factor] * 3 + [1]) @ affine


def no_spacing(folder):
    fields(FIRST, sform_code=0, qform_code=1)(folder)
    header(FIRST, "pixdim", [1, 0, 1, 1.5, 1, 1, 1, 1])(folder)


def other_qform(folder):
    file = nib.load(folder / FIRST)
    file.set_qform(shift(shift(file.affine.copy())), 1)
    nib.save(file, folder / FIRST)


def one_of_two_channels(folder):
    edit_json(folder, lambda content: content.update(modality={"0": "T1", "1": "T2"}))
    for path in [*(folder / "imagesTr").iterdir()]:
        path.rename(path.with_name(path.name.replace(".nii", "_0000.nii")))
        shutil.copy(
            path.with_name(path.name.replace(".nii", "_0000.nii")),
            path.with_name(path.name.replace(".nii", "_0001.nii")),
        )
    (folder / "imagesTr/phantom_000_0001.nii.gz").unlink()


def backgrounds_only(folder):
    for path in (folder / "labelsTr").iterdir():
        voxels(f"labelsTr/{path.name}", lambda values: values * (values < 2))(folder)


def ignored_as_a_whole(folder):
    edit_json(folder, lambda content: content["labels"].update({"3": "ignore"}))
    voxels(LABEL, lambda values: np.full_like(values, 3))(folder)


DECATHLON = {
    "json-unreadable": [content("dataset.json", lambda text: text[:-5])],
    "json-key": [json_fault(lambda content: content.pop("labels"))],
    "channel-names": [json_fault(lambda content: content.update(modality={"1": "MRI"}))],
    "label-numbers": [json_fault(lambda content: content.update(labels={"0": "background", "2": "head"}))],
    "label-names": [json_fault(lambda content: content["labels"].update({"2": "head"}))],
    "background": [json_fault(lambda content: content.update(labels={"0": "head", "1": "background", "2": "tail"}))],
    "case-entry": [json_fault(lambda content: content["training"][0].pop("label"))],
    "case-twice": [json_fault(lambda content: content["training"].append(content["training"][0]))],
    "entry-count": [json_fault(lambda content: content.update(numTraining=99))],
    "image-missing": [remove(FIRST)],
    "label-missing": [remove(LABEL)],
    "channel-missing": [one_of_two_channels],
    "file-unlisted": [copy(FIRST, "imagesTr/extra.nii.gz")],
    "test-overlap": [
        json_fault(lambda content: content.update(test=[content["training"][0]["image"]])),
        copy(FIRST, "imagesTs/other.nii.gz"),
    ],
    "file-empty": [content(FIRST, lambda data: b"")],
    "file-truncated": [content(FIRST, lambda data: data[:1000]), unpacked(LABEL, lambda data: data[:-100])],
    "gzip-damaged": [content(FIRST, lambda data: data[:-8] + bytes([data[-8] ^ 1]) + data[-7:])],
    "no-nifti": [content(FIRST, lambda data: gzip.compress(b"hello" * 200))],
    "compression-suffix": [content(FIRST, gzip.decompress)],
    "too-large": [
        header(FIRST, "dim", [3, 30000, 30000, 30000, 1, 1, 1, 1]),
        unpacked(FIRST, lambda data: data + bytes(66 * 2**20)),
    ],
    "voxel-type": [voxels(FIRST, dtype=np.complex64), to_colours],
    "no-voxels": [header(FIRST, "dim", [3, 30, 0, 30, 1, 1, 1, 1])],
    "axes": [voxels(FIRST, lambda values: values[:, 9, 9])],
    "channel-count": [voxels(FIRST, lambda values: np.stack([values, values], axis=3))],
    "scale": [fields(FIRST, scl_slope=2, scl_inter=np.inf)],
    "scale-ignored": [fields(FIRST, scl_slope=np.inf, scl_inter=0)],
    "no-extent": [fields(FIRST, sform_code=1, srow_x=0, srow_y=0, srow_z=0)],
    "affine-not-finite": [header(FIRST, "srow_x", [np.nan, 0, 0, 0])],
    "spacing-zero": [no_spacing],
    "spacing-unlike-affine": [
        header(FIRST, "pixdim", [1, -1, 1, 1.5, 1, 1, 1, 1]),
        header(FIRST, "pixdim", [1, 3, 3, 3, 1, 1, 1, 1]),
    ],
    "spacing-absurd": [voxels(FIRST, affine=scaled(1e-6)), voxels(FIRST, affine=scaled(1e3))],
    "spacing-unusual": [voxels(FIRST, affine=scaled(20))],
    "affine-sheared": [voxels(FIRST, affine=shear)],
    "qform-unlike-sform": [other_qform],
    "form-codes": [fields(FIRST, sform_code=0, qform_code=0)],
    "label-shape": [voxels(LABEL, lambda values: values[1:])],
    "label-grid": [voxels(LABEL, affine=shift)],
    "label-extra-axis": [voxels(LABEL, lambda values: values[..., None])],
    "label-float": [voxels(LABEL, dtype=np.float32)],
    "label-not-whole": [voxels(LABEL, first_voxel(0.5), dtype=np.float32)],
    "label-negative": [voxels(LABEL, first_voxel(-1), dtype=np.int16)],
    "label-unknown": [voxels(LABEL, first_voxel(7), dtype=np.int16)],
    "label-empty": [voxels(LABEL, np.zeros_like)],
    "label-ignored": [ignored_as_a_whole],
    "class-absent": [backgrounds_only],
    "image-not-finite": [voxels(FIRST, first_voxel(np.nan), dtype=np.float32)],
    "image-overflow": [voxels(FIRST, first_voxel(1e39), dtype=np.float64), fields(FIRST, scl_slope=3e38, scl_inter=0)],
    "image-outlier": [voxels(FIRST, first_voxel(3e38), dtype=np.float32)],
    "image-blank": [voxels(FIRST, np.zeros_like)],
    "image-constant": [voxels(FIRST, lambda values: np.full_like(values, 7))],
    "duplicate-image": [copy(SECOND, FIRST)],
}

RAW_FIRST = "imagesTr/phantom_000_0000.nii.gz"

NNUNET = {
    "json-key": [json_fault(lambda content: content.pop("file_ending"))],
    "label-kind": [
        json_fault(lambda content: content["labels"].update(ignore=7)),
        json_fault(lambda content: content["labels"].update(whole=[1, 2])),
    ],
    "region-order": [
        json_fault(
            lambda content: content.update(
                labels={"background": 0, "core": 1, "whole": [1, 2]}, regions_class_order=[1, 2]
            )
        )
    ],
    "case-count": [json_fault(lambda content: content.update(numTraining=99))],
    "file-ending": [json_fault(lambda content: content.update(file_ending=".mha"))],
    "path-variable": [
        json_fault(lambda content: content.update(dataset={"a": {"images": ["$A", "b"], "label": "c"}}, numTraining=0))
    ],
    "folder-missing": [remove("labelsTr")],
    "channel-missing": [remove(RAW_FIRST)],
    "channel-extra": [copy(RAW_FIRST, "imagesTr/phantom_000_0007.nii.gz")],
    "channel-unnamed": [rename(RAW_FIRST, "imagesTr/phantom.nii.gz")],
    "label-missing": [remove(LABEL)],
    "channel-shape": [voxels(RAW_FIRST, lambda values: values[1:])],
    "channel-grid": [voxels(RAW_FIRST, affine=shift)],
}

SLIDE = "train_images/phantom_0_64_000.tiff"


def edit_table(change):
    return content("train.csv", lambda text: change(text.decode()).encode())


def write_slide(pixels):
    def make(folder):
        import tifffile

        tifffile.imwrite(folder / SLIDE, pixels, tile=(16, 16), photometric="rgb" if pixels.ndim == 3 else "minisblack")

    return make


def damage_tiles(folder):
    import tifffile

    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    tifffile.imwrite(folder / SLIDE, pixels, tile=(64, 64), photometric="rgb", compression="zlib")
    with tifffile.TiffFile(folder / SLIDE) as tiff:
        place = tiff.pages[0].dataoffsets[0]
    content(SLIDE, lambda data: data[:place] + bytes(50) + data[place + 50 :])(folder)


SLIDES = {
    "table-unreadable": [content("train.csv", lambda text: b"\xff\xfe\xff")],
    "table-column": [edit_table(lambda text: text.replace("isup_grade", "severity"))],
    "table-cell": [edit_table(lambda text: text.replace("phantom_0_64_000", " "))],
    "image-missing": [remove(SLIDE)],
    "row-twice": [edit_table(lambda text: text + text.splitlines()[1] + "\n")],
    "row-label": [edit_table(lambda text: text.replace(",0\n", ",high\n"))],
    "row-class": [edit_table(lambda text: text.replace(",0\n", ",9\n"))],
    "class-absent": [edit_table(lambda text: text.replace(",1\n", ",0\n"))],
    "class-folders": [remove("train.csv")],
    "file-unlisted": [copy(SLIDE, "train_images/extra.tiff")],
    "file-empty": [content(SLIDE, lambda data: b"")],
    "image-unreadable": [content(SLIDE, lambda data: b"hello" * 9)],
    "tile-damaged": [damage_tiles],
    "slide-blank": [write_slide(np.full((64, 64, 3), 250, np.uint8))],
    "channel-count": [write_slide(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))],
    "image-not-finite": [write_slide(np.full((64, 64), np.nan, np.float32))],
    "duplicate-image": [copy("train_images/phantom_0_64_001.tiff", SLIDE)],
}
