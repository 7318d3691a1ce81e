"""Small networks of nnU-Net's package, and DynUNets of the same figures; what uses them is skipped without it."""

import torch
from monai.networks.nets import DynUNet

STRIDES = [[1, 1, 1], [2, 2, 2], [2, 2, 1]]
KERNELS = [[3, 3, 3]] * 3
PLANAR_KERNELS = [[3, 3, 1], [3, 3, 3], [3, 3, 3]]
FEATURES = [4, 8, 16]


def nnunet_unet(name, *, strides=STRIDES, kernels=KERNELS, features=FEATURES, blocks=(1, 2, 2), **options):
    """nnU-Net's network, with random weights, biases and norms; strides and kernels in the order of its axes."""
    from dynamic_network_architectures.architectures import unet

    dims = len(strides[0])
    key = "n_blocks_per_stage" if name == "ResidualEncoderUNet" else "n_conv_per_stage"
    torch.manual_seed(0)
    network = getattr(unet, name)(
        **{key: list(blocks) if name == "ResidualEncoderUNet" else [2] * len(strides)},
        input_channels=1,
        n_stages=len(strides),
        features_per_stage=features,
        conv_op=getattr(torch.nn, f"Conv{dims}d"),
        kernel_sizes=kernels,
        strides=strides,
        num_classes=3,
        n_conv_per_stage_decoder=[1 if name == "ResidualEncoderUNet" else 2] * (len(strides) - 1),
        conv_bias=True,
        norm_op=getattr(torch.nn, f"InstanceNorm{dims}d"),
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        **options,
    )
    return randomised(network)


def dyn_unet(*, strides=STRIDES, kernels=KERNELS, features=FEATURES, trans_bias=True, **options):
    """MONAI's network, with random weights."""
    torch.manual_seed(1)
    network = DynUNet(
        len(strides[0]), 1, 3, kernels, strides, strides[1:], filters=features, trans_bias=trans_bias,
        norm_name=("INSTANCE", {"affine": True}), **options,
    )  # fmt: skip
    return randomised(network)


def randomised(network):
    """The network with no weight or bias left at 0 or 1."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.eval()


def mirrored_sizes(levels):
    """Sizes per level in the opposite order of axes."""
    return [level[::-1] for level in levels]
