"""CompilationLog: one compilation per stage, its time logged, and none given up."""

import logging

import pytest
import torch
from ignite.engine import Engine, Events

from monai_patchgrow import GrowthSchedule, PatchCount, PatchGrowth, PatchSize
from monai_patchgrow.handlers import CompilationLog

EPOCHS = 10


@pytest.fixture
def run(caplog):
    """Train a compiled layer over ten stages, three batches each; the handler, and the sizes it logged."""
    torch.compiler.reset()
    schedule = GrowthSchedule.plan(
        patch_size=(40,), total_stride=(4,), batch_size=2, max_epochs=EPOCHS, curriculum="efficiency"
    )
    size = PatchSize((40,))
    layer = torch.nn.Conv1d(1, 1, 3, padding=1)
    network = torch.compile(layer, dynamic=False, backend="eager")
    seconds = []

    def step(engine, batch):
        network(torch.rand(2, 1, *size)).sum().backward()

    trainer = Engine(step)
    PatchGrowth(schedule, size, PatchCount()).attach(trainer)
    handler = CompilationLog(num_sizes=len(schedule.candidates))
    handler.attach(trainer)
    trainer.add_event_handler("EPOCH_COMPLETED", lambda: seconds.append(trainer.state.compile_seconds))
    with caplog.at_level(logging.INFO, logger="monai_patchgrow"):
        trainer.run(range(3), max_epochs=EPOCHS)
    return handler, [record.getMessage() for record in caplog.records], seconds


def test_every_stage_compiles_once_also_behind_torch_s_limit_of_eight(run):
    _, messages, _ = run
    sizes = [message.split()[6] for message in messages if "compiled for" in message]
    assert sizes == [str(4 * number) for number in range(1, EPOCHS + 1)]


def test_what_was_compiled_is_dropped_at_each_change_of_stage(monkeypatch):
    resets, engine = [], Engine(lambda engine, batch: None)
    monkeypatch.setattr("torch.compiler.reset", lambda: resets.append(engine.state.epoch))
    CompilationLog(num_sizes=2).attach(engine)
    engine.state.stage = "small"
    engine.add_event_handler(Events.EPOCH_COMPLETED(once=2), lambda: setattr(engine.state, "stage", "full"))
    engine.run([0], max_epochs=4)
    assert resets == [3]


def test_seconds_are_on_the_state(run):
    _, _, seconds = run
    assert len(set(seconds)) == EPOCHS
    assert min(seconds) > 0


def test_it_no_longer_listens_when_the_run_has_ended(run):
    from torch._dynamo.callback import callback_handler

    assert callback_handler.start_callbacks == []
    assert callback_handler.end_callbacks == []
