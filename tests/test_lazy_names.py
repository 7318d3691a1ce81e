"""The package's own names and folders are there without having been imported, and none before it is used."""

import subprocess
import sys
from pathlib import Path

import pytest

import monai_patchgrow

ROOT = Path(__file__).parents[1]
FOLDERS = ("bundle", "data", "engines", "handlers", "losses", "metrics", "networks")
MORE_FOLDERS = ("schedules", "state", "tools", "transforms")
NAMES = ("GrowthSchedule", "PatchCount", "PatchGDEvaluator", "PatchGDTrainer", "PatchGrowth", "PatchSize")


def printed(code):
    """What a new process prints that has imported nothing but the package."""
    command = [sys.executable, "-W", "ignore", "-c", f"import sys, monai_patchgrow; {code}"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.strip()


def test_a_folder_is_imported_on_first_use():
    assert printed("print(monai_patchgrow.losses.ImageTarget.__name__)") == "ImageTarget"


def test_importing_the_package_imports_none_of_its_folders():
    assert printed("print([name for name in sys.modules if name.startswith('monai_patchgrow.')])") == "[]"


def test_importing_the_package_does_not_import_torch():
    assert printed("print('torch' in sys.modules)") == "False"


@pytest.mark.parametrize("name", [*FOLDERS, *MORE_FOLDERS])
def test_every_folder_is_an_attribute(name):
    assert getattr(monai_patchgrow, name).__name__ == f"monai_patchgrow.{name}"


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_an_attribute(name):
    assert getattr(monai_patchgrow, name).__name__ == name


def test_completion_shows_names_and_folders():
    assert {*FOLDERS, *MORE_FOLDERS, *NAMES} <= set(dir(monai_patchgrow))


def test_a_star_import_takes_the_public_names():
    assert sorted(monai_patchgrow.__all__) == sorted([*NAMES, "__version__"])


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="monai_patchgrow attribute lossess"):
        monai_patchgrow.lossess  # noqa: B018
