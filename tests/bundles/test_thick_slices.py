"""Bundles resample slices as each case has them, in training, evaluation and prediction alike."""

import json
import runpy
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.transforms import Compose, Spacingd

from monai_patchgrow.tools.render.bundle import BundleCard, render_bundle, write_bundle
from monai_patchgrow.tools.render.segmentation_plan import SegmentationPlan

BUNDLES = Path(__file__).parents[2] / "bundles"
SHAPE = (20, 24, 12)
LABELS = {"0": "background", "1": "bright", "2": "none"}
KEYS = ["image", "label"]


class Bright(torch.nn.Module):
    """Label 1 where the normalised image is bright: an oracle for `bright`."""

    def forward(self, images):
        margin = images[:, :1] - 1.0
        return torch.cat([-margin, margin, torch.full_like(margin, -1e3)], 1)


def bright():
    mask = np.zeros(SHAPE, bool)
    mask[4:11, 6:13, 3:8] = mask[13:17, 15:20, 6:10] = True
    return mask


def write_case(folder, spacing, *, channels=1):
    """An image whose bright part is its label, in the folders of a data set."""
    voxels = np.where(bright(), 300, 100).astype(np.float32) + np.arange(12, dtype=np.float32)
    voxels = voxels if channels == 1 else np.stack([voxels] * channels, -1)
    files = {"image": (voxels, "imagesTr"), "label": (bright().astype(np.uint8), "labelsTr")}
    for values, name in files.values():
        (folder / name).mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(values, np.diag([*spacing, 1.0])), folder / name / "case.nii.gz")
    return {key: folder / name / "case.nii.gz" for key, (_, name) in files.items()}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Folders of bundles: two of the repository's, and one for slices."""
    normalisation = {"scheme": "ZScoreNormalization", "masked_to_nonzero": False}
    plan = SegmentationPlan(
        dataset="Dataset102_Slices", channels=("MRI",), labels=LABELS, patch_size=(16, 16), spacing=(1.5, 1.0),
        normalisation=(normalisation,), strides=((1, 1), (2, 2), (2, 2)), kernel_sizes=((3, 3),) * 3,
        features=(4, 4, 4), batch_size=2, batch_dice=False,
    )  # fmt: skip
    slices = write_bundle(render_bundle(plan, BundleCard.of(plan)), tmp_path_factory.mktemp("slices") / "bundle")
    found = {name: BUNDLES / f"{name}_segmentation_patchgrow" for name in ("hippocampus", "prostate")}
    return {**found, "slices": slices}


def config_of(bundle, name="inference.json", **overrides):
    config = ConfigParser(ConfigParser.load_config_file(bundle / "configs" / name))
    config.update({"bundle_root": str(bundle), **overrides})
    return config


def script(bundle, name, function):
    return runpy.run_path(str(bundle / "scripts" / f"{name}.py"))[function]


def train_chain(bundle):
    """The steps of training that an image and a label pass, up to the patches."""
    content = ConfigParser.load_config_file(bundle / "configs" / "train.json")
    parser = ConfigParser({**content, "labels": LABELS, "dataset_dir": "/nowhere"})
    targets = [step["_target_"] for step in content["train"]["deterministic_transforms"]]
    steps = range(targets.index("EnsureTyped") + 1)
    return Compose([parser.get_parsed_content(f"train#deterministic_transforms#{number}") for number in steps])


def per_case(bundle):
    chain = config_of(bundle).get_parsed_content("preprocessing")
    script(bundle, "resampling", "resample_per_case")(chain)
    return chain


def equal(one, other):
    return torch.equal(one.as_tensor(), other.as_tensor()) and torch.equal(one.affine, other.affine)


CASES = [
    ("hippocampus", (1.0, 1.0, 1.0)),
    ("hippocampus", (0.8, 1.1, 1.3)),
    ("prostate", (0.625, 0.625, 3.6)),
    ("prostate", (0.5, 0.7, 3.0)),
    ("prostate", (1.0, 1.0, 1.0)),
    ("slices", (1.5, 1.0, 2.0)),
    ("slices", (0.9, 0.9, 5.0)),
    ("slices", (5.0, 0.9, 0.9)),
]


