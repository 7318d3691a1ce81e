"""PatchGrowth: the right stage in every epoch, batches of the stage's size and count, and what it refuses."""

import logging

import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset, DataLoader, Dataset
from monai.engines import SupervisedTrainer
from monai.transforms import (
    Compose,
    EnsureTyped,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandSpatialCropd,
    RandSpatialCropSamplesd,
    Resized,
    ScaleIntensityd,
    SpatialPadd,
)

from monai_patchgrow import GrowthSchedule, PatchCount, PatchGrowth, PatchSize
from monai_patchgrow.transforms import RandPatchesd

FULL = (16, 16)
KEYS = ["image", "label"]


def make_schedule(curriculum="efficiency", *, batch_size=2, max_epochs=3, total_stride=(8, 8)):
    """Stages 8x8, 16x8, 16x16 (`random`: 16x8, 16x16)."""
    return GrowthSchedule.plan(
        patch_size=FULL, total_stride=total_stride, batch_size=batch_size, max_epochs=max_epochs, curriculum=curriculum
    )


def make_items(count=4):
    label = torch.zeros(1, 20, 20)
    label[:, 6:14, 6:14] = 1
    return [{"image": torch.rand(1, 20, 20), "label": label} for _ in range(count)]


def pos_neg_crop():
    return RandCropByPosNegLabeld(
        KEYS, "label", spatial_size=FULL, pos=1, neg=1, num_samples=4, image_key="image", image_threshold=0
    )


def make_loader(transform, *, batch_size=2, **options):
    return DataLoader(Dataset(make_items(), transform), batch_size=batch_size, **options)


def growing_crop(size, count):
    return RandSpatialCropSamplesd("image", roi_size=size, num_samples=count, random_size=False)


def recorder(what):
    """An engine that notes `what(engine, batch)` in every iteration."""
    seen = []
    return Engine(lambda engine, batch: seen.append(what(engine, batch))), seen


def shape_of(engine, batch):
    return len(batch["image"]), tuple(batch["image"].shape[2:])


# stage by epoch


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("stage_number", [1, 1, 2, 2, 3, 3]),
        ("num_stages", [3, 3, 3, 3, 3, 3]),
        ("patch_size", [(8, 8), (8, 8), (16, 8), (16, 8), (16, 16), (16, 16)]),
    ],
)
def test_state_tells_the_stage_of_every_epoch(name, wanted):
    engine, seen = recorder(lambda engine, batch: getattr(engine.state, name))
    PatchGrowth(make_schedule(max_epochs=6), PatchSize(FULL)).attach(engine)
    engine.run([0], max_epochs=6)
    assert seen == wanted


def test_state_holds_the_stage_itself():
    schedule = make_schedule()
    engine, seen = recorder(lambda engine, batch: engine.state.stage)
    PatchGrowth(schedule, PatchSize(FULL)).attach(engine)
    engine.run([0], max_epochs=3)
    assert seen == list(schedule.stages)


def test_a_second_run_starts_at_the_first_stage_again():
    size, count = PatchSize(FULL), PatchCount()
    engine, seen = recorder(shape_of)
    PatchGrowth(make_schedule(), size, count).attach(engine)
    loader = make_loader(growing_crop(size, count))
    for _ in range(2):
        engine.run(loader, max_epochs=3)
    assert [patch for _, patch in seen] == [(8, 8), (8, 8), (16, 8), (16, 8), (16, 16), (16, 16)] * 2


def test_fewer_patches_than_volumes_are_refused():
    size, count = PatchSize(FULL), PatchCount()
    engine, _ = recorder(shape_of)
    PatchGrowth(make_schedule(), size, count).attach(engine)
    with pytest.raises(ValueError, match="come from 4 volumes, the schedule plans 2 patches"):
        engine.run(make_loader(growing_crop(size, count), batch_size=4), max_epochs=3)


def test_stage_follows_the_epoch_that_an_engine_was_loaded_at():
    size, count = PatchSize(FULL), PatchCount()
    engine, seen = recorder(shape_of)
    PatchGrowth(make_schedule(), size, count).attach(engine)
    engine.load_state_dict({"epoch": 1, "max_epochs": 3, "epoch_length": 2})
    engine.run(make_loader(growing_crop(size, count)))
    assert seen == [(2, (16, 8))] * 2 + [(2, (16, 16))] * 2


