"""The textures of a phantom slide's tissue and tumour, which differ in their waves and in nothing else."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["GLASS", "PERIOD", "TISSUE", "textures"]

GLASS = 244
"""Value of every channel where there is no tissue."""

TISSUE = (196.0, 140.0, 184.0)
"""Mean value of tissue, per channel."""

PERIOD = 1024
"""Rows and columns of a texture, pixels, after which it comes again."""

_NUCLEI, _TUMOUR_NUCLEI = (3.8, 5.2), (2.2, 3.0)  # wavelengths, pixels
_SHADING = (24.0, 256.0)  # those of the uneven stain
_TEXTURE, _STAIN, _NOISE = 24.0, 10.0, 3.0


@cache
def textures() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One period of tissue and one of tumour, `(3, Y, X)`, nowhere of the value of glass."""
    rng = np.random.default_rng(0)
    stain = _STAIN * _waves_between(rng, *_SHADING)
    both = []
    for wavelengths in (_NUCLEI, _TUMOUR_NUCLEI):
        nuclei = _TEXTURE * _waves_between(rng, *wavelengths)
        noise = rng.normal(0, _NOISE, (3, PERIOD, PERIOD))
        both.append(np.reshape(TISSUE, (3, 1, 1)) + nuclei + stain + noise)
    normal, tumour = (np.clip(np.rint(texture), 0, GLASS - 1).astype(np.uint8) for texture in both)
    for channel, values in zip(tumour, normal, strict=True):  # the same number of pixels of each value
        channel.flat[np.argsort(channel, axis=None, kind="stable")] = np.sort(values, axis=None)
    return normal, tumour


def _waves_between(rng: np.random.Generator, shortest: float, longest: float) -> NDArray[np.float64]:
    """A random field `(Y, X)`, one period of it, of mean 0 and variance 1, with waves of these lengths only, pixels."""
    frequency = np.hypot(np.fft.fftfreq(PERIOD)[:, None], np.fft.rfftfreq(PERIOD))
    band = (frequency >= 1 / longest) & (frequency <= 1 / shortest)
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((PERIOD, PERIOD))) * band, (PERIOD, PERIOD))
    return field / field.std()
