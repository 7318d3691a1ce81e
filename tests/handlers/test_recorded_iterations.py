"""RecordedIterations: a stage's iterations as CUDA graphs, here as recorded operations of a CPU."""

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedTrainer
from monai.handlers import LrScheduleHandler
from monai.losses import DiceCELoss
from monai.networks.nets import DynUNet

from monai_patchgrow.handlers import FiniteSteps, GradientClipping, LossOutput, MicroBatches, RecordedIterations
from monai_patchgrow.losses import DeepSupervisionLoss
from monai_patchgrow.networks import training_network
from tests.support.operation_recorder import OperationRecorder

SIZES = [(8, 8)] * 6 + [(16, 8)] * 6


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr("monai_patchgrow.handlers.finite_steps._is_asynchronous", lambda device: True)


def make_network():
    torch.manual_seed(0)
    network = DynUNet(2, 1, 3, [3] * 3, [1, 2, 2], [2, 2], filters=[4, 8, 8], norm_name=("INSTANCE", {"affine": True}))
    return training_network(network, num_heads=1, patch_size=(16, 8))


def make_trainer(network, handlers, *, loss=None, **options):
    torch.manual_seed(1)
    items = [{"image": torch.rand(1, *size), "label": torch.randint(3, (1, *size)).float()} for size in SIZES]
    weights = list(network.parameters())
    optimizer = options.pop("optimizer", torch.optim.SGD)(weights, lr=0.1, momentum=0.99, nesterov=True, **options)
    losses = []
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=2,
        train_data_loader=DataLoader(Dataset(items), batch_size=1),
        network=network,
        optimizer=optimizer,
        loss_function=loss or DeepSupervisionLoss(DiceCELoss(to_onehot_y=True, softmax=True), weights=[1.0]),
        train_handlers=[
            LossOutput(),
            FiniteSteps(optimizer),
            GradientClipping(optimizer, max_norm=0.1),
            *handlers,
            MicroBatches(optimizer),
            LrScheduleHandler(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5), print_lr=False),
        ],
        decollate=False,
    )
    trainer.add_event_handler("ITERATION_COMPLETED", lambda: losses.append(trainer.state.output[0]["loss"]))
    return trainer, losses


def changing(network, holder):
    """What an iteration changes: weights and momentum."""

    def momentum():
        return [state["momentum_buffer"] for state in holder["optimizer"].state.values()]

    return [lambda: list(network.parameters()), momentum]


def train(*, recorded, warm_up=2, **options):
    network, holder = make_network(), {}
    recorder = OperationRecorder(*changing(network, holder))
    handlers = [RecordedIterations(recorder, warm_up=warm_up)] if recorded else []
    trainer, losses = make_trainer(network, handlers, fused=True, **options)
    holder["optimizer"] = trainer.optimizer
    trainer.run()
    return torch.cat([weight.detach().flatten() for weight in network.parameters()]), torch.stack(losses), recorder


def test_replayed_iterations_end_where_plain_ones_do():
    plain, losses, _ = train(recorded=False)
    weights, recorded_losses, recorder = train(recorded=True)
    assert torch.allclose(plain, weights, atol=1e-6)
    assert torch.allclose(losses, recorded_losses, atol=1e-6)
    assert len(set(losses.tolist())) == 2 * len(SIZES)
    # Of each size, in each epoch; dropped at each change and at the end.
    assert (recorder.recorded, recorder.released) == (4, 4)


def test_what_can_not_be_recorded_runs_as_usual(caplog):
    class Waits(torch.nn.Module):
        def forward(self, prediction, target):
            return prediction[0].mean() * float(target.mean() + 1)

    plain = train(recorded=False, loss=Waits())
    with pytest.raises(AssertionError, match="_local_scalar_dense waits for a GPU"):
        train(recorded=True, loss=Waits())
    OperationRecorder.record, record = fail, OperationRecorder.record
    try:
        unrecorded = train(recorded=True)
    finally:
        OperationRecorder.record = record
    assert torch.equal(unrecorded[0], train(recorded=True, warm_up=99)[0])
    assert plain[0].isfinite().all()
    message = "patches of 8x8 run without a CUDA graph, which could not be recorded: operation not permitted"
    assert caplog.messages.count(message) == 2  # once for each stage's visit


def fail(self, work):
    raise RuntimeError("operation not\npermitted")


def test_a_recorded_rate_follows_its_schedule():
    # Ten iterations of one size over two epochs: the second epoch's are replays of what the first recorded.
    weights = []
    for recorded in (False, True):
        network, holder = make_network(), {}
        recorder = OperationRecorder(*changing(network, holder))
        trainer, _ = make_trainer(network, [RecordedIterations(recorder, warm_up=2)] * recorded, fused=True)
        trainer.data_loader = DataLoader(trainer.data_loader.dataset[:6], batch_size=1)
        trainer.state.epoch_length = 6
        holder["optimizer"] = trainer.optimizer
        trainer.run()
        assert recorder.recorded == int(recorded)
        assert trainer.optimizer.param_groups[0]["lr"] == 0.025
        weights.append(torch.cat([weight.detach().flatten() for weight in network.parameters()]))
    assert torch.allclose(*weights, atol=1e-6)


class Scaled:
    """Gives a trainer a loss scale when it starts, as MONAI does under AMP in float16."""

    def attach(self, engine):
        engine.add_event_handler("STARTED", lambda: setattr(engine, "scaler", torch.amp.GradScaler("cpu")))


@pytest.mark.parametrize(
    ("handlers", "message"),
    [
        ([], "^SGD can't be recorded for compile='cuda-graphs': give it fused=True, or capturable$"),
        ([Scaled()], "^a loss scale can't be recorded: compile='cuda-graphs' needs bfloat16, or amp=False$"),
    ],
)
def test_what_would_wait_is_refused_at_the_start(handlers, message):
    recording = RecordedIterations(OperationRecorder())
    trainer, _ = make_trainer(make_network(), [*handlers, recording], fused=bool(handlers))
    with pytest.raises(ValueError, match=message):
        trainer.run()
