"""The rules that a data set is checked by: what each finds, how grave that is, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["RULES", "Rule"]

_FAULT, _WARNING = False, True


@dataclass(frozen=True)
class Rule:
    """One rule.

    finds: what is wrong.
    repair: what mends it.
    is_warning: the data can be used as it is; training says so and goes on.
    is_harmless: ``patchgrow verify_data --repair`` mends it, since no voxel and no meaning is lost.
    """

    finds: str
    repair: str
    is_warning: bool = _FAULT
    is_harmless: bool = False


_LIST = {
    "json-unreadable": Rule("a dataset.json that is no JSON or can't be read", "mend its syntax; save it as UTF-8"),
    "json-key": Rule("a key that dataset.json lacks, or that is malformed", "write it as the layout has it"),
    "channel-names": Rule("channels that are not numbered 0, 1, 2, ...", "number them without gaps"),
    "label-numbers": Rule("labels that are not numbered 0, 1, 2, ...", "number them without gaps, voxels too"),
    "label-names": Rule("a label without a name, a name of two labels", "give each label its own name", _WARNING),
    "background": Rule("a background that isn't 0", "make 0 the background", _WARNING),
    "label-kind": Rule(
        "a region or an ignore label that is malformed", "write it as nnU-Net's documentation of regions has it"
    ),
    "region-order": Rule(
        "an order of regions in which the true ones, written one over the other, don't give the label map back",
        "put regions before those that they hold, each with a value of its own",
        _WARNING,
    ),
    "case-entry": Rule("an entry of dataset.json without image or label", "name both files"),
    "case-twice": Rule("a case that dataset.json lists twice", "keep one of the two", is_harmless=True),
    "case-count": Rule("a numTraining that isn't the number of cases", "find what is missing, or correct the number"),
    "entry-count": Rule(
        "the same in Decathlon's layout, where nobody reads it", "correct it", _WARNING, is_harmless=True
    ),
    "file-ending": Rule("a file_ending of another format than NIfTI", "convert the images to .nii.gz"),
    "path-variable": Rule("a variable of the environment in a path", "write the path out"),
    "folder-missing": Rule("no imagesTr or labelsTr", "make the folder that the layout asks for"),
    "image-missing": Rule("an image without a file", "add the file, or leave the case out"),
    "label-missing": Rule("an image without a label", "add the label, or move the image to imagesTs"),
    "channel-missing": Rule("a channel without a file", "add the file, or leave the case out"),
    "channel-extra": Rule("a file of a channel that dataset.json doesn't name", "name the channel, or move the file"),
    "channel-unnamed": Rule("a file without its channel's number", "call it CASE_0000.nii.gz"),
    "file-unlisted": Rule("a file that belongs to no case", "list it, or move it", _WARNING),
    "test-overlap": Rule("an image that is trained on and tested on", "take it out of one of them"),
    "file-unreadable": Rule("a file that can't be opened", "let this user read it"),
    "file-empty": Rule("a file of no bytes", "replace it"),
    "file-truncated": Rule("fewer bytes than the header promises, or than gzip needs", "replace the file"),
    "gzip-damaged": Rule("a compressed file with a wrong checksum", "replace the file"),
    "no-nifti": Rule("a file that isn't NIfTI", "convert it, or replace it"),
    "compression-suffix": Rule(
        "a compressed .nii, or a .nii.gz that isn't compressed", "rename the file", is_harmless=True
    ),
    "too-large": Rule(
        "a file that unfolds to more than the limit (PATCHGROW_MAX_FILE_GIB), or to more than it says it holds",
        "replace the file; set the limit higher where it is right",
    ),
    "voxel-type": Rule("complex or RGB voxels", "save numbers, of complex ones the magnitude"),
    "no-voxels": Rule("a shape with an axis of 0 or less", "replace the file"),
    "axes": Rule("an image of one axis, or of more than three and channels", "save a volume, its channels last"),
    "channel-count": Rule("another number of channels than dataset.json has, or than the other images", "convert it"),
    "scale": Rule("a scl_inter that is NaN or infinite", "write 0"),
    "scale-ignored": Rule(
        "a scl_slope that is NaN or infinite, which is taken for 1", "write 1", _WARNING, is_harmless=True
    ),
    "no-extent": Rule("an sform and qform that give voxels no extent", "set one of them right"),
    "affine-not-finite": Rule("an affine with NaN or infinite entries", "set sform or qform right"),
    "spacing-zero": Rule("a spacing of 0, which is taken for 1 mm", "write the spacing"),
    "spacing-unlike-affine": Rule(
        "a spacing that isn't its affine's, or is negative", "write the affine's", _WARNING, is_harmless=True
    ),
    "spacing-absurd": Rule("a spacing below 0.001 mm or above 100 mm", "check the unit", _WARNING),
    "spacing-unusual": Rule("a spacing ten times off what the data set's cases have", "check the unit", _WARNING),
    "affine-sheared": Rule("axes that are not at right angles", "resample it; ITK refuses it", _WARNING),
    "qform-unlike-sform": Rule(
        "a qform that puts voxels elsewhere than the sform, which is read", "copy it", _WARNING, is_harmless=True
    ),
    "form-codes": Rule("codes of sform and qform that are both 0", "set them to 1", _WARNING, is_harmless=True),
    "channel-shape": Rule("channels of several shapes", "resample them onto one grid"),
    "channel-grid": Rule("channels on several grids", "resample them onto one grid"),
    "label-shape": Rule("a label of another shape than its image", "resample it onto the image's grid"),
    "label-grid": Rule(
        "a label whose header puts it elsewhere than its image", "copy the image's header", is_harmless=True
    ),
    "label-extra-axis": Rule("a label with a last axis of one", "leave the axis out", _WARNING, is_harmless=True),
    "label-float": Rule("a label map of floats", "save it as integers", _WARNING, is_harmless=True),
    "label-not-whole": Rule("a label value that isn't a whole number", "resample by nearest neighbour"),
    "label-negative": Rule("a label value below 0", "give the voxels a label that dataset.json names"),
    "label-unknown": Rule("a label value that dataset.json doesn't name", "name it, or relabel the voxels"),
    "label-empty": Rule("a label map of background alone", "see whether that is right", _WARNING),
    "label-ignored": Rule("a label map that is to be ignored as a whole", "leave the case out", _WARNING),
    "class-absent": Rule("a class that no case has", "leave it out, or add cases that have it", _WARNING),
    "image-not-finite": Rule("NaN or infinite voxels", "replace them by numbers"),
    "image-overflow": Rule("values that float32 doesn't hold", "replace or rescale them"),
    "image-blank": Rule("an image of zeros", "leave the case out"),
    "image-constant": Rule("an image of one value", "leave the case out"),
    "image-outlier": Rule(
        "a voxel so far off that normalising flattens all others", "replace it, as by the largest sound one", _WARNING
    ),
    "duplicate-image": Rule("two images with the same voxels", "keep one: folds would share it"),
    "table-unreadable": Rule("a table that is no CSV in UTF-8, or without rows", "save it as UTF-8, with a header"),
    "table-column": Rule("a table without a column of images or labels", "name the columns image_id and label"),
    "table-cell": Rule("a row without the name of its image or patient", "fill it in"),
    "row-twice": Rule("an image that a table lists twice", "keep one row"),
    "row-label": Rule("a label that isn't a number", "write a number"),
    "row-class": Rule("a label out of range", "write one of 0 to num_classes - 1"),
    "split-file": Rule("a split_file that names unknown cases, or one twice, or a patient in two folds", "correct it"),
    "class-folders": Rule("neither a table nor a folder per class", "write labels.csv"),
    "image-unreadable": Rule("an image that can't be opened or decoded", "replace the file"),
    "tile-damaged": Rule("a tile that can't be decoded", "replace the file"),
    "slide-blank": Rule("a slide or picture of one colour", "see whether that is right", _WARNING),
}

RULES = MappingProxyType(_LIST)
"""All rules by name."""
