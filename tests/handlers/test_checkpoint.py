"""ResumableRun and BestWeights: what they write, read back, set aside and refuse."""

import logging
import os
import time

import pytest
import safetensors.torch
import torch
from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping
from ignite.metrics import Average
from monai.engines import SupervisedEvaluator

from monai_patchgrow import GrowthSchedule, PatchGrowth, PatchSize
from monai_patchgrow.handlers import BestWeights, Reproducibility, ResumableRun, Throughput
from monai_patchgrow.handlers.serializable import serializable_handlers

EPOCH_LENGTH = 2


class Run:
    """A tiny training, with everything that a checkpoint holds."""

    def __init__(self, path, *, seed=0, **options):
        torch.manual_seed(seed)
        self.network = torch.nn.Linear(2, 1)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1, momentum=0.9)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, step_size=1, gamma=0.5)
        self.epochs = []
        self.engine = Engine(self.step)
        self.handler = ResumableRun(
            path,
            {"network": self.network, "optimizer": self.optimizer, "scheduler": self.scheduler},
            **options,
        )
        self.handler.attach(self.engine)
        self.engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: self.scheduler.step())

    def step(self, engine, batch):
        self.epochs.append(engine.state.epoch)
        self.optimizer.zero_grad()
        self.network(torch.ones(1, 2)).sum().backward()
        self.optimizer.step()

    def run(self, max_epochs=2, epoch_length=EPOCH_LENGTH, stop_after=None):
        if stop_after:
            self.engine.add_event_handler(Events.EPOCH_STARTED(once=stop_after + 1), self.engine.terminate)
        self.engine.run([0], max_epochs=max_epochs, epoch_length=epoch_length)
        return self


def load(path):
    return torch.load(path, weights_only=True)


def make_evaluator(*, best_metric=-1, best_metric_epoch=-1):
    evaluator = SupervisedEvaluator(device="cpu", val_data_loader=[0], network=torch.nn.Identity())
    evaluator.state.best_metric = best_metric
    evaluator.state.best_metric_epoch = best_metric_epoch
    return evaluator


@pytest.fixture
def path(tmp_path):
    return tmp_path / "models" / "last.pt"


# writing


def test_checkpoint_is_written_after_every_epoch(path):
    iterations = []
    run = Run(path)
    run.engine.add_event_handler(
        Events.EPOCH_STARTED, lambda: iterations.append(load(path)["trainer"]["iteration"] if path.exists() else None)
    )
    run.run(max_epochs=3)
    assert iterations == [None, 2, 4]


def test_checkpoint_holds_every_object_and_the_trainer(path):
    Run(path, evaluator=make_evaluator()).run()
    assert set(load(path)) == {"network", "optimizer", "scheduler", "best_metric", "trainer", "settings"}


def test_checkpoint_holds_what_handlers_behind_it_changed(path):
    run = Run(path).run(max_epochs=1)
    assert run.scheduler.last_epoch == 1
    assert load(path)["scheduler"]["last_epoch"] == 1


def test_best_metric_is_saved_as_a_number(path):
    Run(path, evaluator=make_evaluator(best_metric=torch.tensor(0.5), best_metric_epoch=1)).run()
    assert load(path)["best_metric"] == {"metric": 0.5, "epoch": 1}


def names_beside(path):
    return sorted(file.name for file in path.parent.iterdir())


def test_folder_of_the_checkpoint_holds_it_and_the_one_before(path):
    Run(path).run()
    assert names_beside(path) == ["last.previous.pt", "last.pt"]
    iterations = [load(path.with_name(name))["trainer"]["iteration"] for name in ("last.previous.pt", "last.pt")]
    assert iterations[1] - iterations[0] == EPOCH_LENGTH


