"""What the tests of trainings that compare and the quickstarts start share."""

import sys
from types import SimpleNamespace

import pytest
from commands import run_python

from monai_patchgrow.tools.compare import compare


@pytest.fixture
def forked_trainings(monkeypatch):
    """Trainings start in processes that have imported MONAI."""

    def run(command, *, stdout, check):
        process = run_python(*command[1:], stdout=stdout.name)
        sys.stderr.write(process.stderr)
        return process

    monkeypatch.setattr(compare, "subprocess", SimpleNamespace(run=run))
