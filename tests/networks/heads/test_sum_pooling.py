"""The head that adds up an image's cells."""

import torch

from monai_patchgrow.networks import SumPoolingHead


def test_twice_the_cells_count_twice():
    head = SumPoolingHead(4, 2)
    cells = torch.rand(1, 4, 3)
    once, twice = head(cells) - head.output.bias, head(cells.repeat(1, 1, 2)) - head.output.bias
    torch.testing.assert_close(twice, 2 * once)


def test_cells_out_of_the_mask_do_not_count():
    head, latent = SumPoolingHead(2, 1), torch.rand(1, 2, 3)
    broken = latent.clone()
    broken[..., 2] = torch.nan
    torch.testing.assert_close(head(broken, torch.tensor([[True, True, False]])), head(latent[..., :2]))


def test_the_scale():
    head = SumPoolingHead(1, 1, scale=0.5)
    torch.nn.init.ones_(head.output.weight)
    torch.nn.init.zeros_(head.output.bias)
    assert head(torch.tensor([[[1.0, 2.0]]])).item() == 1.5
