"""PatchGDTrainer and PatchGDEvaluator: MONAI engines, on which handlers, metrics and growing patches work."""

import logging
import signal
from contextlib import suppress

import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import IterationEvents
from monai.handlers import (
    ROCAUC,
    CheckpointLoader,
    CheckpointSaver,
    EarlyStopHandler,
    LrScheduleHandler,
    MeanAbsoluteError,
    StatsHandler,
    ValidationHandler,
    from_engine,
)
from monai.inferers import SimpleInferer
from monai.transforms import Activationsd, AsDiscreted, Compose
from torch import nn

import monai_patchgrow as patchgrow
from monai_patchgrow.data import SeededDataLoader
from monai_patchgrow.data.tiles.source import as_tile_source
from monai_patchgrow.engines.patchgd import PatchGDEvents, fill_latent
from monai_patchgrow.handlers import GradientClipping, LossScaling, Reproducibility, ResumableRun
from monai_patchgrow.handlers.stop_signals import RunStopped
from monai_patchgrow.networks.heads.conv import ConvHead
from monai_patchgrow.networks.heads.pooling import MeanPoolingHead

CLASSES = 3


def make_cases(count=4, size=(10, 8)):
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 1, *size), dtype=torch.uint8, generator=draw)
    return [{"image": image, "label": number % CLASSES} for number, image in enumerate(images)]


def make_network(*, outputs=CLASSES, dropout=0.0, batch_norm=False, head=None):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4) if batch_norm else nn.Identity()
    encoder = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    head = head or ConvHead(4, outputs, pooled=True, channels=4, num_strided=1, dropout=dropout, norm="layer")
    return nn.ModuleDict({"encoder": encoder, "head": head})


def make_trainer(network=None, *, loader=None, max_epochs=2, lr=0.1, loss=None, handlers=(), **options):
    network = network or make_network()
    optimizer = options.pop("optimizer", None) or torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9)
    return patchgrow.PatchGDTrainer(
        network=network,
        device="cpu",
        max_epochs=max_epochs,
        train_data_loader=DataLoader(Dataset(make_cases()), batch_size=2) if loader is None else loader,
        optimizer=optimizer,
        loss_function=loss or nn.CrossEntropyLoss(),
        train_handlers=list(handlers),
        **{"patch_size": (4, 4), "sampling": 1 / 2, **options},
    )


def make_evaluator(network=None, *, loader=None, **options):
    return patchgrow.PatchGDEvaluator(
        network=network or make_network(),
        device="cpu",
        val_data_loader=DataLoader(Dataset(make_cases()), batch_size=2) if loader is None else loader,
        **{"patch_size": (4, 4), **options},
    )


def weights(network):
    return torch.cat([tensor.flatten().double() for tensor in network.state_dict().values()])


def messages(caplog):
    return [record.message for record in caplog.records if "patchgd" in record.name]


# the trainer


def test_output_of_an_iteration():
    trainer = make_trainer(decollate=False)
    trainer.run()
    output = trainer.state.output
    assert sorted(output) == ["label", "latent", "loss", "pred"]
    assert output["pred"].shape == (2, 3)
    assert output["latent"].shape == (2, 4, 3, 2)
    assert output["loss"].shape == ()
    assert not any(value.requires_grad for value in output.values())


def test_training_lowers_the_loss():
    losses = []
    images = torch.rand(3, 1, 10, 8) + torch.arange(3).reshape(3, 1, 1, 1)
    network = make_network(head=MeanPoolingHead(4, CLASSES))
    trainer = make_trainer(network, max_epochs=60, lr=0.3, loader=[{"image": images, "label": torch.arange(3)}])
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: losses.append(trainer.state.output[0]["loss"]))
    trainer.run()
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exact: one head pass stands for all 2 inner steps"),
        ({"exact": False}, "2 inner steps with a head pass each: exact=False"),
        ({"accumulation": 1}, "the optimiser steps after every 1 of 2 inner steps"),
        ({"network": make_network(dropout=0.2)}, r"Dropout2d(p=0.2) is active in the head"),
        ({"network": make_network(batch_norm=True)}, "exact: one head pass"),
    ],
)
def test_the_variant_is_logged_once(caplog, options, message):
    caplog.set_level(logging.INFO)
    make_trainer(**options).run()
    assert len(messages(caplog)) == 1
    assert message in messages(caplog)[0]


