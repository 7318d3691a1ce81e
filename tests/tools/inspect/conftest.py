"""A bundle in which there is nothing to find."""

import pytest
from small_bundle import SmallBundle


@pytest.fixture
def small_bundle(tmp_path):
    return SmallBundle(tmp_path)
