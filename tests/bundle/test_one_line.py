"""An error that the work goes on after is logged, and a command says it on stderr too."""

import logging
import sys
from types import SimpleNamespace

from monai_patchgrow.bundle.one_line import complain


def test_a_host_finds_it_in_its_log_alone(caplog, capsys):
    with caplog.at_level(logging.ERROR):
        complain("image a failed:\n cut off")
    assert caplog.messages == ["image a failed: cut off"]
    assert capsys.readouterr().err == ""


def test_a_command_says_it_on_stderr(monkeypatch, capsys):
    spec = SimpleNamespace(name="monai.bundle.__main__")
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec, raising=False)
    complain("image a failed:\n cut off")
    assert capsys.readouterr().err == "error: image a failed: cut off\n"
