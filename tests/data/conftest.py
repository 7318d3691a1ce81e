"""A data set that a test may damage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def task_dir(phantom_task, tmp_path):
    """A copy of the phantom task, to damage."""
    return Path(shutil.copytree(phantom_task, tmp_path / "task"))
