"""Gradients that are no numbers end a training before they reach the weights, or anything on disk."""

import json
import logging

import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import Dataset
from monai.engines import SupervisedTrainer
from monai.transforms import Identityd

from monai_patchgrow import GrowthSchedule, PatchGrowth, PatchSize
from monai_patchgrow.data import DataError, SeededDataLoader
from monai_patchgrow.handlers import BestWeights, FiniteSteps, ResumableRun
from monai_patchgrow.handlers.finite_steps import StepError, cases_of_batch
from monai_patchgrow.handlers.run_log import _line

NAN, INFINITE = float("nan"), float("inf")


class Loss(torch.nn.Module):
    """The mean, and `value` in place of it on the calls of these numbers, from 1."""

    def __init__(self, value, *calls):
        super().__init__()
        self.value, self.calls, self.number = value, calls, 0

    def forward(self, pred, label):
        self.number += 1
        return pred.mean() * (self.value if self.number in self.calls else 1.0)


def make_trainer(folder, loss, *, num_workers=0, handlers=()):
    torch.manual_seed(0)
    network = torch.nn.Conv1d(1, 2, kernel_size=1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    items = [{"image": torch.full((1, 8), float(n)), "label": torch.zeros(1, 8)} for n in range(4)]
    loader = SeededDataLoader(
        Dataset(items, Identityd("image")), batch_size=2, iterations_per_epoch=3, num_workers=num_workers
    )
    run = ResumableRun(folder / "last.pt", objects={"network": network, "optimizer": optimizer})
    return SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=4,
        train_data_loader=loader,
        epoch_length=3,
        network=network,
        optimizer=optimizer,
        loss_function=loss,
        train_handlers=[run, FiniteSteps(optimizer), *handlers],
        decollate=False,
    )


@pytest.fixture(autouse=True)
def quiet():
    # Ignite logs the traceback of what ends a run.
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE])
def test_the_run_ends_before_the_step(tmp_path, value):
    trainer = make_trainer(tmp_path, Loss(value, 8))
    with pytest.raises(StepError) as error:
        trainer.run()
    assert trainer.state.iteration == 8
    assert all(torch.isfinite(weight).all() for weight in trainer.network.parameters())
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert saved["trainer"]["iteration"] == 6
    assert str(error.value).startswith("epoch 3, iteration 8, cases ")
    assert str(error.value).endswith(f"the last good state is {tmp_path}/last.pt")


def test_no_epoch_is_saved_where_the_first_step_is_bad(tmp_path):
    with pytest.raises(StepError, match="the gradients are NaN or infinite: take a lower learning_rate"):
        make_trainer(tmp_path, Loss(NAN, 1)).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nonfinite_batch.pt"]


def test_the_batch_is_kept(tmp_path):
    trainer = make_trainer(tmp_path, Loss(NAN, 2))
    with pytest.raises(StepError, match=f"the batch is kept as {tmp_path}/nonfinite_batch.pt"):
        trainer.run()
    kept = torch.load(tmp_path / "nonfinite_batch.pt", weights_only=True)
    assert torch.equal(kept["image"], trainer.state.batch["image"])


def test_stage_and_patch_size_are_named(tmp_path):
    schedule = GrowthSchedule.plan(patch_size=[8], total_stride=[4], batch_size=2, max_epochs=4, curriculum="constant")
    growth = PatchGrowth(schedule, PatchSize([8]))
    trainer = make_trainer(tmp_path, Loss(NAN, 10), handlers=[growth])
    with pytest.raises(StepError, match=r"^epoch 4, iteration 10, stage 1 of 1, patch 8, cases number \d"):
        trainer.run()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_cases_of_a_batch_are_those_that_were_drawn(tmp_path, num_workers):
    found = []

    class Look:
        def attach(self, engine):
            engine.add_event_handler(Events.ITERATION_COMPLETED, self)

        def __call__(self, engine):
            drawn = [f"number {int(image.flatten()[0])}" for image in engine.state.batch["image"]]
            found.append(cases_of_batch(engine) == drawn)

    make_trainer(tmp_path, Loss(1.0), num_workers=num_workers, handlers=[Look()]).run()
    assert found == [True] * 12


def test_a_file_stands_for_its_case():
    class State:
        iteration, epoch_length, dataloader = (
            1,
            1,
            SeededDataLoader(
                Dataset([{"image": ["a_0000.nii.gz", "a_0001.nii.gz"]}], Identityd("image")), batch_size=1
            ),
        )

    assert cases_of_batch(type("Trainer", (), {"state": State})) == ["a_0000.nii.gz"]


def test_a_skipped_step_ends_the_run_with_its_epoch():
    weight = torch.nn.Parameter(torch.ones(1))
    handler = FiniteSteps(torch.optim.SGD([weight], lr=0.1))
    engine = Engine(lambda engine, batch: None)
    handler.attach(engine)
    handler._skipped = torch.ones(())
    with pytest.raises(StepError, match=r"^epoch 1, iteration 1: the gradients of one of the epoch's iterations "):
        engine.run([0])
    engine.run([0], max_epochs=2)  # as one that is started again with a lower rate


def test_a_loss_scale_that_has_fallen_ends_the_run_with_its_epoch():
    engine = Engine(lambda engine, batch: None)
    engine.scaler = torch.amp.GradScaler("cpu", init_scale=0.5)
    FiniteSteps(torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)).attach(engine)
    with pytest.raises(StepError, match=r"stay infinite in float16 with the loss scaled by 0\.5"):
        engine.run([0])


def test_it_is_a_data_error():
    # Which a bundle turns into one line.
    assert issubclass(StepError, DataError)


# what is saved


def spoiled():
    network = torch.nn.Linear(2, 1)
    network.weight.data[0, 1] = NAN
    return network


def test_no_checkpoint_holds_weights_that_are_no_numbers(tmp_path):
    run = ResumableRun(tmp_path / "last.pt", objects={"network": spoiled()})
    with pytest.raises(
        ValueError, match=r"^1 weights of the network in training are NaN or infinite; .*last\.pt is not"
    ):
        run(Engine(lambda engine, batch: None))
    assert not (tmp_path / "last.pt").exists()


def test_no_such_weights_are_called_best(tmp_path):
    engine = Engine(lambda engine, batch: None)
    engine.state.epoch = engine.state.best_metric_epoch = 3
    with pytest.raises(ValueError, match=r"^1 weights of the network are NaN or infinite; .*model\.pt is not written"):
        BestWeights(tmp_path / "model.pt", spoiled())(engine)
    assert list(tmp_path.iterdir()) == []


def test_no_run_is_resumed_from_such_weights(tmp_path):
    engine = Engine(lambda engine, batch: None)
    engine.state.max_epochs, engine.state.epoch_length = 3, 2
    trained = torch.nn.Linear(2, 1)
    ResumableRun(tmp_path / "last.pt", objects={"network": trained})(engine)
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    saved["network"]["bias"][0] = INFINITE
    torch.save(saved, tmp_path / "last.pt")
    run = ResumableRun(tmp_path / "last.pt", objects={"network": trained}, resume=True)
    with pytest.raises(ValueError, match=r"^1 weights of the network in .*last\.pt are NaN or infinite: take"):
        run.check(engine)


def test_the_history_is_strict_json():
    line = _line({"loss": NAN, "dice": {"mean": 0.5, "tail": NAN}, "sizes": (1, INFINITE), "epoch": 3})
    assert line == '{"loss": null, "dice": {"mean": 0.5, "tail": null}, "sizes": [1, null], "epoch": 3}\n'
    assert json.loads(line)["dice"]["mean"] == 0.5