def test_loss_is_the_mean_of_the_inner_losses():
    inner = []
    trainer = make_trainer(max_epochs=1, exact=False, accumulation=1, decollate=False, sampling=1 / 3)
    trainer.add_event_handler(PatchGDEvents.INNER_STEP_COMPLETED, lambda: inner.append(trainer.state.inner_loss))
    trainer.run()
    assert len(inner) == 6
    assert trainer.state.output["loss"] == torch.stack(inner[3:]).mean()


def test_handlers_attach_to_the_inner_loop_and_filters_count_its_steps():
    seen = []
    trainer = make_trainer(max_epochs=1, sampling=1 / 6, exact=False)

    def note(engine, name):
        seen.append((name, engine.state.inner_step, tuple(engine.state.latent.z.shape)))

    trainer.add_event_handler(PatchGDEvents.FILL_COMPLETED, note, "filled")
    trainer.add_event_handler(PatchGDEvents.INNER_STEP_STARTED(once=2), note, "started")
    trainer.add_event_handler(PatchGDEvents.INNER_STEP_COMPLETED(every=3), note, "completed")
    trainer.run()
    z = (2, 4, 3, 2)
    assert seen == [("filled", 0, z), ("started", 2, z), ("completed", 3, z), ("completed", 6, z)] * 2


def test_monais_own_events_come_too():
    seen = []
    trainer = make_trainer(max_epochs=1, loader=DataLoader(Dataset(make_cases()), batch_size=4))
    for event in IterationEvents:
        trainer.add_event_handler(event, lambda event: seen.append(event.name), event)
    trainer.run()
    assert seen == ["FORWARD_COMPLETED", "LOSS_COMPLETED", "BACKWARD_COMPLETED", "MODEL_COMPLETED"]


@pytest.mark.parametrize("accumulation", [None, 1])
def test_draws_depend_on_seed_epoch_and_iteration_alone(accumulation):
    options = {"accumulation": accumulation, "exact": False}
    first, again, other = (make_trainer(**options, seed=seed) for seed in (0, 0, 1))
    torch.manual_seed(7)
    for trainer in (first, again, other):
        trainer.run()
    assert torch.equal(weights(first.network), weights(again.network))
    assert (accumulation == 1) is not torch.allclose(weights(first.network), weights(other.network), atol=1e-6)


def test_resumed_run_ends_on_the_bits_of_an_unbroken_one(tmp_path):
    def run(path, *, max_epochs=4, stop_after=None, stop_in=None, resume=False):
        network = make_network(dropout=0.2, batch_norm=True)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        saved = ResumableRun(path, {"network": network, "optimizer": optimizer}, resume=resume)
        loader = SeededDataLoader(Dataset(make_cases(), Compose([])), batch_size=2)
        handlers = [saved, Reproducibility(3)]
        options = {"max_epochs": max_epochs, "handlers": handlers, "loader": loader, "accumulation": 1}
        trainer = make_trainer(network, optimizer=optimizer, **options)
        if stop_after:
            trainer.add_event_handler(Events.EPOCH_STARTED(once=stop_after + 1), trainer.terminate)
        if stop_in:
            trainer.add_event_handler(
                PatchGDEvents.INNER_STEP_STARTED(once=stop_in), signal.raise_signal, signal.SIGTERM
            )
        with suppress(RunStopped):
            trainer.run()
        return weights(network)

    unbroken = run(tmp_path / "unbroken.pt")
    run(tmp_path / "last.pt", stop_after=2)
    run(tmp_path / "last.pt", stop_in=2, resume=True)
    assert torch.load(tmp_path / "last.pt", weights_only=True)["trainer"]["iteration"] == 5
    assert torch.equal(run(tmp_path / "last.pt", resume=True), unbroken)


def test_seed_of_reproducibility_comes_first():
    def run(seed):
        loader = SeededDataLoader(Dataset(make_cases(), Compose([])), batch_size=2)
        trainer = make_trainer(loader=loader, seed=seed, handlers=[Reproducibility(5)], accumulation=1)
        trainer.run()
        return weights(trainer.network)

    assert torch.equal(run(0), run(1))


def test_encoder_and_head_may_be_given_by_themselves():
    network = make_network()
    trainer = make_trainer(optimizer=torch.optim.SGD(network.parameters(), lr=0.1))
    parts = {"encoder": network["encoder"], "head": network["head"], "patch_size": (4, 4)}
    options = {"device": "cpu", "max_epochs": 1, "optimizer": trainer.optimizer, "loss_function": nn.CrossEntropyLoss()}
    apart = patchgrow.PatchGDTrainer(**parts, **options, train_data_loader=trainer.data_loader)
    before = weights(network)
    apart.run()
    assert sorted(apart.network.state_dict()) == sorted(network.state_dict())
    assert not torch.equal(weights(network), before)


