"""Attention pooling: weights of cells that add up to one, in any order and number."""

import pytest
import torch

from monai_patchgrow.networks import AttentionPoolingHead


def head_with_weights():
    """A head of one feature whose scores are tanh(z) * sigmoid(0) = tanh(z) / 2, and whose logit is the pooled z."""
    head = AttentionPoolingHead(1, 1, hidden_dim=1).double()
    for parameter, value in zip(head.parameters(), (1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0), strict=True):
        torch.nn.init.constant_(parameter, value)
    return head


def test_weights_and_logit_by_hand():
    # Scores 0, 0.380797 and -0.380797; their exponentials 1, 1.463450 and 0.683317 add up to 3.146767.
    latent = torch.tensor([[[0.0, 1.0, -1.0]]], dtype=torch.double)
    head = head_with_weights()
    assert head.attention(latent)[0].tolist() == pytest.approx([0.317786, 0.465065, 0.217149], abs=1e-6)
    assert head(latent).item() == pytest.approx(0.247916, abs=1e-6)


def test_weights_add_up_to_one_over_an_image_s_own_cells():
    mask = torch.zeros(2, 4, 5, dtype=torch.bool)
    mask[0], mask[1, :2, :3] = True, True
    weights = AttentionPoolingHead(6, 3).attention(torch.randn(2, 6, 4, 5), mask)
    assert weights.shape == (2, 4, 5)
    assert weights.sum((1, 2)).tolist() == [pytest.approx(1.0, abs=1e-5)] * 2
    assert weights[~mask].unique().tolist() == [0.0]
    assert (weights[mask] > 0).all()


def test_the_order_of_the_cells_does_not_matter():
    head, latent = AttentionPoolingHead(6, 3).double(), torch.randn(2, 6, 12, dtype=torch.double)
    assert torch.allclose(head(latent), head(latent.flip(2).unflatten(2, (3, 4))), rtol=0, atol=1e-12)


def test_a_single_cell_has_all_the_weight():
    assert AttentionPoolingHead(6, 3).attention(torch.randn(2, 6, 1, 1)).flatten().tolist() == [1.0, 1.0]


def test_without_the_gate_there_are_fewer_parameters():
    sizes = [
        sum(parameter.numel() for parameter in AttentionPoolingHead(256, 10, gated=gated).parameters())
        for gated in (True, False)
    ]
    assert sizes == [68_490, 35_594]


def test_half_precision_masks_without_overflow():
    head, mask = AttentionPoolingHead(6, 3), torch.ones(2, 4, dtype=torch.bool)
    mask[1, 2:] = False
    with torch.autocast("cpu", dtype=torch.bfloat16):
        weights = head.attention(torch.randn(2, 6, 4), mask)
    assert weights[1, 2:].tolist() == [0.0, 0.0]