def test_stage_follows_the_epoch_that_an_earlier_handler_sets_on_start():
    size, count = PatchSize(FULL), PatchCount()
    engine, seen = recorder(shape_of)

    @engine.on(Events.STARTED)
    def resume():
        engine.load_state_dict({"epoch": 2, "max_epochs": 3, "epoch_length": 2})

    PatchGrowth(make_schedule(), size, count).attach(engine)
    engine.run(make_loader(growing_crop(size, count)), max_epochs=3)
    assert seen == [(2, (16, 16))] * 2


def test_stage_is_right_after_a_resume_in_the_middle_of_an_epoch():
    size, count = PatchSize(FULL), PatchCount()
    engine, seen = recorder(shape_of)
    PatchGrowth(make_schedule(), size, count).attach(engine)
    engine.load_state_dict({"iteration": 3, "max_epochs": 3, "epoch_length": 2})
    engine.run(make_loader(growing_crop(size, count)))
    assert seen == [(2, (16, 8))] + [(2, (16, 16))] * 2


def test_second_run_may_resume_in_the_middle_of_an_epoch():
    size, count = PatchSize(FULL), PatchCount()
    engine, seen = recorder(shape_of)
    PatchGrowth(make_schedule(), size, count).attach(engine)
    loader = make_loader(growing_crop(size, count))
    engine.run(loader, max_epochs=3)
    seen.clear()
    engine.load_state_dict({"iteration": 1, "max_epochs": 3, "epoch_length": 2})
    engine.run(loader)
    assert seen == [(2, (8, 8))] + [(2, (16, 8))] * 2 + [(2, (16, 16))] * 2


# an existing pipeline


@pytest.mark.parametrize("decollate", [True, False])
def test_transform_alone_serves_an_existing_pipeline(decollate):
    preprocessing = Compose(
        [
            ScaleIntensityd("image"),
            EnsureTyped(KEYS),
            pos_neg_crop(),
            RandFlipd(KEYS, prob=0.5, spatial_axis=0),
        ]
    )
    dataset = CacheDataset(make_items(), preprocessing, progress=False)
    network, seen = torch.nn.Conv2d(1, 2, 1), []
    growth = PatchGrowth(make_schedule("performance", batch_size=7), transform=preprocessing)
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=3,
        train_data_loader=DataLoader(dataset, batch_size=2, shuffle=True, num_workers=0),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), 0.1),
        loss_function=lambda pred, label: torch.nn.functional.cross_entropy(pred, label[:, 0].long()),
        train_handlers=[growth],
        decollate=decollate,
    )
    trainer.add_event_handler(
        Events.ITERATION_STARTED, lambda engine: seen.append(shape_of(engine, engine.state.batch))
    )
    trainer.run()
    assert seen == [(28, (8, 8))] * 2 + [(14, (16, 8))] * 2 + [(7, (16, 16))] * 2


def test_crop_of_the_existing_pipeline_is_the_same_object():
    crop = pos_neg_crop()
    growth = PatchGrowth(make_schedule(batch_size=8), transform=Compose([ScaleIntensityd("image"), crop]))
    growth.attach(Engine(lambda engine, batch: None))
    assert crop.cropper.spatial_size is growth.patch_size
    assert crop.cropper.num_samples is growth.patch_count


def test_crop_of_one_patch_per_volume_grows():
    preprocessing = Compose([RandSpatialCropd(KEYS, FULL, random_size=False)])
    engine, seen = recorder(shape_of)
    PatchGrowth(make_schedule(), transform=preprocessing).attach(engine)
    engine.run(make_loader(preprocessing), max_epochs=3, epoch_length=1)
    assert seen == [(2, (8, 8)), (2, (16, 8)), (2, (16, 16))]


# the number of patches in a batch


def make_odd_batches(what, **options):
    """`performance` asks for 12, 6 and 3 patches of 2 volumes: 12, 6 and, rounded up, 4 come."""
    size, count = PatchSize(FULL), PatchCount()
    engine, seen = recorder(what)
    PatchGrowth(make_schedule("performance", batch_size=3), size, count).attach(engine)
    engine.run(make_loader(growing_crop(size, count), **options), max_epochs=3, epoch_length=1)
    return seen


def test_batch_is_cut_to_the_patches_of_the_stage():
    assert make_odd_batches(shape_of) == [(12, (8, 8)), (6, (16, 8)), (3, (16, 16))]


def test_all_tensors_of_a_batch_are_cut_alike():
    assert make_odd_batches(lambda engine, batch: len(batch["label"])) == [12, 6, 3]


