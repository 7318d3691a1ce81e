"""MicroBatches and the rehearsal of the heaviest batches, on a GPU that a mock lets run out of memory."""

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedTrainer
from monai.losses import DeepSupervisionLoss, DiceCELoss

from monai_patchgrow import GrowthSchedule
from monai_patchgrow.handlers import LossOutput, MicroBatches, ResumableRun
from monai_patchgrow.handlers.memory_rehearsal import rehearse
from monai_patchgrow.handlers.micro_batches import MemoryShort
from monai_patchgrow.handlers.throughput import Throughput

PATCHES, SIZE = 5, (8, 8)


class Network(torch.nn.Module):
    """Two convolutions with dropout between, which fit up to `most` patches into memory."""

    def __init__(self, most=PATCHES, *, dropout=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.Dropout(dropout), torch.nn.Conv2d(4, 3, 3, padding=1)
        )
        self.most = most
        self.seen = []

    def forward(self, x):
        self.seen.append(len(x))
        if len(x) > self.most:
            self.layers(x)
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return [self.layers(x), self.layers(x)[..., ::2, ::2]]


def make_trainer(network, *, batch_dice=False, handlers=(), max_epochs=1):
    torch.manual_seed(1)
    items = [{"image": torch.rand(1, *SIZE), "label": torch.randint(3, (1, *SIZE)).float()} for _ in range(2 * PATCHES)]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    loss = DiceCELoss(to_onehot_y=True, softmax=True, batch=batch_dice)
    return SupervisedTrainer(
        device="cpu",
        max_epochs=max_epochs,
        train_data_loader=DataLoader(Dataset(items), batch_size=PATCHES),
        network=network,
        optimizer=optimizer,
        loss_function=DeepSupervisionLoss(loss, weights=[2 / 3, 1 / 3]),
        train_handlers=[Throughput(), LossOutput(), MicroBatches(optimizer), *handlers],
        decollate=False,
    )


def trained(network, **options):
    trainer = make_trainer(network, **options)
    torch.manual_seed(2)
    trainer.run()
    return torch.cat([weight.flatten() for weight in network.parameters()]), float(trainer.state.output[0]["loss"])


@pytest.mark.parametrize("most", [4, 2, 1])
def test_a_batch_that_does_not_fit_gives_the_gradient_of_the_whole_one(most, caplog):
    whole, parts = trained(Network()), trained(network := Network(most))
    assert torch.allclose(whole[0], parts[0], atol=1e-6)
    assert whole[1] == pytest.approx(parts[1], abs=1e-5)
    assert max(network.seen[len(network.seen) // 2 :]) <= most  # the second iteration begins with the parts
    assert "out of memory: batches of patches of 8x8 come in 2 parts now" in caplog.messages


def test_what_fits_is_left_to_monai():
    network = Network()
    assert torch.equal(trained(network)[0], trained(Network(), handlers=[])[0])
    assert network.seen == [PATCHES, PATCHES]


def test_the_iteration_is_done_again_with_the_same_random_numbers():
    one, other = trained(Network(4, dropout=0.5)), trained(Network(4, dropout=0.5))
    assert torch.equal(one[0], other[0])
    torch.manual_seed(2)
    network = Network(4, dropout=0.5)
    trainer = make_trainer(network)
    trainer.state.micro_batches.load_state_dict({"parts": {"8x8": 2}})
    torch.manual_seed(2)
    trainer.run()
    assert network.seen == [3, 2] * 2
    assert torch.equal(torch.cat([weight.flatten() for weight in network.parameters()]), one[0])


@pytest.mark.parametrize(
    ("most", "batch_dice", "why"),
    [(0, False, "for a single patch"), (4, True, "under a loss over the whole batch, .*: batch_dice=False can")],
)
def test_what_can_not_be_taken_apart_ends_the_run_in_one_line(most, batch_dice, why):
    with pytest.raises(MemoryShort, match=f"^out of memory {why} \\(5 patches of 8x8\\): take a smaller patch_size"):
        trained(Network(most), batch_dice=batch_dice)


def test_another_error_is_left_alone():
    network = Network()
    network.forward = lambda x: torch.zeros(1) @ torch.zeros(2)
    with pytest.raises(RuntimeError, match="size"):
        trained(network)


def test_a_step_that_ran_out_of_memory_is_not_done_again():
    def fail(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    trainer = make_trainer(Network())
    trainer.optimizer.register_step_pre_hook(fail)
    with pytest.raises(MemoryShort, match="in the optimiser's step"):
        trainer.run()


def test_a_resumed_run_begins_with_the_parts(tmp_path):
    def run(network, **options):
        objects = {"network": network}
        trainer = make_trainer(network, max_epochs=2, handlers=[ResumableRun(tmp_path / "last.pt", objects, **options)])
        trainer.run()

    run(Network(2))
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert saved["micro_batches"] == {"parts": {"8x8": 4}}
    saved["trainer"]["iteration"] = 2
    torch.save(saved, tmp_path / "last.pt")
    network = Network(2)
    run(network, resume=True)
    assert max(network.seen) == 2


# before the first epoch


def plan(curriculum="performance"):
    return GrowthSchedule.plan(patch_size=SIZE, total_stride=(4, 4), batch_size=2, max_epochs=4, curriculum=curriculum)


def test_the_heaviest_batches_are_tried_and_leave_no_trace():
    network = Network(most=8, dropout=0.5)
    trainer = make_trainer(network)
    before, state = [weight.clone() for weight in network.parameters()], torch.get_rng_state()
    rehearse(trainer, plan(), in_channels=1, num_classes=3)
    assert network.seen == [2, 8]
    assert all(map(torch.equal, before, network.parameters()))
    assert all(weight.grad is None for weight in network.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert not trainer.optimizer.state


def test_a_batch_that_does_not_fit_is_taken_apart_from_the_start():
    network = Network(most=2)
    trainer = make_trainer(network)
    rehearse(trainer, plan(), in_channels=1, num_classes=3)
    assert trainer.state.micro_batches.state_dict() == {"parts": {"4x4": 4}}


def test_a_plan_that_can_not_fit_is_refused_before_the_first_epoch():
    with pytest.raises(MemoryShort, match="for a single patch"):
        rehearse(make_trainer(Network(most=0)), plan("efficiency"), in_channels=1, num_classes=3)


def test_windows_of_a_validation_that_do_not_fit_are_told():
    trainer = make_trainer(Network(most=8))
    rehearse(trainer, plan(), in_channels=1, num_classes=3, windows=4)
    line = "out of memory in validation \\(9 windows of 8x8\\): take a smaller validate#inferer#sw_batch_size"
    with pytest.raises(MemoryShort, match=line):
        rehearse(trainer, plan(), in_channels=1, num_classes=3, windows=9)
