"""skip_background: fewer patches are encoded, and losses, Z, gradients and weights are those of encoding all."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

import monai_patchgrow as patchgrow
from monai_patchgrow.data.tiles.source import as_tile_source
from monai_patchgrow.engines.patchgd import fill_latent, patchgd_pass

pytestmark = pytest.mark.usefixtures("double_precision")

_spec = importlib.util.spec_from_file_location("plain", Path(__file__).with_name("plain.py"))
plain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(plain)

PATCH = (4, 4)
FILL = [[11, 2, 7, 0], [9, 5, 1, 4], [8, 3, 6, 10]]


def make_images():
    """Two images of 12 cells: cells 8 to 11 bright; of the first 0 to 7 dark, 5 nearly so; of the second full."""
    images = torch.randint(1, 255, (2, 2, 12, 16), dtype=torch.uint8)
    images[0, :, :8] = 0
    images[0, 0, 5, 6] = 1
    images[:, 0, 8:] = 200
    images[:, 1, 8:] = 210
    return images


class Encoder(nn.Module):
    """An encoder that notes how many patches it gets."""

    def __init__(self, *more):
        super().__init__()
        layers = [nn.Conv2d(2, 4, 2), *more, nn.Tanh(), nn.Flatten(), nn.Linear(36, 5)]
        self.layers, self.counts = nn.Sequential(*layers), []

    def forward(self, patches):
        self.counts.append(len(patches))
        return self.layers(patches)


def make_head():
    return nn.Sequential(nn.Conv2d(5, 6, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(72, 3))


def run_pass(encoder, head, images, **options):
    run = plain.Run(encoder, head)
    task = {"fill_chunks": FILL, "inner_chunks": FILL, "accumulation": 3, "patch_size": PATCH, **options}
    target = torch.arange(len(images))
    losses, latent = patchgd_pass(
        images=images, target=target, loss_function=nn.CrossEntropyLoss(), **run.parts, **task
    )
    return losses, latent, run


@pytest.mark.parametrize(
    "options",
    [{"exact": True}, {"exact": False}, {"accumulation": 1}, {"true_gradient": True}, {"inner_chunks": FILL[1:]}],
    ids=str,
)
def test_a_pass_leaves_the_same_behind(options):
    encoder, head, images = Encoder(), make_head(), make_images()
    off = run_pass(encoder, head, images, **options)
    on = run_pass(encoder, head, images, skip_background=True, **options)
    assert sum(on[2].network["encoder"].counts) < sum(off[2].network["encoder"].counts)
    assert [loss.item() for loss in on[0]] == pytest.approx([loss.item() for loss in off[0]], rel=0, abs=1e-12)
    assert float((on[1] - off[1]).abs().max()) < 1e-12
    assert len(on[2].gradients) == len(off[2].gradients) > 0
    assert all(plain.farthest(*pair) < 1e-12 for pair in zip(on[2].gradients, off[2].gradients, strict=True))
    assert plain.farthest(on[2].network.state_dict(), off[2].network.state_dict()) < 1e-12


def test_of_each_constant_one_patch_is_encoded_per_chunk():
    _, _, run = run_pass(Encoder(), make_head(), make_images(), skip_background=True)
    assert run.network["encoder"].counts == [5, 6, 4] * 2


def test_without_the_option_all_are_encoded():
    _, _, run = run_pass(Encoder(), make_head(), make_images())
    assert run.network["encoder"].counts == [8] * 6


def test_shared_patches_do_not_come_to_the_device():
    seen = []
    run_pass(
        Encoder(),
        make_head(),
        make_images(),
        skip_background=True,
        normalise=lambda patches: (seen.append(len(patches)), patches / 255)[1],
    )
    assert seen == [5, 6, 4] * 2


def test_tile_sources_of_several_sizes_with_padding():
    sources = [as_tile_source(image, padding=255) for image in make_images()]
    sources[1] = as_tile_source(torch.full((2, 7, 9), 255, dtype=torch.uint8), padding=255)
    task = {"images": sources, "patch_size": PATCH, "chunk_size": 12}
    encoder = Encoder().eval()
    off, on = (fill_latent(encoder=encoder, skip_background=option, **task) for option in (False, True))
    assert float((on.z - off.z).abs().max()) < 1e-12
    assert encoder.counts == [11, 7, 3, 3]


@pytest.mark.parametrize("norm", [nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.BatchNorm2d(4).eval()])
def test_norms_that_treat_each_patch_alone_are_exact(norm):
    encoder = Encoder(norm.double())
    task = {"images": make_images(), "patch_size": PATCH, "encoder": encoder}
    off, on = (fill_latent(skip_background=option, **task) for option in (False, True))
    assert float((on.z - off.z).abs().max()) < 1e-12
    assert encoder.counts[1] < encoder.counts[0]


class DropsInAFunction(nn.Module):
    """A dropout that no list of modules holds."""

    def forward(self, inputs):
        return nn.functional.dropout(inputs, 0.5, training=True)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Dropout(0.1), r"active Dropout\(p=0.1\)"),
        (nn.BatchNorm2d(4), "BatchNorm2d in training mode"),
        (nn.BatchNorm2d(4, track_running_stats=False).eval(), "BatchNorm2d without running statistics"),
        (nn.InstanceNorm2d(4, track_running_stats=True), "InstanceNorm2d in training mode"),
        (DropsInAFunction(), "random numbers, its own or those of normalise"),
    ],
)
@pytest.mark.parametrize("exact", [None, False])
def test_an_encoder_that_it_is_not_exact_for_is_refused(layer, reason, exact):
    with pytest.raises(
        ValueError, match=f"^skip_background needs an encoder .* has {reason}: take dropout 0"
    ) as caught:
        run_pass(Encoder(layer), make_head(), make_images(), skip_background=True, exact=exact)
    assert "\n" not in str(caught.value)


def test_a_random_head_is_no_reason():
    head = nn.Sequential(nn.Dropout(0.5), make_head())
    losses, _, _ = run_pass(Encoder(), head, make_images(), skip_background=True)
    assert len(losses) == 3


def test_an_output_of_another_shape_is_still_refused():
    with pytest.raises(ValueError, match=r"the encoder must make \(N, D\) of its 5 patches, got \(5, 2, 4, 4\)"):
        run_pass(nn.Identity(), make_head(), make_images(), skip_background=True)


def test_trainer_and_evaluator_skip_too():
    images, target = make_images(), torch.tensor([0, 1])
    weights, outputs = [], []
    for option in (False, True):
        torch.manual_seed(0)
        network = nn.ModuleDict({"encoder": Encoder(nn.BatchNorm2d(4).requires_grad_(False)), "head": make_head()})
        common = {"network": network, "device": "cpu", "patch_size": PATCH, "skip_background": option}
        batches = [{"image": images, "label": target}]
        evaluator = patchgrow.PatchGDEvaluator(val_data_loader=batches, decollate=False, **common)
        evaluator.run()
        outputs.append(evaluator.state.output["pred"])
        encoded = sum(network["encoder"].counts)
        assert encoded == (11 if option else 24)
        network["encoder"].layers[1] = nn.Identity()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        patchgrow.PatchGDTrainer(
            max_epochs=2,
            train_data_loader=batches,
            optimizer=optimizer,
            loss_function=nn.CrossEntropyLoss(),
            sampling=0.5,
            **common,
        ).run()
        assert (sum(network["encoder"].counts) - encoded < 4 * 24) is option
        weights.append(network.state_dict())
    assert float((outputs[0] - outputs[1]).abs().max()) < 1e-12
    assert plain.farthest(*weights) < 1e-12