def test_batch_that_was_cut_keeps_patches_of_every_volume():
    size, seen = PatchSize((8,)), []
    schedule = GrowthSchedule.plan(patch_size=(8,), total_stride=(8,), batch_size=4, max_epochs=1)
    engine = Engine(lambda engine, batch: seen.append(batch))
    PatchGrowth(schedule, size).attach(engine)
    image = torch.arange(6.0).reshape(6, 1, 1).expand(6, 1, 8)  # two of each of three volumes
    engine.run([{"image": image, "name": [*"abcdef"], "task": "Task04", "spacing": torch.ones(3)}])
    assert seen[0]["image"][:, 0, 0].tolist() == [0, 1, 3, 4]
    assert seen[0]["name"] == ["a", "b", "d", "e"]
    assert seen[0]["task"] == "Task04"
    assert seen[0]["spacing"].tolist() == [1, 1, 1]


def test_batch_without_the_image_key_is_left_alone():
    engine, seen = recorder(lambda engine, batch: batch)
    PatchGrowth(make_schedule(), PatchSize(FULL)).attach(engine)
    engine.run([{"other": 1}], max_epochs=1)
    assert seen == [{"other": 1}]


# random


def drawn_sizes(*, seed, batch_size=2, max_epochs=2, torch_seed=0):
    torch.manual_seed(torch_seed)
    size, count = PatchSize(FULL), PatchCount()
    engine, seen = recorder(lambda engine, batch: tuple(batch["image"].shape[2:]))
    PatchGrowth(make_schedule("random", batch_size=batch_size), size, count, seed=seed).attach(engine)
    engine.run(make_loader(growing_crop(size, count)), max_epochs=max_epochs, epoch_length=6)
    return seen


def test_random_draws_another_size_per_iteration():
    sizes = drawn_sizes(seed=0)
    assert len(sizes) == 12
    assert set(sizes[:6]) == {(16, 8), (16, 16)}


def test_random_depends_on_its_seed_alone():
    assert drawn_sizes(seed=0, torch_seed=1) == drawn_sizes(seed=0, torch_seed=2)


def test_random_with_another_seed_draws_other_sizes():
    assert drawn_sizes(seed=0) != drawn_sizes(seed=1)


def test_random_epochs_differ():
    sizes = drawn_sizes(seed=0)
    assert sizes[:6] != sizes[6:]


def test_random_shows_the_drawn_size_on_the_state():
    size, count = PatchSize(FULL), PatchCount()
    engine, seen = recorder(lambda engine, batch: engine.state.patch_size == tuple(batch["image"].shape[2:]))
    PatchGrowth(make_schedule("random"), size, count).attach(engine)
    engine.run(make_loader(growing_crop(size, count)), max_epochs=3)
    assert seen == [True] * 6


def test_random_is_refused_with_workers_that_nobody_tells():
    engine = Engine(lambda engine, batch: None)
    PatchGrowth(make_schedule("random"), PatchSize(FULL)).attach(engine)
    with pytest.raises(
        ValueError,
        match=r"^curriculum random draws one size per iteration: use a monai_patchgrow.data.SeededDataLoader,",
    ):
        engine.run(make_loader(None, num_workers=2), max_epochs=3)


# what is refused


def test_neither_size_nor_transform_is_refused():
    with pytest.raises(ValueError, match=r"^PatchGrowth needs patch_size \(a PatchSize that the crops read\) or trans"):
        PatchGrowth(make_schedule())


def test_more_epochs_than_planned_are_refused():
    engine = Engine(lambda engine, batch: None)
    PatchGrowth(make_schedule(), PatchSize(FULL)).attach(engine)
    with pytest.raises(ValueError, match=r"^the trainer runs 4 epochs, the schedule plans 3: give both the same max_e"):
        engine.run([0], max_epochs=4)


def test_fewer_epochs_than_planned_are_run():
    engine, seen = recorder(lambda engine, batch: engine.state.stage_number)
    PatchGrowth(make_schedule(), PatchSize(FULL)).attach(engine)
    engine.run([0], max_epochs=2)
    assert seen == [1, 2]


@pytest.mark.parametrize("curriculum", ["efficiency", "pgps", "performance", "random"])
def test_a_patch_that_cannot_grow_is_told(curriculum, caplog):
    engine, seen = recorder(lambda engine, batch: engine.state.patch_size)
    PatchGrowth(make_schedule(curriculum, total_stride=FULL), PatchSize(FULL)).attach(engine)
    engine.run([0], max_epochs=3)
    assert seen == [FULL] * 3
    reason = "none smaller than the full 16x16 is allowed with a total stride of 16x16"
    assert caplog.messages == [f"the patch does not grow by {curriculum}: {reason}"]


