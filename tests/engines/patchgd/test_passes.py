"""patchgd_pass: gradients, losses, Z and weights are those of the algorithm's text, in float64."""

import importlib.util
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from monai_patchgrow.data.tiles.array import MemmapTiles
from monai_patchgrow.data.tiles.source import as_tile_source
from monai_patchgrow.engines.patchgd import PatchGDEvents, patchgd_pass

pytestmark = pytest.mark.usefixtures("double_precision")

# Tests are no package, so the plain loop is loaded by its place.
_spec = importlib.util.spec_from_file_location("plain", Path(__file__).with_name("plain.py"))
plain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(plain)

LATENT_DIM = 5
SHAPES = {  # images, patch, stride: 15 or 12 cells, borders that need padding in each
    "1-D": ((59,), (4,), None),
    "rectangular 2-D": ((18, 11), (4, 4), None),
    "2-D, overlapping": ((17, 10), (5, 4), (3, 3)),
    "anisotropic 3-D": ((7, 6, 4), (4, 2, 3), None),
}
CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
EVERY_CELL = {
    15: [[14, 2, 7, 11], [0, 9, 5, 1], [13, 4, 8, 3], [6, 12, 10]],
    24: [[23, 2, 17, 11, 0, 20], [9, 5, 1, 13, 22, 18], [4, 8, 3, 6, 21, 19], [12, 10, 7, 14, 15, 16]],
    12: [[11, 2, 7], [0, 9, 5], [1, 4, 8], [3, 6, 10]],
}


def make_encoder(axes, *, batch_norm=False):
    norm = BATCH_NORM[axes](4) if batch_norm else nn.Identity()
    return nn.Sequential(
        CONV[axes](2, 4, 2), norm, nn.Tanh(), nn.Flatten(2), nn.AdaptiveAvgPool1d(3), nn.Flatten(), nn.Linear(12, 5)
    )


def make_head(axes, *, batch_norm=False, dropout=0.0):
    norm = BATCH_NORM[axes](6) if batch_norm else nn.Identity()
    pooled = [nn.Flatten(2), nn.AdaptiveAvgPool1d(2), nn.Flatten(), nn.Linear(12, 3)]
    return nn.Sequential(CONV[axes](LATENT_DIM, 6, 3, padding=1), norm, nn.Tanh(), nn.Dropout(dropout), *pooled)


class MaskedMean(nn.Module):
    """The mean of the cells that an image has."""

    takes_mask = True

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(LATENT_DIM, 3)

    def forward(self, z, mask):
        own = z * mask[:, None]
        return self.output(own.flatten(2).sum(2) / mask.flatten(1).sum(1, keepdim=True)).tanh()


def both(encoder, head, *, fill, inner, accumulation, images, passes=2, exact=None, **options):
    """Run the plain loop and the package from the same weights, over the same batches."""
    target = torch.arange(len(images)) % 3
    task = {"loss_function": nn.CrossEntropyLoss(), "images": images, "target": target, "accumulation": accumulation}
    ours, text = plain.Run(encoder, head), plain.Run(encoder, head)
    for _ in range(passes):
        expected = plain.plain_pass(**text.parts, **task, fill=fill, inner=inner, **options)
        got = patchgd_pass(**ours.parts, **task, fill_chunks=fill, inner_chunks=inner, exact=exact, **options)
    return ours, text, got, expected


