"""The three PatchGD bundles: sound configs, the names that consumers read, and runs from training to prediction."""

import configparser
import csv
import json
import re
import runpy
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out
from monai.transforms import Randomizable
from PIL import Image

from monai_patchgrow.data import PaintedTiles, RandTurnTilesd, UltraMNIST, write_phantom_slides
from monai_patchgrow.handlers.run_log import read_history

ROOT = Path(__file__).parents[2]
RENDERED = runpy.run_path(str(ROOT / "scripts" / "render_bundles.py"))["rendered_classification"]()
ULTRAMNIST, PANDA, VOLUME = (f"{name}_classification_patchgd" for name in ("ultramnist", "panda", "volume"))
NETWORK = {"backbone": "small_cnn", "backbone_options": {"channels": [8, 8, 8, 8]}, "latent_dim": 8}
SMALL = {
    ULTRAMNIST: {**NETWORK, "patch_size": [32, 32], "image_size": [64, 64], "head": "attention"},
    PANDA: {**NETWORK, "patch_size": [32, 32], "level": 0},
    VOLUME: {**NETWORK, "patch_size": [16, 16, 16]},
}
GENERATED = {"train_images": 14, "val_images": 7}
TRAINING = {
    ULTRAMNIST: {**GENERATED, "batch_size": 7, "curriculum": "efficiency"},
    PANDA: {"batch_size": 4},
    VOLUME: {"batch_size": 3},
}
EPOCHS = {ULTRAMNIST: 3, PANDA: 2, VOLUME: 2}
KEYS = (
    *("patch_size", "stride", "sampling", "inner_steps", "accumulation", "exact", "true_gradient", "latent_dim"),
    *("backbone", "head", "image_size", "curriculum", "batch_size", "max_epochs", "learning_rate", "num_classes"),
    *("class_weights", "pretrained", "seed", "resume", "num_workers", "amp", "device", "output_dir", "dataset_dir"),
)
# DESIGN's table of consumers.
NAMES = {
    "train.json": [
        *KEYS,
        *("bundle_root", "initialize", "run", "finalize", "val_interval", "network", "network_def"),
        *("train#trainer", "train#trainer#max_epochs", "train#dataset", "train#dataset#data", "train#inferer"),
        *("train#handlers", "train#preprocessing", "validate#handlers", "validate#preprocessing"),
        *("validate#postprocessing", "validate#key_metric", "validate#dataset#data", "validate#evaluator"),
    ],
    "evaluate.json": ["bundle_root", "device", "dataset_dir", "validate#evaluator", "network_def", "initialize", "run"],
    "inference.json": [
        *("bundle_root", "device", "dataset_dir", "dataset", "evaluator", "network_def", "inferer"),
        *("preprocessing", "postprocessing", "initialize", "run", "finalize"),
    ],
}
every_bundle = pytest.mark.parametrize("bundle", RENDERED)


def configs(bundle):
    return ROOT / "bundles" / bundle / "configs"


def run(bundle, config, **overrides):
    """What ``python -m monai.bundle run`` does, in this process."""
    workflow = make(bundle, config, **overrides)
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    return workflow


def make(bundle, config, **overrides):
    overrides = {name: str(value) if isinstance(value, Path) else value for name, value in overrides.items()}
    files = [str(configs(bundle) / name) for name in ([config] if isinstance(config, str) else config)]
    kind = "train" if "train.json" in files[0] else "infer"
    if bundle == VOLUME and kind == "train":
        overrides.setdefault("cache_dir", f"{overrides['output_dir']}_preprocessed")
    return ConfigWorkflow(files, workflow_type=kind, logging_file=False, **{**SMALL[bundle], **overrides})


