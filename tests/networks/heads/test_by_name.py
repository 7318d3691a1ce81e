"""Heads by name."""

import pytest
import torch

from monai_patchgrow.networks import classification_head


@pytest.mark.parametrize("name", ["conv_pooled", "attention", "mean", "sum"])
@pytest.mark.parametrize("grid", [(5,), (3, 4), (2, 3, 2)])
def test_heads_of_any_grid(name, grid):
    head = classification_head(name, latent_dim=8, num_outputs=3, spatial_dims=len(grid))
    assert head(torch.rand(2, 8, *grid)).shape == (2, 3)


def test_conv_has_one_grid():
    head = classification_head("conv", latent_dim=8, num_outputs=3, grid_shape=(4, 4), channels=8)
    assert head(torch.rand(2, 8, 4, 4)).shape == (2, 3)


def test_options_reach_the_head():
    assert classification_head("attention", latent_dim=8, num_outputs=3, dropout=0.5).dropout.p == 0.5


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="head must be one of conv, conv_pooled, attention, mean, sum, got 'max'"):
        classification_head("max", latent_dim=8, num_outputs=3)
