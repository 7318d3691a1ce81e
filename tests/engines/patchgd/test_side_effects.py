"""What no list of modules shows rules one head pass out as well: buffers that move, norms that come twice, and such."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from monai_patchgrow.engines.patchgd import patchgd_pass
from monai_patchgrow.engines.patchgd.side_effects import statistics_moved_as_by

FILL = [[0, 1], [2, 3]]


class TwiceNormed(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.output = nn.BatchNorm2d(3), nn.Linear(12, 3)

    def forward(self, z):
        return self.output(self.norm(self.norm(z).sin()).flatten(1))


class GhostNorm(nn.Module):
    """Latents that depend on the other patches of their chunk, without any norm of torch's."""

    def forward(self, latents):
        return latents - latents.mean(0)


def take_pass(encoder, head, **options):
    network = nn.ModuleDict({"encoder": encoder, "head": head})
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    said = []
    torch.manual_seed(0)
    losses, _ = patchgd_pass(
        **network,
        loss_function=nn.CrossEntropyLoss(),
        images=torch.randn(3, 1, 4, 4),
        target=torch.arange(3),
        patch_size=(2, 2),
        step=lambda: (optimizer.step(), optimizer.zero_grad()),
        on_event=lambda event, state: said.append(state.why_stepwise),
        **{"fill_chunks": FILL, "inner_chunks": FILL[::-1], "accumulation": 2, **options},
    )
    return losses, said[-1], network.state_dict()


def make_encoder(*more):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), *more)


def make_head(kind):
    torch.manual_seed(0)
    if kind == "twice":
        return TwiceNormed()
    return nn.Sequential(nn.Flatten(), spectral_norm(nn.Linear(12, 3)))


@pytest.mark.parametrize(
    ("kind", "why"), [("spectral", "the head moves buffers"), ("twice", "the head passes a norm more than once")]
)
def test_a_head_that_each_pass_changes_takes_the_steps(kind, why):
    losses, said, weights = take_pass(make_encoder(), make_head(kind))
    assert (len(losses), said) == (2, why)
    _, _, expected = take_pass(make_encoder(), make_head(kind), exact=False)
    assert all(torch.equal(weights[name], expected[name]) for name in weights)
    with pytest.raises(
        ValueError, match=f"exact=True needs one head pass to be the same as the inner steps, but {why}"
    ):
        take_pass(make_encoder(), make_head(kind), exact=True)


def test_latents_that_depend_on_their_chunk_are_found_out():
    head = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    others = {"inner_chunks": [[0, 2], [1, 3]]}
    with pytest.warns(UserWarning, match=r"latents of a patch are \d+ % apart .*: take exact=False"):
        take_pass(make_encoder(GhostNorm()), head, **others)
    with pytest.raises(ValueError, match="so one head pass isn't the same as the inner steps: take exact=False"):
        take_pass(make_encoder(GhostNorm()), head, exact=True, **others)
    take_pass(make_encoder(GhostNorm()), head, exact=True)  # the same chunks as the fill's


def test_statistics_that_torch_leaves_alone_stay():
    norm = nn.InstanceNorm1d(1, track_running_stats=True, momentum=None)
    with statistics_moved_as_by(norm, 4):
        norm(torch.randn(2, 1, 3))
    assert norm.running_mean.tolist() == [0.0]
    assert norm.momentum is None


def test_an_encoder_without_parameters_computes_in_the_images_type():
    head = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).double()
    losses, latent = patchgd_pass(
        encoder=lambda patches: patches.flatten(1),
        head=head,
        loss_function=nn.CrossEntropyLoss(),
        images=torch.randn(3, 1, 4, 4, dtype=torch.float64),
        target=torch.arange(3),
        patch_size=(2, 2),
        fill_chunks=FILL,
        inner_chunks=FILL,
        accumulation=2,
        step=lambda: None,
    )
    assert losses[0].dtype == latent.dtype == torch.float64


def test_the_border_is_padded_with_the_value_that_is_asked_for():
    _, latent = patchgd_pass(
        encoder=lambda patches: patches.flatten(1),
        head=nn.Sequential(nn.Flatten(), nn.Linear(4, 3)),
        loss_function=nn.CrossEntropyLoss(),
        images=torch.ones(1, 1, 3),
        target=torch.tensor([0]),
        patch_size=(2,),
        fill_chunks=[[0, 1]],
        inner_chunks=[[0, 1]],
        accumulation=1,
        step=lambda: None,
        padding=7,
    )
    assert latent.tolist() == [[[1.0, 1.0], [1.0, 7.0]]]
