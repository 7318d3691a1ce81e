"""A bundle's scripts: what they find, how networks vote, what becomes of a broken case, and what they don't need."""

import gzip
import json
import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from commands import run_python
from monai.bundle import ConfigParser, ConfigWorkflow

from monai_patchgrow.data import read_task, split_cases
from monai_patchgrow.handlers import share_weights
from monai_patchgrow.handlers.shared_weights import save_weights

BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_segmentation_patchgrow"
CASES, ENSEMBLE, PREDICT = (
    runpy.run_path(str(BUNDLE / "scripts" / f"{name}.py")) for name in ("cases", "ensemble", "predict")
)
Ensemble, Mirrored, assemble, load_weights = (ENSEMBLE[name] for name in ENSEMBLE["__all__"])
find_images = CASES["find_images"]
TINY = {"patch_size": [16, 16, 16], "features": [4, 4, 8, 8]}
TINY_WORDS = [text for key, value in TINY.items() for text in (f"--{key}", json.dumps(value))]


class Constant(torch.nn.Module):
    """The same logits for every voxel."""

    def __init__(self, *logits):
        super().__init__()
        self.logits = torch.tensor(logits).reshape(1, -1, 1)

    def forward(self, images):
        return self.logits.expand(len(images), -1, images.shape[2])


def config_of(name="inference.json", **overrides):
    config = ConfigParser(ConfigParser.load_config_file(BUNDLE / "configs" / name))
    config.update({"bundle_root": str(BUNDLE), **TINY, **overrides})
    return config


def write_weights(path, seed):
    torch.manual_seed(seed)
    torch.save(config_of().get_parsed_content("network_def").state_dict(), path)
    return str(path)


def write_image(path, shape=(18, 20, 14), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return path


def run_script(*arguments, bundle=BUNDLE):
    return run_python(bundle / "scripts" / "predict.py", *arguments, *TINY_WORDS)


def run_script_alone(*arguments, bundle=BUNDLE, cwd):
    """As `run_script`, in an interpreter that finds nothing of this package, Ignite and what else a bundle can miss."""
    (cwd / "site").mkdir()
    (cwd / "site" / "sitecustomize.py").write_text(_BLOCKER)
    environment = {"PYTHONPATH": str(cwd / "site"), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, str(bundle / "scripts" / "predict.py"), *map(str, arguments), *TINY_WORDS]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=cwd, env=environment)


# voting


def test_two_members_give_the_mean_of_their_softmax():
    ensemble = Ensemble([Constant(0.0, 0.0), Constant(0.0, float(np.log(3)))])  # 0.5 and 0.5; 0.25 and 0.75
    logits = ensemble(torch.zeros(2, 1, 4))
    assert logits.shape == (2, 2, 4)
    assert torch.softmax(logits, 1)[0, :, 0].tolist() == pytest.approx([0.375, 0.625])
    assert logits.exp()[0, :, 0].tolist() == pytest.approx([0.375, 0.625])


def test_one_member_gives_its_plain_logits():
    assert Ensemble([Constant(3.0, -4.0)])(torch.zeros(1, 1, 2))[0, :, 0].tolist() == [3.0, -4.0]


def test_extreme_logits_stay_finite():
    ensemble = Ensemble([Constant(900.0, -900.0), Constant(-900.0, 900.0)])
    assert ensemble(torch.zeros(1, 1, 1)).flatten().tolist() == pytest.approx([np.log(0.5)] * 2)


def test_mirrored_images_give_mirrored_logits():
    torch.manual_seed(0)
    network = Mirrored(torch.nn.Conv3d(1, 2, 3, padding=1), (0, 2))
    images = torch.rand(1, 1, 6, 5, 4)
    with torch.no_grad():
        assert torch.allclose(network(images.flip((2, 4))), network(images).flip((2, 4)), atol=1e-6)
        assert not torch.allclose(network(images.flip(3)), network(images).flip(3), atol=1e-3)


