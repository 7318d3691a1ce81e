"""Network and images of a PatchGD bundle are checked, and unsound data ends a run with its own error."""

import pytest
import torch

from monai_patchgrow.bundle.patchgd import preflight
from monai_patchgrow.bundle.patchgd.preflight import check_background, check_images, run_engine
from monai_patchgrow.data import DataError
from monai_patchgrow.engines import PatchGDEvaluator
from monai_patchgrow.networks import backbone


@pytest.mark.parametrize("threshold", [0, -1, "white", True])
def test_a_threshold_that_is_none(threshold):
    with pytest.raises(ValueError, match=f"^background_threshold must be a number above 0, got {threshold!r}$"):
        check_background(torch.nn.Identity(), skip_background=False, background_threshold=threshold)


def test_skipping_background_with_batch_norm():
    encoder = backbone("resnet18", in_channels=1, latent_dim=2)
    with pytest.raises(ValueError, match=r"^skip_background is not exact for an encoder with BatchNorm2d in training"):
        check_background(encoder, skip_background=True)
    check_background(encoder, skip_background=False)


@pytest.mark.parametrize(("name", "options"), [("resnet18", {"norm": ("group", {"num_groups": 8})}), ("small_cnn", {})])
def test_skipping_background_with_other_norms(name, options):
    check_background(backbone(name, in_channels=1, latent_dim=2, **options), skip_background=True)


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


def test_an_engine_says_what_its_device_cant_do(monkeypatch):
    asked = []
    monkeypatch.setattr(preflight, "warn_of_device", lambda engine, *, spatial_dims: asked.append(spatial_dims))
    network = torch.nn.ModuleDict({"encoder": torch.nn.Flatten(), "head": torch.nn.Flatten()})
    evaluator = PatchGDEvaluator(device="cpu", val_data_loader=[], network=network, patch_size=(2, 2))
    monkeypatch.setattr(preflight.engine_run, "run_engine", lambda engine: None)
    run_engine(evaluator)
    assert asked == [2]
