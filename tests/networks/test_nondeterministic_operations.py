"""Which networks and losses call what torch lists as not deterministic on CUDA: docs/how-to/gpu.md has this table.

The list is that of ``torch.use_deterministic_algorithms`` (2.13), both of its halves, since training doesn't call it.
Forward and backward pass are recorded on a CPU, by the names that both devices share.
"""

from pathlib import Path

import pytest
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNETR, DynUNet, SegResNet, SwinUNETR
from nnunet_networks import nnunet_unet
from torch.utils._python_dispatch import TorchDispatchMode

from monai_patchgrow.networks import backbone, classification_head, training_network

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "gpu.md"
LISTED = {
    *(f"upsample_{mode}_backward" for mode in ("linear1d", "bilinear2d", "bicubic2d", "trilinear3d")),
    *(f"{pad}_pad{axes}d_backward" for pad in ("replication", "reflection") for axes in (1, 2, 3)),
    *(
        "max_pool3d_with_indices_backward",
        "avg_pool3d_backward",
        "grid_sampler_2d_backward",
        "grid_sampler_3d_backward",
    ),
    *("_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward", "adaptive_max_pool2d_backward"),
    *("nll_loss2d_forward", "scatter_add", "scatter_reduce", "index_add", "index_copy", "put", "cumsum", "histc"),
}
ATTENTION = "_scaled_dot_product"  # fused on CUDA; whose backward may add in any order


class Recorded(TorchDispatchMode):
    """Notes the names of operations, without the underscore of those in place."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.name().removeprefix("aten::").split(".")[0].rstrip("_"))
        return func(*args, **(kwargs or {}))


def listed_calls(call, *inputs):
    """Of the listed operations those that a call, and its backward pass, make."""
    with Recorded() as seen:
        output = call(*inputs)
        sum(one.sum() for one in (output if isinstance(output, list | tuple) else [output])).backward()
    return {name for name in seen.names if name in LISTED} | {"attention" for name in seen.names if ATTENTION in name}


def dyn_unet(dims):
    strides = [1, 2, 2]
    return DynUNet(
        dims, 1, 3, [3] * 3, strides, strides[1:], filters=[4, 8, 16], norm_name=("INSTANCE", {"affine": True})
    )


SEGMENTATION = {
    "DynUNet": (lambda: dyn_unet(3), 1, (16,) * 3, set()),
    "DynUNet of slices": (lambda: dyn_unet(2), 1, (16,) * 2, set()),
    "SegResNet": (lambda: SegResNet(3, 8, 1, 3), 0, (16,) * 3, {"upsample_trilinear3d_backward"}),
    "UNETR": (lambda: UNETR(1, 3, (32,) * 3, 2, 12, 8, 2), 0, (16,) * 3, set()),
    "SwinUNETR": (lambda: SwinUNETR(1, 3, feature_size=12), 0, (32,) * 3, set()),
}


@pytest.mark.parametrize(("dims", "expected"), [(2, set()), (3, {"avg_pool3d_backward"})])
def test_nnunets_residual_encoder(dims, expected):
    pytest.importorskip("dynamic_network_architectures", reason="needs nnU-Net's networks")
    sizes = {"strides": [[1] * dims, [2] * dims, [2] * dims], "kernels": [[3] * dims] * 3}
    network = training_network(nnunet_unet("ResidualEncoderUNet", **sizes).train(), num_heads=1)
    assert listed_calls(network, torch.zeros(1, 1, *(16,) * dims)) == expected


@pytest.mark.parametrize("name", SEGMENTATION)
def test_networks_of_segmentation(name):
    make, num_heads, patch, expected = SEGMENTATION[name]
    plain = make()
    full = (32,) * len(patch)
    network = training_network(plain, num_heads=num_heads, patch_size=full)
    assert listed_calls(network, torch.zeros(1, 1, *patch)) == expected


def test_the_loss_of_segmentation():
    logits, label = torch.zeros(2, 3, 4, 4, 4, requires_grad=True), torch.zeros(2, 1, 4, 4, 4)
    assert listed_calls(DiceCELoss(to_onehot_y=True, softmax=True), logits, label) == {"nll_loss2d_forward"}


@pytest.mark.parametrize(
    ("name", "dims", "expected"),
    [
        *[(name, 2, set()) for name in ("resnet18", "plain_cnn", "small_cnn", "vit", "mobilenet_v2", "convnextv2")],
        *[
            ("deit", 2, {"upsample_bicubic2d_backward", "attention"}),
            ("resnet18", 3, {"max_pool3d_with_indices_backward"}),
        ],
        *[(name, 3, set()) for name in ("small_cnn", "vit")],
    ],
)
def test_encoders(name, dims, expected):
    if name in ("mobilenet_v2", "convnextv2", "deit"):
        pytest.importorskip("transformers")
    channels = 5 - dims
    encoder = backbone(name, in_channels=channels, latent_dim=8, spatial_dims=dims, patch_size=(32,) * dims)
    assert listed_calls(encoder, torch.zeros(2, channels, *(32,) * dims)) == expected


@pytest.mark.parametrize("name", ["conv", "conv_pooled", "attention", "mean", "sum"])
def test_heads(name):
    head = classification_head(name, latent_dim=8, num_outputs=3, grid_shape=(4, 4), spatial_dims=2)
    assert listed_calls(head, torch.zeros(2, 8, 4, 4, requires_grad=True)) == set()


def test_the_page_names_them():
    page = PAGE.read_text()
    for name in ("SegResNet", "AvgPool3d", "MaxPool3d", "deit", "NLLLoss", "trilinear", "bicubic"):
        assert name in page
