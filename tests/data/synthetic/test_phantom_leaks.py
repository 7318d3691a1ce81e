"""A phantom slide's grade shows in its texture at full resolution, and in nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import laplace, uniform_filter
from sklearn.linear_model import RidgeCV
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monai_patchgrow.data.synthetic.phantom_slides import GLASS, phantom_slide

NUM_SLIDES, GRADES, SIZE, SHRINK = 120, 6, 1008, 12


def describe(index):
    """What is known of a slide without its texture, what its shrunk picture shows, and its texture."""
    slide = phantom_slide(index, size=SIZE, num_grades=GRADES, seed=0)
    _, rows, columns = slide.shape
    pixels = slide.read([(slice(0, rows), slice(0, columns))])[0].numpy().astype(float)
    tissue = (pixels != GLASS).any(0)
    outside = [rows, index, tissue.mean(), *pixels[:, tissue].mean(1), *pixels[:, tissue].std(1)]
    small = uniform_filter(pixels.mean(0), SHRINK)[SHRINK // 2 :: SHRINK, SHRINK // 2 :: SHRINK]
    nearest = pixels[0, ::SHRINK, ::SHRINK]
    inner = uniform_filter(tissue.astype(float), 3 * SHRINK)[SHRINK // 2 :: SHRINK, SHRINK // 2 :: SHRINK] > 0.999
    shrunk = [
        small[inner].mean(),
        small[inner].std(),
        np.abs(laplace(small))[inner].mean(),
        np.abs(laplace(nearest))[: small.shape[0], : small.shape[1]][inner].mean(),
    ]
    return outside, shrunk, [np.abs(laplace(pixels.mean(0)))[tissue].mean() / pixels[:, tissue].std()]


@pytest.fixture(scope="module")
def described():
    return [np.array(kind) for kind in zip(*map(describe, range(NUM_SLIDES)), strict=True)]


def kappa(features):
    """Quadratic weighted kappa of a ridge regression on features and their squares, cross-validated."""
    grades = np.arange(NUM_SLIDES) % GRADES
    both = np.hstack([features, features**2])
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    order = np.random.default_rng(0).permutation(NUM_SLIDES)
    said = cross_val_predict(model, both[order], grades[order], cv=10)
    return cohen_kappa_score(grades[order], np.clip(np.rint(said), 0, GRADES - 1), weights="quadratic")


def test_size_seed_colour_and_glass_say_nothing(described):
    assert kappa(described[0]) < 0.2


def test_the_shrunk_slide_says_nothing(described):
    assert kappa(described[1]) < 0.2


def test_the_texture_says_it_all(described):
    assert kappa(described[2]) > 0.9
