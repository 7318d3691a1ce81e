"""The network of a segmentation bundle as its training starts: initialised, given weights, ready for small patches."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from monai_patchgrow import networks
from monai_patchgrow.bundle.one_line import one_line_config_errors
from monai_patchgrow.bundle.segmentation_settings import SegmentationSettings
from monai_patchgrow.handlers.finite_output import count_odd_weights

__all__ = ["starting_network"]


def starting_network(network: nn.Module, *, settings: SegmentationSettings) -> nn.Module:
    """Make a network ready for training on small patches, from its first weights or from those that the settings name.

    Args:
        network: the network that inference uses; see :func:`monai_patchgrow.networks.training_network`.
        settings: of the running config.

    Raises:
        SystemExit: weights that don't fit, or another fault, with the line as its message; the fault's own error in a
            process that hosts the bundle.
    """
    with one_line_config_errors():
        networks.initialise(network)
        training = networks.training_network(network, num_heads=settings.num_heads, patch_size=settings.patch_size)
        if settings.pretrained is not None:
            _load(training, settings.pretrained)
        return training


def _load(network: nn.Module, path: str) -> None:
    try:
        networks.load_starting_weights(network, Path(path))
    except (ValueError, OSError) as error:
        raise ValueError(f"pretrained: {error}") from error
    if count := count_odd_weights(network.state_dict()):
        raise ValueError(f"pretrained: {count} weights in {path} are NaN or infinite: give others")
