"""`patchgrow from_nnunet` and `to_nnunet`: the same network and weights on both sides, or one line."""

import json
import shutil
import sys

import pytest
import torch
from monai.bundle import ConfigParser
from nnunet_networks import KERNELS, mirrored_sizes, randomised
from nnunet_networks import PLANAR_KERNELS as OUR_PLANAR_KERNELS

from monai_patchgrow import cli
from monai_patchgrow.tools.inspect import inspect_bundle

pytest.importorskip("dynamic_network_architectures", reason="needs nnU-Net's networks")

PLANAR_KERNELS = mirrored_sizes(OUR_PLANAR_KERNELS)
KINDS = [("ResidualEncoderUNet", KERNELS), ("ResidualEncoderUNet", PLANAR_KERNELS), ("PlainConvUNet", KERNELS),
         ("PlainConvUNet", PLANAR_KERNELS)]  # fmt: skip
every_kind = pytest.mark.parametrize(("name", "kernels"), KINDS)


def network_of(bundle):
    parser = ConfigParser(json.loads((bundle / "configs" / "inference.json").read_text()))
    return parser.get_parsed_content("network_def").eval()


def logits(network, image):
    with torch.no_grad():
        return network(image)


def fault(*words):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(word) for word in words])
    assert len(str(caught.value.code).splitlines()) == 1
    return str(caught.value.code)


@pytest.fixture
def image():
    return torch.randn(1, 1, 24, 32, 16, generator=torch.Generator().manual_seed(3))


@every_kind
def test_a_trained_network_gives_the_same_logits_here(trained, tmp_path, image, name, kernels):
    folder, theirs = trained(name, kernels)
    cli.main(["from_nnunet", str(folder), str(tmp_path / "bundle")])
    network = network_of(tmp_path / "bundle")
    network.load_state_dict(torch.load(tmp_path / "bundle" / "models" / "model.pt", weights_only=True))
    expected = logits(theirs, image.permute(0, 1, 4, 3, 2)).permute(0, 1, 4, 3, 2)
    assert torch.allclose(logits(network, image), expected, atol=1e-5, rtol=0)


@every_kind
def test_it_goes_back_as_it_came(trained, tmp_path, name, kernels):
    folder, theirs = trained(name, kernels)
    cli.main(["from_nnunet", str(folder), str(tmp_path / "bundle")])
    cli.main(["to_nnunet", str(tmp_path / "bundle"), "-o", str(tmp_path / "back")])
    content = torch.load(tmp_path / "back" / "fold_0" / "checkpoint_final.pth", weights_only=True)
    assert content["trainer_name"] == "nnUNetTrainer"
    assert content["init_args"]["configuration"] == "3d_fullres"
    assert content["inference_allowed_mirroring_axes"] == (0, 1, 2)
    assert json.loads((tmp_path / "back" / "plans.json").read_text()) == json.loads((folder / "plans.json").read_text())
    patch = torch.randn(1, 1, 16, 32, 24)
    expected = logits(theirs, patch)
    theirs.load_state_dict(content["network_weights"])
    assert torch.allclose(logits(theirs, patch), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "kernels", "target"),
    [
        ("ResidualEncoderUNet", KERNELS, "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"),
        ("PlainConvUNet", KERNELS, "DynUNet"),
        ("PlainConvUNet", PLANAR_KERNELS, "dynamic_network_architectures.architectures.unet.PlainConvUNet"),
    ],
)
def test_the_network_is_monais_where_that_is_the_same(trained, tmp_path, capsys, name, kernels, target):
    cli.main(["from_nnunet", str(trained(name, kernels)[0]), str(tmp_path / "bundle")])
    config = json.loads((tmp_path / "bundle" / "configs" / "inference.json").read_text())
    assert config["network_def"]["_target_"] == target
    assert ("DynUNet is another one" in capsys.readouterr().err) == target.endswith(".PlainConvUNet")


@every_kind
def test_nothing_is_found_in_the_bundle(trained, tmp_path, name, kernels):
    cli.main(["from_nnunet", str(trained(name, kernels)[0]), str(tmp_path / "bundle")])
    assert inspect_bundle(tmp_path / "bundle").findings == ()


def test_the_card_and_the_metadata_say_what_it_needs(trained, tmp_path):
    cli.main(["from_nnunet", str(trained()[0]), str(tmp_path / "bundle")])
    card = (tmp_path / "bundle" / "docs" / "README.md").read_text()
    assert "pip install --no-deps dynamic-network-architectures" in card
    assert "It comes with weights: fold 0 of nnU-Net's nnUNetTrainer (checkpoint_final.pth)." in card
    metadata = json.loads((tmp_path / "bundle" / "configs" / "metadata.json").read_text())
    assert "dynamic-network-architectures" in metadata["required_packages_version"]