@pytest.mark.parametrize("epoch", [1, 2])
def test_write_that_fails_half_way_leaves_a_whole_file(path, monkeypatch, epoch):
    run = Run(path)
    save = torch.save

    def fail(content, file, **options):
        if run.engine.state.epoch <= epoch:
            return save(content, file, **options)
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        run.run(max_epochs=4)
    assert load(path)["trainer"]["iteration"] == epoch * EPOCH_LENGTH
    assert names_beside(path) == ["last.previous.pt", "last.pt"][2 - epoch :]


def test_checkpoints_by_iterations_need_a_reproducibility(path):
    with pytest.raises(ValueError, match="every few iterations need a Reproducibility attached"):
        Run(path, iterations=2).run()


@pytest.mark.parametrize("iterations", [0, 1.5, "2"])
def test_checkpoints_by_iterations_need_an_integer(path, iterations):
    with pytest.raises(ValueError, match="iterations must be an integer of at least 1, got"):
        Run(path, iterations=iterations)


# resuming


def test_resumed_run_ends_on_the_bits_of_an_unbroken_one(path, tmp_path):
    unbroken = Run(tmp_path / "unbroken.pt").run(max_epochs=4)
    Run(path).run(max_epochs=4, stop_after=2)
    resumed = Run(path, seed=1, resume=True).run(max_epochs=4)
    assert torch.equal(unbroken.network.weight, resumed.network.weight)
    assert torch.equal(unbroken.network.bias, resumed.network.bias)


def test_resumed_run_goes_on_with_the_next_epoch(path):
    Run(path).run(max_epochs=4, stop_after=2)
    assert Run(path, resume=True).run(max_epochs=4).epochs == [3, 3, 4, 4]


def test_run_that_was_finished_is_over_at_once(path):
    Run(path).run(max_epochs=2)
    assert Run(path, resume=True).run(max_epochs=2).epochs == []


def test_run_of_another_fold_is_not_gone_on_with(path):
    Run(path, settings={"fold": 1}).run()
    with pytest.raises(ValueError, match="is of a run with fold 1, this one has 2: give both the same"):
        Run(path, settings={"fold": 2}, resume=True).run()
    assert Run(path, settings={"fold": 1}, resume=True).run().epochs == []


@pytest.mark.parametrize("stop_after", [1, 4])
def test_a_run_is_extended_under_the_learning_rates_of_a_longer_one(path, tmp_path, stop_after):
    rates = []

    def longer(path, **options):
        run = Run(path, **options)
        run.scheduler = torch.optim.lr_scheduler.PolynomialLR(run.optimizer, 6, power=0.9)
        run.handler.objects["scheduler"] = run.scheduler
        run.engine.add_event_handler(
            Events.EPOCH_STARTED, lambda engine: rates.append((engine.state.epoch, run.optimizer.param_groups[0]["lr"]))
        )
        return run.run(max_epochs=6)

    longer(tmp_path / "unbroken.pt")
    unbroken, rates = dict(rates), []
    Run(path).run(max_epochs=4, stop_after=stop_after if stop_after < 4 else None)
    assert longer(path, resume=True, extend=True).epochs == [e for e in range(stop_after + 1, 7) for _ in range(2)]
    assert dict(rates) == pytest.approx({epoch: unbroken[epoch] for epoch in range(stop_after + 1, 7)})
    assert load(path)["trainer"]["max_epochs"] == 6


def test_a_longer_run_is_refused_unless_it_is_to_be_extended(path):
    Run(path).run(max_epochs=2)
    with pytest.raises(ValueError, match=r"max_epochs 2, this one has 3: give both the same, or extend_to 3$"):
        Run(path, resume=True).run(max_epochs=3)
    with pytest.raises(ValueError, match=r"max_epochs 2, this one has 1: give both the same$"):
        Run(path, resume=True, extend=True).run(max_epochs=1)


def test_momentum_is_restored(path):
    first = Run(path).run()
    second = Run(path, seed=1, resume=True).run()
    buffers = [run.optimizer.state[run.network.weight]["momentum_buffer"] for run in (first, second)]
    assert torch.equal(*buffers)


