"""Starts a network from the weights of a file, nnU-Net's or our own."""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from monai_patchgrow.networks.encoders.pretrained import load_pretrained
from monai_patchgrow.networks.nnunet.checkpoint import read_checkpoint
from monai_patchgrow.networks.nnunet.weights import load_nnunet_weights
from monai_patchgrow.safetensors_header import SUFFIX

__all__ = ["load_starting_weights"]

_logger = logging.getLogger(__name__)


def load_starting_weights(network: nn.Module, path: Path) -> None:
    """Load the weights of a file into a network that is to be trained.

    Args:
        network: changed in place; see :func:`monai_patchgrow.networks.training_network`.
        path: nnU-Net's ``checkpoint_final.pth`` of the same network, or a file of weights by the network's own names,
            as :func:`monai_patchgrow.networks.load_pretrained` takes it: ``model.pt``, ``model.safetensors``.

    Raises:
        ValueError: a file that can't be read, or of another network.
        OSError: no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file of weights at {path}")
    checkpoint = None if path.suffix == SUFFIX else read_checkpoint(path)
    if checkpoint is None:
        load_pretrained(network, path)
        return
    try:
        load_nnunet_weights(network, checkpoint.weights)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from None
    _logger.info("%s: weights of nnU-Net's %s taken over", path, checkpoint.trainer)