# targets


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_regression_target_meets_its_prediction_one_by_one(dtype):
    cases = [{"image": case["image"], "label": torch.tensor(case["label"], dtype=dtype)} for case in make_cases()]
    seen = []

    class Loss(nn.MSELoss):
        def forward(self, input, target):
            seen.append((input.shape, target.shape, target.dtype))
            return super().forward(input, target)

    trainer = make_trainer(
        make_network(outputs=1), loss=Loss(), loader=DataLoader(Dataset(cases), batch_size=2), max_epochs=1
    )
    trainer.run()
    assert set(seen) == {((2, 1), (2, 1), torch.float32)}


def test_class_weights_are_the_loss_functions_own():
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 0.0, 0.0]), reduction="sum")
    trainer = make_trainer(loss=loss, max_epochs=1, loader=[{"image": torch.rand(2, 1, 8, 8), "label": [1, 2]}])
    before = weights(trainer.network)
    trainer.run()
    assert torch.equal(weights(trainer.network), before)


# MONAI's handlers and metrics


@pytest.mark.filterwarnings("ignore:'\\w+delta\\w*' is deprecated:DeprecationWarning")  # how MONAI calls Ignite
def test_handlers_and_metrics_of_monai(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    network = make_network(outputs=CLASSES)
    post = Compose([Activationsd("pred", softmax=True), AsDiscreted("label", to_onehot=CLASSES)])
    pairs = from_engine(["pred", "label"])
    evaluator = make_evaluator(
        network,
        postprocessing=Compose([lambda item: {**item, "label": torch.tensor([item["label"]])}, post]),
        key_val_metric={"auc": ROCAUC(output_transform=pairs)},
        additional_metrics={"mae": MeanAbsoluteError(output_transform=pairs)},
        val_handlers=[CheckpointSaver(str(tmp_path), {"network": network}, save_key_metric=True)],
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    trainer = make_trainer(
        network,
        optimizer=optimizer,
        max_epochs=3,
        handlers=[
            LrScheduleHandler(scheduler, print_lr=False, epoch_level=False),
            ValidationHandler(1, evaluator),
            StatsHandler(output_transform=from_engine(["loss"], first=True)),
            CheckpointSaver(str(tmp_path), {"network": network}, save_final=True),
            GradientClipping(optimizer, 1.0),
        ],
        key_train_metric={"train_mae": MeanAbsoluteError(output_transform=_one_hot)},
    )
    stop = EarlyStopHandler(1, lambda engine: 0.0, trainer)
    evaluator.add_event_handler(Events.EPOCH_COMPLETED, stop)
    trainer.run()
    assert trainer.state.epoch == 2  # stopped early
    assert optimizer.param_groups[0]["lr"] == 1.0 / 16  # per batch
    assert 0.0 <= evaluator.state.metrics["auc"] <= 1.0
    assert evaluator.state.metrics["mae"] > 0.0
    assert trainer.state.metrics["train_mae"] > 0.0
    final = torch.load(tmp_path / "network_final_iteration=4.pt", weights_only=True)
    assert torch.equal(final["head.output.weight"], network["head"].output.weight)
    other = make_network()
    loaded = make_trainer(
        other,
        max_epochs=1,
        lr=0.0,
        handlers=[CheckpointLoader(str(tmp_path / "network_final_iteration=4.pt"), {"network": other})],
    )
    loaded.run()
    assert torch.equal(weights(other), weights(network))


def _one_hot(output):
    return [item["pred"] for item in output], [torch.eye(CLASSES)[item["label"]] for item in output]


def test_gradient_clipping_sees_each_step():
    network = make_network()
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    steps, before = [], weights(network)

    def note(optimizer, args, kwargs):
        nonlocal before
        steps.append(float((weights(network) - before).norm()))
        before = weights(network)

    optimizer.register_step_post_hook(note)
    clipping = GradientClipping(optimizer, 1e-3)
    make_trainer(network, optimizer=optimizer, max_epochs=1, accumulation=1, handlers=[clipping]).run()
    assert len(steps) == 4
    assert steps == pytest.approx([1e-3] * 4, rel=0.01)


@pytest.mark.parametrize("source", [as_tile_source, lambda image: as_tile_source(image.numpy()), lambda image: image])
def test_batches_of_tile_sources_are_decollated_too(source):
    images = [torch.randint(256, (1, *size), dtype=torch.uint8) for size in ((10, 8), (5, 12))]
    batch = {"image": [source(image) for image in images], "label": torch.tensor([0, 2]), "name": ["a", "b"]}
    trainer = make_trainer(make_network(head=MeanPoolingHead(4, CLASSES)), loader=[batch], max_epochs=1)
    trainer.run()
    assert [item["label"] for item in trainer.state.output] == [0, 2]
    assert [item["name"] for item in trainer.state.batch] == ["a", "b"]
    assert [item["image"] for item in trainer.state.batch] == batch["image"]
    assert trainer.state.latent.mask.sum((1, 2)).tolist() == [6, 6]


# AMP


def amp_trainer(dtype, **options):
    return make_trainer(amp=True, amp_kwargs={"dtype": dtype}, max_epochs=3, **options)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(("dtype", "scaled"), [(torch.bfloat16, False), (torch.float16, True)])
def test_amp_trains_to_about_the_same_weights(dtype, scaled, exact):
    full, half = make_trainer(max_epochs=3, exact=exact), amp_trainer(dtype, exact=exact, handlers=[LossScaling()])
    full.run()
    half.run()
    assert half.scaler.is_enabled() is scaled
    assert half.state.latent.z.dtype == torch.float32
    assert not torch.equal(weights(full.network), weights(half.network))
    assert torch.allclose(weights(full.network), weights(half.network), atol=0.06)  # by the threads: 0.005 to 0.04


def test_step_of_infinite_gradients_is_skipped_and_the_scale_halved():
    trainer = amp_trainer(torch.float16, loss=lambda pred, target: pred.sum() * float("inf"))
    before = weights(trainer.network)
    trainer.run()
    assert torch.equal(weights(trainer.network), before)
    assert trainer.scaler.get_scale() == 65536 / 2**6


# growth


def test_patches_grow_over_the_epochs_and_grid_and_head_follow():
    schedule = patchgrow.GrowthSchedule.plan(
        patch_size=(16, 16), total_stride=(8, 8), batch_size=2, max_epochs=3, curriculum="efficiency"
    )
    size, seen = patchgrow.PatchSize((16, 16)), []
    loader = DataLoader(Dataset(make_cases(size=(32, 40))), batch_size=2)
    growth = patchgrow.PatchGrowth(schedule, size)
    trainer = make_trainer(loader=loader, patch_size=size, max_epochs=3, handlers=[growth])
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: seen.append(engine.state.latent.shape))
    trainer.run()
    assert seen == [(4, 5), (2, 5), (2, 3)]
    evaluator = make_evaluator(trainer.network, loader=loader, patch_size=size)
    evaluator.run()
    assert evaluator.state.latent.shape == (2, 3)


class CountedLoader(list):
    """Batches whose iterators are counted."""

    iterators = 0

    def __iter__(self):
        self.iterators += 1
        return super().__iter__()


def test_growth_leaves_the_loader_of_whole_images_alone():
    schedule = patchgrow.GrowthSchedule.plan(
        patch_size=(16, 16), total_stride=(8, 8), batch_size=4, max_epochs=3, curriculum="efficiency"
    )
    size, loader = patchgrow.PatchSize((16, 16)), CountedLoader(DataLoader(Dataset(make_cases(size=(16, 24)))))
    growth = patchgrow.PatchGrowth(schedule, size)
    make_trainer(loader=loader, epoch_length=1, patch_size=size, max_epochs=3, handlers=[growth]).run()
    assert loader.iterators == 1


def test_chunks_of_small_patches_hold_as_many_voxels():
    size, seen = patchgrow.PatchSize((8, 8)), []
    trainer = make_trainer(loader=DataLoader(Dataset(make_cases(size=(32, 40)))), patch_size=size, chunk_size=2)
    trainer.network["encoder"].register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape)))
    size.set((4, 8))
    trainer.run()
    assert set(seen) == {(4, 1, 4, 8)}