def check(ours, text, got, expected, *, num_losses, num_steps):
    """Everything that a pass leaves behind is the same."""
    losses = [loss.item() for loss in got[0]]
    assert len(losses) == num_losses
    assert losses * (len(expected[0]) // num_losses) == pytest.approx(expected[0], abs=1e-9)
    assert float((got[1] - expected[1]).abs().max()) < 1e-9
    assert len(ours.gradients) == len(text.gradients) == num_steps
    assert all(plain.farthest(*pair) < 1e-9 for pair in zip(ours.gradients, text.gradients, strict=True))
    assert plain.farthest(ours.network.state_dict(), text.network.state_dict()) < 1e-9


def num_cells(shape):
    size, patch, stride = SHAPES[shape]
    return len(plain.cut(torch.zeros(1, *size), patch, stride))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(
    ("accumulation", "exact", "num_losses", "num_steps"),
    [(1, None, 4, 8), (3, None, 4, 4), (4, False, 4, 2), (4, None, 1, 2), (4, True, 1, 2), (7, None, 1, 2)],
)
def test_pass_is_the_algorithms(shape, batch_norm, accumulation, exact, num_losses, num_steps):
    size, patch, stride = SHAPES[shape]
    fill = EVERY_CELL[num_cells(shape)]
    run = both(
        make_encoder(len(size), batch_norm=batch_norm),
        make_head(len(size), batch_norm=batch_norm),
        images=torch.randn(4, 2, *size),
        fill=fill,
        inner=[fill[2], fill[0], fill[3], fill[1]],
        accumulation=accumulation,
        exact=exact,
        patch_size=patch,
        stride=stride,
    )
    check(*run, num_losses=num_losses, num_steps=num_steps)


FILL = EVERY_CELL[15]
TWO_D = {"images": (3, 2, 18, 11), "patch_size": (4, 4)}


def run_2d(*, fill=FILL, inner, accumulation, encoder=None, head=None, **options):
    return both(
        encoder or make_encoder(2),
        head or make_head(2),
        images=torch.randn(TWO_D["images"]),
        patch_size=TWO_D["patch_size"],
        fill=fill,
        inner=inner,
        accumulation=accumulation,
        **options,
    )


@pytest.mark.parametrize(("accumulation", "num_losses", "num_steps"), [(1, 2, 4), (2, 1, 2)])
def test_inner_steps_may_visit_a_part_of_the_cells(accumulation, num_losses, num_steps):
    run = run_2d(inner=[[3, 7], [14, 1]], accumulation=accumulation)
    check(*run, num_losses=num_losses, num_steps=num_steps)


@pytest.mark.parametrize(("exact", "num_losses"), [(False, 5), (None, 1)])
def test_cells_may_come_again_in_another_chunk(exact, num_losses):
    run = run_2d(inner=[*FILL, [2, 0]], accumulation=5, exact=exact)
    check(*run, num_losses=num_losses, num_steps=2)


@pytest.mark.parametrize("exact", [False, None])
def test_batch_norm_with_chunks_that_the_fill_does_not_have(exact):
    inner = [[0, 1, 2, 3], [4, 5, 6, 7]]
    run = run_2d(inner=inner, accumulation=2, encoder=make_encoder(2, batch_norm=True), exact=exact)
    check(*run, num_losses=2, num_steps=2)


def test_cell_that_is_not_filled_stays_zero_until_it_is_visited():
    run = run_2d(fill=FILL[:2], inner=[FILL[0], FILL[2]], accumulation=2)
    check(*run, num_losses=2, num_steps=2)
    assert run[2][1].flatten(2)[:, :, FILL[3]].count_nonzero() == 0


@pytest.mark.parametrize(("accumulation", "num_losses", "num_steps"), [(1, 4, 8), (3, 4, 4), (4, 1, 2)])
def test_images_of_different_sizes(accumulation, num_losses, num_steps):
    images = [torch.randn(2, *size) for size in ((18, 11), (5, 12), (4, 4))]
    run = both(
        make_encoder(2),
        MaskedMean(),
        images=images,
        patch_size=(4, 4),
        fill=FILL,
        inner=[FILL[3], FILL[1], FILL[0], FILL[2]],
        accumulation=accumulation,
    )
    check(*run, num_losses=num_losses, num_steps=num_steps)


def test_head_batch_norm_that_counts_all_passes_moves_as_far():
    head = make_head(2, batch_norm=True)
    head[1].momentum = None
    check(*run_2d(inner=FILL, accumulation=4, head=head), num_losses=1, num_steps=2)


@pytest.mark.parametrize("exact", [False, True])
def test_head_of_a_frozen_encoder_learns_as_in_the_text(exact):
    encoder = make_encoder(2).requires_grad_(False)
    ours, text, _, _ = run_2d(inner=FILL, accumulation=4, encoder=encoder, passes=1, exact=exact)
    assert ours.gradients[0]["encoder.0.weight"] is None
    gradients = [{n: g for n, g in run.gradients[0].items() if n.startswith("head")} for run in (ours, text)]
    assert plain.farthest(*gradients) < 1e-9


def test_frozen_encoder_is_passed_once():
    encoder, seen = make_encoder(2).requires_grad_(False), []
    run = plain.Run(encoder, make_head(2))
    run.network["encoder"].register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    task = {"fill_chunks": FILL, "inner_chunks": FILL, "accumulation": 4, "patch_size": TWO_D["patch_size"]}
    images, target = torch.randn(TWO_D["images"]), torch.arange(3)
    patchgd_pass(**run.parts, **task, loss_function=nn.CrossEntropyLoss(), images=images, target=target)
    assert sum(seen) == 3 * 15


# the exact variant


def single_pass(*, encoder=None, head=None, images=None, inner=None, target=None, **options):
    """One pass over 15 cells; its losses, Z and the run."""
    run = plain.Run(encoder or make_encoder(2), head or make_head(2))
    images = torch.randn(TWO_D["images"]) if images is None else images
    task = {"fill_chunks": FILL, "inner_chunks": inner or FILL, "accumulation": 4, **options}
    parts = {"loss_function": nn.CrossEntropyLoss(), "patch_size": (4, 4), **run.parts, **task}
    target = torch.arange(len(images)) % 3 if target is None else target
    losses, latent = patchgd_pass(images=images, target=target, **parts)
    return losses, latent, run


def test_true_gradient_is_that_of_the_loss():
    images, encoder, head = torch.randn(TWO_D["images"]), make_encoder(2), make_head(2)
    _, _, run = single_pass(encoder=encoder, head=head, images=images, true_gradient=True)
    patches = torch.stack([torch.stack(list(plain.cut(image, (4, 4)).values())) for image in images])
    z = encoder(patches.flatten(0, 1)).unflatten(0, (3, 5, 3)).movedim(-1, 1)
    nn.CrossEntropyLoss()(head(z), torch.tensor([0, 1, 2])).backward()
    expected = nn.ModuleDict({"encoder": encoder, "head": head}).named_parameters()
    assert plain.farthest(run.gradients[0], {name: parameter.grad for name, parameter in expected}) < 1e-9


def test_true_gradient_counts_a_cell_that_comes_again_once():
    task = {"encoder": make_encoder(2), "head": make_head(2), "images": torch.randn(TWO_D["images"])}
    once = single_pass(**task, true_gradient=True)[2]
    again = single_pass(**task, true_gradient=True, inner=[*FILL, FILL[0]], accumulation=5)[2]
    assert plain.farthest(once.gradients[0], again.gradients[0]) < 1e-9


class DropsInAFunction(nn.Module):
    """A dropout that no list of modules holds."""

    def forward(self, inputs):
        return nn.functional.dropout(inputs, 0.5, training=True)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"accumulation": 3}, "the optimiser steps after every 3 of 4 inner steps"),
        ({"head": make_head(2, dropout=0.2)}, r"Dropout\(p=0.2\) is active in the head"),
        ({"encoder": nn.Sequential(nn.Dropout(0.1), make_encoder(2))}, r"Dropout\(p=0.1\) is active in the encoder"),
        ({"encoder": nn.Sequential(DropsInAFunction(), make_encoder(2))}, "the encoder, or normalise, draws random"),
        ({"normalise": lambda patches: patches + torch.rand(())}, "the encoder, or normalise, draws random numbers"),
        ({"head": nn.Sequential(DropsInAFunction(), make_head(2))}, "the head draws random numbers"),
        ({"encoder": make_encoder(2, batch_norm=True), "inner": [[0, 1]] * 4}, "an inner chunk is none of the fill's"),
        ({"fill_chunks": FILL[:3]}, "an inner chunk has a cell that the fill has not"),
        (
            {"encoder": make_encoder(2, batch_norm=True), "fill_chunks": [*FILL, [0, 1]]},
            "two chunks of the fill share a cell",
        ),
    ],
)
@pytest.mark.parametrize("option", ["exact", "true_gradient"])
def test_where_it_is_not_the_same_exact_is_refused_with_the_reason(options, reason, option):
    options = {name: part.double() if isinstance(part, nn.Module) else part for name, part in options.items()}
    with pytest.raises(ValueError, match=f"{option}=True needs one head pass .* but .*{reason}"):
        single_pass(**options, **{option: True})
    assert len(single_pass(**options)[0]) == 4


