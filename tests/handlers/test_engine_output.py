"""LossOutput: MONAI's own handlers read the loss of a trainer that does not decollate."""

import re

import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedTrainer
from monai.handlers import MeanSquaredError, StatsHandler, TensorBoardStatsHandler, from_engine
from torch.utils.tensorboard import SummaryWriter

from monai_patchgrow.handlers import LossOutput
from monai_patchgrow.handlers.engine_output import loss_of

LOSSES = [4.0, 2.25]  # of a weight of 1 on images of 2, then of 0.75, with targets of 0


def make_trainer(*handlers, decollate=False, **options):
    """Two iterations over a batch of three images, whose losses are known."""
    network = torch.nn.Conv1d(1, 1, 1, bias=False)
    torch.nn.init.ones_(network.weight)
    items = [{"image": torch.full((1, 4), 2.0), "label": torch.zeros(1, 4)} for _ in range(3)]
    return SupervisedTrainer(
        device="cpu",
        max_epochs=2,
        train_data_loader=DataLoader(Dataset(items), batch_size=3),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.03125),
        loss_function=torch.nn.MSELoss(),
        train_handlers=list(handlers),
        decollate=decollate,
        **options,
    )


class Losses:
    """Notes what `loss_of` returns."""

    def __init__(self):
        self.seen = []

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: self.seen.append(loss_of(engine)))


FIRST_LOSS = from_engine(["loss"], first=True)


@pytest.mark.parametrize("place", ["first", "last"])
def test_stats_handler_logs_the_loss(capsys, place):
    logger = f"stats, LossOutput {place}"  # of its own, which writes to the stdout of this test
    stats = StatsHandler(name=logger, tag_name="train_loss", output_transform=FIRST_LOSS)
    make_trainer(*([LossOutput(), stats] if place == "first" else [stats, LossOutput()])).run()
    assert re.findall(r"train_loss: (\S+)", capsys.readouterr().out) == ["4.0000", "2.2500"]


def test_tensorboard_stats_handler_writes_the_loss(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with SummaryWriter(str(tmp_path)) as writer:
        stats = TensorBoardStatsHandler(writer, tag_name="train_loss", output_transform=FIRST_LOSS)
        make_trainer(LossOutput(), stats).run()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [event.value for event in events.Scalars("train_loss")] == LOSSES


def test_stats_handler_finds_no_loss_without_it():
    # what the handler is for: should MONAI learn to read a dict, it can go
    with pytest.warns(UserWarning, match="ignoring non-scalar output in StatsHandler"):
        make_trainer(StatsHandler(output_transform=FIRST_LOSS)).run()


@pytest.mark.parametrize("decollate", [True, False])
@pytest.mark.parametrize("handlers", [[], [LossOutput()]], ids=["without", "with"])
def test_loss_of_every_kind_of_output(handlers, decollate):
    losses = Losses()
    make_trainer(*handlers, losses, decollate=decollate).run()
    assert [loss.item() for loss in losses.seen] == LOSSES
    assert not any(loss.requires_grad for loss in losses.seen)


def test_decollated_output_is_left_as_it_is():
    trainer = make_trainer(LossOutput(), decollate=True)
    trainer.run()
    assert [sorted(item) for item in trainer.state.output] == [["image", "label", "loss", "pred"]] * 3


def test_a_metric_that_reads_predictions_fails_rather_than_read_something_else():
    metric = MeanSquaredError(output_transform=from_engine(["pred", "label"]))
    with pytest.raises(KeyError, match="pred"):
        make_trainer(LossOutput(), key_train_metric={"error": metric}).run()


def test_images_and_logits_are_let_go():
    trainer = make_trainer(LossOutput())
    trainer.run()
    assert list(trainer.state.output[0]) == ["loss"]
    assert trainer.state.output[0]["loss"].grad_fn is None


def test_an_engine_that_is_no_monai_trainer_is_refused():
    with pytest.raises(ValueError, match="not a valid event"):
        LossOutput().attach(Engine(lambda engine, batch: None))
