"""A small PatchGD training, by itself or as one rank of several; started by test_over_ranks.py."""

import sys
import warnings

import ignite.distributed as idist
import torch
from torch import nn

KINDS = {"exact": {}, "stepwise": {"accumulation": 1}, "batch norm": {"batch_norm": True}}
IMAGES = 3


def train(own, *, seed, batch_norm=False, **options):
    """Train on the images of the slice `own` of each batch; the weights at the end."""
    from monai_patchgrow import PatchGDTrainer

    draw = torch.Generator().manual_seed(0)
    batches = [torch.randn(IMAGES, 1, 8, 6, generator=draw, dtype=torch.float64) for _ in range(2)]
    torch.manual_seed(seed)
    encoder, head = (
        nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), *([nn.BatchNorm1d(3)] if batch_norm else [])),
        nn.Sequential(nn.Flatten(), nn.Linear(36, 3)),
    )
    unused = nn.Parameter(torch.ones(1))
    network = nn.ModuleDict({"encoder": encoder, "head": head}).double()
    optimizer = torch.optim.SGD([*network.parameters(), unused], lr=0.1, momentum=0.9, weight_decay=0.1)
    PatchGDTrainer(
        network=network,
        device="cpu",
        max_epochs=2,
        train_data_loader=[{"image": images[own], "label": torch.arange(IMAGES)[own]} for images in batches],
        optimizer=optimizer,
        loss_function=nn.CrossEntropyLoss(),
        patch_size=(2, 2),
        sampling=1 / 4,
        optim_set_to_none=True,
        **options,
    ).run()
    return {**network.state_dict(), "unused": unused.detach()}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    idist.initialize("gloo")
    rank = idist.get_rank()
    own = slice(0, 2) if rank == 0 else slice(2, 3)
    results = {kind: train(own, seed=rank, **options) for kind, options in KINDS.items()}
    torch.save(results, f"{sys.argv[1]}/weights{rank}.pt")
    idist.finalize()