def write_volumes(folder):
    """Eight volumes of several sizes in two classes, one of them bright."""
    random = np.random.default_rng(0)
    for number in range(8):
        path = folder / ("dark", "light")[number % 2] / f"case_{number}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        voxels = random.normal(0, 1, (24, 20 + number, 18)).astype(np.float32)
        voxels[:8, :8, :8] += 4 * (number % 2)
        nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1.0, 1.5, 1.0])), path)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """What each bundle trains on, and images for it to classify."""
    folder = tmp_path_factory.mktemp("data")
    pictures = folder / "pictures"
    pictures.mkdir()
    drawn = UltraMNIST(2, 64)[0]["image"]
    Image.fromarray(drawn[0].numpy()).save(pictures / "grey.png")
    np.save(pictures / "array.npy", drawn.numpy())
    slides, volumes = write_phantom_slides(folder / "slides", num_slides=12, size=72), write_volumes(folder / "volumes")
    return {
        ULTRAMNIST: (None, pictures, {"array", "grey"}),
        PANDA: (slides, slides / "train_images", {f"phantom_0_72_{number:03d}" for number in range(12)}),
        VOLUME: (volumes, volumes, {f"{('dark', 'light')[number % 2]}_case_{number}" for number in range(8)}),
    }


@pytest.fixture(scope="module", params=RENDERED)
def trained(request, data, tmp_path_factory):
    """The bundle, its short run, and its data."""
    bundle, output = request.param, tmp_path_factory.mktemp(request.param)
    options = {**TRAINING[bundle], "dataset_dir": data[bundle][0], "output_dir": output}
    run(bundle, "train.json", max_epochs=EPOCHS[bundle], num_workers=0, **options)
    return bundle, output, data[bundle]


@every_bundle
def test_a_committed_bundle_is_its_rendering(bundle):
    folder = ROOT / "bundles" / bundle
    written = {"models", "eval", "predictions", "tensorboard", "__pycache__", "history.jsonl", "preprocessed"}
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    assert {path.as_posix() for path in found if not written & set(path.parts)} == set(RENDERED[bundle])
    assert {name: (folder / name).read_text(encoding="utf-8") for name in RENDERED[bundle]} == RENDERED[bundle]


@every_bundle
@pytest.mark.filterwarnings("ignore:No hash value:UserWarning")
def test_metadata_follows_its_schema(bundle):
    schema = Path(__file__).parents[1] / "data_files" / "meta_schema_20240725.json"
    verify_metadata(meta_file=str(configs(bundle) / "metadata.json"), filepath=str(schema))


@every_bundle
def test_network_takes_and_gives_what_the_metadata_says(bundle):
    small = {name: value for name, value in SMALL[bundle].items() if name not in ("image_size", "level")}
    if bundle == ULTRAMNIST:
        small |= {"head": "conv"}  # the default, for images of 512 pixels
    files = {
        "meta_file": str(configs(bundle) / "metadata.json"),
        "config_file": str(configs(bundle) / "inference.json"),
    }
    verify_net_in_out(net_id="network_def", device="cpu", **files, **small)


@every_bundle
@pytest.mark.parametrize("config", NAMES)
def test_names_that_consumers_read_are_there(bundle, config):
    parser = ConfigParser(ConfigParser.load_config_file(configs(bundle) / config))
    assert [name for name in NAMES[config] if name not in parser] == []


@every_bundle
def test_all_configs_have_the_same_network(bundle):
    loaded = [ConfigParser.load_config_file(configs(bundle) / f"{name}.json") for name in ("train", "evaluate")]
    other = ConfigParser.load_config_file(configs(bundle) / "inference.json")
    for key in ("patch_size", "stride", "image_size", "backbone", "latent_dim", "head", "target", "num_classes"):
        assert loaded[0][key] == loaded[1][key] == other[key]