@pytest.mark.parametrize(("curriculum", "stride"), [("constant", FULL), ("constant", (8, 8)), ("efficiency", (8, 8))])
def test_a_patch_that_grows_or_need_not_is_not(curriculum, stride, caplog):
    engine, seen = recorder(lambda engine, batch: engine.state.patch_size)
    PatchGrowth(make_schedule(curriculum, total_stride=stride), PatchSize(FULL)).attach(engine)
    engine.run([0], max_epochs=3)
    assert (seen[-1], caplog.messages) == (FULL, [])


def test_several_patches_per_volume_without_a_count_are_refused():
    engine = Engine(lambda engine, batch: None)
    PatchGrowth(make_schedule("performance"), PatchSize(FULL)).attach(engine)
    with pytest.raises(
        ValueError, match=r"^curriculum performance draws up to 4 patches per volume: give PatchGrowth a"
    ):
        engine.run(make_loader(None), max_epochs=3)


def test_a_trainer_is_checked_when_the_handler_is_attached():
    engine = Engine(lambda engine, batch: None)
    engine.data_loader = make_loader(None)
    with pytest.raises(ValueError, match="draws up to 4 patches per volume"):
        PatchGrowth(make_schedule("performance"), PatchSize(FULL)).attach(engine)


def test_size_in_front_of_a_cache_is_refused_on_start():
    size = PatchSize(FULL)
    dataset = CacheDataset(make_items(), Compose([SpatialPadd(KEYS, size), RandFlipd(KEYS)]), progress=False)
    engine = Engine(lambda engine, batch: None)
    PatchGrowth(make_schedule(), size).attach(engine)
    with pytest.raises(ValueError, match=r"^SpatialPadd reads the growing patch size in front of the cache of C"):
        engine.run(DataLoader(dataset, batch_size=2), max_epochs=3)


def test_stacks_that_were_not_concatenated_stop_the_run_with_one_line():
    size, count = PatchSize(FULL), PatchCount()
    draw = RandPatchesd(KEYS, "label", size, num_classes=2, num_samples=count)
    engine = Engine(lambda engine, batch: None)
    PatchGrowth(make_schedule(batch_size=8), size, count).attach(engine)
    with pytest.raises(RuntimeError, match=r"the loader's collate_fn must be concatenate_patches for RandPatchesd$"):
        engine.run(make_loader(draw), max_epochs=3)


def test_batch_of_another_size_stops_the_run_with_one_line():
    preprocessing = Compose([pos_neg_crop(), Resized(KEYS, (12, 12))])
    engine = Engine(lambda engine, batch: None)
    PatchGrowth(make_schedule(batch_size=8), transform=preprocessing).attach(engine)
    with pytest.raises(RuntimeError) as caught:
        engine.run(make_loader(preprocessing), max_epochs=3)
    assert str(caught.value) == (
        "a batch of (12, 12) voxels came in a stage of (8, 8): a transform sets a size of its own, or froze the size "
        "when it was made"
    )


# what a checkpoint holds


def test_state_dict_is_the_plan():
    growth = PatchGrowth(make_schedule(), PatchSize(FULL))
    assert growth.state_dict() == {"curriculum": "efficiency", "max_epochs": 3}


def test_loading_the_same_plan_is_silent(caplog):
    growth = PatchGrowth(make_schedule(), PatchSize(FULL))
    growth.load_state_dict({"curriculum": "efficiency", "max_epochs": 3})
    assert caplog.text == ""


def test_loading_another_plan_warns(caplog):
    growth = PatchGrowth(make_schedule(), PatchSize(FULL))
    with caplog.at_level(logging.WARNING):
        growth.load_state_dict({"curriculum": "constant", "max_epochs": 9})
    assert caplog.messages == [
        "resumed under another plan: {'curriculum': 'constant', 'max_epochs': 9} then, "
        "{'curriculum': 'efficiency', 'max_epochs': 3} now"
    ]


def test_loading_another_plan_changes_no_stage():
    engine, seen = recorder(lambda engine, batch: engine.state.patch_size)
    growth = PatchGrowth(make_schedule(), PatchSize(FULL))
    growth.load_state_dict({"curriculum": "constant", "max_epochs": 9})
    growth.attach(engine)
    engine.run([0], max_epochs=3)
    assert seen == [(8, 8), (16, 8), (16, 16)]


def test_a_gpu_s_cache_is_given_back_with_a_stage(monkeypatch):
    epochs, engine = [], Engine(lambda engine, batch: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: epochs.append(engine.state.epoch))
    PatchGrowth(make_schedule(max_epochs=6), PatchSize(FULL)).attach(engine)
    engine.run([0], max_epochs=6)
    assert epochs == [1, 3, 5]