def test_growth_of_the_batch_is_refused_on_whole_images():
    schedule = patchgrow.GrowthSchedule.plan(
        patch_size=(16, 16), total_stride=(8, 8), batch_size=2, max_epochs=3, curriculum="performance"
    )
    size = patchgrow.PatchSize((16, 16))
    with pytest.raises(ValueError, match="a trainer of whole images needs a curriculum that keeps the batch size"):
        make_trainer(patch_size=size, handlers=[patchgrow.PatchGrowth(schedule, size)])


# the evaluator


def test_evaluator_gives_what_a_whole_pass_gives():
    network, cases = make_network(dropout=0.2, batch_norm=True), make_cases()
    evaluator = make_evaluator(network, chunk_size=3, decollate=False, loader=DataLoader(Dataset(cases), batch_size=4))
    evaluator.run()
    images = torch.stack([case["image"] for case in cases]) / 255
    padded = nn.functional.pad(images, (0, 0, 0, 2))
    patches = padded.unfold(2, 4, 4).unfold(3, 4, 4).movedim(1, 3).flatten(0, 2)
    network.eval()
    with torch.no_grad():
        z = network["encoder"](patches).unflatten(0, (4, 3, 2)).movedim(-1, 1)
        expected = network["head"](z)
    output = evaluator.state.output
    assert sorted(output) == ["label", "latent", "pred"]
    assert torch.allclose(output["latent"], z, atol=1e-6)
    assert torch.allclose(output["pred"], expected, atol=1e-6)


