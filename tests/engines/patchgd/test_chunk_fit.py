"""PatchGD on a GPU that a mock lets run out of memory: chunk_size is halved, and the update stays what it was."""

import pytest
import torch
from monai.data import DataLoader, Dataset
from torch import nn

from monai_patchgrow import PatchGDEvaluator, PatchGDTrainer
from monai_patchgrow.engines.patchgd.images import ImageBatch
from monai_patchgrow.handlers import ResumableRun
from monai_patchgrow.handlers.micro_batches import MemoryShort

BATCH, CELLS = 2, 9  # 18 patches of a batch; a chunk of a third of them has 6


def run_out():
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class Encoder(nn.Module):
    """A convolution that fits up to `most` patches into memory."""

    def __init__(self, most, norm):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 2), norm, nn.Tanh(), nn.Flatten(), nn.Linear(4, 3))
        self.most = most
        self.seen = []

    def forward(self, x):
        self.seen.append(len(x))
        if len(x) > self.most:
            self.layers(x)
            run_out()
        return self.layers(x)


def make_network(most=100, *, norm=None, dropout=0.0):
    torch.manual_seed(0)
    head = nn.Sequential(
        nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3, padding=1), nn.Dropout(dropout), nn.Flatten(), nn.Linear(36, 3)
    )
    return nn.ModuleDict({"encoder": Encoder(most, norm or nn.Identity()), "head": head})


def make_loader():
    draw = torch.Generator().manual_seed(1)
    cases = [{"image": torch.rand(1, 6, 6, generator=draw), "label": number % 3} for number in range(2 * BATCH)]
    return DataLoader(Dataset(cases), batch_size=BATCH)


def make_trainer(network, *, max_epochs=1, handlers=(), **options):
    return PatchGDTrainer(
        network=network,
        device="cpu",
        max_epochs=max_epochs,
        train_data_loader=make_loader(),
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9),
        loss_function=nn.CrossEntropyLoss(),
        train_handlers=list(handlers),
        **{"patch_size": (2, 2), "sampling": 1 / 3, **options},
    )


def trained(network, **options):
    trainer = make_trainer(network, **options)
    torch.manual_seed(2)
    trainer.run()
    return torch.cat([tensor.flatten() for tensor in network.state_dict().values()])


@pytest.mark.parametrize("options", [{}, {"exact": False}, {"network": {"dropout": 0.5}}, {"true_gradient": True}])
@pytest.mark.parametrize("most", [5, 3, 2])
def test_a_chunk_that_does_not_fit_gives_the_update_of_the_whole_one(options, most, caplog):
    options = {**options}
    of_network = options.pop("network", {})
    whole = trained(make_network(**of_network), **options)
    parts = trained(network := make_network(most, **of_network), **options)
    assert torch.allclose(whole, parts, atol=1e-5, rtol=0)
    assert "out of memory for 6 patches of 2x2 at a time: chunk_size is 2 now" in caplog.messages
    seen = network["encoder"].seen
    assert max(seen[1:]) <= most  # once is enough, also for the second batch


def test_the_number_is_halved_as_often_as_it_takes(caplog):
    trained(make_network(2), sampling=1)
    assert [line.rpartition(": chunk_size is ")[2] for line in caplog.messages] == ["8 now", "2 now"]


@pytest.mark.parametrize(
    ("network", "line"),
    [
        ({"most": 1}, "for 2 patches of 2x2 at a time, a cell of each image: take a smaller patch_size or batch_size"),
        ({"most": 3, "norm": nn.BatchNorm2d(4)}, "with BatchNorm2d in training mode in the encoder, for which chunk_"),
        ({"most": 3, "norm": nn.Dropout(0.5)}, r"with active Dropout\(p=0.5\) in the encoder, .* smaller chunk_size"),
    ],
)
def test_what_can_not_be_halved_ends_the_run_in_one_line(network, line):
    with pytest.raises(MemoryShort, match=f"^out of memory {line}"):
        trained(make_network(**network))


def test_a_pass_whose_optimiser_has_stepped_is_not_done_again():
    network = make_network()
    trainer = make_trainer(network, accumulation=1)
    trainer.optimizer.register_step_post_hook(lambda *_: setattr(network["encoder"], "most", 1))
    with pytest.raises(MemoryShort, match=r"^out of memory after a step of the optimiser, .*: take a smaller chunk"):
        trainer.run()


def test_several_processes_do_not_halve(monkeypatch):
    trainer = make_trainer(make_network(3))
    trainer.network.train()
    trainer.state.output = {"label": torch.zeros(2)}
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    images = ImageBatch(torch.rand(2, 1, 6, 6), patch_size=(2, 2), reading=trainer.reading)
    with pytest.raises(MemoryShort, match=r"^out of memory on one of several processes"):
        trainer.chunk_fit.fit(trainer, lambda size: run_out(), images=images, chunks=[(0, 1)])


def test_another_error_is_left_alone():
    network = make_network()
    network["encoder"].forward = lambda x: torch.zeros(1) @ torch.zeros(2)
    with pytest.raises(RuntimeError, match="size"):
        trained(network)


def test_a_resumed_run_begins_with_the_halved_number(tmp_path):
    def run(network, **options):
        saved = ResumableRun(tmp_path / "last.pt", {"network": network}, **options)
        trained(network, handlers=[saved])

    run(make_network(3))
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    assert saved["chunk_fit"] == {"voxels": 2 * 4}
    saved["trainer"]["iteration"] = 1
    torch.save(saved, tmp_path / "last.pt")
    run(network := make_network(3), resume=True)
    assert max(network["encoder"].seen) == 2


def test_smaller_patches_come_as_many_more():
    fit = make_trainer(make_network()).chunk_fit
    fit.load_state_dict({"voxels": 8})
    assert [fit.chunk_size(size) for size in ((1, 1), (2, 2), (4, 4))] == [8, 2, 1]


def test_an_evaluation_halves_too(caplog):
    def predicted(network):
        evaluator = PatchGDEvaluator(network=network, device="cpu", val_data_loader=make_loader(), patch_size=(2, 2))
        evaluator.run()
        return torch.stack([output["pred"] for output in evaluator.state.output])

    assert torch.allclose(predicted(make_network()), predicted(make_network(5)), atol=1e-6)
    assert [line.rpartition(": chunk_size is ")[2] for line in caplog.messages] == ["8 now", "2 now"]
