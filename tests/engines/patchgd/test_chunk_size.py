"""chunk_size: a chunk encoded part by part gives what it gives as a whole, and holds no more patches at a time."""

import pytest
import torch
from torch import nn

from monai_patchgrow.engines.patchgd import patchgd_pass

pytestmark = pytest.mark.usefixtures("double_precision")

FILL = [[5, 0, 7], [3, 1, 8], [2, 4, 6]]
IMAGES = (2, 1, 6, 6)
BATCH = {
    "target": torch.tensor([0, 2]),
    "fill_chunks": FILL,
    "inner_chunks": [FILL[1], FILL[2], FILL[0]],
    "accumulation": 3,
}


def make_network(*, norm=None, dropout=0.0):
    torch.manual_seed(0)
    norm = norm or nn.Identity()
    encoder = nn.Sequential(nn.Conv2d(1, 4, 2), norm, nn.Dropout(dropout), nn.Tanh(), nn.Flatten(), nn.Linear(4, 3))
    head = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(36, 3))
    return nn.ModuleDict({"encoder": encoder, "head": head})


def take_pass(network, *, seen=None, **options):
    """Losses, Z and the weights and buffers after one pass."""
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    if seen is not None:
        network["encoder"].register_forward_pre_hook(
            lambda module, inputs: seen.append((len(inputs[0]), torch.is_grad_enabled()))
        )
    losses, latent = patchgd_pass(
        encoder=network["encoder"],
        head=network["head"],
        loss_function=nn.CrossEntropyLoss(),
        patch_size=(2, 2),
        step=lambda: (optimizer.step(), optimizer.zero_grad()),
        **{**BATCH, "images": torch.randn(IMAGES), **options},
    )
    return torch.stack(losses), latent, network.state_dict()


@pytest.mark.parametrize("options", [{}, {"exact": False}, {"accumulation": 1}, {"true_gradient": True}])
@pytest.mark.parametrize("chunk_size", [1, 4, 5, 6, 100])
def test_parts_give_what_the_whole_chunk_gives(options, chunk_size):
    whole, parts = take_pass(make_network(), **options), take_pass(make_network(), chunk_size=chunk_size, **options)
    assert torch.allclose(whole[0], parts[0], atol=1e-12)
    assert torch.allclose(whole[1], parts[1], atol=1e-12)
    assert all(torch.allclose(whole[2][name], parts[2][name], atol=1e-12) for name in whole[2])


@pytest.mark.parametrize(("exact", "times"), [(None, 2), (False, 3)])  # in steps, once more on the way back
def test_no_more_patches_are_encoded_at_a_time(exact, times):
    seen = []
    take_pass(make_network(), seen=seen, exact=exact, chunk_size=4)
    assert seen[:6] == [(4, False), (2, False)] * 3
    assert sorted(size for size, _ in seen) == [2] * 3 * times + [4] * 3 * times


@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_sees_the_parts_and_both_variants_agree(momentum):
    options = {"chunk_size": 4}
    runs = [
        take_pass(make_network(norm=nn.BatchNorm2d(4, momentum=momentum)), exact=exact, **options)
        for exact in (True, False)
    ]
    assert torch.allclose(runs[0][0].expand(3), runs[1][0], atol=1e-12)
    assert all(torch.allclose(runs[0][2][name], runs[1][2][name], atol=1e-12) for name in runs[0][2])
    assert runs[0][2]["encoder.1.num_batches_tracked"] == 6
    whole = take_pass(make_network(norm=nn.BatchNorm2d(4)))
    assert not torch.allclose(whole[1], runs[0][1])


def test_batch_norm_on_a_single_patch_is_one_line():
    message = "batch norm can't train on 1 patch of 2x2: take a larger sampling, chunk_size, batch or patch, or another"
    network = make_network(norm=nn.BatchNorm2d(4))
    with pytest.raises(ValueError, match=message):
        take_pass(network, images=torch.randn(1, 1, 6, 6), target=torch.tensor([0]), chunk_size=1)


def test_random_numbers_that_would_be_others_the_second_time_are_refused():
    message = r"needs an encoder that draws no random numbers, but it has active Dropout\(p=0.5\)"
    with pytest.raises(ValueError, match=message):
        take_pass(make_network(dropout=0.5), chunk_size=4)
    take_pass(make_network(dropout=0.5), chunk_size=6)


def test_random_numbers_that_no_module_shows_are_refused_too():
    network = make_network()
    network["encoder"].register_forward_pre_hook(lambda module, inputs: (inputs[0] + torch.randn(1),))
    with pytest.raises(ValueError, match="but it has active random numbers: take a smaller sampling instead"):
        take_pass(network, chunk_size=4)


def test_a_chunk_size_of_nothing_is_refused():
    with pytest.raises(ValueError, match="chunk_size must be an integer of at least 1, got 0"):
        take_pass(make_network(), chunk_size=0)
