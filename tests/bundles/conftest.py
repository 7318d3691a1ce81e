"""What the tests of bundles share."""

import sys
from types import SimpleNamespace

import pytest


@pytest.fixture
def line_of(monkeypatch, request):
    """The line that ``python -m monai.bundle run`` would end with, as the SystemExit's code of the module's `run`."""
    spec = SimpleNamespace(name="monai.bundle.__main__")
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec, raising=False)

    def line(bundle, config, **overrides):
        with pytest.raises(SystemExit) as caught:
            request.module.run(bundle, config, **overrides)
        assert isinstance(caught.value.code, str)
        assert len(caught.value.code.splitlines()) == 1
        return caught.value.code

    return line
