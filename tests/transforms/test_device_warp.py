"""Rotation and scaling that a loader leaves to the device give the patches that it would have drawn itself."""

import itertools

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import DataLoader, Dataset
from monai.transforms import RandomizableTransform

from monai_patchgrow.handlers import AugmentBatches
from monai_patchgrow.handlers.stage_batch import keep_patches
from monai_patchgrow.transforms import AugmentationRecipe, BatchAugmentation, RandPatchesd, concatenate_patches
from monai_patchgrow.transforms.device_warp import WARPS, Warps, box_size, cut_boxes
from monai_patchgrow.transforms.warp import draw_warps
from tests.support.waiting import no_waiting

RECIPES = {
    3: AugmentationRecipe.nnunet((40, 56, 40)),
    2: AugmentationRecipe.nnunet((64, 64)),
}
FLAT = AugmentationRecipe.nnunet((20, 320, 256))  # turned in the plane only


def volume(shape, seed=0, channels=2):
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(4, [-(-size // 4) for size in shape], generator=generator, dtype=torch.uint8)
    label = blocks
    for axis in range(len(shape)):
        label = label.repeat_interleave(4, axis).narrow(axis, 0, shape[axis])
    return {"image": torch.randn(channels, *shape, generator=generator), "label": label[None].contiguous()}


def draw(data, size, recipe, *, count=30, seed=3, **options):
    transform = RandPatchesd(
        ["image", "label"], "label", size, num_classes=4, num_samples=count, recipe=recipe, label_padding=3, **options
    )
    return transform.set_random_state(seed=seed)(data)


@pytest.mark.parametrize(
    ("shape", "size", "recipe"),
    [
        ((30, 34, 26), (8, 12, 8), RECIPES[3]),
        ((10, 12, 9), (16, 16, 16), RECIPES[3]),  # larger than the volume
        ((12, 40, 40), (4, 24, 16), FLAT),
        ((50, 44), (16, 24), RECIPES[2]),
        ((40, 40, 7), (16, 16), RECIPES[2]),  # slices of a volume
    ],
)
def test_the_device_warps_as_the_loader_does(shape, size, recipe):
    data = volume(shape)
    here, later = (draw(data, size, recipe, warp_on_device=on_device) for on_device in (False, True))
    warps = later.pop(WARPS)
    assert 2 < len(warps.rows) < 30
    still = [row for row in range(30) if row not in warps.rows]
    assert torch.equal(later["image"][still], here["image"][still])
    with no_waiting():
        done = warps.apply({key: later[key] for key in ("image", "label")})
    assert torch.allclose(done["image"], here["image"], atol=2e-5)
    assert (done["label"] != here["label"]).float().mean() < 1e-3  # ties alone
    assert done["label"].dtype == torch.uint8


@pytest.mark.parametrize("recipe", [RECIPES[3], FLAT, RECIPES[2]])
def test_no_patch_reads_beyond_its_box(recipe):
    size = (5, 8, 3)[: recipe.spatial_dims]
    box = box_size(recipe, size)
    _, matrices = draw_warps(recipe, np.random.RandomState(0), 3000)
    half = (np.array(size) - 1) / 2
    corners = np.array(list(itertools.product(*((-one, one) for one in half)))).T
    reach = np.abs(matrices @ corners).max(axis=(0, 2))
    assert (2 * reach + 3 <= np.array(box) + 1e-6).all()


def test_boxes_beyond_the_border_hold_the_padding():
    image = torch.arange(6).reshape(1, 2, 3)
    boxes = cut_boxes(image, np.array([[-1, 1], [5, 5]]), (2, 3), torch.tensor([7]))
    assert boxes[0].tolist() == [[[7, 7, 7], [1, 2, 7]]]
    assert (boxes[1] == 7).all()


class Draws(RandomizableTransform):
    """RandPatchesd with the seed of the item, so that two loaders draw the same."""

    def __init__(self, **options):
        super().__init__()
        self.options = options

    def __call__(self, data):
        return draw(data, (8, 8, 8), RECIPES[3], seed=data["seed"], count=4, **self.options)


def batch_of(**options):
    items = [{**volume((20, 20, 20), seed), "seed": seed} for seed in range(3)]
    loader = DataLoader(Dataset(items, Draws(**options)), batch_size=3, collate_fn=concatenate_patches)
    return next(iter(loader))


def test_a_batch_of_several_volumes_is_warped_by_the_handler():
    plain, later = batch_of(), batch_of(warp_on_device=True)
    augmented = []
    for batch in (plain, later):
        engine = Engine(lambda engine, batch: None)
        engine.state.device = torch.device("cpu")
        AugmentBatches(BatchAugmentation(RECIPES[3]), seed=1).attach(engine)
        engine.run([batch], max_epochs=1)
        augmented.append(engine.state.batch)
    assert torch.allclose(augmented[0]["image"], augmented[1]["image"], atol=1e-3)
    assert (augmented[0]["label"] != augmented[1]["label"]).float().mean() < 1e-3


def test_patches_that_a_stage_keeps_keep_their_warps():
    plain, later = (keep_patches(batch, 5, total=12) for batch in (batch_of(), batch_of(warp_on_device=True)))
    assert isinstance(later[WARPS], Warps)
    done = later[WARPS].apply({key: later[key] for key in ("image", "label")})
    assert torch.allclose(done["image"], plain["image"], atol=2e-5)