def test_learning_rate_is_restored(path):
    Run(path).run(max_epochs=2)
    resumed = Run(path, resume=True).run(max_epochs=2)
    assert resumed.optimizer.param_groups[0]["lr"] == pytest.approx(0.025)
    assert resumed.scheduler.last_epoch == 2


def test_best_metric_is_restored(path):
    Run(path, evaluator=make_evaluator(best_metric=0.75, best_metric_epoch=2)).run()
    evaluator = make_evaluator()
    Run(path, evaluator=evaluator, resume=True).run()
    assert (evaluator.state.best_metric, evaluator.state.best_metric_epoch) == (0.75, 2)


def test_resume_says_where_it_goes_on(path, caplog):
    Run(path).run()
    with caplog.at_level(logging.INFO, logger="monai_patchgrow"):
        Run(path, resume=True).run()
    assert f"resumed after epoch 2 from {path}" in caplog.messages


def test_resume_leaves_other_outputs_in_place(path, tmp_path):
    Run(path).run()
    history = tmp_path / "history.jsonl"
    history.write_text("{}\n")
    Run(path, resume=True, outputs=[history]).run()
    assert history.read_text() == "{}\n"


def test_resume_with_nothing_there_is_refused_unless_told_otherwise(path):
    with pytest.raises(ValueError, match=r"nothing to resume at .*last\.pt: resume=auto starts from the beginning"):
        Run(path, resume=True).run()


def test_resume_with_nothing_there_starts_from_the_beginning_on_request(path, caplog):
    run = Run(path, resume="auto").run()
    assert run.epochs == [1, 1, 2, 2]
    assert f"nothing to resume at {path}: starts from the beginning" in caplog.messages


# setting aside


def test_new_run_sets_the_earlier_checkpoint_aside(path, caplog):
    Run(path).run(max_epochs=3)
    Run(path).run(max_epochs=1)
    earlier, later = load(path.with_name("last.1.pt")), load(path)
    assert (earlier["trainer"]["iteration"], later["trainer"]["iteration"]) == (6, 2)
    assert f"an earlier run's last.pt is kept as {path.with_name('last.1.pt')}" in caplog.messages


def test_third_run_keeps_the_first_two(path):
    for epochs in (3, 2, 1):
        Run(path).run(max_epochs=epochs)
    iterations = [load(path.with_name(name))["trainer"]["iteration"] for name in ("last.1.pt", "last.2.pt", "last.pt")]
    assert iterations == [6, 4, 2]


def test_new_run_sets_outputs_and_folders_aside(path, tmp_path):
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "events").write_text("curves")
    (tmp_path / "history.jsonl").write_text("{}\n")
    Run(path, outputs=[tmp_path / "tensorboard", tmp_path / "history.jsonl"]).run()
    assert (tmp_path / "tensorboard.1" / "events").read_text() == "curves"
    assert (tmp_path / "history.1.jsonl").read_text() == "{}\n"
    assert not (tmp_path / "tensorboard").exists()


def test_resume_with_nothing_there_sets_other_outputs_aside(path, tmp_path):
    (tmp_path / "model.pt").write_text("weights")
    Run(path, outputs=[tmp_path / "model.pt"], resume="auto").run()
    assert (tmp_path / "model.1.pt").read_text() == "weights"


def test_first_run_says_nothing(path, caplog):
    Run(path, outputs=[path.with_name("model.pt")]).run()
    assert caplog.text == ""


# what is refused


