"""Bundles of plans that no Decathlon task has: slices, channels normalised each in its own way, turned axes."""

import json

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigWorkflow

from monai_patchgrow.cli import main
from monai_patchgrow.data.synthetic.phantom_like import write_phantom_like
from monai_patchgrow.handlers.run_log import read_history

pytestmark = pytest.mark.filterwarnings("ignore:max_epochs:UserWarning")  # that stages were merged

LABELS = {"0": "background", "1": "organ", "2": "lesion"}
RESIDUAL = "ResidualEncoderUNet"
INTENSITIES = {"0": {"percentile_00_5": -100.0, "percentile_99_5": 240.0, "mean": 70.0, "std": 40.0}}


def plans(*, dims, schemes, transpose=(0, 1, 2), network="PlainConvUNet"):
    """A plan for phantoms of 2 x 1.5 x 1 mm (x, y, z) in nnU-Net's order."""
    spacing, patch = [1.0, 1.5, 2.0], [16, 16, 32]
    sizes = {"kernel_sizes": [[3] * dims] * 3, "strides": [[1] * dims, [2] * dims, [2] * dims]}
    blocks = {"n_blocks_per_stage": [1, 2, 2], "n_conv_per_stage_decoder": 1} if network == RESIDUAL else {}
    architecture = {
        "network_class_name": f"architectures.{network}",
        "arch_kwargs": {"features_per_stage": [4, 4, 8], "conv_bias": True, **blocks, **sizes},
    }
    configuration = {
        "batch_size": 2,
        "patch_size": [patch[axis] for axis in transpose][-dims:],
        "spacing": [spacing[axis] for axis in transpose][-dims:],
        "normalization_schemes": schemes,
        "use_mask_for_norm": [False] * len(schemes),
        "batch_dice": True,
        "architecture": architecture,
    }
    return {
        "dataset_name": "Dataset101_Demo",
        "transpose_forward": list(transpose),
        "configurations": {"2d" if dims == 2 else "3d_fullres": configuration},
        "foreground_intensity_properties_per_channel": INTENSITIES,
    }


PLANS = {
    "slices": plans(dims=2, schemes=["ZScoreNormalization"]),
    "channels": plans(
        dims=3, schemes=["CTNormalization", "ZScoreNormalization", "RescaleTo01Normalization", "NoNormalization"]
    ),
    "turned": plans(dims=3, schemes=["ZScoreNormalization"], transpose=(2, 0, 1)),
    "residual": plans(dims=3, schemes=["RGBTo01Normalization"], network=RESIDUAL),
}


@pytest.fixture(scope="module", params=PLANS)
def made(request, tmp_path_factory):
    """The name of a plan, and the folder with a bundle of it, trained on a phantom."""
    if request.param == "residual":
        pytest.importorskip("dynamic_network_architectures", reason="needs nnU-Net's networks")
    folder, plan = tmp_path_factory.mktemp(request.param), PLANS[request.param]
    configuration = next(iter(plan["configurations"]))
    schemes = plan["configurations"][configuration]["normalization_schemes"]
    channels = [f"channel {number}" for number in range(len(schemes))]
    write_phantom_like(
        folder / "task", num_cases=5, channels=channels, labels=LABELS, spacing=(2, 1.5, 1), shape=(24, 26, 28),
        layout="nnunet",
    )  # fmt: skip
    (folder / "plans.json").write_text(json.dumps(plan))
    main(["bundle", f"--plans={folder / 'plans.json'}", f"--dataset={folder / 'task' / 'dataset.json'}",
          f"--output={folder / 'bundle'}", f"--configuration={configuration}"])  # fmt: skip
    settings = {"max_epochs": 3, "iterations_per_epoch": 2, "val_interval": 3, "num_workers": 0}
    run(folder, "train.json", "task", output_dir=str(folder), **settings)
    return request.param, folder


def run(folder, config, data, **overrides):
    workflow = ConfigWorkflow(
        str(folder / "bundle" / "configs" / config),
        workflow_type="train" if config == "train.json" else "infer",
        logging_file=False,
        dataset_dir=str(folder / data),
        **overrides,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def test_the_patch_grows(made):
    name, folder = made
    sizes = [record["patch_size"] for record in read_history(folder / "history.jsonl")]
    first, last = {
        "slices": ([4, 4], [32, 16]),
        "channels": ([4, 4, 4], [32, 16, 16]),
        "turned": ([4, 4, 4], [16, 16, 32]),
        "residual": ([4, 4, 4], [32, 16, 16]),
    }[name]
    assert (sizes[0], sizes[-1]) == (first, last)


def test_predictions_lie_in_the_space_of_the_images(made, tmp_path):
    _, folder = made
    weights = str(folder / "models" / "model.pt")
    run(folder, "inference.json", "task/imagesTr", output_dir=str(tmp_path), ckpt_path=weights)
    images = {path.name.replace("_0000", ""): path for path in (folder / "task" / "imagesTr").glob("*_0000.nii.gz")}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(images)
    for name, path in images.items():
        image, predicted = nib.load(path), nib.load(tmp_path / name)
        assert predicted.shape == image.shape
        assert np.array_equal(predicted.affine, image.affine)


def test_evaluation_scores_in_the_space_of_the_images(made, tmp_path):
    _, folder = made
    weights = str(folder / "models" / "model.pt")
    run(folder, "evaluate.json", "task", output_dir=str(tmp_path), ckpt_path=weights, fold="all")
    assert len((tmp_path / "val_mean_dice_raw.csv").read_text().splitlines()) == 6
