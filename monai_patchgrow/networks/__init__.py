"""Floor 2: which networks are trained, and what is changed in them? Its folders: surgery, encoders, heads, nnunet."""

from monai_patchgrow.networks.check import check_network
from monai_patchgrow.networks.encoders.by_name import backbone, backbone_rule
from monai_patchgrow.networks.encoders.cnn import PlainCNN, SmallCNN
from monai_patchgrow.networks.encoders.pretrained import PretrainedReport, load_pretrained
from monai_patchgrow.networks.encoders.vit import ViTEncoder
from monai_patchgrow.networks.heads.by_name import classification_head
from monai_patchgrow.networks.heads.conv import ConvHead
from monai_patchgrow.networks.heads.evidence import cell_evidence
from monai_patchgrow.networks.heads.pooling import AttentionPoolingHead, MeanPoolingHead, SumPoolingHead
from monai_patchgrow.networks.nnunet.starting_weights import load_starting_weights
from monai_patchgrow.networks.nnunet.unets import initialise
from monai_patchgrow.networks.out_of_memory import AdaptiveInferer
from monai_patchgrow.networks.patch_classifier import PatchClassifier
from monai_patchgrow.networks.patch_rules import PatchRule, patch_rule
from monai_patchgrow.networks.surgery.deep_supervision import DeepSupervision
from monai_patchgrow.networks.surgery.position_embedding import allow_smaller_patches
from monai_patchgrow.networks.surgery.prepare import training_network
from monai_patchgrow.networks.surgery.single_voxel_norm import allow_single_voxel
from monai_patchgrow.networks.surgery.window_offsets import keep_window_offsets

__all__ = [
    "AdaptiveInferer",
    "AttentionPoolingHead",
    "ConvHead",
    "DeepSupervision",
    "MeanPoolingHead",
    "PatchClassifier",
    "PatchRule",
    "PlainCNN",
    "PretrainedReport",
    "SmallCNN",
    "SumPoolingHead",
    "ViTEncoder",
    "allow_single_voxel",
    "allow_smaller_patches",
    "backbone",
    "backbone_rule",
    "cell_evidence",
    "check_network",
    "classification_head",
    "initialise",
    "keep_window_offsets",
    "load_pretrained",
    "load_starting_weights",
    "patch_rule",
    "training_network",
]
