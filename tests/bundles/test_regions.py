"""Bundles of data sets with regions, with voxels to ignore, and with both: from the plan to the prediction.

A bundle of each kind is made and trained once, which takes some seconds.
"""

import json
import runpy

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow, verify_net_in_out

from monai_patchgrow.cli import main
from monai_patchgrow.data.synthetic.phantom_like import write_phantom_like
from monai_patchgrow.handlers.run_log import read_history
from monai_patchgrow.tools.inspect import inspect_bundle

pytestmark = pytest.mark.filterwarnings("ignore:max_epochs:UserWarning")  # that stages were merged

LEVELS = {"kernel_sizes": [[3, 3, 3]] * 3, "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]]}
PLAN = {
    "dataset_name": "Dataset102_Parts",
    "configurations": {
        "3d_fullres": {
            "batch_size": 2,
            "patch_size": [16, 16, 16],
            "spacing": [1.0, 1.0, 1.0],
            "normalization_schemes": ["ZScoreNormalization"],
            "use_mask_for_norm": [False],
            "batch_dice": True,
            "architecture": {
                "network_class_name": "architectures.PlainConvUNet",
                "arch_kwargs": {"features_per_stage": [4, 4, 8], **LEVELS},
            },
        }
    },
}
CASCADED = {"previous_stage": "3d_lowres"}
KINDS = {
    "regions": {"labels": {"background": 0, "organ": [1, 2], "lesion": 2}, "regions_class_order": [1, 2]},
    "ignore": {"labels": {"background": 0, "organ": 1, "lesion": 2, "ignore": 3}},
    "both": {"labels": {"background": 0, "organ": [1, 2], "lesion": 2, "ignore": 3}, "regions_class_order": [1, 2]},
}
MEMBERS = {"regions": [(1, 2), (2,)], "ignore": [(1,), (2,)], "both": [(1, 2), (2,)]}


def write_task(folder, kind):
    """A phantom task, of whose labels, where a kind ignores any, the upper half is not annotated."""
    channels, labels = ["MR"], {"0": "background", "1": "organ", "2": "lesion"}
    write_phantom_like(
        folder, num_cases=5, channels=channels, labels=labels, spacing=(1, 1, 1), shape=(24, 22, 20), layout="nnunet"
    )
    content = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**content, **KINDS[kind]}))
    for path in (folder / "labelsTr").iterdir() if "ignore" in KINDS[kind]["labels"] else ():
        label = nib.load(path)
        voxels = np.array(label.dataobj)
        voxels[:, :, 11:] = 3
        nib.save(nib.Nifti1Image(voxels, label.affine), path)


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory):
    """A kind, and the folder with a bundle of it, trained on a phantom."""
    folder = tmp_path_factory.mktemp(request.param)
    write_task(folder / "task", request.param)
    (folder / "plans.json").write_text(json.dumps(PLAN))
    main(["bundle", f"--plans={folder / 'plans.json'}", f"--dataset={folder / 'task' / 'dataset.json'}",
          f"--output={folder / 'bundle'}"])  # fmt: skip
    settings = {"max_epochs": 2, "iterations_per_epoch": 3, "val_interval": 2, "num_workers": 0, "learning_rate": 0.05}
    run(folder, "train.json", output_dir=str(folder), **settings)
    return request.param, folder


