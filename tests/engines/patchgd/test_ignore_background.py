"""ignore_background: the head pools the cells that hold more than one value, in training and evaluation."""

import pytest
import torch
from monai.engines import IterationEvents
from torch import nn

from monai_patchgrow.data.tiles.source import as_tile_source
from monai_patchgrow.engines import PatchGDEvaluator, PatchGDTrainer
from monai_patchgrow.engines.patchgd import fill_latent, patchgd_pass
from monai_patchgrow.networks import AttentionPoolingHead, MeanPoolingHead, PatchClassifier, SumPoolingHead

pytestmark = pytest.mark.usefixtures("double_precision")

PATCH, CHUNKS = (4, 4), [[5, 0, 3], [4, 1, 2]]
FOREGROUND = [[0, 3], [1, 2, 4]]  # cells of each image of `make_images`


def make_images():
    """Two images of 2 x 3 cells, most of them of one value."""
    torch.manual_seed(0)
    images = torch.full((2, 2, 8, 12), 200, dtype=torch.uint8)
    images[:, 1] = 90
    for image, cells in zip(images, FOREGROUND, strict=True):
        for cell in cells:
            row, column = 4 * (cell // 3), 4 * (cell % 3)
            image[:, row : row + 4, column : column + 4] = torch.randint(1, 255, (2, 4, 4), dtype=torch.uint8)
    return images


def make_encoder():
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(2, 5, 4), nn.Flatten(), nn.Tanh())


def expected_logits(encoder, head, images):
    """The head on the latents of the foreground alone, image by image."""
    logits = []
    for image, cells in zip(images, FOREGROUND, strict=True):
        patches = image.unfold(1, 4, 4).unfold(2, 4, 4).flatten(1, 2).movedim(1, 0)[cells] / 255
        logits.append(head(encoder(patches).T[None]))
    return torch.cat(logits)


def run_pass(encoder, head, **options):
    """The losses of a pass over `make_images` in two inner steps, whose gradients stay."""
    losses, _ = patchgd_pass(
        encoder=encoder,
        head=head,
        loss_function=nn.CrossEntropyLoss(),
        images=make_images(),
        target=torch.tensor([0, 2]),
        patch_size=PATCH,
        fill_chunks=CHUNKS,
        inner_chunks=CHUNKS,
        accumulation=2,
        step=lambda: None,
        ignore_background=True,
        **options,
    )
    return losses


@pytest.mark.parametrize("head", [MeanPoolingHead(5, 3), SumPoolingHead(5, 3), AttentionPoolingHead(5, 3)])
@pytest.mark.parametrize("options", [{"exact": True}, {"exact": False}, {"chunk_size": 2}], ids=str)
def test_loss_and_gradients_are_those_of_the_foreground_alone(head, options):
    encoder, images, target = make_encoder(), make_images(), torch.tensor([0, 2])
    parameters = [*encoder.parameters(), *head.double().parameters()]
    expected = nn.functional.cross_entropy(expected_logits(encoder, head, images), target)
    gradients = torch.autograd.grad(expected, parameters)
    for parameter in parameters:
        parameter.grad = None
    losses = run_pass(encoder, head, skip_background=True, **options)
    assert all(abs(float(loss) - expected.item()) < 1e-12 for loss in losses)
    # As the authors have it, the encoder's gradient is divided by the inner steps.
    ours = [2 * weight.grad for weight in encoder.parameters()] + [weight.grad for weight in head.parameters()]
    assert all((one - other).abs().max() < 1e-12 for one, other in zip(ours, gradients, strict=True))


def test_the_evaluator_does_as_the_trainer():
    network = nn.ModuleDict({"encoder": make_encoder(), "head": MeanPoolingHead(5, 3)}).double()
    batch = {"image": make_images(), "label": torch.tensor([0, 2])}
    seen = []
    engines = [
        PatchGDEvaluator(
            device="cpu", val_data_loader=[batch], network=network, patch_size=PATCH, ignore_background=True
        ),
        PatchGDTrainer(
            device="cpu",
            max_epochs=1,
            train_data_loader=[batch],
            network=network,
            optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
            loss_function=nn.CrossEntropyLoss(),
            patch_size=PATCH,
            ignore_background=True,
        ),
    ]
    for engine in engines:
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, lambda one: seen.append(one.state.output["pred"]))
        engine.run()
    wanted = expected_logits(network["encoder"], network["head"], batch["image"])
    assert len(seen) == 2
    assert all((pred - wanted).abs().max() < 1e-12 for pred in seen)


def test_cells_that_are_left_out_are_not_in_the_mask():
    latent = fill_latent(encoder=make_encoder(), images=make_images(), patch_size=PATCH, ignore_background=True)
    assert [own.flatten().nonzero()[:, 0].tolist() for own in latent.mask] == FOREGROUND
    assert not latent.is_whole


def test_an_image_of_one_value_keeps_its_own_cells():
    sources = [as_tile_source(torch.full((2, 4, 12), 7, dtype=torch.uint8)), as_tile_source(make_images()[1])]
    options = {"images": sources, "patch_size": PATCH, "ignore_background": True, "chunk_size": 2}
    latent = fill_latent(encoder=make_encoder(), **options)
    assert [own.flatten().nonzero()[:, 0].tolist() for own in latent.mask] == [[0, 1, 2], FOREGROUND[1]]


def test_a_head_that_takes_no_mask_is_refused():
    head = nn.Sequential(nn.Flatten(), nn.Linear(30, 3))
    with pytest.raises(ValueError, match=r"^ignore_background needs a head that takes a mask .* got Sequential$"):
        run_pass(make_encoder(), head)


@pytest.mark.parametrize("is_scripted", [False, True], ids=["as it is", "TorchScript"])
@pytest.mark.parametrize("head", [MeanPoolingHead(5, 3), AttentionPoolingHead(5, 3)])
def test_the_whole_network_ignores_it_too(head, is_scripted):
    network = PatchClassifier(make_encoder(), head.double(), PATCH, ignore_background=True).eval()
    images = make_images()
    wanted = expected_logits(network.encoder, head, images)
    images = images.double() / 255
    used = torch.jit.script(network) if is_scripted else network
    assert (used(images) - wanted).abs().max() < 1e-12
    empty = torch.zeros(1, 2, 8, 12)
    assert (used(empty) - head(network.encoder(torch.zeros(6, 2, 4, 4)).T[None])).abs().max() < 1e-12