@pytest.mark.parametrize(("name", "spacing"), CASES)
def test_where_case_and_plan_agree_every_bit_is_the_stock_steps(name, spacing, bundles, tmp_path):
    paths = write_case(tmp_path, spacing, channels=2 if name == "prostate" else 1)
    stock = config_of(bundles[name]).get_parsed_content("preprocessing")({"image": paths["image"]})["image"]
    assert equal(per_case(bundles[name])({"image": paths["image"]})["image"], stock)
    assert equal(train_chain(bundles[name])(dict(paths))["image"], stock)


def test_slices_keep_their_stock_step(bundles):
    for chain in (per_case(bundles["slices"]), train_chain(bundles["slices"])):
        assert [type(step) for step in chain.transforms].count(Spacingd) == 1


def stock_of(bundle, paths, pixdims):
    """Image and label by stock steps: the first in plane, the second by the nearest slice."""
    chain = train_chain(bundle)
    number = next(number for number, step in enumerate(chain.transforms) if type(step).__name__ == "CaseSpacingd")
    options = {"padding_mode": "border", "dtype": torch.float32}
    modes = [[3, "bilinear"], "nearest"]
    steps = [Spacingd(KEYS, pixdim, mode=mode, **options) for pixdim, mode in zip(pixdims, modes, strict=True)]
    return Compose([*chain.transforms[:number], *steps, *chain.transforms[number + 1 :]])(dict(paths))


@pytest.mark.parametrize(
    ("name", "spacing", "in_plane", "whole"),
    [
        ("hippocampus", (0.8, 0.8, 5.0), (1, 1, -1), (1, 1, 1)),
        ("hippocampus", (5.0, 0.8, 0.8), (-1, 1, 1), (1, 1, 1)),
        ("prostate", (4.0, 0.7, 0.7), (-1, 0.625, 3.6), (0.625, 0.625, 3.6)),
    ],
)
def test_thick_slices_are_trained_on_as_they_are_predicted_from(name, spacing, in_plane, whole, bundles, tmp_path):
    paths = write_case(tmp_path, spacing, channels=2 if name == "prostate" else 1)
    item = train_chain(bundles[name])(dict(paths))
    expected = stock_of(bundles[name], paths, (in_plane, whole))
    assert all(equal(item[key], expected[key]) for key in KEYS)
    assert item["image"].shape[1:] == item["label"].shape[1:]
    assert equal(per_case(bundles[name])({"image": paths["image"]})["image"], item["image"])
    as_planned = config_of(bundles[name]).get_parsed_content("preprocessing")({"image": paths["image"]})["image"]
    assert not equal(as_planned, item["image"])


def predict(bundle, source, output, network):
    config = config_of(bundle, patch_size=[32, 32, 32])
    parts = {name: config.get_parsed_content(name) for name in ("preprocessing", "postprocessing", "inferer")}
    items = script(bundle, "cases", "find_images")(source, num_channels=2 if "prostate" in bundle.name else 1)
    written = script(bundle, "predict", "predict")(items, network=network, output_dir=output, device="cpu", **parts)
    return nib.load(written[0]), config


def dice(one, other):
    return 2 * np.sum(one & other) / (one.sum() + other.sum())


@pytest.mark.parametrize(
    ("name", "spacing"),
    [
        ("hippocampus", (0.8, 0.8, 5.0)),
        ("hippocampus", (5.0, 0.8, 0.8)),
        ("hippocampus", (1.0, 4.0, 1.0)),
        ("prostate", (12.0, 0.7, 3.6)),
    ],
)
def test_predictions_of_thick_slices_lie_on_their_voxels(name, spacing, bundles, tmp_path):
    paths = write_case(tmp_path / "task", spacing, channels=2 if name == "prostate" else 1)
    labels, config = predict(bundles[name], paths["image"], tmp_path / "out", Bright())
    assert labels.shape == SHAPE
    assert np.array_equal(labels.affine, nib.load(paths["image"]).affine)
    assert dice(np.asarray(labels.dataobj) == 1, bright()) > 0.9
    chain = config.get_parsed_content("preprocessing")
    assert [type(step).__name__ for step in chain.transforms].count("CaseSpacingd") == 1


