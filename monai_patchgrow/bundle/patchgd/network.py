"""Builds a PatchGD bundle's network and loads its weights; what doesn't fit ends a command in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from monai_patchgrow.bundle.one_line import one_line_config_errors
from monai_patchgrow.handlers.finite_output import count_odd_weights
from monai_patchgrow.networks.encoders.by_name import backbone
from monai_patchgrow.networks.heads.by_name import classification_head
from monai_patchgrow.weight_files import read_weights

__all__ = ["build_encoder", "build_head", "load_weights"]


def build_encoder(name: str, *, options: Mapping[str, Any], **settings: Any) -> nn.Module:
    """The encoder of a name; see :func:`monai_patchgrow.networks.backbone`.

    Args:
        name: of the backbone.
        options: its own options.
        **settings: ``in_channels``, ``latent_dim``, ``spatial_dims``, ``patch_size`` and ``pretrained``.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with _options_that_fit("backbone_options", options):
        encoder = backbone(name, **settings, **options)
        if count := count_odd_weights(encoder.state_dict()):
            raise ValueError(
                f"pretrained: {count} weights in {settings.get('pretrained')} are NaN or infinite: give others"
            )
        return encoder


def build_head(name: str, *, options: Mapping[str, Any], **settings: Any) -> nn.Module:
    """The head of a name; see :func:`monai_patchgrow.networks.classification_head`.

    Args:
        name: of the head.
        options: its own options.
        **settings: ``latent_dim``, ``num_outputs``, ``grid_shape`` and ``spatial_dims``.

    Raises:
        SystemExit: any fault, with the line as its message; the fault's own error in a process that hosts the bundle.
    """
    with _options_that_fit("head_options", options):
        return classification_head(name, **settings, **options)


def load_weights(network: nn.Module, *, ckpt_path: str) -> None:
    """Load a weight file into the network.

    Raises:
        SystemExit: there is no such file, or it holds no weights of this network, or such as are NaN or infinite, with
            the line as its message; a ValueError in a process that hosts the bundle.
    """
    with one_line_config_errors():
        if not os.path.isfile(ckpt_path):
            raise ValueError(
                f"ckpt_path: no weights at {ckpt_path}: train the bundle first, or give the path of its model.pt"
            )
        device = next(iter(network.state_dict().values())).device
        try:
            network.load_state_dict(read_weights(ckpt_path, map_location=device))
        except OSError as error:
            raise ValueError(f"ckpt_path: {ckpt_path} can't be opened ({error.strerror})") from error
        except ValueError as error:
            raise ValueError(f"ckpt_path: {ckpt_path} can't be used: {' '.join(str(error).split())}") from error
        except Exception as error:  # of many kinds: unpickling, key and shape errors
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise ValueError(
                f"ckpt_path: {ckpt_path} holds no weights of this network: {' '.join(lines[:2])[:300]}"
            ) from error
        if count := count_odd_weights(network.state_dict()):
            raise ValueError(
                f"ckpt_path: {count} weights in {ckpt_path} are NaN or infinite: train anew with a lower "
                "learning_rate, or give other weights"
            )


@contextmanager
def _options_that_fit(name: str, options: Any) -> Iterator[None]:
    with one_line_config_errors():
        try:
            yield
        except (ValueError, OSError):
            raise
        except Exception as error:  # of many types: each network has its own for options that it doesn't know
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(f"{name} don't fit, got {options}: {reason}") from error