def refusal(path, **options):
    with pytest.raises(ValueError, match=r"last\.pt") as caught:
        Run(path, resume=True).run(**options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("content", [b"garbage", b"", b"PK\x03\x04 cut off"])
def test_file_that_is_no_checkpoint_is_refused(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path} can't be read (")


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_checkpoint_that_is_cut_off_is_refused_where_there_is_no_other(path):
    Run(path).run(max_epochs=1)
    path.write_bytes(path.read_bytes()[:-100])
    assert "can't be read" in refusal(path)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_resumed_from(path, tmp_path, caplog):
    unbroken = Run(tmp_path / "unbroken.pt").run(max_epochs=4)
    Run(path).run(max_epochs=4, stop_after=3)
    damage(path)
    resumed = Run(path, resume=True).run(max_epochs=4)
    assert resumed.epochs == [3, 3, 4, 4]
    assert torch.equal(resumed.network.weight, unbroken.network.weight)
    assert f"{path} can't be read (its bytes are not those that were written (SHA-256))" in caplog.text
    assert f"resumes from the one before, {path.with_name('last.previous.pt')}" in caplog.text
    assert names_beside(path) == ["last.1.pt", "last.previous.pt", "last.pt"]


def test_a_run_that_died_between_two_renames_is_resumed(path):
    Run(path).run(max_epochs=4, stop_after=2)
    path.rename(path.with_name("last.previous.pt"))
    assert set(Run(path, resume=True).run(max_epochs=4).epochs) == {3, 4}


def test_what_a_killed_run_left_half_written_is_cleared(path):
    path.parent.mkdir()
    names = ["last.pt.0123456789ab.tmp", "last.pt.fedcba987654.tmp", "other.pt.0123456789ab.tmp", "last.pt.mine.tmp"]
    for name in names:
        (path.parent / name).write_bytes(b"half")
    old = time.time() - 100
    for name in ("last.pt.0123456789ab.tmp", "other.pt.0123456789ab.tmp", "last.pt.mine.tmp"):
        os.utime(path.parent / name, (old, old))
    Run(path).run(max_epochs=1)
    # One is another's, one may still be written.
    assert names_beside(path) == sorted(["last.pt", *names[1:]])


def test_two_damaged_checkpoints_are_refused(path):
    Run(path).run(max_epochs=2)
    damage(path)
    damage(path.with_name("last.previous.pt"))
    with pytest.raises(ValueError, match=r"last\.previous\.pt can't be read \(its bytes are not those that were"):
        Run(path, resume=True).run()


def test_checkpoint_with_code_in_it_is_refused(path):
    path.parent.mkdir()
    torch.save({"network": print}, path)
    assert refusal(path) == f"{path} can't be read (UnpicklingError): delete it or resume from another"


def test_file_with_something_else_in_it_is_refused(path):
    path.parent.mkdir()
    torch.save(torch.tensor(5.0), path)
    refusal(path)


def test_checkpoint_of_another_network_is_refused(path):
    Run(path).run()
    checkpoint = load(path)
    checkpoint["network"] = torch.nn.Linear(3, 1).state_dict()
    torch.save(checkpoint, path)
    refusal(path)


def test_missing_objects_are_named(path):
    Run(path).run()
    checkpoint = load(path)
    del checkpoint["optimizer"], checkpoint["trainer"]
    torch.save(checkpoint, path)
    assert refusal(path) == f"{path} lacks optimizer, trainer: it is not a checkpoint of this kind of run"


def test_other_iterations_per_epoch_are_refused(path):
    Run(path).run()
    assert refusal(path, epoch_length=5) == (
        f"{path} is of a run with epoch_length 2, this one has 5: give both the same"
    )


@pytest.mark.parametrize("max_epochs", [2, 4])
def test_another_number_of_epochs_is_refused(path, max_epochs):
    Run(path).run(max_epochs=3)
    assert refusal(path, max_epochs=max_epochs) == (
        f"{path} is of a run with max_epochs 3, this one has {max_epochs}: give both the same"
        + (", or extend_to 4" if max_epochs == 4 else "")
    )


def test_check_finds_the_fault_before_the_run(path):
    Run(path).run(max_epochs=3)
    run = Run(path, resume=True)
    run.engine.state.epoch_length, run.engine.state.max_epochs = EPOCH_LENGTH, 3
    run.handler.check(run.engine)
    run.engine.state.max_epochs = 2
    with pytest.raises(ValueError, match="max_epochs 3"):
        run.handler.check(run.engine)


def test_a_run_that_goes_on_in_the_same_process_keeps_its_checkpoint(path):
    run = Run(path).run(max_epochs=2)
    run.run(max_epochs=4)
    assert run.epochs == [1, 1, 2, 2, 3, 3, 4, 4]
    assert names_beside(path) == ["last.previous.pt", "last.pt"]


# handlers with a state


class Counter:
    """A handler that knows nothing of this package, with a state by Ignite's convention."""

    def __init__(self, count=0):
        self.count = count

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=2), self.add)

    def add(self):
        self.count += 1

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state_dict):
        self.count = state_dict["count"]