def test_dropout_that_is_switched_off_rules_nothing_out():
    head = make_head(2, dropout=0.2).eval()
    assert len(single_pass(head=head)[0]) == 1


def test_head_that_turns_out_random_has_its_batch_norm_moved_by_the_steps_alone():
    head = nn.Sequential(make_head(2, batch_norm=True)[:2], DropsInAFunction(), nn.Flatten(), nn.LazyLinear(3))
    head(torch.randn(2, 5, 5, 3))
    before = int(head[0][1].num_batches_tracked)
    _, _, run = single_pass(head=head)
    assert int(run.network["head"][0][1].num_batches_tracked) == before + 4


def test_fill_leaves_running_statistics_alone():
    encoder, seen = make_encoder(2, batch_norm=True), []

    def note(event, state):
        if event is PatchGDEvents.FILL_COMPLETED:
            seen.append({name: buffer.clone() for name, buffer in run.network["encoder"].named_buffers()})

    run = plain.Run(encoder, make_head(2))
    patchgd_pass(
        **run.parts,
        **{"images": torch.randn(TWO_D["images"]), "target": torch.arange(3), "patch_size": (4, 4)},
        **{"fill_chunks": FILL, "inner_chunks": FILL, "accumulation": 4, "loss_function": nn.CrossEntropyLoss()},
        on_event=note,
    )
    assert plain.farthest(seen[0], dict(encoder.named_buffers())) == 0
    assert int(run.network["encoder"][1].num_batches_tracked) == 4


