"""What compare hands to the command line arrives there as what it was."""

import fire
import pytest

from monai_patchgrow.tools.compare import _as_arguments


@pytest.mark.parametrize("value", [False, True, 3, 0.5, [1, 2], {"0": "background"}, "constant", "all"])
def test_settings_survive_the_command_line(value):
    assert fire.Fire(lambda setting: setting, command=_as_arguments({"setting": value})) == value
