"""What each rank does in the tests of distributed runs; started by `run_ranks` of test_distributed.py."""

import json
import multiprocessing
import os
import signal
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import LrScheduleHandler, MeanDice, ValidationHandler, from_engine
from monai.inferers import SlidingWindowInferer
from monai.losses import DeepSupervisionLoss, DiceCELoss
from monai.networks.nets import DynUNet
from monai.transforms import AsDiscreted, Compose
from torch.nn.parallel import DistributedDataParallel

import monai_patchgrow as patchgrow
from monai_patchgrow import handlers, transforms
from monai_patchgrow.bundle import ranks
from monai_patchgrow.bundle.engine_run import run_engine
from monai_patchgrow.bundle.ranks import check_ranks, join_ranks, leave_ranks
from monai_patchgrow.data import SeededDataLoader, cases_of_rank
from monai_patchgrow.data.loading.rank_share import slice_of_rank
from monai_patchgrow.losses import LabelLoss, loss_over_ranks
from monai_patchgrow.metrics import QuadraticKappa
from monai_patchgrow.networks import DeepSupervision, allow_single_voxel

FULL_PATCH = (8, 8, 16)
EPOCHS = 4
ITERATIONS = 7


def make_cases(count, *, seed):
    """Volumes with a bright box for a structure, each elsewhere."""
    draw = np.random.RandomState(seed)
    cases = []
    for _ in range(count):
        label = torch.zeros(1, 14, 12, 18, dtype=torch.uint8)
        start = draw.randint(1, 6, size=3)
        label[(0, *(slice(first, first + 5) for first in start))] = 1
        image = torch.from_numpy(draw.randn(1, 14, 12, 18)).float() + 2 * label
        cases.append({"image": image, "label": label})
    return cases


def make_network():
    torch.manual_seed(0)
    levels = {"kernel_size": [3, 3, 3], "strides": [1, 2, 1], "upsample_kernel_size": [2, 1], "filters": [2, 4, 4]}
    norm = ("INSTANCE", {"affine": True})
    plain = DynUNet(spatial_dims=3, in_channels=1, out_channels=2, norm_name=norm, **levels)
    return DeepSupervision(allow_single_voxel(plain), num_heads=1)


def make_evaluator(network, cases, output):
    both = from_engine(["pred", "label"])
    evaluator = SupervisedEvaluator(
        device="cpu",
        val_data_loader=DataLoader(Dataset(cases_of_rank(cases)), batch_size=1),
        network=network,
        inferer=SlidingWindowInferer(FULL_PATCH, overlap=0.5),
        postprocessing=Compose(
            [AsDiscreted("pred", argmax=True, to_onehot=2), AsDiscreted("label", to_onehot=2)],
        ),
        key_val_metric={"val_mean_dice": MeanDice(include_background=False, output_transform=both)},
        val_handlers=[handlers.BestWeights(output / "model.pt", network.network)],
    )
    return evaluator


class Stop(Exception):
    """Breaks a run off."""


def over_ranks(network):
    return DistributedDataParallel(network, gradient_as_bucket_view=True, static_graph=True)


def make_loader(*, size, count, recipe, volumes, num_workers):
    draw = transforms.RandPatchesd(["image", "label"], "label", size, num_classes=2, num_samples=count, recipe=recipe)
    return SeededDataLoader(
        Dataset(make_cases(5, seed=0), Compose([draw])),
        batch_size=volumes,
        iterations_per_epoch=ITERATIONS,
        collate_fn=transforms.concatenate_patches,
        num_workers=num_workers,
    )


def make_trainer(output, *, batch_dice, curriculum, validation_cases, volumes, batch, resume, num_workers):
    """A trainer as the bundles' train.json and multi_gpu_train.json make it."""
    schedule = patchgrow.GrowthSchedule.plan(
        patch_size=FULL_PATCH, total_stride=(4, 4, 4), batch_size=batch, max_epochs=EPOCHS, curriculum=curriculum
    )
    recipe = replace(transforms.AugmentationRecipe.nnunet(FULL_PATCH), noise_prob=0.5)
    size, count = patchgrow.PatchSize(FULL_PATCH), patchgrow.PatchCount()
    network = make_network()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=EPOCHS, power=0.9)
    evaluator = make_evaluator(network, make_cases(validation_cases, seed=1), output)
    objects = {"network": network, "optimizer": optimizer, "lr_scheduler": scheduler}
    outputs = [output / "model.safetensors", output / "model.pt", output / "history.jsonl", output / "tensorboard"]
    dice_ce = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=batch_dice)
    return SupervisedTrainer(
        device="cpu",
        max_epochs=EPOCHS,
        train_data_loader=make_loader(size=size, count=count, recipe=recipe, volumes=volumes, num_workers=num_workers),
        epoch_length=ITERATIONS,
        network=over_ranks(network) if idist.get_world_size() > 1 else network,
        loss_function=loss_over_ranks(DeepSupervisionLoss(dice_ce, weights=[2 / 3, 1 / 3])),
        optimizer=optimizer,
        train_handlers=[
            handlers.ResumableRun(output / "last.pt", objects, evaluator=evaluator, outputs=outputs, resume=resume),
            handlers.Throughput(),
            handlers.Reproducibility(0),
            patchgrow.PatchGrowth(schedule, size, count),
            handlers.AugmentBatches(transforms.BatchAugmentation(recipe)),
            handlers.GradientClipping(optimizer),
            LrScheduleHandler(scheduler, print_lr=False),
            ValidationHandler(interval=2, validator=evaluator, epoch_level=True),
            handlers.GrowthProgress(evaluator=evaluator),
            handlers.RunLog(output, optimizer=optimizer, evaluator=evaluator),
        ],
        decollate=False,
    )


