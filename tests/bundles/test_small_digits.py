"""The UltraMNIST bundle's settings for small digits on a CPU: single digits first, then sums from their encoder."""

import csv
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigWorkflow

from monai_patchgrow.data import UltraMNIST
from monai_patchgrow.losses import RegressionLoss

CONFIGS = Path(__file__).parents[2] / "bundles" / "ultramnist_classification_patchgd" / "configs"
TRAINING = ("train.json", "small_digits.json", "small_digits_train.json")
FEW = {"train_images": 48, "val_images": 10, "num_workers": 0, "device": "$torch.device('cpu')"}


def run(files, **overrides):
    kind = "train" if "train.json" in files else "infer"
    paths = [str(CONFIGS / name) for name in files]
    workflow = ConfigWorkflow(paths, workflow_type=kind, logging_file=False, **overrides)
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow.parser


@pytest.mark.slow
def test_single_digits_then_sums(tmp_path):
    single, sums = (str(tmp_path / name) for name in ("single", "sums"))
    parser = run(TRAINING, output_dir=single, image_size=[96, 96], digit_counts=[1], **FEW)
    assert isinstance(parser.get_parsed_content("loss"), RegressionLoss)
    optimizer = parser.get_parsed_content("optimizer")
    assert (optimizer.defaults["lr"], optimizer.param_groups[0]["lr"]) == (4e-3, 0)
    # A rate at which nothing moves: the second run's encoder is the first one's.
    still = {"pretrained": f"{single}/models/model.pt", "learning_rate": 1e-12}
    run(TRAINING, output_dir=sums, image_size=[192, 192], **still, **FEW)
    first, second = (torch.load(f"{folder}/models/model.pt", weights_only=True) for folder in (single, sums))
    encoder = [name for name in first if name.startswith("encoder.")]
    assert encoder and all(torch.allclose(first[name], second[name], atol=1e-8) for name in encoder)

    options = {"ckpt_path": f"{sums}/models/model.pt", "image_size": [192, 192], "digit_pixels": [16, 24], **FEW}
    run(["evaluate.json", "small_digits.json"], output_dir=str(tmp_path / "eval"), **options)
    rows = list(csv.DictReader((tmp_path / "eval" / "predictions.csv").read_text().splitlines()))
    expected = UltraMNIST(10, 192, 1, digit_pixels=(16, 24))
    assert [int(float(row["label"])) for row in rows] == [expected.label(index) for index in range(10)]
