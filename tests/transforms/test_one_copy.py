"""sent_together: many small tensors in one copy per dtype."""

import torch

from monai_patchgrow.transforms.one_copy import sent_together
from tests.support.two_devices import GPU, TwoDevices


def test_they_arrive_as_they_were_by_one_copy_per_dtype(monkeypatch):
    tensors = [torch.arange(3), torch.rand(2, 1), torch.empty(0, dtype=torch.long), torch.rand(4, 3), torch.arange(1)]
    copies = []

    def pin(tensor):
        copies.append(tensor.dtype)
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    with TwoDevices():
        sent = sent_together(tensors, GPU)
        assert all(one.device == GPU for one in sent)
    assert all(torch.equal(one, other) for one, other in zip(sent, tensors, strict=True))
    assert sorted(map(str, copies)) == ["torch.float32", "torch.int64"]


def test_on_the_cpu_nothing_is_copied():
    tensors = [torch.arange(3), torch.rand(2)]
    assert [one.data_ptr() for one in sent_together(tensors, torch.device("cpu"))] == [
        one.data_ptr() for one in tensors
    ]