class Unpicklable(Counter):
    def state_dict(self):
        return {"count": Run}


def run_with(path, *attached, **options):
    run = Run(path, **options)
    for handler in attached:
        handler.attach(run.engine)
    return run.run()


def test_a_foreign_handler_with_a_state_is_saved_and_restored(path):
    run_with(path, Counter())
    restored = Counter()
    run_with(path, restored, resume=True)
    assert load(path)["counter"] == {"count": 2}
    assert restored.count == 2


def test_handlers_of_one_class_are_numbered(path):
    run_with(path, Counter(5), Counter(7))
    restored = Counter(), Counter()
    run_with(path, *restored, resume=True)
    assert [counter.count for counter in restored] == [7, 9]


def test_a_handler_that_is_one_of_the_objects_is_saved_once(path):
    run, counter = Run(path), Counter()
    counter.attach(run.engine)
    run.handler.objects["steps"] = counter
    run.run()
    assert {"steps", "counter"} & set(load(path)) == {"steps"}


def test_a_handler_that_the_file_doesn_t_hold_starts_anew(path):
    Run(path).run()
    new = Counter(3)
    run_with(path, new, resume=True)
    assert new.count == 3


def test_a_handler_of_the_evaluator_is_saved_and_restored(path):
    def early_stopping(counter):
        evaluator = make_evaluator()
        stopping = EarlyStopping(patience=5, score_function=lambda engine: 0.0, trainer=Engine(lambda *_: None))
        stopping.counter = counter
        evaluator.add_event_handler(Events.COMPLETED, stopping)
        return evaluator, stopping

    Run(path, evaluator=early_stopping(3)[0]).run()
    evaluator, restored = early_stopping(0)
    Run(path, evaluator=evaluator, resume=True).run()
    assert load(path)["evaluator_early_stopping"]["counter"] == restored.counter == 3


def test_metrics_are_left_out(path):
    run = Run(path)
    Average(output_transform=lambda output: 1.0).attach(run.engine, "mean")
    run.run()
    assert "average" not in load(path)


def test_a_state_that_needs_code_to_be_loaded_is_left_out(path, caplog):
    run_with(path, Counter(), Unpicklable())
    assert {"counter", "unpicklable"} & set(load(path)) == {"counter"}
    assert any(message.startswith("the state of unpicklable is left out of the che") for message in caplog.messages)


def test_the_package_s_own_handlers_are_called_as_in_earlier_files():
    schedule = GrowthSchedule.plan(patch_size=(8,), total_stride=(8,), batch_size=1, max_epochs=1)
    engine = Engine(lambda engine, batch: None)
    for handler in (Throughput(), Reproducibility(0), PatchGrowth(schedule, PatchSize((8,)))):
        handler.attach(engine)
    assert set(serializable_handlers(engine, known={})) == {"patch_growth", "reproducibility", "throughput"}


def test_a_file_of_version_0_1_0_is_loaded(path):
    Run(path).run()
    totals = {"seconds": 2.0, "waiting_seconds": 1.0, "voxels": 7, "patches": 1, "foreground_voxels": 3}
    torch.save({**load(path), "throughput": {**totals, "patches_without_foreground": 0}}, path)
    run = Run(path, resume=True)
    throughput = Throughput()
    throughput.attach(run.engine)
    run.run()
    assert throughput.total.voxels == 7


