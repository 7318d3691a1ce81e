"""A GPU with too little memory: results stitched on the CPU, postprocessing that goes there, checks without copies."""

import json
import runpy
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import MetaTensor
from torch.utils._python_dispatch import TorchDispatchMode
from two_devices import TwoDevices

BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_segmentation_patchgrow"
ENSEMBLE, EVALUATION, MEMORY, PREDICT = (
    runpy.run_path(str(BUNDLE / "scripts" / f"{name}.py")) for name in ("ensemble", "evaluation", "memory", "predict")
)
FULL = "CUDA out of memory. Tried to allocate 20.00 MiB"
SHAPE = (12, 10, 8)
LIBRARIES = [
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous input.",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA error: out of memory",
    "GET was unable to find an engine to execute this computation",
]


def parsed(config, *names, **overrides):
    """Parts of a config of the bundle."""
    parser = ConfigParser(ConfigParser.load_config_file(BUNDLE / "configs" / config))
    parser.update({"bundle_root": str(BUNDLE), **overrides})
    return [parser.get_parsed_content(name) for name in names]


class FullOnce:
    """A transform, or a network, that finds no memory at its first call; then it returns its input."""

    def __init__(self, error=None):
        self.error = error or torch.cuda.OutOfMemoryError(FULL)

    def __call__(self, data):
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return data


class LargestResult(TorchDispatchMode):
    """Notes the bytes of the largest tensor that an operation makes."""

    def __init__(self):
        super().__init__()
        self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = [one for one in (result if isinstance(result, tuple) else [result]) if isinstance(one, torch.Tensor)]
        self.most = max([self.most, *(0 if func.is_view else one.nbytes for one in made)])
        return result


@pytest.fixture(scope="module")
def logits():
    return torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))


# devices


def test_training_validates_a_result_that_was_stitched_on_the_cpu(logits):
    steps, metrics = parsed("train.json", "validate#postprocessing", "validate#key_metric")
    metric = metrics["val_mean_dice"]
    with TwoDevices() as devices:
        for pred in (logits, devices.on_gpu(logits.clone())):
            data = steps({"pred": pred, "label": devices.on_gpu(torch.ones(1, *SHAPE, dtype=torch.uint8))})
            metric.update([data["pred"][None], data["label"][None]])
        scores = metric.metric_fn.get_buffer()
    assert scores[0].tolist() == pytest.approx(scores[1].tolist(), nan_ok=True)
    assert 0 < scores[0, 0] < 1


@pytest.mark.filterwarnings("ignore")
def test_evaluation_leaves_a_result_on_the_cpu_there(phantom_task):
    names = ("validate#image_preprocessing", "validate#postprocessing")
    preprocessing, postprocessing = parsed("evaluate.json", *names, device="meta")
    image = preprocessing({"image": str(phantom_task / "imagesTr" / "phantom_003.nii.gz")})["image"]
    logits = MetaTensor(torch.randn(3, *image.shape[1:]))
    data = postprocessing({"image": image, "pred": logits, "label": torch.zeros(1, *image.shape[1:])})
    assert data["pred"].device.type == "cpu"


# where the GPU is full


@pytest.mark.parametrize("text", LIBRARIES)
def test_a_library_s_failed_allocation_is_out_of_memory(text):
    wrapped = RuntimeError("applying transform Invertd")
    wrapped.__cause__ = RuntimeError(text)
    assert MEMORY["is_out_of_memory"](wrapped)


@pytest.mark.parametrize("text", ["cuDNN error: CUDNN_STATUS_BAD_PARAM", "shape mismatch"])
def test_another_error_is_not(text):
    assert not MEMORY["is_out_of_memory"](RuntimeError(text))


@pytest.mark.parametrize("text", LIBRARIES)
def test_inferers_adapt_to_a_library_s_failed_allocation(text, logits):
    class OnCuda(torch.Tensor):
        is_cuda = True

    images = logits[None]
    (of_training,) = parsed("train.json", "validate#inferer", patch_size=[8, 8, 8])
    of_training = of_training(images.as_subclass(OnCuda), FullOnce(RuntimeError(text)))
    torch.testing.assert_close(of_training.as_subclass(torch.Tensor), images)
    (of_others,) = parsed("evaluate.json", "validate#inferer", patch_size=[8, 8, 8])
    of_others = of_others(images.as_subclass(OnCuda), MEMORY["saying_out_of_memory"](FullOnce(RuntimeError(text))))
    torch.testing.assert_close(of_others.as_subclass(torch.Tensor), images)