@every_bundle
def test_keys_of_the_card_are_keys_of_the_bundle(bundle):
    config = {
        key
        for name in ("train", "evaluate", "inference")
        for key in ConfigParser.load_config_file(configs(bundle) / f"{name}.json")
    }
    table = RENDERED[bundle]["docs/README.md"].split("| key | default | meaning |")[1].split("\n\n")[0]
    keys = {key for row in table.splitlines()[2:] for key in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert set(KEYS) - {"patch_size"} <= keys
    assert [key for key in keys if key not in config] == []


def test_training_writes_loss_and_metrics_of_every_epoch(trained):
    bundle, output, _ = trained
    history = read_history(output / "history.jsonl")
    grown = [[16, 16], [32, 16], [32, 32]] if bundle == ULTRAMNIST else [SMALL[bundle]["patch_size"]] * 2
    assert [record["patch_size"] for record in history] == grown
    assert all(np.isfinite(record["loss"]) for record in history)
    key = "val_kappa" if bundle == PANDA else "val_accuracy"
    assert all(key in record["metrics"] for record in history)


def test_tensorboard_shows_the_latent_grid(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    bundle, output, _ = trained
    images, scalars = set(), set()
    for file in (output / "tensorboard").rglob("events*"):
        events = EventAccumulator(str(file))
        events.Reload()
        images |= {(tag, event.step) for tag in events.Tags()["images"] for event in events.Images(tag)}
        scalars |= set(events.Tags()["scalars"])
    assert images == {("latent/0", epoch) for epoch in range(1, EPOCHS[bundle] + 1)}
    assert {"train/loss", "train/learning_rate", "validation/accuracy", "growth/patch_size_x"} <= scalars
    assert len(list((output / "tensorboard").glob("events*"))) == 1  # TensorBoard follows the newest of a folder alone


def test_model_is_a_bare_state_dict_of_the_whole_network(trained):
    bundle, output, _ = trained
    config = ConfigParser.load_config_file(configs(bundle) / "inference.json")
    network = ConfigParser({**config, **SMALL[bundle]}).get_parsed_content("network_def")
    weights = torch.load(output / "models" / "model.pt", weights_only=True)
    assert network.load_state_dict(weights).missing_keys == []


def test_evaluation_gives_the_best_metric_of_the_training(trained, tmp_path):
    bundle, output, (folder, _, _) = trained
    options = GENERATED if bundle == ULTRAMNIST else {}
    weights = output / "models" / "model.safetensors"
    run(bundle, "evaluate.json", dataset_dir=folder, output_dir=tmp_path, ckpt_path=weights, **options)
    key = "val_kappa" if bundle == PANDA else "val_accuracy"
    metrics = dict(line.split(",") for line in (tmp_path / "metrics.csv").read_text().splitlines() if "," in line)
    best = max(record["metrics"][key] for record in read_history(output / "history.jsonl"))
    assert float(metrics[key]) == pytest.approx(best, abs=1e-4)


def test_inference_writes_a_row_and_a_map_for_each_image(trained, tmp_path):
    bundle, output, (_, images, names) = trained
    run(bundle, "inference.json", dataset_dir=images, output_dir=tmp_path, ckpt_path=output / "models" / "model.pt")
    with (tmp_path / "predictions.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert {row["image"] for row in rows} == names
    for row in rows:
        probabilities = [float(value) for key, value in row.items() if key.startswith("p_")]
        assert sum(probabilities) == pytest.approx(1, abs=1e-4)
    assert {path.stem for path in (tmp_path / "evidence").iterdir()} == names
    assert np.asarray(Image.open(next((tmp_path / "evidence").iterdir()))).ndim == 3


def test_weights_export_to_torchscript(trained, tmp_path):
    bundle, output, _ = trained
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The TorchScript type system", UserWarning)
        ckpt_export(
            net_id="network_def",
            filepath=str(tmp_path / "model.ts"),
            ckpt_file=str(output / "models" / "model.pt"),
            meta_file=str(configs(bundle) / "metadata.json"),
            config_file=str(configs(bundle) / "inference.json"),
            **SMALL[bundle],
        )
    config = ConfigParser.load_config_file(configs(bundle) / "inference.json")
    parser = ConfigParser({**config, **SMALL[bundle]})
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(output / "models" / "model.pt", weights_only=True))
    image = torch.rand(1, len(config["channels"]), *[50] * len(SMALL[bundle]["patch_size"]))
    torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(image), network(image))


def test_workflows_have_the_properties_that_monai_asks_for(trained, tmp_path):
    bundle, _, (folder, images, _) = trained
    for config, dataset in (("train.json", folder), ("inference.json", images)):
        options = {**TRAINING[bundle], "num_workers": 0, "max_epochs": EPOCHS[bundle]} if config == "train.json" else {}
        workflow = make(bundle, config, dataset_dir=dataset, output_dir=tmp_path, **options)
        workflow.initialize()
        assert workflow.check_properties() == []


def test_only_training_images_are_turned(data, tmp_path):
    workflow = make(PANDA, "train.json", dataset_dir=data[PANDA][0], output_dir=tmp_path, num_workers=0, batch_size=4)
    workflow.initialize()
    steps = {name: getattr(workflow, f"{name}_preprocessing").transforms for name in ("train", "val")}
    (turn,) = [step for step in steps["train"] if isinstance(step, RandTurnTilesd)]
    assert (turn.mirror_axes, turn.rotate90) == ((0, 1), True)
    assert not any(isinstance(step, Randomizable) for step in steps["val"])


@pytest.mark.slow
def test_slides_whose_glass_is_skipped_train_the_same_network(tmp_path):
    folder = write_phantom_slides(tmp_path / "slides", num_slides=4, size=200)
    options = {"dataset_dir": folder, "fold": "all", "batch_size": 2, "num_workers": 0, "max_epochs": 1}
    encoded, results = [], []
    for option in (False, True):
        common = {"background_threshold": 220, "skip_background": option, "output_dir": tmp_path / str(option)}
        common["patch_size"] = [16, 16]
        workflow = make(PANDA, "train.json", **options, **common)
        workflow.initialize()
        assert isinstance(workflow.parser.get_parsed_content("validate#dataset")[0]["image"], PaintedTiles)
        counts = []
        encoder = workflow.parser.get_parsed_content("network").encoder
        encoder.register_forward_pre_hook(lambda module, inputs, counts=counts: counts.append(len(inputs[0])))
        workflow.run()
        encoded.append(sum(counts))
        weights = tmp_path / str(option) / "models" / "model.pt"
        run(PANDA, "inference.json", dataset_dir=folder / "train_images", ckpt_path=weights, **common)
        with (tmp_path / str(option) / "predictions.csv").open() as table:
            results.append([[float(row[f"p_{grade}"]) for grade in range(6)] for row in csv.DictReader(table)])
    assert encoded[1] < 0.8 * encoded[0]
    np.testing.assert_allclose(*results, atol=1e-4)


@pytest.mark.slow
def test_a_resumed_run_ends_on_the_same_bits(tmp_path):
    turns = {"mirror_axes": [0, 1], "rotate90": True}
    options = {**TRAINING[ULTRAMNIST], **turns, "num_workers": 0, "max_epochs": 3, "head_options": {"dropout": 0.2}}
    run(ULTRAMNIST, "train.json", output_dir=tmp_path / "whole", **options)
    stopped = make(ULTRAMNIST, "train.json", output_dir=tmp_path / "parts", **options)
    stopped.initialize()
    stopped.parser.get_parsed_content("train#trainer").add_event_handler(Events.ITERATION_STARTED, _stop_in_epoch_3)
    with pytest.raises(KeyboardInterrupt):
        stopped.parser.get_parsed_content("train#trainer").run()
    run(ULTRAMNIST, "train.json", output_dir=tmp_path / "parts", resume=True, **options)
    whole, parts = (torch.load(tmp_path / one / "models" / "last.pt", weights_only=True) for one in ("whole", "parts"))
    assert all(torch.equal(whole["network"][name], parts["network"][name]) for name in whole["network"])
    assert [record["epoch"] for record in read_history(tmp_path / "parts" / "history.jsonl")] == [1, 2, 3]


def _stop_in_epoch_3(engine):
    if engine.state.epoch == 3:
        raise KeyboardInterrupt


@pytest.mark.slow
def test_gradient_descent_trains_the_same_network(tmp_path):
    files = ["train.json", "gradient_descent.json"]
    options = {**TRAINING[ULTRAMNIST], "curriculum": "constant", "rotate90": True, "num_workers": 0, "max_epochs": 1}
    run(ULTRAMNIST, files, output_dir=tmp_path, shrink_to=[48, 48], **options)
    weights = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    parser = ConfigParser(
        {**ConfigParser.load_config_file(configs(ULTRAMNIST) / "inference.json"), **SMALL[ULTRAMNIST]}
    )
    assert parser.get_parsed_content("network_def").load_state_dict(weights).missing_keys == []


def write_ages(folder):
    """Four volumes with a number each, and a picture that is none of them."""
    folder.mkdir()
    for number in range(4):
        voxels = np.random.default_rng(number).normal(0, 1, (20, 20, 20)).astype(np.float32)
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), folder / f"case_{number}.nii.gz")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "case_0.png")
    (folder / "labels.csv").write_text("image,label\ncase_0,41.2\ncase_1,63.5\ncase_2,50\ncase_3,77.75\n")
    return folder