def test_mirroring_takes_the_mean_over_all_combinations():
    class FirstVoxel(torch.nn.Module):
        def forward(self, images):
            return images[:, :, :1, :1].expand_as(images)

    image = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    assert Mirrored(FirstVoxel(), (0, 1))(image).flatten().tolist() == [3.0] * 4
    assert Mirrored(FirstVoxel(), (1,))(image).flatten().tolist() == [1.5] * 4


def test_one_weight_file_leaves_the_network_as_it_is():
    network = torch.nn.Conv1d(1, 2, 1)
    assert assemble(network, ckpt_path="model.pt") is network  # MONAI's federated client fills in its weights


def test_every_weight_file_becomes_a_member(tmp_path):
    paths = [write_weights(tmp_path / f"{seed}.pt", seed) for seed in (1, 2)]
    network = config_of().get_parsed_content("network_def")
    ensemble = assemble(network, ckpt_path=paths, mirror_axes=[0])
    for path, member in zip(paths, ensemble.members, strict=True):
        weights = torch.load(path, weights_only=True)
        assert all(torch.equal(weights[key], value) for key, value in member.network.state_dict().items())


def test_safetensors_hold_what_model_pt_holds(tmp_path):
    path = write_weights(tmp_path / "model.pt", 1)
    network = config_of().get_parsed_content("network_def")
    load_weights(network, ckpt_path=str(share_weights(path)))
    weights = torch.load(path, weights_only=True)
    assert all(torch.equal(weights[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_damaged_weights_get_one_line(name, tmp_path):
    save_weights(torch.nn.Conv1d(1, 2, 1).state_dict(), tmp_path / "model.pt")
    content = bytearray((tmp_path / name).read_bytes())
    content[-1] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"^ckpt_path: .* can't be used: its bytes are not those that were written"):
        load_weights(torch.nn.Conv1d(1, 2, 1), ckpt_path=str(tmp_path / name))


@pytest.mark.parametrize("config", ["evaluate.json", "inference.json"])
def test_safetensors_are_not_left_to_monai_s_loader(config):
    handlers = "validate#handlers" if config == "evaluate.json" else "handlers"
    parser = config_of(config, ckpt_path="model.safetensors")
    for handler in parser[handlers]:
        if handler["_target_"] == "CheckpointLoader":
            parser["loader"] = handler
    assert parser.get_parsed_content("loader") is None


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
@pytest.mark.parametrize("content", [None, b"nonsense", {"weight": torch.zeros(3)}])
def test_wrong_weights_get_one_line(content, name, tmp_path):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        save_weights(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        load_weights(torch.nn.Conv1d(1, 2, 1), ckpt_path=str(path))
    assert "\n" not in str(caught.value)


def test_prediction_of_two_folds_is_the_argmax_of_the_mean_softmax(tmp_path):
    image = write_image(tmp_path / "in" / "case.nii.gz", (16, 16, 16))  # one window
    paths = [write_weights(tmp_path / f"{seed}.pt", seed) for seed in (1, 2)]
    config_of(dataset_dir=str(image), output_dir=str(tmp_path), ckpt_path=paths).get_parsed_content("run")

    values = torch.from_numpy(np.asarray(nib.load(image).dataobj))[None, None]
    values = (values - values.mean()) / values.std(unbiased=False)
    total = 0
    for path in paths:
        network = config_of().get_parsed_content("network_def").eval()
        network.load_state_dict(torch.load(path, weights_only=True))
        with torch.no_grad():
            total = total + network(values).softmax(1)
    labels = np.asarray(nib.load(tmp_path / "case.nii.gz").dataobj)
    assert len(np.unique(labels)) > 1
    assert (labels == total.argmax(1)[0].numpy()).mean() > 0.999  # near ties may round apart


# finding


def names(items):
    return [item["name"] for item in items]


def touch(folder, *files):
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(bytes(128) + b"DICM" if name.endswith((".dcm", "I1")) else b"")
    return folder


def test_a_decathlon_folder_means_its_test_images(tmp_path):
    touch(tmp_path, "imagesTr/a.nii.gz", "imagesTs/c.nii.gz", "imagesTs/b.nii.gz", "imagesTs/._b.nii.gz")
    assert find_images(tmp_path, num_channels=1) == [
        {"image": str(tmp_path / "imagesTs" / "b.nii.gz"), "name": "b"},
        {"image": str(tmp_path / "imagesTs" / "c.nii.gz"), "name": "c"},
    ]


def test_channel_files_make_one_case(tmp_path):
    touch(tmp_path, "b_0000.nii.gz", "b_0001.nii.gz", "a.1_0000.nii.gz", "a.1_0001.nii.gz")
    assert find_images(tmp_path, num_channels=2) == [
        {"image": [str(tmp_path / f"a.1_000{number}.nii.gz") for number in (0, 1)], "name": "a.1"},
        {"image": [str(tmp_path / f"b_000{number}.nii.gz") for number in (0, 1)], "name": "b"},
    ]


def test_a_missing_channel_is_named_when_it_is_read(tmp_path):
    touch(tmp_path, "a_0000.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz")
    items = find_images(tmp_path, num_channels=2)
    assert names(items) == ["a", "b"]
    assert items[0]["image"] == [str(tmp_path / f"a_000{number}.nii.gz") for number in (0, 1)]


@pytest.mark.parametrize("given", ["a_0000.nii.gz", "a_0001.nii.gz"])
def test_a_single_file_brings_its_other_channels(given, tmp_path):
    touch(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz")
    channels = [str(tmp_path / f"a_000{number}.nii.gz") for number in (0, 1)]
    assert find_images(tmp_path / given, num_channels=2) == [{"image": channels, "name": "a"}]


def test_all_channels_may_lie_in_one_file(tmp_path):
    touch(tmp_path, "a_0000.nii.gz", "b_0000.nii.gz")
    assert find_images(tmp_path, num_channels=4)[0] == {"image": str(tmp_path / "a_0000.nii.gz"), "name": "a"}
    assert find_images(tmp_path / "a_0000.nii.gz", num_channels=4)[0]["image"] == str(tmp_path / "a_0000.nii.gz")


def test_a_single_channel_has_no_number_in_its_case_s_name(tmp_path):
    touch(tmp_path, "a_0000.nii.gz", "b_0000.nii.gz")
    assert names(find_images(tmp_path, num_channels=1)) == ["a", "b"]
    assert names(find_images(tmp_path / "a_0000.nii.gz", num_channels=1)) == ["a"]


def test_a_file_beside_channel_files_is_a_case_of_its_own(tmp_path):
    touch(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz", "atlas.nii.gz")
    assert names(find_images(tmp_path, num_channels=2)) == ["a", "atlas"]


def test_files_with_all_channels_are_no_channels(tmp_path):
    for number in range(2):
        nib.save(nib.Nifti1Image(np.zeros((2, 2, 2, 4), np.int16), np.eye(4)), tmp_path / f"BRATS_000{number}.nii.gz")
    assert names(find_images(tmp_path, num_channels=4)) == ["BRATS_0000", "BRATS_0001"]


def test_series_beside_a_file_are_cases_too(tmp_path):
    touch(tmp_path, "scan.nii.gz", "p1/1.dcm")
    assert names(find_images(tmp_path, num_channels=1)) == ["p1", "scan"]


@pytest.mark.parametrize("axes", [[-1], [0, 0], [3], 0, "0"])
def test_axes_that_are_none_are_not_mirrored(axes):
    with pytest.raises(ValueError, match="mirror_axes must be a list of axes out of"):
        ENSEMBLE["assemble"](torch.nn.Conv3d(1, 2, 1), ckpt_path="model.pt", mirror_axes=axes)


def test_numbered_cases_are_no_channels(tmp_path):
    touch(tmp_path, "scan_0000.nii.gz", "scan_0001.nii.gz", "scan_0002.nii.gz")
    assert names(find_images(tmp_path, num_channels=1)) == ["scan_0000", "scan_0001", "scan_0002"]
    assert names(find_images(tmp_path, num_channels=2)) == ["scan_0000", "scan_0001", "scan_0002"]


def test_folders_of_dicom_series_are_cases_named_by_their_paths(tmp_path):
    touch(tmp_path, "1.2.3/x.dcm", "p/s1/I1", "p/s2/I1", "p/notes.md", "empty/readme.md")
    assert names(find_images(tmp_path, num_channels=1)) == ["1.2.3", "p_s1", "p_s2"]
    assert find_images(tmp_path / "1.2.3", num_channels=1) == [{"image": str(tmp_path / "1.2.3"), "name": "1.2.3"}]


@pytest.mark.parametrize("kind", ["list", "list.txt", "list.json"])
def test_lists_name_files_and_folders(kind, tmp_path):
    touch(tmp_path, "b.nii.gz", "more/a.nii", "series/x.dcm")
    entries = ["b.nii.gz", "more", "series"]
    source = [str(tmp_path / entry) for entry in entries]
    if kind == "list.txt":
        source = tmp_path / kind
        source.write_text("# cases\n" + "\n".join(entries) + "\n\n")
    elif kind == "list.json":
        source = tmp_path / kind
        source.write_text(json.dumps(entries))
    assert names(find_images(source, num_channels=1)) == ["a", "b", "series"]


def test_a_list_of_lists_names_the_channels(tmp_path):
    assert find_images([["x_0000.nii", "x_0001.nii"]], num_channels=2) == [
        {"image": ["x_0000.nii", "x_0001.nii"], "name": "x"}
    ]


def test_two_cases_of_one_name_are_refused(tmp_path):
    touch(tmp_path, "one/a.nii.gz", "two/a.nii.gz")
    with pytest.raises(ValueError, match=r"would both become a\.nii\.gz"):
        find_images([tmp_path / "one", tmp_path / "two"], num_channels=1)


@pytest.mark.parametrize("source", ["", "missing"])
def test_nothing_to_predict_is_refused(source, tmp_path):
    with pytest.raises(ValueError, match=r"^dataset_dir: no .*"):
        find_images(tmp_path / source, num_channels=1)


@pytest.mark.parametrize("layout", ["beside", "channel beside"])
def test_a_compressed_and_a_plain_file_of_one_name_are_refused(layout, tmp_path):
    stem = "scan" if layout == "beside" else "scan_0000"
    touch(tmp_path, f"{stem}.nii", f"{stem}.nii.gz")
    with pytest.raises(ValueError, match=r"would both become scan.*\.nii\.gz"):
        find_images(tmp_path, num_channels=1)


def left_out(folder, caplog):
    find_images(folder, num_channels=1)
    return caplog.messages


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".NII", ".NII.GZ"])
def test_channels_in_their_names_whatever_the_ending(ending, tmp_path):
    image = nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    content = image.to_bytes()
    for number in range(2):
        path = tmp_path / f"case_000{number}{ending}"
        path.write_bytes(gzip.compress(content) if ending.lower().endswith(".gz") else content)
    assert names(find_images(tmp_path, num_channels=2)) == ["case"]


def test_images_in_folders_below_are_named(tmp_path, caplog):
    touch(tmp_path, "x.nii.gz", "sub/y.nii.gz", "sub/deep/z.nii", ".hidden/h.nii", "labelsTr/x.nii.gz")
    remedy = "give their folder, or convert other formats to NIfTI"
    assert left_out(tmp_path, caplog) == [f"dataset_dir: left out: sub/y.nii.gz, sub/deep/z.nii: {remedy}"]


def test_an_image_beside_a_series_is_named(tmp_path, caplog):
    touch(tmp_path, "p1/ct.nii.gz")
    touch(tmp_path, "p2/1.dcm")
    assert left_out(tmp_path, caplog)[0].startswith("dataset_dir: left out: p1/ct.nii.gz: ")


def test_links_to_folders_are_followed_once(tmp_path, caplog):
    touch(tmp_path, "in/p1/1.dcm", "store/p2/1.dcm")
    (tmp_path / "in" / "p2").symlink_to(tmp_path / "store" / "p2")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    assert names(find_images(tmp_path / "in", num_channels=1)) == ["p1", "p2"]
    touch(tmp_path, "nii/a.nii.gz", "more/b.nii.gz")
    (tmp_path / "nii" / "more").symlink_to(tmp_path / "more")
    assert left_out(tmp_path / "nii", caplog)[0].startswith("dataset_dir: left out: more/b.nii.gz: ")


def test_a_series_in_images_ts_is_a_case(tmp_path):
    touch(tmp_path, "imagesTs/a.nii.gz", "imagesTs/p2/1.dcm", "imagesTr/b.nii.gz")
    assert names(find_images(tmp_path, num_channels=1)) == ["a", "p2"]


def test_images_of_other_formats_are_named(tmp_path, caplog):
    touch(tmp_path, "a.nii", "b.nrrd", "c.mha", "d.img", "d.hdr", "e.mgz", "f.tif", "notes.txt")
    assert left_out(tmp_path, caplog)[0].startswith(
        "dataset_dir: left out: b.nrrd, c.mha, d.hdr, d.img, e.mgz and 1 more:"
    )


def test_images_that_are_all_left_out_are_refused(tmp_path):
    touch(tmp_path, "one/a.nii.gz", "two/b.nrrd")
    with pytest.raises(
        ValueError, match=r"^dataset_dir: no NIfTI image .* but there are one/a\.nii\.gz, two/b\.nrrd: give"
    ):
        find_images(tmp_path, num_channels=1)


def test_a_link_that_leads_nowhere_is_a_case_that_will_fail(tmp_path):
    touch(tmp_path, "a.nii.gz")
    (tmp_path / "b.nii.gz").symlink_to("/gone/b.nii.gz")
    assert names(find_images(tmp_path, num_channels=1)) == ["a", "b"]


def slices(folder, count=3):
    touch(folder, *(f"{number}.dcm" for number in range(count)))
    return [folder / f"{number}.dcm" for number in range(count)]


def test_the_slices_of_a_series_are_one_case(tmp_path):
    assert find_images(slices(tmp_path / "scan"), num_channels=1) == [{"image": str(tmp_path / "scan"), "name": "scan"}]


def test_the_slices_of_two_series_and_an_image_are_three_cases(tmp_path):
    touch(tmp_path, "z.nii.gz")
    given = [*slices(tmp_path / "b"), tmp_path / "z.nii.gz", *slices(tmp_path / "a")]
    assert names(find_images(given, num_channels=1)) == ["a", "b", "z"]


def test_slices_in_a_list_file_are_one_case(tmp_path):
    listed = "".join(f"{path.relative_to(tmp_path)}\n" for path in slices(tmp_path / "scan"))
    (tmp_path / "list.txt").write_text(listed, encoding="utf-8-sig")
    assert names(find_images(tmp_path / "list.txt", num_channels=1)) == ["scan"]


def test_some_of_a_series_slices_are_refused(tmp_path):
    given = slices(tmp_path / "scan")[:2]
    with pytest.raises(ValueError, match=r"^dataset_dir: 2 of the 3 DICOM files of .*scan are listed: give the folder"):
        find_images(given, num_channels=1)


# predicting


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights") / "model.pt", 0)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Two good images among bad ones."""
    folder = tmp_path_factory.mktemp("broken")
    for name in ("a", "z"):
        write_image(folder / f"{name}.nii.gz")
    content = (folder / "a.nii.gz").read_bytes()
    (folder / "cut.nii.gz").write_bytes(content[: len(content) // 2])
    nib.save(nib.Nifti1Image(np.zeros((20, 20, 20), np.float32), np.eye(4)), folder / "blank.nii.gz")
    nib.save(nib.Nifti1Image(np.full((20, 20, 20), np.nan, np.float32), np.eye(4)), folder / "nan.nii.gz")
    return folder


@pytest.mark.slow
def test_a_command_names_broken_cases_and_predicts_the_others(broken, weights, tmp_path):
    process = run_script("--dataset_dir", broken, "--output_dir", tmp_path / "out", "--ckpt_path", weights)
    assert process.returncode == 1
    errors = process.stderr.splitlines()
    assert len(errors) == 4
    assert errors[0] == f"error: case blank failed and is skipped: all voxels are 0 ({broken / 'blank.nii.gz'})"
    assert errors[1].startswith("error: case cut failed and is skipped: EOFError: Compressed file ended")
    assert errors[2].startswith("error: case nan failed and is skipped: ValueError: the image has voxels that are no")
    assert errors[3] == "error: 3 of 5 cases failed: blank, cut, nan"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii.gz", "z.nii.gz"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--mirror_axis", "[0]"], "inference.json has no mirror_axis; its keys are "),
        (["--mirror_axes"], "give the keys of inference.json as --KEY VALUE, got --mirror_axes"),
    ],
)
def test_a_command_refuses_keys_that_nobody_reads(arguments, line, tmp_path):
    process = run_python(BUNDLE / "scripts" / "predict.py", "--dataset_dir", tmp_path, *arguments, cwd=tmp_path)
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1].startswith(f"predict.py: error: {line}")