def predict(folder, steps):
    """Predict an image of noise by the bundle's own steps, with others put in front of the postprocessing."""
    image = folder / "image.nii.gz"
    nib.save(nib.Nifti1Image(np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32), np.eye(4)), image)
    names = ["network_def", "inferer", "preprocessing", "postprocessing"]
    settings = {"patch_size": [16, 16, 16], "features": [4, 4, 8, 8]}
    network, *options = parsed("inference.json", *names, **settings)
    options = dict(zip(names[1:], options, strict=True))
    options["postprocessing"].transforms = (*steps, *options["postprocessing"].transforms)
    items = [{"image": str(image), "name": "image"}]
    return PREDICT["predict"](items, network=network, output_dir=folder / "labels", device="cpu", **options)


@pytest.mark.parametrize("error", [None, RuntimeError(LIBRARIES[0])])
@pytest.mark.filterwarnings("ignore")
def test_prediction_falls_back_to_the_cpu(error, tmp_path):
    assert [path.name for path in predict(tmp_path, [FullOnce(error)])] == ["image.nii.gz"]


@pytest.mark.filterwarnings("ignore")
def test_the_check_of_the_logits_falls_back_too(tmp_path, monkeypatch):
    check, full = MEMORY["is_finite"], FullOnce()
    monkeypatch.setitem(
        PREDICT["predict"].__globals__, "is_finite", lambda values: check(full(values) if len(values) == 3 else values)
    )
    assert len(predict(tmp_path, [])) == 1
    assert full.error is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_no_number_is_found_without_a_copy(value, logits):
    odd = logits.clone()
    odd[1, 2, 3, 4] = value
    sound, odd = MetaTensor(logits), MetaTensor(odd)
    with LargestResult() as seen:
        assert MEMORY["is_finite"](sound)
        assert not MEMORY["is_finite"](odd)
    assert seen.most <= 8


# evaluation


def evaluate(task, **overrides):
    """Evaluate all cases of a phantom task by a tiny network; return its workflow."""
    workflow = ConfigWorkflow(
        str(BUNDLE / "configs" / "evaluate.json"),
        logging_file=False,
        dataset_dir=str(task),
        output_dir=str(task.parent / "eval"),
        ckpt_path=[],
        patch_size=[16, 16, 16],
        features=[4, 4, 8, 8],
        predictor="@network",
        device="cpu",
        labels={"0": "background", "1": "head", "2": "tail"},
        **overrides,
    )
    workflow.initialize()
    return workflow


@pytest.mark.filterwarnings("ignore")
def test_evaluation_falls_back_to_the_cpu(phantom_task, tmp_path):
    task = Path(shutil.copytree(phantom_task, tmp_path / "task"))
    workflow = evaluate(task)
    steps = workflow.parser.get_parsed_content("validate#postprocessing")
    steps.transforms = (FullOnce(), *steps.transforms)
    workflow.run()
    assert len((task.parent / "eval" / "val_mean_dice_raw.csv").read_text().splitlines()) == 3


@pytest.mark.filterwarnings("ignore")
def test_a_case_whose_label_is_of_no_class_is_named(phantom_task, tmp_path, caplog):
    task = Path(shutil.copytree(phantom_task, tmp_path / "task"))
    label = nib.load(task / "labelsTr" / "phantom_007.nii.gz")
    nib.save(nib.Nifti1Image(np.asanyarray(label.dataobj) * 4, label.affine), label.get_filename())
    with pytest.raises(RuntimeError):
        evaluate(task, verify_data=False).run()
    line = "the label must have classes of 0 to 2, got 0 to 8"
    assert f"case phantom_007 failed and is left out: ValueError: {line}" in caplog.messages


# sums


def test_mirrored_logits_of_bfloat16_are_averaged_in_float32():
    class InBfloat16(torch.nn.Module):
        def forward(self, images):
            return images.to(torch.bfloat16)

    images = torch.randn(1, 1, 6, 6, 6, generator=torch.Generator().manual_seed(0)) + 3
    mean = ENSEMBLE["Mirrored"](InBfloat16(), (0, 1, 2))(images)
    assert mean.dtype == torch.float32
    assert mean.equal(images.to(torch.bfloat16).float())  # each of the eight is the same


def test_no_config_of_evaluation_makes_one_hots():
    for name in ("train.json", "evaluate.json"):
        content = json.loads((BUNDLE / "configs" / name).read_text())
        assert "to_onehot" not in json.dumps(content["validate"])
