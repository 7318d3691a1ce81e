"""The heads of PatchGD: the paper's parameter counts, any grid, and cells that an image doesn't have."""

import pytest
import torch

from monai_patchgrow.networks import AttentionPoolingHead, ConvHead, MeanPoolingHead

OWN = (5, 3)  # cells of an image that lies in a grid of 6 x 7
POOLED = {
    "conv": lambda: ConvHead(6, 4, pooled=True, channels=8),
    "conv, layer norm": lambda: ConvHead(6, 4, pooled=True, channels=8, norm="layer"),
    "attention": lambda: AttentionPoolingHead(6, 4, hidden_dim=5),
    "mean": lambda: MeanPoolingHead(6, 4),
}
every_pooled = pytest.mark.parametrize("name", POOLED)


def pooled_head(name, *, training=False):
    torch.manual_seed(0)
    return POOLED[name]().double().train(training)


def padded_latent(*, filling=0.0):
    """Two latents in one grid; the second image has but 5 x 3 cells."""
    torch.manual_seed(1)
    latent = torch.randn(2, 6, 6, 7, dtype=torch.double)
    mask = torch.ones(2, 6, 7, dtype=torch.bool)
    mask[1] = False
    mask[1, : OWN[0], : OWN[1]] = True
    return latent.masked_fill(~mask[:, None], filling), mask


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({}, 2_372_618),
        ({"num_same": 0}, 1_782_026),
        ({"num_strided": 4}, 2_955_530),
        ({"channels": 128}, 743_946),
        ({"channels": 512}, 8_284_170),
    ],
)
def test_the_paper_s_heads(options, parameters):
    assert count(ConvHead(256, 10, grid_shape=(16, 16), **options)) == parameters


@pytest.mark.parametrize(
    ("grid", "inputs"),
    [((16, 16), 1024), ((16,), 512), ((8, 8, 8), 256), ((5, 17), 768), ((1, 1), 256)],
)
def test_what_is_left_of_the_grid_goes_into_the_linear_layer(grid, inputs):
    assert ConvHead(8, 2, grid_shape=grid).output.in_features == inputs


@pytest.mark.parametrize("grid", [(9,), (5, 17), (4, 2, 3)])
def test_logits_in_every_dimension(grid):
    head = ConvHead(6, 4, grid_shape=grid, channels=8)
    assert head(torch.rand(3, 6, *grid)).shape == (3, 4)


@pytest.mark.parametrize("grid", [(9,), (5, 17), (4, 2, 3)])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_a_pooled_head_in_every_dimension(grid, norm):
    head = ConvHead(6, 4, pooled=True, spatial_dims=len(grid), channels=8, norm=norm)
    assert head(torch.rand(3, 6, *grid), torch.rand(3, *grid) > 0.2).shape == (3, 4)


def test_each_convolution_is_followed_by_relu_norm_and_channel_dropout():
    block = ConvHead(6, 4, grid_shape=(4, 4), channels=8, num_same=1, num_strided=0).eval().blocks[0]
    torch.nn.init.constant_(block.convolution.weight, 0.0)
    torch.nn.init.constant_(block.convolution.bias, -1.0)
    torch.nn.init.constant_(block.norm.running_mean, 0.5)
    torch.nn.init.constant_(block.norm.running_var, 0.25)
    features, _ = block(torch.rand(1, 6, 4, 4), None)
    assert features.unique().tolist() == [pytest.approx(-1.0, abs=1e-4)]
    assert (type(block.dropout).__name__, block.dropout.p) == ("Dropout2d", 0.2)


def test_every_parameter_gets_a_gradient():
    for name in POOLED:
        head, (latent, mask) = pooled_head(name, training=True), padded_latent()
        head(latent, mask).square().sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters()), name


@every_pooled
def test_logits_of_a_smaller_image_are_those_that_it_has_alone(name):
    head, (latent, mask) = pooled_head(name), padded_latent()
    alone = head(latent[1:, :, : OWN[0], : OWN[1]])
    assert torch.allclose(head(latent, mask)[1:], alone, rtol=0, atol=1e-12)


@every_pooled
@pytest.mark.parametrize("training", [True, False])
def test_what_padded_cells_hold_never_matters(name, training):
    head = pooled_head(name, training=training)
    logits = []
    for filling in (0.0, 1e6, float("nan")):
        torch.manual_seed(2)
        logits.append(head(*padded_latent(filling=filling)))
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2])


@every_pooled
def test_padded_cells_get_no_gradient(name):
    head, (latent, mask) = pooled_head(name, training=True), padded_latent()
    latent.requires_grad_()
    head(latent, mask).square().sum().backward()
    assert latent.grad.masked_select(~mask[:, None]).unique().tolist() == [0.0]
    assert (latent.grad.abs().sum(1)[mask] > 0).all()


@every_pooled
def test_a_full_mask_is_no_mask(name):
    head, (latent, mask) = pooled_head(name, training=True), padded_latent()
    torch.manual_seed(2)
    plain = head(latent)
    torch.manual_seed(2)
    assert torch.allclose(head(latent, torch.ones_like(mask)), plain, rtol=0, atol=1e-12)


def test_batch_norm_counts_the_images_own_cells_only():
    head = ConvHead(6, 4, pooled=True, channels=8, num_same=1, num_strided=0, dropout=0.0).double()
    torch.nn.init.constant_(head.blocks[0].convolution.weight, 0.0)
    torch.nn.init.constant_(head.blocks[0].convolution.bias, 2.0)
    head(*padded_latent())
    assert head.blocks[0].norm.running_mean.unique().tolist() == [pytest.approx(0.2, abs=1e-12)]


@every_pooled
def test_gradients_in_float64(name):
    head, (latent, mask) = pooled_head(name), padded_latent()
    corner, own = latent[:, :, :3, :4].clone().requires_grad_(), mask[:, :3, :4]
    assert torch.autograd.gradcheck(lambda cells: head(cells, own), corner)


@every_pooled
def test_an_image_without_cells_gives_no_nan(name):
    head, (latent, mask) = pooled_head(name), padded_latent()
    mask[1] = False
    assert head(latent, mask).isfinite().all()


def test_who_takes_a_mask():
    assert ConvHead(6, 4, grid_shape=(4, 4)).takes_mask is False
    assert [POOLED[name]().takes_mask for name in POOLED] == [True] * 4


def test_one_image_trains_with_layer_norm():
    head = ConvHead(6, 4, pooled=True, channels=8, norm="layer")
    assert head(torch.rand(1, 6, 2, 2)).isfinite().all()


def test_refusals():
    with pytest.raises(ValueError, match=r"needs grid_shape, .* or pooled=True"):
        ConvHead(6, 4)
    with pytest.raises(ValueError, match=r"a grid of \(4, 4\) cells, got \(4, 5\): pooled=True"):
        ConvHead(6, 4, grid_shape=(4, 4))(torch.rand(2, 6, 4, 5))
    with pytest.raises(ValueError, match="can't leave cells out by a mask"):
        ConvHead(6, 4, grid_shape=(4, 4))(torch.rand(2, 6, 4, 4), torch.ones(2, 4, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r'one value per channel in training: .* norm="layer"'):
        ConvHead(6, 4, grid_shape=(4, 4))(torch.rand(1, 6, 4, 4))
    with pytest.raises(ValueError, match='norm must be "batch" or "layer", got \'group\''):
        ConvHead(6, 4, grid_shape=(4, 4), norm="group")