def test_a_host_process_gets_an_exception_for_broken_cases(broken, weights, tmp_path):
    config = config_of(dataset_dir=str(broken), output_dir=str(tmp_path), ckpt_path=weights)
    parts = {key: config.get_parsed_content(key) for key in ("network", "inferer", "preprocessing", "postprocessing")}
    with pytest.raises(RuntimeError, match="3 of 5 cases failed: blank, cut, nan"):
        PREDICT["predict"](config.get_parsed_content("images"), output_dir=tmp_path, device="cpu", **parts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.nii.gz", "z.nii.gz"]


def test_an_earlier_label_map_of_a_broken_case_is_named(broken, weights, tmp_path, caplog):
    earlier = tmp_path / "cut.nii.gz"
    earlier.write_bytes(b"earlier")
    config = config_of(dataset_dir=str(broken / "cut.nii.gz"), output_dir=str(tmp_path), ckpt_path=weights)
    parts = {key: config.get_parsed_content(key) for key in ("network", "inferer", "preprocessing", "postprocessing")}
    with pytest.raises(RuntimeError):
        PREDICT["predict"](config.get_parsed_content("images"), output_dir=tmp_path, device="cpu", **parts)
    assert caplog.text.rstrip().endswith(f"{earlier} is an earlier run's")


def test_nothing_stays_of_a_label_map_that_could_not_be_written(weights, tmp_path, monkeypatch):
    def write_half(image, path):
        Path(path).write_bytes(b"half")
        raise OSError("No space left on device")

    image = write_image(tmp_path / "in" / "case.nii.gz")
    config = config_of(dataset_dir=str(image), ckpt_path=weights)
    parts = {key: config.get_parsed_content(key) for key in ("network", "inferer", "preprocessing", "postprocessing")}
    monkeypatch.setattr(nib, "save", write_half)
    with pytest.raises(RuntimeError, match="1 of 1 cases failed: case"):
        PREDICT["predict"](config.get_parsed_content("images"), output_dir=tmp_path / "out", device="cpu", **parts)
    assert list((tmp_path / "out").iterdir()) == []


def test_what_other_programs_take_from_the_config_needs_no_script():
    content = json.loads((BUNDLE / "configs" / "inference.json").read_text())
    for section in ("network_def", "preprocessing", "inferer", "postprocessing"):
        assert "scripts" not in json.dumps(content[section])  # MONAI Deploy has the config alone


@pytest.mark.filterwarnings("ignore")
def test_a_federated_client_fills_the_evaluator_s_network():
    from monai.fl.client.monai_algo import disable_ckpt_loaders

    config = config_of("evaluate.json", ckpt_path="missing.pt")
    config["validate"]["dataset"]["data"] = []
    disable_ckpt_loaders(config)
    evaluator = config.get_parsed_content("validate#evaluator")
    assert evaluator.network is config.get_parsed_content("network_def")


@pytest.mark.filterwarnings("ignore")
def test_the_evaluator_names_its_files_by_the_cases(weights, tmp_path):
    image = write_image(tmp_path / "in" / "case.1_0000.nii.gz")
    workflow = ConfigWorkflow(
        str(BUNDLE / "configs" / "inference.json"),
        workflow_type="infer",
        logging_file=False,
        dataset_dir=str(image),
        output_dir=str(tmp_path / "out"),
        ckpt_path=weights,
        **TINY,
    )
    workflow.initialize()
    workflow.evaluator.run()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["case.1.nii.gz"]


@pytest.mark.slow
def test_evaluation_gives_the_dice_of_the_predictions_on_the_original_voxels(phantom_task, tmp_path):
    paths = [write_weights(tmp_path / f"{seed}.pt", seed) for seed in (1, 2)]  # an ensemble
    shared = {"spacing": [1.3, 0.9, 1.1], "ckpt_path": paths, "mirror_axes": [0], "device": torch.device("cpu")}
    command = ["-W", "ignore", "-m", "monai.bundle", "run", "--config_file"]
    options = {**TINY, **shared, "device": "$torch.device('cpu')", "dataset_dir": str(phantom_task), "fold": 1}
    options |= {"output_dir": str(tmp_path / "eval")}
    command += [str(BUNDLE / "configs" / "evaluate.json")]
    for key, value in options.items():
        command += [f"--{key}", value if isinstance(value, str) else repr(value)]
    process = run_python(*command, cwd=tmp_path)
    assert process.returncode == 0, process.stderr[-2000:]

    _, cases = split_cases(read_task(phantom_task).cases, fold=1)
    images = [str(case.image) for case in cases]
    config_of(dataset_dir=images, output_dir=str(tmp_path / "out"), **shared).get_parsed_content("run")
    dice = [dice_of(tmp_path / "out" / f"{case.name}.nii.gz", case.label) for case in cases]
    evaluated = float((tmp_path / "eval" / "metrics.csv").read_text().split(",")[1])
    assert evaluated == pytest.approx(np.mean(dice), abs=1e-5)


def dice_of(predicted, label):
    one, other = (np.asarray(nib.load(path).dataobj) for path in (predicted, label))
    shares = [2 * np.sum((one == k) & (other == k)) / np.sum((one == k) * 1 + (other == k)) for k in (1, 2)]
    return np.mean(shares)


_BLOCKER = """
import importlib.abc, sys
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("monai_patchgrow", "ignite", "fire", "scipy", "skimage", "pandas", "tensorboard"):
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocker())
"""


@pytest.mark.slow
def test_an_unpacked_bundle_predicts_with_monai_and_nibabel_alone(task04, weights, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "bundle"), "zip", BUNDLE.parent, BUNDLE.name)
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "else where")
    bundle = tmp_path / "else where" / BUNDLE.name
    (bundle / "models").mkdir(exist_ok=True)
    shutil.copy(weights, bundle / "models" / "model.pt")
    image = sorted((task04 / "imagesTr").glob("hippocampus_*.nii.gz"))[0]

    process = run_script_alone("--dataset_dir", image, bundle=bundle, cwd=tmp_path)

    assert process.returncode == 0, process.stderr
    labels = nib.load(bundle / "predictions" / image.name)
    assert labels.shape == nib.load(image).shape
    assert np.array_equal(labels.affine, nib.load(image).affine)


def test_resampling_without_scipy_says_what_is_missing(weights, tmp_path):
    image = write_image(tmp_path / "in" / "case.nii.gz")
    arguments = ("--dataset_dir", image, "--ckpt_path", weights, "--output_dir", "out", "--spacing", "[0.8, 0.8, 0.8]")
    process = run_script_alone(*arguments, cwd=tmp_path)
    assert process.returncode == 1
    assert "pip install scipy" in process.stderr.splitlines()[0]
    assert len(process.stderr.splitlines()) == 2