def run(folder, config, **overrides):
    workflow = ConfigWorkflow(
        str(folder / "bundle" / "configs" / config),
        workflow_type="train" if config == "train.json" else "infer",
        logging_file=False,
        **{"dataset_dir": str(folder / "task"), **overrides},
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


@pytest.fixture(scope="module")
def predicted(made):
    """The label maps of all cases, and those of their labels, by name."""
    _, folder = made
    trained = str(folder / "models" / "model.pt")
    images = {"dataset_dir": str(folder / "task" / "imagesTr"), "output_dir": str(folder / "predicted")}
    run(folder, "inference.json", ckpt_path=trained, **images)
    paths = {path.name: path for path in (folder / "task" / "labelsTr").iterdir()}
    return {name: (read(folder / "predicted" / name), read(path)) for name, path in paths.items()}


def read(path):
    return np.asarray(nib.load(path).dataobj)


def test_the_patch_grows_and_each_structure_has_its_dice(made):
    _, folder = made
    first, last = read_history(folder / "history.jsonl")
    assert first["patch_size"] == [4, 4, 4] and np.prod(last["patch_size"]) > 64
    assert np.isfinite([first["loss"], last["loss"]]).all()
    assert set(last["dice"]) == {"mean", "organ", "lesion"}


def test_what_is_ignored_is_never_predicted(predicted):
    values = {int(value) for maps, _ in predicted.values() for value in np.unique(maps)}
    assert values <= {0, 1, 2} and values > {0}


def test_evaluation_gives_the_dice_of_the_written_label_maps(made, predicted, tmp_path):
    kind, folder = made
    trained = str(folder / "models" / "model.pt")
    run(folder, "evaluate.json", output_dir=str(tmp_path), ckpt_path=trained, fold="all")
    rows = [line.split(",") for line in (tmp_path / "val_mean_dice_raw.csv").read_text().splitlines()[1:]]
    assert len(rows) == len(predicted)
    for name, *found in (row[:3] for row in rows):
        maps, label = predicted[name.rpartition("/")[2].replace("_0000", "")]
        kept = label != 3
        masks = [(np.isin(maps, own) & kept, np.isin(label, own)) for own in MEMBERS[kind]]
        expected = [2 * (one & other).sum() / (one.sum() + other.sum()) for one, other in masks]
        assert [float(one) for one in found] == pytest.approx(expected, abs=1e-4)


def test_networks_vote(made, predicted, tmp_path):
    _, folder = made
    trained = [str(folder / "models" / "model.pt")] * 2
    images = {"dataset_dir": str(folder / "task" / "imagesTr"), "output_dir": str(tmp_path)}
    run(folder, "inference.json", ckpt_path=trained, **images)
    for name, (maps, _) in predicted.items():
        assert np.mean(read(tmp_path / name) != maps) < 1e-3  # but for the rounding of two networks' mean


def test_a_region_is_voted_for_by_the_mean_of_its_sigmoids(made):
    _, folder = made
    ensemble = runpy.run_path(str(folder / "bundle" / "scripts" / "ensemble.py"))["Ensemble"]
    probabilities = torch.tensor([[0.9, 0.2], [0.3, 0.7]])
    members = [torch.nn.Identity(), torch.nn.Identity()]
    for member, own in zip(members, probabilities, strict=True):
        member.forward = lambda images, own=own: torch.logit(own)[None]
    votes = ensemble(members, has_regions=True)(torch.zeros(1, 2)).sigmoid()
    torch.testing.assert_close(votes, probabilities.mean(0, keepdim=True))


def test_the_network_has_an_output_per_structure_as_the_metadata_says(made):
    kind, folder = made
    configs = folder / "bundle" / "configs"
    output = json.loads((configs / "metadata.json").read_text())["network_data_format"]["outputs"]["pred"]
    names = ["background", "organ", "lesion"] if kind == "ignore" else ["organ", "lesion"]
    assert list(output["channel_def"].values()) == names
    verify_net_in_out(
        net_id="network_def", meta_file=str(configs / "metadata.json"), config_file=str(configs / "inference.json")
    )


def test_inspection_finds_nothing(made):
    _, folder = made
    assert inspect_bundle(folder / "bundle").findings == ()


def weights(config, folder):
    return {} if config == "train.json" else {"ckpt_path": str(folder / "models" / "model.pt")}


@pytest.mark.parametrize("config", ["train.json", "evaluate.json"])
def test_data_with_other_labels_is_refused_in_one_line(made, line_of, config, tmp_path):
    kind, folder = made
    write_task(tmp_path / "task", "ignore" if kind != "ignore" else "regions")
    told = line_of(
        folder, config, dataset_dir=str(tmp_path / "task"), output_dir=str(tmp_path / "out"), **weights(config, folder)
    )
    assert "has the labels" in told and "the bundle knows" in told


@pytest.mark.parametrize("config", ["train.json", "evaluate.json"])
def test_an_order_that_is_no_order_of_the_regions_is_refused_in_one_line(made, line_of, config, tmp_path):
    _, folder = made
    told = line_of(
        folder, config, regions_class_order=[1, 2, 3], output_dir=str(tmp_path / "out"), **weights(config, folder)
    )
    assert "regions_class_order" in told


def test_a_cascade_is_refused_with_the_reason(tmp_path):
    plan = json.loads(json.dumps(PLAN))
    plan["configurations"]["3d_fullres"] |= CASCADED
    (tmp_path / "plans.json").write_text(json.dumps(plan))
    write_task(tmp_path / "task", "regions")
    with pytest.raises(SystemExit, match="is a cascade's: it takes what '3d_lowres' predicted as channels"):
        main(["bundle", f"--plans={tmp_path / 'plans.json'}", f"--dataset={tmp_path / 'task' / 'dataset.json'}",
              f"--output={tmp_path / 'bundle'}"])  # fmt: skip
    assert not (tmp_path / "bundle").exists()