def test_a_dyn_unet_without_biases_goes_there_by_a_plan_that_is_named(trained, tmp_path, image):
    folder, theirs = trained("PlainConvUNet")
    dataset = folder / "dataset.json"
    plans = json.loads((folder / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["conv_bias"] = False
    (tmp_path / "plans.json").write_text(json.dumps(plans))
    bundle = tmp_path / "bundle"
    cli.main(["bundle", f"--plans={tmp_path / 'plans.json'}", f"--dataset={dataset}", f"--output={bundle}"])
    network = randomised(network_of(bundle))
    torch.save(network.state_dict(), tmp_path / "model.pt")
    cli.main(["to_nnunet", str(bundle), "-o", str(tmp_path / "back"), f"--weights={tmp_path / 'model.pt'}",
              f"--plans={folder / 'plans.json'}", f"--dataset={dataset}"])  # fmt: skip
    content = torch.load(tmp_path / "back" / "fold_0" / "checkpoint_final.pth", weights_only=True)
    theirs.load_state_dict(content["network_weights"])
    expected = logits(theirs, image.permute(0, 1, 4, 3, 2)).permute(0, 1, 4, 3, 2)
    assert torch.allclose(logits(network, image), expected, atol=1e-5, rtol=0)


def test_another_network_than_nnunets_stays_here(trained, tmp_path):
    folder, _ = trained("PlainConvUNet", PLANAR_KERNELS)
    bundle = tmp_path / "bundle"
    cli.main(["bundle", f"--plans={folder / 'plans.json'}", f"--dataset={folder / 'dataset.json'}",
              f"--output={bundle}"])  # fmt: skip
    torch.save(network_of(bundle).state_dict(), tmp_path / "model.pt")
    line = fault("to_nnunet", bundle, "-o", tmp_path / "back", f"--weights={tmp_path / 'model.pt'}")
    assert "the bundle's DynUNet is not nnU-Net's PlainConvUNet: its kernels differ between levels" in line
    assert not (tmp_path / "back").exists()


def test_regions_go_there_and_back(trained, tmp_path, image):
    folder, theirs = trained()
    described = json.loads((folder / "dataset.json").read_text())
    described["labels"] = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "active": 3}
    described["regions_class_order"] = [1, 2, 3]
    (folder / "dataset.json").write_text(json.dumps(described))
    bundle = tmp_path / "bundle"
    cli.main(["from_nnunet", str(folder), str(bundle)])
    network = network_of(bundle)
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    expected = logits(theirs, image.permute(0, 1, 4, 3, 2)).permute(0, 1, 4, 3, 2)
    assert torch.allclose(logits(network, image), expected, atol=1e-5, rtol=0)
    cli.main(["to_nnunet", str(bundle), "-o", str(tmp_path / "back")])
    back = json.loads((tmp_path / "back" / "dataset.json").read_text())
    assert (back["labels"], back["regions_class_order"]) == (described["labels"], [1, 2, 3])


def test_a_plain_network_of_other_activations_is_refused(trained, tmp_path):
    folder, _ = trained("PlainConvUNet")
    plans = json.loads((folder / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["nonlin"] = "torch.nn.ReLU"
    (folder / "plans.json").write_text(json.dumps(plans))
    line = fault("from_nnunet", folder, tmp_path / "bundle")
    assert "nonlin must be LeakyReLU in a bundle of nnU-Net's network, got 'torch.nn.ReLU'" in line
    assert not (tmp_path / "bundle").exists()


def test_folds(trained, tmp_path):
    cli.main(["from_nnunet", str(trained()[0]), str(tmp_path / "bundle")])
    model = tmp_path / "bundle" / "models" / "model.pt"
    shutil.copy(model, tmp_path / "other.pt")
    cli.main(["to_nnunet", str(tmp_path / "bundle"), "-o", str(tmp_path / "back"),
              f"--weights={model},{tmp_path / 'other.pt'}"])  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == [
        "dataset.json", "fold_0", "fold_1", "plans.json",
    ]  # fmt: skip


def test_what_does_not_fit_is_one_line_and_writes_nothing(trained, tmp_path):
    folder, _ = trained()
    bundle, back = tmp_path / "bundle", tmp_path / "back"
    assert "fold_3/checkpoint_final.pth is not there" in fault("from_nnunet", folder, bundle, "--fold=3")
    plans = json.loads((folder / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["n_blocks_per_stage"] = [1, 2, 3]
    (folder / "plans.json").write_text(json.dumps(plans))
    assert "is of another network: it has no encoder.stages.2.blocks.2" in fault("from_nnunet", folder, bundle)
    assert not bundle.exists()
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]["n_blocks_per_stage"] = [1, 2, 2]
    (folder / "plans.json").write_text(json.dumps(plans))
    cli.main(["from_nnunet", str(folder), str(bundle)])
    torch.save({"a": torch.ones(1)}, tmp_path / "other.pt")
    line = fault("to_nnunet", bundle, "-o", back, f"--weights={tmp_path / 'other.pt'}")
    assert "other.pt holds no weights of the plan's network" in line
    plans["configurations"]["3d_fullres"]["spacing"] = [2.0, 1.0, 1.0]
    (tmp_path / "plans.json").write_text(json.dumps(plans))
    line = fault("to_nnunet", bundle, "-o", back, f"--plans={tmp_path / 'plans.json'}")
    assert "spacing is [1.0, 1.0, 1.0], that of the plan [1.0, 1.0, 2.0]: name the plan that the bundle is of" in line
    (bundle / "docs" / "nnUNetPlans.json").unlink()
    assert "name nnU-Net's file by --plans" in fault("to_nnunet", bundle, "-o", back)
    assert not back.exists()


def test_without_nnunets_package_one_line_says_how_to_get_it(trained, tmp_path, monkeypatch):
    folder, _ = trained()
    for name in [name for name in sys.modules if name.partition(".")[0] == "dynamic_network_architectures"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dynamic_network_architectures", None)
    line = fault("from_nnunet", folder, tmp_path / "bundle")
    assert line.endswith("which is not installed: pip install --no-deps dynamic-network-architectures")
    assert not (tmp_path / "bundle").exists()