def train(
    output,
    *,
    batch_dice=False,
    curriculum="efficiency",
    validation_cases=3,
    volumes=3,
    batch=3,
    resume=False,
    num_workers=0,
    break_off_after=None,
    stop_in=None,
):
    """Train; returns what the tests compare."""
    trainer = make_trainer(
        output,
        batch_dice=batch_dice,
        curriculum=curriculum,
        validation_cases=validation_cases,
        volumes=volumes,
        batch=batch,
        resume=resume,
        num_workers=num_workers,
    )
    seen = []

    def note(engine):
        seen.append([engine.state.epoch, len(engine.state.batch["image"]), *engine.state.batch["image"].shape[2:]])
        if engine.state.epoch - 1 == break_off_after:
            raise Stop
        if engine.state.iteration == stop_in and idist.get_rank() == 1:
            signal.raise_signal(signal.SIGTERM)

    trainer.add_event_handler(Events.ITERATION_STARTED, note)
    with suppress(Stop):
        run_engine(trainer)
    run = trainer.state.resumable_run
    torch.save(run.objects["network"].state_dict(), output / f"weights{idist.get_rank()}.pt")
    return {
        "seen": seen,
        "best": run.objects["best_metric"].state_dict()["metric"],
        "throughput": trainer.state.throughput.state_dict(),
    }


def dawdle(owner, name):
    """Let rank 1 stay two seconds behind once it has called a function."""
    function = getattr(owner, name)

    def call(*args, **kwargs):
        result = function(*args, **kwargs)
        time.sleep(2 * idist.get_rank())
        return result

    setattr(owner, name, call)


def differ(output):
    """Ranks that were given different cases; rank 1 compares them late."""
    dawdle(idist, "all_gather")
    cases = ["a.nii.gz"] * (3 + idist.get_rank())
    check_ranks(cases={"training cases": cases}, settings={"seed": 0})


def die(output, *, at, num_workers=0):
    """Rank 1 is killed, or its loader fails; rank 0 is at work by itself, or waits for rank 1."""
    loader = make_loader(size=FULL_PATCH, count=1, recipe=None, volumes=2, num_workers=num_workers)
    batches = iter(loader)
    next(batches)
    if idist.get_rank() == 1 and at == "loader":
        raise OSError("case_7.nii.gz can't be read")
    if idist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if at == "exchange":
        idist.barrier()
    time.sleep(100)


def measure_loss(output, *, batch_dice, kind=None):
    """Value and gradient of the loss of a batch of 5, split as 3 and 2; of patches that are annotated unevenly."""
    torch.manual_seed(0)
    logits, target = torch.randn(5, 3, 4, 4, 4, dtype=torch.float64), torch.randint(3, (5, 1, 4, 4, 4))
    own = slice_of_rank(5, rank=idist.get_rank(), num_ranks=idist.get_world_size())
    logits, loss = (
        logits[own.start : own.stop].requires_grad_(),
        DiceCELoss(to_onehot_y=True, softmax=True, batch=batch_dice),
    )
    if kind is not None:
        target[3:, :, 1:] = 3
        regions = [(1, 2), (2,), (1,)] if kind == "regions" else ()
        loss = LabelLoss(regions=regions, ignore_label=3, batch=batch_dice)
    loss = loss_over_ranks(loss)
    value = loss(logits, target[own.start : own.stop])
    value.backward()
    return {"value": float(value), "gradient": logits.grad.tolist()}


def measure_kappa(output):
    """Kappa of seven images in two rounds of other sizes on each rank, by every rank."""
    predicted, true = torch.tensor([0, 1, 2, 2, 1, 0, 2]), torch.tensor([0, 1, 2, 1, 1, 2, 2])
    own = slice_of_rank(7, rank=idist.get_rank(), num_ranks=idist.get_world_size())
    metric = QuadraticKappa(3)
    values = []
    for _ in range(2):
        metric.reset()
        metric.update((predicted[own.start : own.stop], true[own.start : own.stop]))
        values.append(metric.compute())
    return values


def main():
    """Join the others, do what the test asks for, and leave its result in a file."""
    os.environ.update(ENVIRONMENT)  # noqa: F821 - given by the test, as the others
    output = Path(OUTPUT)  # noqa: F821
    with open(output / f"stderr{os.environ['RANK']}.txt", "w") as stream:
        os.dup2(stream.fileno(), sys.stderr.fileno())
    # As in a command of its own: workers that a fork server made would not notice that their rank is gone.
    multiprocessing.set_start_method("fork", force=True)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if TASK == "join":  # noqa: F821
        dawdle(ranks, "PeerWatch")
    join_ranks(timeout=300, batch_size=OPTIONS.pop("batch_size", None))  # noqa: F821
    result = globals()[TASK](output, **OPTIONS)  # noqa: F821
    leave_ranks()
    (output / f"result{os.environ['RANK']}.json").write_text(json.dumps(result))


if __name__ == "rank":
    main()