# images


def test_a_tile_source_gives_the_bits_of_its_tensor():
    images = torch.randint(256, TWO_D["images"], dtype=torch.uint8)
    task = {"encoder": make_encoder(2, batch_norm=True), "head": make_head(2)}
    of_tensor = single_pass(**task, images=images)
    for sources in (list(images), [as_tile_source(image.numpy()) for image in images]):
        of_sources = single_pass(**task, images=sources)
        assert torch.equal(of_tensor[1], of_sources[1])
        assert plain.farthest(of_tensor[2].network.state_dict(), of_sources[2].network.state_dict()) == 0


def test_one_tile_source_is_a_batch_of_one():
    source = as_tile_source(torch.randn(2, 18, 11).numpy())
    latent = single_pass(images=source, target=torch.tensor([1]))[1]
    assert latent.shape == (1, 5, 5, 3)


def test_bytes_are_brought_to_0_to_1_and_other_types_left_alone():
    images = torch.randint(256, TWO_D["images"], dtype=torch.uint8)
    task = {"encoder": make_encoder(2), "head": make_head(2)}
    of_bytes, of_floats = (single_pass(**task, images=kind)[1] for kind in (images, images.double() / 255))
    assert float((of_bytes - of_floats).abs().max()) < 1e-12


def test_normalise_gets_the_type_that_was_read():
    seen = set()
    images = torch.randint(256, TWO_D["images"], dtype=torch.uint8)
    single_pass(images=images, normalise=lambda patches: (seen.add(patches.dtype), patches / 10)[1])
    assert seen == {torch.uint8}


class Counting:
    """A source that notes how many patches each read asked for."""

    def __init__(self, image):
        self.source = as_tile_source(image)
        self.counts = []

    @property
    def shape(self):
        return self.source.shape

    def read(self, cells):
        self.counts.append(len(cells))
        return self.source.read(cells)


@pytest.mark.parametrize("exact", [False, True])
def test_no_more_than_one_chunk_is_encoded_at_a_time_or_kept(exact):
    alive, most = [], []
    sources = [Counting(torch.randn(2, 18, 11)) for _ in range(3)]

    def normalise(patches):
        inputs = patches.clone()
        alive.append(weakref.ref(inputs))
        most.append(sum(len(kept()) for kept in alive if kept() is not None))
        return inputs

    single_pass(images=sources, exact=exact, normalise=normalise)
    assert sources[0].counts == [4, 4, 4, 3] * 2
    assert max(most) == 3 * 4


@pytest.mark.parametrize("prefetch", [False, True, 1, 3])
def test_prefetching_changes_nothing(prefetch):
    images, task = torch.randn(TWO_D["images"]), {"encoder": make_encoder(2), "head": make_head(2)}
    expected = single_pass(**task, images=images)[1]
    assert torch.equal(single_pass(**task, images=[Counting(i) for i in images], prefetch=prefetch)[1], expected)


def test_tile_that_cannot_be_read_ends_the_pass_with_its_error():
    class Broken(Counting):
        def read(self, cells):
            raise OSError("slide_7.tiff: tile at [0:4, 0:4] is corrupt")

    with pytest.raises(OSError, match=r"slide_7\.tiff: tile at"):
        single_pass(images=[Broken(torch.zeros(2, 18, 11))])


def test_tile_that_cannot_be_read_leaves_running_statistics_alone():
    class Broken(Counting):
        def read(self, cells):
            if len(self.counts) == 2:
                raise OSError("corrupt")
            return super().read(cells)

    run = plain.Run(make_encoder(2, batch_norm=True), make_head(2))
    before = {name: buffer.clone() for name, buffer in run.network.named_buffers()}
    with pytest.raises(OSError, match="corrupt"):
        patchgd_pass(
            **run.parts,
            **{"images": Broken(torch.randn(2, 18, 11)), "target": torch.tensor([0]), "patch_size": (4, 4)},
            **{"fill_chunks": FILL, "inner_chunks": FILL, "accumulation": 4, "loss_function": nn.CrossEntropyLoss()},
        )
    assert plain.farthest(before, dict(run.network.named_buffers())) == 0