def test_the_scaler_of_the_engine_is_restored(path):
    run = Run(path)
    run.engine.scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    run.run()
    resumed = Run(path, resume=True)
    resumed.engine.scaler = torch.amp.GradScaler("cpu")
    resumed.run()
    assert resumed.engine.scaler.state_dict()["scale"] == 512.0


def test_an_empty_scaler_of_bfloat16_is_not_loaded(path):
    run = Run(path)
    run.engine.scaler = torch.amp.GradScaler(enabled=False)
    run.run()
    resumed = Run(path, resume=True)
    resumed.engine.scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    resumed.run()
    assert resumed.engine.scaler.state_dict()["scale"] == 512.0


def test_refused_checkpoint_stays_as_it_is(path):
    path.parent.mkdir()
    path.write_bytes(b"garbage")
    refusal(path)
    assert path.read_bytes() == b"garbage"


# best weights


def validate(dice, path, *, best=-1):
    """Validate a network whose weight is the Dice, once an epoch; returns the weight on disk after each."""
    network = torch.nn.Linear(1, 1, bias=False)
    values = iter(dice)
    evaluator = Engine(lambda engine, batch: None)
    evaluator.state.best_metric, evaluator.state.best_metric_epoch = best, -1

    @evaluator.on(Events.EPOCH_COMPLETED)
    def compare(engine):
        value = next(values)
        torch.nn.init.constant_(network.weight, value)
        if value > engine.state.best_metric:
            engine.state.best_metric, engine.state.best_metric_epoch = value, engine.state.epoch

    BestWeights(path, network).attach(evaluator)
    written = []
    for epoch in range(1, len(dice) + 1):
        evaluator.state.epoch, evaluator.state.max_epochs, evaluator.state.iteration = epoch - 1, epoch, 0
        evaluator.state.epoch_length = 1
        evaluator.run([0])
        written.append(load(path)["weight"].item())
    return written


def test_weights_are_written_only_when_they_are_the_best(tmp_path):
    assert validate([0.25, 0.5, 0.375, 0.75], tmp_path / "model.pt") == [0.25, 0.5, 0.5, 0.75]


def test_best_weights_are_a_bare_state_dict(tmp_path):
    validate([0.5], tmp_path / "models" / "model.pt")
    assert torch.nn.Linear(1, 1, bias=False).load_state_dict(load(tmp_path / "models" / "model.pt")).missing_keys == []


def test_the_best_weights_lie_beside_in_safetensors_form(tmp_path):
    validate([0.5, 0.25], tmp_path / "model.pt")
    assert safetensors.torch.load_file(tmp_path / "model.safetensors")["weight"].item() == 0.5


def test_a_resumed_run_shares_the_best_weights_of_an_earlier_version_s(tmp_path):
    torch.save({"weight": torch.tensor([[0.75]])}, tmp_path / "model.pt")
    validate([0.5], tmp_path / "model.pt", best=0.75)
    assert safetensors.torch.load_file(tmp_path / "model.safetensors")["weight"].item() == 0.75


# ranks


def test_a_rank_above_0_reads_but_does_not_write(path, monkeypatch):
    Run(path, seed=1).run(stop_after=1)
    kept = path.read_bytes()
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    resumed = Run(path, seed=2, resume=True).run()
    assert resumed.epochs == [2, 2]
    assert path.read_bytes() == kept


def test_a_rank_above_0_sets_nothing_aside(path, monkeypatch):
    Run(path).run()
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    Run(path).run()
    assert names_beside(path) == ["last.previous.pt", "last.pt"]


def test_a_checkpoint_that_only_some_ranks_see_is_refused(path, monkeypatch):
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 3)
    monkeypatch.setattr("ignite.distributed.all_gather", lambda seen: [1, seen, 1])
    with pytest.raises(
        ValueError, match=r"last\.pt is there for rank 0 but not for rank 1: write to a folder that all"
    ):
        Run(path, resume=True).run()


def test_the_best_weights_are_written_by_rank_0(tmp_path, monkeypatch):
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    with pytest.raises(FileNotFoundError):
        validate([0.5], tmp_path / "model.pt")