@pytest.mark.slow
def test_a_number_per_image_is_trained_validated_and_predicted(tmp_path):
    ages = write_ages(tmp_path / "ages")
    options = {"target": "value", "output_dir": tmp_path / "out", "dataset_dir": ages}
    training = {"fold": "all", "batch_size": 2, "num_workers": 0, "max_epochs": 2, "learning_rate": 1e-4}
    run(VOLUME, "train.json", **training, **options)
    first, second = (one["metrics"]["val_absolute_error"] for one in read_history(tmp_path / "out" / "history.jsonl"))
    assert 50 < second < first < 70  # it hardly learns in two epochs
    last = torch.load(tmp_path / "out" / "models" / "last.pt", weights_only=True)["network"]
    best = torch.load(tmp_path / "out" / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(last[name], best[name]) for name in best)
    run(VOLUME, "evaluate.json", fold="all", ckpt_path=tmp_path / "out" / "models" / "model.pt", **options)
    with (tmp_path / "out" / "predictions.csv").open() as table:
        assert [float(row["label"]) for row in csv.DictReader(table)] == pytest.approx([41.2, 63.5, 50, 77.75])


@pytest.mark.slow
def test_a_volume_is_preprocessed_once(data, tmp_path, monkeypatch):
    loaded, load = [], nib.load
    monkeypatch.setattr(nib, "load", lambda path, **options: loaded.append(path) or load(path, **options))
    options = {"dataset_dir": data[VOLUME][0], "output_dir": tmp_path / "out", "num_workers": 0, "batch_size": 3}
    run(VOLUME, "train.json", max_epochs=2, **options)
    assert len(loaded) == len(set(map(str, loaded))) == 8
    make(VOLUME, "train.json", **options).initialize()
    assert len(loaded) == 8


