"""Floor 2: what a network needs to be trained on small patches, and PatchGD's encoders and heads."""

from monai_patchgrow.networks.attention_pooling import AttentionPoolingHead
from monai_patchgrow.networks.backbones import backbone, backbone_rule
from monai_patchgrow.networks.check import check_network
from monai_patchgrow.networks.deep_supervision import DeepSupervision
from monai_patchgrow.networks.evidence import cell_evidence
from monai_patchgrow.networks.heads import classification_head
from monai_patchgrow.networks.patch_classifier import PatchClassifier
from monai_patchgrow.networks.patch_rules import PatchRule, patch_rule
from monai_patchgrow.networks.patchgd_heads import ConvHead, MeanPoolingHead
from monai_patchgrow.networks.plain_cnn import PlainCNN
from monai_patchgrow.networks.position_embedding import allow_smaller_patches
from monai_patchgrow.networks.pretrained import PretrainedReport, load_pretrained
from monai_patchgrow.networks.single_voxel_norm import allow_single_voxel
from monai_patchgrow.networks.small_cnn import SmallCNN
from monai_patchgrow.networks.sum_pooling import SumPoolingHead
from monai_patchgrow.networks.training import training_network
from monai_patchgrow.networks.vit_encoder import ViTEncoder
from monai_patchgrow.networks.window_offsets import keep_window_offsets

__all__ = [
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
    "keep_window_offsets",
    "load_pretrained",
    "patch_rule",
    "training_network",
]
