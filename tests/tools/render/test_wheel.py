"""A wheel has all that the command line needs: what is unpacked elsewhere renders a bundle."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PLAN = {
    "dataset_name": "Dataset101_Demo",
    "transpose_forward": [0, 1, 2],
    "foreground_intensity_properties_per_channel": {},
    "configurations": {
        "3d_fullres": {
            "batch_size": 2,
            "patch_size": [16, 16, 16],
            "spacing": [1.0, 1.0, 1.0],
            "normalization_schemes": ["ZScoreNormalization"],
            "use_mask_for_norm": [False],
            "batch_dice": False,
            "architecture": {
                "network_class_name": "PlainConvUNet",
                "arch_kwargs": {
                    "features_per_stage": [4, 4, 8],
                    "kernel_sizes": [[3, 3, 3]] * 3,
                    "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
                },
            },
        }
    },
}
DATASET = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "organ": 1}, "file_ending": ".nii.gz"}
RENDER = """
import sys, monai_patchgrow
from monai_patchgrow.cli import main
main(["bundle", "--plans=plans.json", "--dataset=dataset.json", "--output=bundle"])
print(monai_patchgrow.__file__)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which a wheel of this tree was unpacked."""
    if importlib.util.find_spec("setuptools") is None or importlib.util.find_spec("pip") is None:
        pytest.skip("setuptools and pip build the wheel, and one of them is not installed here")
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "monai_patchgrow", folder / "source" / "monai_patchgrow", ignore=ignored)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    process = subprocess.run([*command, "-w", str(folder), str(folder / "source")], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "installed")
    return folder / "installed"


def test_a_wheel_that_is_installed_elsewhere_renders(installed, tmp_path):
    for name, content in (("plans.json", PLAN), ("dataset.json", DATASET)):
        (tmp_path / name).write_text(json.dumps(content))
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-W", "ignore", "-c", RENDER]
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]
    assert process.stdout.splitlines()[-1] == str(installed / "monai_patchgrow" / "__init__.py")
    assert json.loads((tmp_path / "bundle" / "configs" / "train.json").read_text())["batch_size"] == 2
    assert (tmp_path / "bundle" / "scripts" / "patchgrow" / "known_keys.py").is_file()