def test_evaluator_leaves_the_network_as_it_was():
    network = make_network(dropout=0.2, batch_norm=True).train()
    before = weights(network)
    make_evaluator(network).run()
    assert torch.equal(weights(network), before)
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize(("chunk_size", "sizes"), [(64, [24]), (9, [8, 8, 8]), (1, [4] * 6)])
def test_evaluator_encodes_a_chunk_at_a_time(chunk_size, sizes):
    network, seen = make_network(), []
    network["encoder"].register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    make_evaluator(network, chunk_size=chunk_size, loader=DataLoader(Dataset(make_cases()), batch_size=4)).run()
    assert seen == sizes


def test_evaluator_fires_when_the_latent_is_filled():
    seen = []
    evaluator = make_evaluator()
    evaluator.add_event_handler(PatchGDEvents.FILL_COMPLETED, lambda e: seen.append(e.state.latent.shape))
    evaluator.run()
    assert seen == [(3, 2), (3, 2)]


def test_evaluator_needs_no_label():
    evaluator = make_evaluator(loader=[{"image": torch.rand(2, 1, 8, 8)}])
    evaluator.run()
    assert evaluator.state.output[1]["pred"].shape == (3,)


def test_evaluator_under_amp():
    evaluator = make_evaluator(amp=True, amp_kwargs={"dtype": torch.bfloat16}, decollate=False)
    evaluator.run()
    assert evaluator.state.output["latent"].dtype == torch.float32


def test_latent_of_any_images_in_row_order():
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False))
    nn.init.ones_(encoder[1].weight)
    image = torch.arange(12.0).reshape(1, 1, 4, 3)
    latent = fill_latent(encoder=encoder, images=image, patch_size=(2, 2), chunk_size=1)
    assert latent.z.tolist() == [[[[8.0, 7.0], [32.0, 19.0]]]]


# refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampling": 0}, "sampling must be the share"),
        ({"inner_steps": 0}, "inner_steps must be an integer of at least 1"),
        ({"accumulation": 0}, "accumulation must be an integer of at least 1"),
        ({"compile": True}, r"no option compile: give it a compiled encoder, torch.compile\(encoder\)"),
        ({"accumulation_steps": 2}, "no option accumulation_steps: accumulation counts the inner steps"),
        ({"inferer": SimpleInferer()}, "no option inferer"),
        ({"iteration_update": lambda engine, batch: batch}, "no option iteration_update: an iteration is a pass"),
        ({"chunk_size": 0}, "chunk_size must be an integer of at least 1, got 0"),
        ({"encoder": nn.Identity()}, "give either encoder and head, or a network that has both"),
        ({"network": nn.Linear(1, 1)}, "give either encoder and head, or a network that has both"),
    ],
)
def test_trainer_refuses_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        make_trainer(**options)


def test_options_that_say_what_is_anyhow_are_taken():
    make_trainer(accumulation_steps=1, compile=False, inferer=None)
    make_evaluator(compile=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk_size": 0}, "chunk_size must be an integer of at least 1, got 0"),
        ({"compile": True}, "PatchGDEvaluator has no option compile"),
    ],
)
def test_evaluator_refuses_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        make_evaluator(**options)


def test_training_without_labels_is_one_line():
    with pytest.raises(ValueError, match='the trainer needs batches with a "label", got Tensor without'):
        make_trainer(loader=[torch.zeros(2, 1, 8, 8)]).run()


@pytest.mark.parametrize("make", [make_trainer, make_evaluator])
def test_image_smaller_than_the_patch_is_refused_unless_it_may_be_padded(make):
    with pytest.raises(ValueError, match="10x8 voxels, fewer on axis 1 than the patch of 10x9"):
        make(patch_size=(10, 9)).run()
    engine = make(patch_size=(10, 9), allow_smaller=True)
    engine.run()
    assert engine.state.latent.shape == (1, 1)
