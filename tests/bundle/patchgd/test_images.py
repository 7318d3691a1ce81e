"""Whatever is wrong with an image becomes one line with its file."""

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import EnsureChannelFirstd, EnsureTyped, Lambdad, LoadImaged

from monai_patchgrow.bundle.patchgd.images import CheckImageSized, ImagePreprocessing, causes, name_fault
from monai_patchgrow.data import DataError, OpenImaged


def prepare(*transforms, image):
    with pytest.raises(DataError) as caught:
        ImagePreprocessing(transforms)({"image": str(image)})
    return str(caught.value)


def test_sound_images_pass(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 8, 20), np.uint8))
    check = CheckImageSized("image", patch_size=[8, 8])
    item = ImagePreprocessing([OpenImaged("image", channels=1), check])({"image": str(tmp_path / "a.npy"), "label": 1})
    assert (item["image"].shape, item["label"]) == ((1, 8, 20), 1)


def raise_from_none(image):
    try:
        import absent_reader  # noqa: F401
    except ImportError:
        raise ValueError(f"{image}: reading it needs a reader: pip install it") from None


def test_a_reader_that_is_not_installed_says_how_to():
    assert prepare(Lambdad("image", raise_from_none), image="a.tiff") == (
        "a.tiff: reading it needs a reader: pip install it"
    )


def cut_off(image):
    raise EOFError("cut off\nin the middle")


def test_an_error_of_a_library():
    assert prepare(Lambdad("image", cut_off), image="a.nii") == "a.nii: can't be read (EOFError: cut off)"


def test_channels_that_the_network_does_not_take(tmp_path):
    file = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((6, 5, 4, 3), np.float32), np.eye(4)), file)
    load = LoadImaged("image"), EnsureChannelFirstd("image"), EnsureTyped("image", track_meta=False)
    line = prepare(*load, OpenImaged("image", channels=1), image=file)
    assert line.startswith(f"{file}: ")
    assert "3 channels" in line
    assert len(line) < len(str(file)) + 100


def test_an_error_that_was_raised_from_none_hides_its_context():
    try:
        raise_from_none("a")
    except ValueError as error:
        assert list(causes(error)) == [error]


def test_an_item_without_a_path_has_its_name():
    assert str(name_fault(DataError("cut off"), {"image": torch.zeros(3), "name": "a"})) == "a: cut off"


@pytest.mark.parametrize(
    ("size", "options", "fault"),
    [
        ((8, 20), {}, "8x20 voxels, smaller than the patch of 16x16: take a smaller patch_size, or allow_smaller=True"),
        ((20, 20, 20), {}, "has 3 axes, the patch 2"),
        ((48, 48), {"head": "conv", "image_size": [64, 64]}, "48x48 voxels, the head conv is made for images of 64x64"),
    ],
)
def test_an_image_that_the_network_does_not_take(size, options, fault):
    with pytest.raises(DataError, match=f"^{fault}"):
        CheckImageSized("image", patch_size=[16, 16], **options)({"image": torch.zeros(1, *size)})


@pytest.mark.parametrize(
    "options", [{"allow_smaller": True}, {"allow_smaller": True, "head": "mean", "image_size": [64, 64]}]
)
def test_a_small_image_that_may_be(options):
    CheckImageSized("image", patch_size=[16, 16], **options)({"image": torch.zeros(1, 8, 20)})
