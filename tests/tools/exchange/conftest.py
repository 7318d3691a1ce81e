"""Folders as nnU-Net leaves them after a training, of small networks with random weights."""

from __future__ import annotations

import json

import pytest
import torch
from nnunet_networks import KERNELS, mirrored_sizes, nnunet_unet
from nnunet_networks import STRIDES as NETWORK_STRIDES

STRIDES = mirrored_sizes(NETWORK_STRIDES)  # (z, y, x)


def plans_of(name, kernels):
    kind = {"n_blocks_per_stage": [1, 2, 2]} if name == "ResidualEncoderUNet" else {"n_conv_per_stage": [2, 2, 2]}
    arguments = {
        "n_stages": 3,
        "features_per_stage": [4, 8, 16],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": kernels,
        "strides": STRIDES,
        **kind,
        "n_conv_per_stage_decoder": [1, 1] if name == "ResidualEncoderUNet" else [2, 2],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    configuration = {
        "batch_size": 2,
        "patch_size": [16, 32, 24],
        "spacing": [1.0, 1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "batch_dice": False,
        "architecture": {
            "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
            "arch_kwargs": arguments,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    return {
        "dataset_name": "Dataset101_Demo",
        "plans_name": "nnUNetPlans",
        "transpose_forward": [0, 1, 2],
        "configurations": {"2d": {**configuration, "patch_size": [32, 24]}, "3d_fullres": configuration},
    }


DATASET = {
    "channel_names": {"0": "MRI"},
    "labels": {"background": 0, "organ": 1, "lesion": 2},
    "numTraining": 5,
    "file_ending": ".nii.gz",
}


@pytest.fixture
def trained(tmp_path):
    """Makes the folder of a training; returns it and its network, whose axes are nnU-Net's."""

    def make(name="ResidualEncoderUNet", kernels=KERNELS):
        network = nnunet_unet(name, strides=STRIDES, kernels=kernels)
        folder = tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres"
        (folder / "fold_0").mkdir(parents=True)
        (folder / "plans.json").write_text(json.dumps(plans_of(name, kernels)))
        (folder / "dataset.json").write_text(json.dumps(DATASET))
        checkpoint = {
            "network_weights": network.state_dict(),
            "init_args": {"configuration": "3d_fullres", "fold": 0, "device": torch.device("cpu")},
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": (0, 1, 2),
        }
        torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")
        return folder, network

    return make
