"""What is private in torch is still there and does what is said of it."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from monai_patchgrow.internals.torch import (
    BatchNorm,
    Convolution,
    Dropout,
    InstanceNorm,
    Loss,
    Norm,
    check_input_dim,
    compiler,
    end_persistent_workers,
    takes_cudnn,
)

BATCH_NORMS = [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm]
INSTANCE_NORMS = [nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d]
DROPOUTS = [nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout]
CONVOLUTIONS = [nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d]
LOSSES = [nn.CrossEntropyLoss, nn.MSELoss, nn.HuberLoss, nn.BCEWithLogitsLoss]


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        *[(kind, BatchNorm) for kind in BATCH_NORMS],
        *[(kind, InstanceNorm) for kind in INSTANCE_NORMS],
        *[(kind, Norm) for kind in (*BATCH_NORMS, *INSTANCE_NORMS)],
        *[(kind, Dropout) for kind in DROPOUTS],
        *[(kind, Convolution) for kind in CONVOLUTIONS],
        *[(kind, Loss) for kind in LOSSES],
    ],
)
def test_what_is_of_a_kind(kind, base):
    assert issubclass(kind, base)


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (nn.InstanceNorm2d, BatchNorm),
        (nn.BatchNorm2d, InstanceNorm),
        (nn.GroupNorm, Norm),
        (nn.LayerNorm, Norm),
        (nn.Linear, Convolution),
        (nn.Identity, Dropout),
        (nn.Linear, Loss),
    ],
)
def test_what_is_not(kind, base):
    assert not issubclass(kind, base)


def test_a_loss_keeps_its_reduction():
    assert Loss(reduction="sum").reduction == "sum"


def test_an_instance_norm_refuses_another_number_of_axes():
    with pytest.raises(ValueError, match="expected 3D or 4D input"):
        check_input_dim(nn.InstanceNorm2d(1), torch.zeros(1, 1, 2, 2, 2))


def test_an_instance_norm_takes_its_own_number_of_axes():
    assert check_input_dim(nn.InstanceNorm2d(1), torch.zeros(1, 1, 2, 2)) is None


def test_the_compiler_tells_starts_and_ends():
    callbacks, _ = compiler()

    def start(_):
        raise AssertionError("nothing is compiled here")

    callbacks.register_start_callback(start)
    assert start in callbacks.start_callbacks
    callbacks.remove_start_callback(start)
    assert start not in callbacks.start_callbacks


def test_the_compiler_has_a_limit_of_shapes():
    assert compiler()[1].recompile_limit >= 1


def test_a_convolution_on_a_cpu_takes_no_cudnn():
    assert takes_cudnn(torch.zeros(1, 8, 8, 8, 8), torch.zeros(8, 8, 3, 3, 3)) is False


class Workers(torch.utils.data.Dataset):
    """Items that tell which process made them."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        import os

        return os.getpid()


def test_workers_that_are_ended_are_replaced():
    loader = DataLoader(Workers(), num_workers=1, persistent_workers=True)
    first, kept = next(iter(loader)).item(), next(iter(loader)).item()
    end_persistent_workers(loader)
    assert first == kept
    assert next(iter(loader)).item() != first


def test_a_loader_without_workers_is_left_alone():
    loader = DataLoader(Workers())
    end_persistent_workers(loader)
    assert len(list(loader)) == 2