def test_volumes_are_validated_by_more_than_accuracy(trained):
    bundle, output, _ = trained
    metrics = set(read_history(output / "history.jsonl")[-1]["metrics"])
    more = {"val_balanced_accuracy", "val_roc_auc"} if bundle == VOLUME else {"val_absolute_error"}
    assert more <= metrics


def test_pictures_are_no_volumes(tmp_path):
    parser = make(VOLUME, "inference.json", dataset_dir=write_ages(tmp_path / "ages"), output_dir=tmp_path).parser
    assert [item["name"] for item in parser.get_parsed_content("images")] == [f"case_{number}" for number in range(4)]


@pytest.mark.parametrize("output", ["predictions", "."])
def test_evidence_of_an_earlier_run_is_not_classified(data, tmp_path, output):
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / output / "evidence").mkdir(parents=True)
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / output / "evidence" / "a.png")
    parser = make(ULTRAMNIST, "inference.json", dataset_dir=tmp_path, output_dir=tmp_path / output).parser
    assert [item["image"] for item in parser.get_parsed_content("images")] == [str(tmp_path / "a.png")]


def test_a_vit_learns_its_positions_for_the_bundles_patch():
    small = {"hidden_size": 24, "mlp_dim": 16, "num_layers": 1, "num_heads": 2}
    config = ConfigParser.load_config_file(configs(PANDA) / "inference.json")
    parser = ConfigParser({**config, "backbone": "vit", "backbone_options": small, "latent_dim": 8})
    embedding = parser.get_parsed_content("network_def").encoder.patch_embedding.position_embeddings
    assert embedding.shape == (1, (256 // 16) ** 2, 24)


def test_white_beyond_the_border_is_white_for_images_of_any_bits(tmp_path):
    parser = make(PANDA, "inference.json", dataset_dir=tmp_path, output_dir=tmp_path).parser
    assert parser.get_parsed_content("network_def").padding == 1
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 8), np.uint16))
    image = parser.get_parsed_content("preprocessing")({"image": str(tmp_path / "a.npy")})["image"]
    assert image.read([(slice(8, 9), slice(0, 1))]).flatten().tolist() == [65535] * 3