# AMP, events


def test_scaled_gradients_are_scaled_everywhere():
    task = {"encoder": make_encoder(2), "head": make_head(2), "images": torch.randn(TWO_D["images"])}
    for exact in (False, True):
        plainly, scaled = (
            single_pass(**task, exact=exact, **options)[2].gradients[0]
            for options in ({}, {"scale": lambda loss: loss * 1024})
        )
        assert plain.farthest({name: grad * 1024 for name, grad in plainly.items()}, scaled) < 1e-9


def test_events_come_in_order_with_what_handlers_read():
    seen = []

    def note(event, state):
        loss = None if state.loss is None else state.loss.requires_grad
        seen.append((event.value, state.inner_step, state.latent.z.shape[1], loss, state.is_exact))

    single_pass(inner=FILL[:2], accumulation=1, on_event=note)
    inner = [
        (name, number, 5, None if name.startswith(before) else False, False)
        for number, before in ((1, ("inner_step_started", "forward")), (2, "nothing"))
        for name in ("inner_step_started", "forward_completed", "loss_completed", "inner_step_completed")
    ]
    assert seen == [("fill_completed", 0, 5, None, False), *inner]


# refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch_size": (4,)}, r"patch_size must have an entry per axis of the images, 2, got \(4,\)"),
        ({"patch_size": (32, 4)}, "image 0 of the batch has 18x11 voxels, fewer on axis 0 than the patch of 32x4"),
        ({"inner_chunks": [[0, 0]]}, r"must not repeat a cell, got \[0, 0\] as chunk 0 of inner_chunks"),
        ({"inner_chunks": [[0], []]}, "at least one cell, got none in chunk 1 of inner_chunks"),
        ({"fill_chunks": [[15]]}, "a cell in fill_chunks must be an integer from 0 to 14, got 15"),
        ({"fill_chunks": [[-1]]}, "from 0 to 14, got -1"),
        ({"inner_chunks": []}, "inner_chunks must hold at least one chunk"),
        ({"accumulation": 0}, "accumulation must be an integer of at least 1, got 0"),
        ({"images": torch.randn(18, 11)}, r"images must be a tensor \(B, C, \*spatial\)"),
        ({"images": []}, "at least one image"),
        ({"images": [torch.randn(2, 18, 11), torch.randn(1, 18, 11)]}, "as many channels and axes"),
        ({"images": [torch.randn(2, 18, 11), torch.randn(2, 9, 11)]}, "different sizes need a head that takes a mask"),
        ({"encoder": nn.Identity()}, r"the encoder must make \(N, D\) of its 12 patches, got \(12, 2, 4, 4\)"),
        ({"head": nn.Identity()}, r"the head must make \(B, K\) of a batch of 3 images, got \(3, 5, 5, 3\)"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        single_pass(**options)
    assert "\n" not in str(caught.value)


def test_image_smaller_than_the_patch_is_named_by_its_file(tmp_path):
    np.save(tmp_path / "slide_7.npy", np.zeros((2, 3, 11)))
    with pytest.raises(ValueError, match=r"slide_7\.npy has 3x11 voxels, fewer on axis 0"):
        single_pass(images=MemmapTiles(tmp_path / "slide_7.npy"), target=torch.tensor([0]))


def test_cell_that_no_image_has_is_refused():
    images = [torch.randn(2, 8, 4), torch.randn(2, 4, 8)]
    with pytest.raises(ValueError, match="no image of the batch has cell 3 of the grid of 2x2"):
        single_pass(images=images, head=MaskedMean(), fill_chunks=[[0, 1, 2, 3]], inner_chunks=[[0]])


def test_image_smaller_than_the_patch_may_be_padded():
    images = torch.randn(3, 2, 3, 11)
    chunks = {"fill_chunks": [[0, 1, 2]], "inner_chunks": [[0, 1, 2]], "accumulation": 1}
    padded = torch.cat([images, torch.zeros(3, 2, 1, 11)], 2)
    task = {"encoder": make_encoder(2), "head": make_head(2), **chunks}
    small, whole = (single_pass(**task, images=kind, allow_smaller=True)[1] for kind in (images, padded))
    assert torch.equal(small, whole)
