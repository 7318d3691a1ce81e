"""Settings and images of a PatchGD bundle are checked, and unsound data ends a run with its own error."""

import numpy as np
import pytest
import torch

from monai_patchgrow.data import DataError, OpenImaged
from monai_patchgrow.tools.patchgd_preflight import check_images, check_settings, run_engine

SETTINGS = {
    "patch_size": [32, 32],
    "stride": None,
    "image_size": [64, 64],
    "sampling": 0.25,
    "inner_steps": None,
    "accumulation": None,
    "backbone": "small_cnn",
    "head": "attention",
    "target": "classes",
    "num_classes": 3,
    "class_weights": None,
    "learning_rate": 1e-3,
    "plan": {"batch_size": 2, "max_epochs": 2, "curriculum": "constant"},
    "positive": {"latent_dim": 8},
    "not_negative": {"seed": 0},
    "boolean": {"exact": None, "resume": "False"},
}


def fault(**changes):
    with pytest.raises(ValueError) as caught:
        check_settings(**{**SETTINGS, **changes})
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_sound_settings_pass():
    check_settings(**SETTINGS)


def test_growth_of_one_grid_s_head():
    plan = {**SETTINGS["plan"], "curriculum": "efficiency"}
    assert fault(head="conv", plan=plan) == (
        "curriculum efficiency changes the grid, and the head conv takes one grid only: "
        "take conv_pooled, attention, mean or sum"
    )


def test_more_patches_per_batch():
    assert fault(plan={**SETTINGS["plan"], "curriculum": "performance"}).startswith(
        "curriculum performance changes the number of patches per batch"
    )


def test_a_stride_that_leaves_voxels_out():
    assert fault(stride=[32, 40]).startswith("stride must be at most the patch, or voxels are left out, got 40")


@pytest.mark.parametrize("rate", [0, -1, "fast", True])
def test_a_learning_rate_that_is_none(rate):
    assert fault(learning_rate=rate) == f"learning_rate must be a number above 0, got {rate!r}"


def image(*size, dtype=torch.float32):
    return {"image": torch.zeros(1, *size, dtype=dtype)}


def test_an_image_smaller_than_the_patch(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 8, 20), np.uint8))
    with pytest.raises(DataError, match=r"a\.npy: 8x20 voxels, smaller than the patch of 16x16"):
        check_images([{"image": str(tmp_path / "a.npy")}], OpenImaged("image", channels=1), patch_size=(16, 16))


def test_a_small_image_that_may_be():
    check_images([image(8, 20)], OpenImaged("image", channels=1), patch_size=(16, 16), allow_smaller=True)


def test_an_image_of_other_axes():
    with pytest.raises(DataError, match="has 3 axes, the patch 2"):
        check_images([image(20, 20, 20)], OpenImaged("image", channels=1), patch_size=(16, 16))


def test_a_transform_s_error_names_the_image():
    def broken(item):
        raise RuntimeError("applying transform") from EOFError("cut off")

    with pytest.raises(DataError, match=r"^a\.nii: can't be read \(EOFError: cut off\)$"):
        check_images([{"image": "a.nii"}], broken, patch_size=(16,))


def test_every_tile_is_read_on_request():
    class Broken:
        shape = (1, 40, 40)

        def read(self, cells):
            raise DataError(f"no tile at {cells[0][0].start}")

    def preprocessing(item):
        return {"image": Broken()}

    check_images([{"image": "a"}], preprocessing, patch_size=(16, 16))
    with pytest.raises(DataError, match="no tile at 0"):
        check_images([{"image": "a"}], preprocessing, patch_size=(16, 16), read_tiles=True)


class Engine:
    def __init__(self, error):
        self.error = error

    def run(self):
        try:
            raise self.error
        except Exception as error:
            raise RuntimeError("applying transform") from error


def test_unsound_data_comes_out_of_what_wraps_it():
    with pytest.raises(DataError, match=r"^a\.tiff: a tile$"):
        run_engine(Engine(DataError("a.tiff: a tile")))


def test_another_error_stays_as_it_is():
    with pytest.raises(RuntimeError, match="applying transform"):
        run_engine(Engine(ValueError("a fault in the code")))