def test_the_extra_for_slides_installs_what_the_metadata_lists():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extra = {line.partition(">=")[0] for line in setup["options.extras_require"]["slides"].split()}
    metadata = json.loads(RENDERED[PANDA]["configs/metadata.json"])
    assert extra == {"imagecodecs", "openslide-bin", "openslide-python", "tifffile"}
    assert extra <= set(metadata["required_packages_version"])


@every_bundle
def test_every_command_of_the_card_names_the_data(bundle):
    block = RENDERED[bundle]["docs/README.md"].split("```bash\n")[1].split("```")[0].replace("\\\n", " ")
    commands = [line for line in block.splitlines() if "monai.bundle run" in line]
    assert len(commands) >= 7
    assert [line for line in commands if "--dataset_dir /data/" not in line] == []


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"sampling": 0}, "sampling must be the share of an image's cells in a chunk, above 0"),
        ({"sampling": 1.5}, "sampling must be the share of an image's cells in a chunk, above 0"),
        ({"inner_steps": 0}, "inner_steps must be an integer of at least 1, got 0"),
        ({"accumulation": 0}, "accumulation must be an integer of at least 1, got 0"),
        ({"patch_size": [96, 96]}, "patch_size must not be larger than image_size on any axis, got 96x96 for 64x64"),
        ({"patch_size": [24, 32]}, "patch_size must be a multiple of total_stride on every axis, got 24 on axis 0"),
        ({"head": "max"}, "head must be one of conv, conv_pooled, attention, mean, sum, got 'max'"),
        ({"backbone": "vgg"}, "backbone must be one of"),
        ({"learning_rate": -1}, "learning_rate must be a finite number above 0, got -1"),
        ({"class_weights": [1.0]}, "class_weights must be a list of 28 numbers, one per class, got [1.0]"),
        ({"exact": "perhaps"}, "exact must be True or False, got 'perhaps'"),
        ({"curriculum": "performance"}, "curriculum performance changes the number of patches per batch"),
        ({"head": "conv", "curriculum": "pgps"}, "curriculum pgps changes the grid, and the head conv takes one grid"),
        ({"head": "conv", "image_size": None}, "the head conv needs image_size"),
        ({"mirror_axes": [2]}, "mirror_axes must be a list of different axes of [0, 1], got [2]"),
        ({"skip_background": "perhaps"}, "skip_background must be True or False, got 'perhaps'"),
        (
            {"skip_background": True, "backbone": "resnet18", "backbone_options": {}},
            "skip_background is not exact for an encoder with BatchNorm2d in training mode: a ResNet takes",
        ),
        ({"rotate90": "often"}, "rotate90 must be True or False, got 'often'"),
        ({"rotate90": True, "image_size": [64, 96]}, "image_size of UltraMNIST must have as many rows as"),
        ({"dataset_dir": "absent"}, "absent: no such folder"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_line_and_writes_nothing(settings, fault, line_of, tmp_path):
    options = {**GENERATED, "batch_size": 7, "max_epochs": 3, "num_workers": 0, **settings}
    assert line_of(ULTRAMNIST, "train.json", output_dir=tmp_path / "out", **options).startswith(f"error: {fault}")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def slides(tmp_path):
    """Six slides of a test's own."""
    return write_phantom_slides(tmp_path / "slides", num_slides=6, size=72)


def train_on(slides, line_of, **settings):
    options = {"num_workers": 0, "fold": "all", "batch_size": 2, "max_epochs": 2, **settings}
    return line_of(PANDA, "train.json", dataset_dir=slides, output_dir=slides.parent / "out", **options)


def test_a_missing_slide_is_one_line(slides, line_of):
    (slides / "train_images" / "phantom_0_72_003.tiff").unlink()
    assert train_on(slides, line_of).startswith(
        f"error: {slides}/train.csv: line 5: no image {slides}/train_images/phantom_0_72_003"
    )
    assert not (slides.parent / "out").exists()


def test_a_grade_out_of_range_is_one_line(slides, line_of):
    text = (slides / "train.csv").read_text()
    (slides / "train.csv").write_text(text.replace("phantom_0_72_003,phantom,3", "phantom_0_72_003,phantom,7"))
    assert train_on(slides, line_of) == (
        f"error: {slides}/train.csv: line 5: a label must be a whole number from 0 to 5, got '7'"
    )


def test_an_image_smaller_than_the_patch_is_one_line(slides, line_of):
    line = train_on(slides, line_of, patch_size=[96, 96], allow_smaller=False)
    assert line.startswith(f"error: {slides}/train_images/phantom_0_72_000.tiff: ")
    assert "smaller than the patch of 96x96: take a smaller patch_size, or allow_smaller=True" in line


def damage(slides):
    """Overwrite the last tile of a slide's file."""
    file = slides / "train_images" / "phantom_0_72_001.tiff"
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        start, length = page.dataoffsets[-1], page.databytecounts[-1]
    with file.open("r+b") as content:
        content.seek(start)
        content.write(bytes(length))
    return file


def test_a_corrupt_tile_is_found_before_the_first_step(slides, line_of):
    file = damage(slides)
    assert train_on(slides, line_of, verify_tiles=True).startswith(f"error: {file}: ")
    assert not (slides.parent / "out").exists()


def test_a_corrupt_tile_in_training_is_one_line(slides, line_of):
    file = damage(slides)
    assert train_on(slides, line_of).startswith(f"error: {file}: ")


@pytest.mark.parametrize("threshold", [0, "white"])
def test_a_threshold_that_is_none_is_one_line(threshold, slides, line_of):
    line = train_on(slides, line_of, background_threshold=threshold)
    assert line == f"error: background_threshold must be a finite number above 0, got {threshold!r}"


def test_a_broken_volume_is_one_line(line_of, tmp_path):
    volumes = write_volumes(tmp_path / "volumes")
    file = volumes / "dark" / "case_2.nii.gz"
    file.write_bytes(file.read_bytes()[:-500])
    line = line_of(VOLUME, "train.json", dataset_dir=volumes, output_dir=tmp_path / "out", num_workers=0, batch_size=2)
    assert line.startswith(f"error: {file}: can't be read (")
