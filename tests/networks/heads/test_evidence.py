"""Evidence per cell: gradient times latent, and nothing of it left in the head."""

import numpy as np
import pytest
import torch

from monai_patchgrow.networks import AttentionPoolingHead, ConvHead, MeanPoolingHead, cell_evidence


def mean_head():
    head = MeanPoolingHead(2, 2).double()
    with torch.no_grad():
        head.output.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, -4.0]]))
    return head


LATENT = torch.tensor([[[3.0, 0.0], [1.0, 5.0]]], dtype=torch.double)  # two features of two cells


def test_contributions_by_hand():
    assert cell_evidence(mean_head(), LATENT, None, 0).tolist() == [[2.5, 5.0]]
    assert cell_evidence(mean_head(), LATENT, None, 1).tolist() == [[-2.0, -10.0]]


def test_cells_that_an_image_lacks_speak_for_nothing():
    mask = torch.tensor([[True, False]])
    assert cell_evidence(mean_head(), LATENT, mask, 0).tolist() == [[5.0, 0.0]]


def test_a_class_per_image():
    both = LATENT.repeat(2, 1, 1)
    assert cell_evidence(mean_head(), both, None, torch.tensor([1, 0])).tolist() == [[-2.0, -10.0], [2.5, 5.0]]


@pytest.mark.parametrize("class_index", [np.int64(1), torch.tensor(1), torch.tensor([1])])
def test_a_class_as_any_whole_number(class_index):
    assert cell_evidence(mean_head(), LATENT, None, class_index).tolist() == [[-2.0, -10.0]]


def test_without_a_class_the_logits_are_added_up():
    assert cell_evidence(mean_head(), LATENT, None, None).tolist() == [[0.5, -5.0]]


def test_contributions_to_a_linear_head_add_up_to_the_logit():
    head, latent = MeanPoolingHead(6, 3).double(), torch.randn(2, 6, 4, 5, dtype=torch.double)
    expected = head(latent)[:, 2] - head.output.bias[2]
    assert torch.allclose(cell_evidence(head, latent, None, 2).sum((1, 2)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("grid", [(5,), (4, 3), (2, 3, 4)])
def test_every_head_and_dimension(grid):
    heads = [
        ConvHead(6, 3, grid_shape=grid, channels=8),
        ConvHead(6, 3, pooled=True, spatial_dims=len(grid), channels=8),
        AttentionPoolingHead(6, 3),
    ]
    for head in heads:
        evidence = cell_evidence(head, torch.randn(2, 6, *grid), None, 0)
        assert evidence.shape == (2, *grid)
        assert evidence.isfinite().all()


def test_the_head_is_left_as_it_was():
    head = ConvHead(6, 3, grid_shape=(4, 4), channels=8)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    latent = torch.randn(2, 6, 4, 4)
    first, second = (cell_evidence(head, latent, None, 0) for _ in range(2))
    assert torch.equal(first, second)
    assert head.training
    assert all(parameter.grad is None for parameter in head.parameters())
    assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())
    assert not latent.requires_grad


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_within_an_evaluator_s_modes(mode):
    head = mean_head()
    with mode():
        latent = LATENT.clone()
        evidence = cell_evidence(head, latent, torch.tensor([[True, True]]), torch.tensor([0]))
    assert evidence.tolist() == [[2.5, 5.0]]
