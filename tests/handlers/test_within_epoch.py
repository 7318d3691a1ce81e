"""A run that breaks off anywhere, also within an epoch or a validation, goes on to the bits of an unbroken one."""

import json
import random
import signal
from itertools import count

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, MeanDice, ValidationHandler, from_engine
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from monai_patchgrow import GrowthSchedule, PatchCount, PatchGrowth, PatchSize
from monai_patchgrow.data import SeededDataLoader
from monai_patchgrow.handlers import BestWeights, LossOutput, Reproducibility, ResumableRun, RunLog, Throughput
from monai_patchgrow.handlers.stop_signals import RunStopped
from monai_patchgrow.internals.torch import end_persistent_workers
from monai_patchgrow.transforms import RandPatchesd, concatenate_patches

MAX_EPOCHS, EPOCH_LENGTH, VALIDATION_CASES = 4, 3, 2


class Killed(Exception):
    """What ends a run as a SIGKILL would: nothing is written any more."""


class DrawsOfItsOwn:
    """A handler that moves the global generators, at an epoch's start and within."""

    def attach(self, engine):
        for event in (Events.EPOCH_STARTED, Events.ITERATION_COMPLETED):
            engine.add_event_handler(event, self.draw)

    def draw(self):
        torch.rand(3), np.random.rand(3), random.random()


def make_items(amount, *, size):
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(1, size, size, generator=generator) for _ in range(amount)]
    return [{"image": image, "label": (image > 0.6).float()} for image in images]


def make_network(seed):
    torch.manual_seed(seed)
    layers = torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.Dropout(0.5), torch.nn.Conv2d(8, 2, 3, padding=1)
    return torch.nn.Sequential(*layers)


