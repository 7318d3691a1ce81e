"""What a segmentation bundle's labels decide: loss, places of patches, label maps and Dice."""

from __future__ import annotations

from monai.handlers import from_engine
from torch import nn

from monai_patchgrow import losses
from monai_patchgrow.bundle.segmentation_settings import SegmentationSettings
from monai_patchgrow.metrics import LabelDice
from monai_patchgrow.transforms import LabelMapd, LabelPlacesd
from monai_patchgrow.transforms.patches import LOCATIONS_PER_CLASS

__all__ = ["label_dice", "label_loss", "label_map", "label_places"]


def label_loss(*, settings: SegmentationSettings) -> nn.Module:
    """Make the loss of one level of the network: see :func:`monai_patchgrow.losses.label_loss`."""
    labels = settings.labels
    regions = list(labels.regions.values())
    return losses.label_loss(regions=regions, ignore_label=labels.ignored, batch=settings.batch_dice)


def label_places(*, settings: SegmentationSettings) -> LabelPlacesd:
    """Make the transform that finds the voxels on which patches are centred."""
    labels = settings.labels
    return LabelPlacesd("label", labels.places, annotated=labels.annotated, max_samples=LOCATIONS_PER_CLASS)


def label_map(*, settings: SegmentationSettings) -> LabelMapd:
    """Make the transform of logits into a label map."""
    return LabelMapd("pred", regions_class_order=settings.regions_class_order)


def label_dice(*, settings: SegmentationSettings) -> LabelDice:
    """Make the metric of label maps: Dice of each class above the background, or of each region."""
    labels = settings.labels
    return LabelDice(
        labels.num_labels,
        include_background=False,
        output_transform=from_engine(["pred", "label"]),
        regions=list(labels.regions.values()),
        ignore_label=labels.ignored,
    )
