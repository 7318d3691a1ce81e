"""Label maps of logits: the classes of MONAI's AsDiscrete, in the map's own memory."""

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import AsDiscrete
from torch.utils._python_dispatch import TorchDispatchMode

from monai_patchgrow.transforms import LabelMapd, label_maps
from monai_patchgrow.transforms.label_maps import label_map


class LargestResult(TorchDispatchMode):
    """Notes the bytes of the largest tensor that an operation makes, views among them left out."""

    def __init__(self):
        super().__init__()
        self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and not func.is_view and not func._schema.is_mutable:
            self.most = max(self.most, result.nbytes)
        return result


@pytest.mark.parametrize("shape", [(2, 7), (3, 5, 6), (4, 9, 5, 3)], ids=str)
def test_classes_are_those_of_as_discrete(shape, monkeypatch):
    monkeypatch.setattr(label_maps, "_VOXELS", 16)
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0)).round()  # with ties
    assert label_map(logits).equal(AsDiscrete(argmax=True)(logits).as_tensor().to(torch.uint8))


@pytest.mark.parametrize(("classes", "dtype"), [(256, torch.uint8), (257, torch.int32)])
def test_the_dtype_holds_all_classes(classes, dtype):
    logits = torch.zeros(classes, 2)
    logits[-1, 1] = 1
    labels = label_map(logits)
    assert labels.dtype == dtype
    assert labels.tolist() == [[0, classes - 1]]


def test_no_copy_is_larger_than_the_map(monkeypatch):
    monkeypatch.setattr(label_maps, "_VOXELS", 100)
    logits = torch.randn(5, 20, 10, 10)
    with LargestResult() as seen:
        label_map(logits)
    assert seen.most == 2000  # bytes of 2000 voxels


def test_metadata_is_kept():
    logits = MetaTensor(torch.randn(2, 4, 4, 4), affine=2 * torch.eye(4))
    assert LabelMapd("pred")({"pred": logits})["pred"].affine[0, 0] == 2


# regions


def test_each_region_is_written_where_its_sigmoid_is_above_a_half_over_those_before():
    probabilities = torch.tensor([[0.2, 0.51, 0.9, 0.4, 0.5], [0.1, 0.4, 0.6, 0.8, 0.5]])
    assert label_map(torch.logit(probabilities), [2, 1]).tolist() == [[0, 2, 1, 1, 0]]


def test_regions_in_a_pipeline_keep_their_metadata():
    logits = MetaTensor(torch.ones(2, 4, 4, 4), affine=2 * torch.eye(4))
    labels = LabelMapd("pred", regions_class_order=[1, 3])({"pred": logits})["pred"]
    assert labels.unique().tolist() == [3] and labels.affine[0, 0] == 2 and labels.dtype == torch.uint8


def test_an_order_of_other_regions_is_refused():
    with pytest.raises(
        ValueError, match=r"^regions_class_order must have a value for each of the 3 logits, got \[1\]$"
    ):
        label_map(torch.zeros(3, 4), [1])