class Training:
    """A training with everything that a bundle's has, on noise."""

    def __init__(
        self, folder, *, seed=0, resume=False, curriculum="efficiency", workers=0, persistent=True, minutes=0,
        iterations=None,
    ):  # fmt: skip
        self.folder, self.network = folder, make_network(seed)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1, momentum=0.9)
        self.scheduler = torch.optim.lr_scheduler.PolynomialLR(self.optimizer, MAX_EPOCHS, power=0.9)
        self.schedule = GrowthSchedule.plan(
            patch_size=(16, 16), total_stride=(8, 8), batch_size=2, max_epochs=MAX_EPOCHS, curriculum=curriculum
        )
        self.size, self.count = PatchSize((16, 16)), PatchCount()
        self.evaluator = self.make_evaluator()
        objects = {"network": self.network, "optimizer": self.optimizer, "scheduler": self.scheduler}
        weights = [folder / name for name in ("model.safetensors", "model.pt")]
        self.run = ResumableRun(
            folder / "last.pt", objects, evaluator=self.evaluator, resume=resume,
            minutes=minutes, iterations=iterations,
            outputs=[folder / "history.jsonl", folder / "tensorboard", *weights],
        )  # fmt: skip
        self.trainer = SupervisedTrainer(
            device="cpu",
            max_epochs=MAX_EPOCHS,
            train_data_loader=self.make_loader(workers, persistent),
            network=self.network,
            optimizer=self.optimizer,
            loss_function=torch.nn.CrossEntropyLoss(),
            prepare_batch=lambda batch, *_: (batch["image"], batch["label"][:, 0].long()),
            decollate=False,
            train_handlers=[
                Throughput(),
                LossOutput(),
                self.run,
                Reproducibility(7),
                PatchGrowth(self.schedule, self.size, self.count),
                DrawsOfItsOwn(),
                LrScheduleHandler(self.scheduler, print_lr=False),
                ValidationHandler(1, self.evaluator),
                RunLog(folder, optimizer=self.optimizer, evaluator=self.evaluator),
            ],
        )

    def make_loader(self, workers, persistent):
        draw = RandPatchesd(["image", "label"], "label", self.size, num_classes=2, num_samples=self.count)
        return SeededDataLoader(
            Dataset(make_items(4, size=24), draw),
            batch_size=2,
            iterations_per_epoch=EPOCH_LENGTH,
            num_workers=workers,
            collate_fn=concatenate_patches,
            **({"persistent_workers": persistent} if workers else {}),
        )

    def make_evaluator(self):
        return SupervisedEvaluator(
            device="cpu",
            val_data_loader=DataLoader(Dataset(make_items(VALIDATION_CASES, size=16)), batch_size=1),
            network=self.network,
            prepare_batch=lambda batch, *_: (batch["image"], batch["label"]),
            postprocessing=lambda data: {**data, "pred": data["pred"].argmax(0, keepdim=True) == 1},
            key_val_metric={"dice": MeanDice(output_transform=from_engine(["pred", "label"]))},
            val_handlers=[BestWeights(self.folder / "model.pt", self.network)],
        )

    def break_off(self, *, iteration=None, case=None, how=signal.SIGTERM):
        """Run until a signal comes, or SIGKILL would: in an iteration of the training, or behind a validated case."""
        cases, engine = count(1), self.trainer if iteration else self.evaluator
        event = Events.ITERATION_STARTED(once=iteration) if iteration else Events.ITERATION_COMPLETED

        def end():
            if iteration or next(cases) == case:
                if how is Killed:
                    raise Killed
                signal.raise_signal(how)

        # Before the handler that writes: it is registered on start.
        engine.add_event_handler(event, end)
        engine._event_handlers[event].insert(0, engine._event_handlers[event].pop())
        with pytest.raises(RunStopped if how is not Killed else Killed) as caught:
            self.trainer.run()
        self.age_curves()
        end_persistent_workers(self.trainer.data_loader)  # as the end of the process would
        return caught.value

    def age_curves(self):
        """Let the event files be from an earlier second: TensorBoard reads those of one in the order of their names."""
        for file in (self.folder / "tensorboard").glob("events.*"):
            second = file.name.split(".")[3]
            file.rename(file.with_name(file.name.replace(second, f"{int(second) - 100:010}", 1)))

    def ended_on(self):
        """Everything that a run leaves, but for its times."""
        last = torch.load(self.folder / "last.pt", weights_only=True)
        throughput = {name: number for name, number in last.pop("throughput").items() if "seconds" not in name}
        history = [json.loads(line) for line in (self.folder / "history.jsonl").read_text().splitlines()]
        timeless = [{name: one for name, one in line.items() if not is_time(name)} for line in history]
        model = torch.load(self.folder / "model.pt", weights_only=True)
        shared = (self.folder / "model.safetensors").read_bytes()
        ended = {"last": last, "throughput": throughput, "history": timeless, "model": model, "shared": shared}
        return {**ended, "curves": self.curves()}

    def curves(self):
        """Steps and values of TensorBoard's curves, as its page shows them."""
        events = EventAccumulator(str(self.folder / "tensorboard"))
        events.Reload()
        return {
            tag: [(point.step, point.value) for point in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
            if not tag.startswith("speed/")
        }


def is_time(name):
    return "second" in name or name == "waiting_share"


def equal(one, other):
    if isinstance(one, dict):
        return set(one) == set(other) and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What unbroken runs end on, by their settings."""
    runs = {}

    def get(**settings):
        key = settings.get("curriculum", "efficiency")
        if key not in runs:
            training = Training(tmp_path_factory.mktemp("unbroken"), curriculum=key)
            training.trainer.run()
            runs[key] = training.ended_on()
        return runs[key]

    return get


def resume(folder, **settings):
    training = Training(folder, seed=1, resume=True, **settings)
    training.trainer.run()
    return training.ended_on()


def test_an_unbroken_run_has_every_point_once(unbroken):
    curves = unbroken()["curves"]
    assert [step for step, _ in curves["train/loss"]] == list(range(1, MAX_EPOCHS + 1))
    assert "within_epoch" not in unbroken()["last"]


@pytest.mark.parametrize(
    ("iteration", "how"),
    [*((one, signal.SIGTERM) for one in (1, 3, 5, 9, 12)), *((one, Killed) for one in (2, 6, 7))],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_run_that_broke_off_in_any_iteration_ends_on_the_same_bits(unbroken, tmp_path, iteration, how):
    Training(tmp_path).break_off(iteration=iteration, how=how)
    kept = torch.load(tmp_path / "last.pt", weights_only=True)["trainer"]["iteration"]
    assert kept == iteration - (how is Killed)
    assert equal(resume(tmp_path), unbroken())


@pytest.mark.parametrize("case", [1, 4, MAX_EPOCHS * VALIDATION_CASES])
def test_a_run_that_was_stopped_in_a_validation_ends_on_the_same_bits(unbroken, tmp_path, case):
    Training(tmp_path, minutes=None).break_off(case=case)
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert saved["trainer"]["iteration"] == -(-case // VALIDATION_CASES) * EPOCH_LENGTH
    assert "within_epoch" in saved
    assert equal(resume(tmp_path), unbroken())


@pytest.mark.parametrize(
    ("place", "kept"), [({"iteration": 5}, 4), ({"iteration": 8}, 6), ({"case": 4}, 6)], ids=["4", "6", "validation"]
)
def test_checkpoints_by_iterations_come_however_slow_the_disk_is(unbroken, tmp_path, monkeypatch, place, kept):
    monkeypatch.setattr("monai_patchgrow.handlers.write_pace._CREDIT_SECONDS", -1)  # nothing else is affordable
    Training(tmp_path, minutes=None, iterations=2).break_off(**place, how=Killed)
    assert torch.load(tmp_path / "last.pt", weights_only=True)["trainer"]["iteration"] == kept
    assert equal(resume(tmp_path, iterations=2), unbroken())


@pytest.mark.parametrize(
    ("curriculum", "workers", "persistent"), [("random", 0, False), ("random", 2, True), ("performance", 2, False)]
)
def test_workers_and_curricula_change_nothing(unbroken, tmp_path, curriculum, workers, persistent):
    settings = {"curriculum": curriculum, "workers": workers, "persistent": persistent}
    Training(tmp_path, **settings).break_off(iteration=5)
    Training(tmp_path, resume=True, **settings).break_off(iteration=8, how=Killed)
    assert equal(resume(tmp_path, **settings), unbroken(curriculum=curriculum))


@pytest.mark.parametrize("fails", ["append_whole", "event_files_of"])
def test_a_run_whose_log_can_not_be_written_keeps_its_epoch(unbroken, tmp_path, monkeypatch, fails):
    def refuse(*arguments):
        raise OSError("can't write")

    training = Training(tmp_path, minutes=None)
    training.trainer.add_event_handler(
        Events.EPOCH_STARTED(once=2),
        lambda: monkeypatch.setattr(f"monai_patchgrow.handlers.run_log.{fails}", refuse),
    )
    with pytest.raises(OSError, match="can't write"):
        training.trainer.run()
    assert torch.load(tmp_path / "last.pt", weights_only=True)["trainer"]["iteration"] == 2 * EPOCH_LENGTH
    monkeypatch.undo()
    assert equal(resume(tmp_path), unbroken())


def test_a_stopped_run_says_what_is_kept(tmp_path):
    stopped = Training(tmp_path).break_off(iteration=5, how=signal.SIGUSR1)
    line = f"stopped by SIGUSR1 after iteration 5: {tmp_path}/last.pt is written, resume goes on from there"
    assert (str(stopped), stopped.code) == (line, 75)


def test_signals_are_given_back(tmp_path):
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)]
    Training(tmp_path).break_off(iteration=5)
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)] == before
    resume(tmp_path)
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)] == before


def test_a_second_interrupt_ends_at_once(tmp_path):
    training = Training(tmp_path)
    training.trainer.add_event_handler(Events.ITERATION_STARTED(once=2), signal.raise_signal, signal.SIGINT)
    training.trainer.add_event_handler(Events.ITERATION_STARTED(once=2), signal.raise_signal, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        training.trainer.run()


def test_a_checkpoint_from_within_an_epoch_needs_as_many_processes(tmp_path, monkeypatch):
    Training(tmp_path).break_off(iteration=5)
    training = Training(tmp_path, resume=True)
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    with pytest.raises(ValueError, match="written within an epoch by 1 processes, this run has 2: start as many"):
        training.run._state.check(torch.load(tmp_path / "last.pt"), training.trainer, path=training.run.path)
