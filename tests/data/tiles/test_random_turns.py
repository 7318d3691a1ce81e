"""An image's turn is drawn anew for each epoch from the run's seed, and everything that is read of it has that turn."""

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, Dataset
from monai.transforms import Compose

from monai_patchgrow.data import OpenImaged, SeededDataLoader, collate_tiles
from monai_patchgrow.data.tiles.source import TensorTiles, TileSource
from monai_patchgrow.data.tiles.turned import RandTurnTilesd, TurnedTiles

IMAGE = torch.arange(6, dtype=torch.uint8).reshape(1, 2, 3)


def whole(source):
    """All voxels of a tile source."""
    return source.read([tuple(slice(0, size) for size in source.shape[1:])])[0]


def draw(*, image=IMAGE, times=64, seed=0, **options):
    transform = RandTurnTilesd("image", **options).set_random_state(seed=seed)
    return [transform({"image": image})["image"] for _ in range(times)]


def as_text(images):
    return {str(image.tolist()) for image in images}


# which turns


def test_a_mirrored_axis_runs_backwards_half_of_the_time():
    drawn = draw(mirror_axes=[1], times=400)
    backwards = sum(torch.equal(image, IMAGE.flip(2)) for image in drawn)
    assert as_text(drawn) == as_text([IMAGE, IMAGE.flip(2)])
    assert 160 < backwards < 240


def test_axes_are_mirrored_independently():
    expected = [IMAGE, IMAGE.flip(1), IMAGE.flip(2), IMAGE.flip(1, 2)]
    assert as_text(draw(mirror_axes=[0, 1])) == as_text(expected)


def test_quarter_turns_are_rotations():
    assert as_text(draw(rotate90=True)) == as_text(IMAGE.rot90(turns, (1, 2)) for turns in range(4))


@pytest.mark.parametrize("mirror_axes", [[0], [0, 1]])
def test_mirrors_and_quarter_turns_give_all_eight_alike(mirror_axes):
    drawn = draw(mirror_axes=mirror_axes, rotate90=True, times=800)
    eight = [image.rot90(turns, (1, 2)) for image in (IMAGE, IMAGE.flip(1)) for turns in range(4)]
    assert as_text(drawn) == as_text(eight)
    assert all(60 < sum(str(one.tolist()) == str(image.tolist()) for one in drawn) < 140 for image in eight)


@pytest.mark.parametrize("size", [(4,), (2, 3, 4)])
def test_signals_and_volumes_are_mirrored(size):
    image = torch.rand(1, *size)
    assert as_text(draw(image=image, mirror_axes=[0])) == as_text([image, image.flip(1)])


def test_a_tile_source_is_turned_as_a_tensor_is():
    options = {"mirror_axes": [0, 1], "rotate90": True}
    sources = draw(image=TensorTiles(IMAGE), **options)
    assert [whole(source).tolist() for source in sources] == [image.tolist() for image in draw(**options)]


def test_what_is_not_turned_is_not_wrapped():
    source = TensorTiles(IMAGE)
    assert all(drawn is source for drawn in draw(image=source, times=8))
    assert any(drawn is source for drawn in draw(image=source, mirror_axes=[0], times=8))


def test_every_cell_of_an_image_has_one_turn():
    source = next(one for one in draw(image=TensorTiles(IMAGE), mirror_axes=[1]) if isinstance(one, TurnedTiles))
    cell = (slice(0, 2), slice(0, 2))
    assert {str(source.read([cell]).tolist()) for _ in range(8)} == {str(IMAGE.flip(2)[None, ..., :2].tolist())}


def test_the_keys_of_an_item_are_turned_alike():
    transform = RandTurnTilesd(["image", "coarse"], mirror_axes=[0, 1], rotate90=True).set_random_state(seed=0)
    items = [transform({"image": IMAGE, "coarse": IMAGE, "label": 1}) for _ in range(16)]
    assert all(torch.equal(item["image"], item["coarse"]) and item["label"] == 1 for item in items)


def test_an_item_is_left_as_it_was():
    item = {"image": TensorTiles(IMAGE)}
    transform = RandTurnTilesd("image", rotate90=True).set_random_state(seed=0)
    assert any(isinstance(transform(item)["image"], TurnedTiles) for _ in range(8))
    assert isinstance(item["image"], TensorTiles)


def test_an_array_becomes_a_source_turned_or_not():
    drawn = draw(image=IMAGE.numpy(), mirror_axes=[1], times=8)
    assert all(isinstance(source, TileSource) for source in drawn)
    assert as_text(map(whole, drawn)) == as_text([IMAGE, IMAGE.flip(2)])


def test_an_axis_that_is_not_there_is_refused_at_once():
    with pytest.raises(ValueError, match=r"^mirror_axes must be a list of different axes of \[0, 1\], got \(2,\)$"):
        draw(mirror_axes=[2], times=1)


def test_quarter_turns_of_a_volume_are_refused_at_once():
    with pytest.raises(ValueError, match=r"^rotate90 turns images of 2 axes, got one of 3$"):
        draw(image=torch.zeros(1, 2, 2, 2), rotate90=True, times=1)


# when another one is drawn


@pytest.fixture(params=[Dataset, CacheDataset])
def dataset(request, tmp_path):
    """Six files, opened and turned as a classification bundle does it."""
    for number in range(6):
        np.save(tmp_path / f"{number}.npy", IMAGE.numpy() + 10 * number)
    items = [{"image": str(tmp_path / f"{number}.npy")} for number in range(6)]
    turn = RandTurnTilesd("image", mirror_axes=[0, 1], rotate90=True)
    transform = Compose([OpenImaged("image", channels=1), turn])
    return Dataset(items, transform) if request.param is Dataset else CacheDataset(items, transform, progress=False)


def epochs(dataset, *numbers, seed=3, num_workers=0):
    """What each image looks like in some epochs, one dictionary by image and epoch."""
    loader = SeededDataLoader(dataset, seed=seed, batch_size=2, num_workers=num_workers, collate_fn=collate_tiles)
    looks = []
    for number in numbers:
        loader.set_epoch(number)
        images = [whole(source) for batch in loader for source in batch["image"]]
        looks.append({int(image.min()) // 10: image.tolist() for image in images})
    return looks


def test_each_epoch_turns_the_images_anew(dataset):
    first, second = epochs(dataset, 1, 2)
    assert first.keys() == second.keys() == set(range(6))
    assert sum(first[number] != second[number] for number in first) >= 3


def test_a_rerun_turns_them_alike(dataset):
    assert epochs(dataset, 1, 2) == epochs(dataset, 1, 2)


def test_a_resumed_run_turns_them_alike(dataset):
    assert epochs(dataset, 1, 2, 3)[2] == epochs(dataset, 3)[0]


def test_workers_turn_them_alike(dataset):
    assert epochs(dataset, 1, 2, num_workers=2) == epochs(dataset, 1, 2)


def test_another_seed_turns_them_otherwise(dataset):
    assert epochs(dataset, 1) != epochs(dataset, 1, seed=4)