ROTATION = np.linalg.qr([[0.94, -0.29, 0.2], [0.31, 0.94, -0.1], [-0.16, 0.15, 0.98]])[0] * [-1, -1, 1]


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_thick_slices_that_lie_along_another_axis_of_the_file(axes, bundles, tmp_path):
    affine = np.eye(4)
    affine[:3, :3] = ROTATION @ np.diag([0.8, -0.8, 5.0])
    affine[:, :3] = affine[:, list(axes)]
    paths = write_case(tmp_path / "task", (0.8, 0.8, 5.0))
    voxels = np.asarray(nib.load(paths["image"]).dataobj).transpose(axes)
    nib.save(nib.Nifti1Image(voxels, affine), paths["image"])
    labels, config = predict(bundles["hippocampus"], paths["image"], tmp_path / "out", Bright())
    assert np.allclose(labels.affine, affine, atol=1e-6)
    assert dice(np.asarray(labels.dataobj) == 1, bright().transpose(axes)) > 0.9
    image = config.get_parsed_content("preprocessing")({"image": paths["image"]})["image"]
    modes = [step["extra_info"]["mode"] for step in image.applied_operations if "mode" in step["extra_info"]]
    assert modes == [3, "nearest"]


def test_slices_that_are_only_repeated_come_back_exactly(bundles, tmp_path):
    paths = write_case(tmp_path / "task", (1.0, 1.0, 5.0))
    labels, _ = predict(bundles["hippocampus"], paths["image"], tmp_path / "out", Bright())
    assert np.array_equal(np.asarray(labels.dataobj) == 1, bright())


def test_logits_of_thick_slices_are_brought_back_linearly_in_plane(bundles, tmp_path):
    paths = write_case(tmp_path, (0.8, 0.8, 5.0))
    item = per_case(bundles["hippocampus"])({"image": paths["image"]})
    item = config_of(bundles["hippocampus"]).get_parsed_content("postprocessing").transforms[0](item)
    steps = [step["extra_info"] for step in item["image"].applied_operations]
    assert [step["mode"] for step in steps if "mode" in step] == ["bilinear", "nearest"]


@pytest.mark.filterwarnings("ignore")
def test_evaluation_scores_what_is_predicted(bundles, tmp_path):
    paths = write_case(tmp_path / "task", (0.8, 0.8, 5.0))
    entry = {key: str(path.relative_to(tmp_path / "task")) for key, path in paths.items()}
    dataset = {"modality": {"0": "MRI"}, "labels": LABELS, "training": [entry]}
    (tmp_path / "task" / "dataset.json").write_text(json.dumps(dataset))
    workflow = ConfigWorkflow(
        str(bundles["hippocampus"] / "configs" / "evaluate.json"),
        logging_file=False, dataset_dir=str(tmp_path / "task"), output_dir=str(tmp_path / "eval"), ckpt_path=[],
        patch_size=[32, 32, 32], labels=LABELS, network_def=Bright(), predictor="@network", device="cpu", fold="all",
    )  # fmt: skip
    workflow.initialize()
    workflow.run()
    evaluated = (tmp_path / "eval" / "val_mean_dice_raw.csv").read_text().splitlines()[1].split(",")[1]
    labels, _ = predict(bundles["hippocampus"], paths["image"], tmp_path / "out", Bright())
    assert float(evaluated) == pytest.approx(dice(np.asarray(labels.dataobj) == 1, bright()), abs=1e-6)
    chain = workflow.parser.get_parsed_content("validate#image_preprocessing")
    assert "CaseSpacingd" in [type(step).__name__ for step in chain.transforms]


def test_a_chain_is_changed_once(bundles):
    chain = per_case(bundles["prostate"])
    steps = list(chain.transforms)
    script(bundles["prostate"], "resampling", "resample_per_case")(chain)
    assert list(chain.transforms) == steps
