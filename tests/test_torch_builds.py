"""Which build of torch set-up takes for a machine's NVIDIA cards, and what it does where they can't compute with it."""

import os
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CU126, CU128 = "https://download.pytorch.org/whl/cu126", "https://download.pytorch.org/whl/cu128"
BASH = shutil.which("bash")
builds_for = runpy.run_path(str(ROOT / "scripts" / "torch_builds.py"))["builds_for"]

# Stands for .venv's Python: notes what pip is told, and a convolution works with the build named in WORKS.
PYTHON = r"""#!/bin/bash
here=$(cd "$(dirname "$0")/.." && pwd)
torch=$(cat "$here/torch" 2>/dev/null)
case "$*" in
  *"-m pip install "*torch==*)
    index=default told="$*"
    [[ $told =~ --index-url\ ([^ ]+) ]] && index=${BASH_REMATCH[1]}
    echo "${told##*torch==} $index" | tee -a "$here/asked" >"$here/torch"
    ;;
  *"-m pip "*) ;;
  *torch_builds.py*) shift; exec python3 "$@" ;;
  *conv3d*) [ -n "$WORKS" ] && [[ $torch == *"$WORKS"* ]] ;;
  *'"+cpu"'*) [ -n "$torch" ] ;;
  *_base_executable*) echo "$0" ;;
  *'or "default"'*) [ "$torch" = "${*: -2}" ] ;;
  *) ;;
esac
"""
NVIDIA_SMI = """#!/bin/bash
case "$*" in
  -L) echo "GPU 0: NVIDIA card (UUID: GPU-0)" ;;
  *compute_cap*) [ -n "$CAPABILITY" ] && echo "$DRIVER, $CAPABILITY" ;;
  *) echo "$DRIVER" ;;
esac
"""


@pytest.mark.parametrize(
    ("cards", "builds"),
    [
        ("580.65.06, 9.0", [("2.13.0", "default"), ("2.11.0", CU128), ("2.13.0", CU126)]),
        ("580.65.06, 7.5", [("2.13.0", "default"), ("2.11.0", CU128), ("2.13.0", CU126)]),
        ("580.65.06, 7.0", [("2.13.0", CU126)]),
        ("580.65.06, 12.0", [("2.13.0", "default"), ("2.11.0", CU128)]),
        ("575.57.08, 12.0", [("2.11.0", CU128)]),
        ("535.183.01, 8.6", [("2.11.0", CU128), ("2.13.0", CU126)]),
        ("525.60.13, 6.1\n525.60.13, 8.6", [("2.13.0", CU126)]),
        ("470.256.02", []),
        ("", []),
    ],
)
def test_builds_follow_from_driver_and_capability(cards, builds):
    assert builds_for(cards, version="2.13.0") == builds


@pytest.fixture
def set_up(tmp_path):
    """Return what runs set-up in a .venv without torch where nothing is installed in truth; it tells what was asked."""
    venv, tools = tmp_path / ".venv", tmp_path / "tools"
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    for name in ("setup.cfg", "setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (venv / "bin").mkdir(parents=True)
    tools.mkdir()
    (venv / "pyvenv.cfg").touch()
    files = {venv / "bin/python": PYTHON, venv / "bin/patchgrow": "", tools / "nvidia-smi": NVIDIA_SMI}
    for path, text in {**files, venv / "bin/pip": f"#!{venv}/bin/python"}.items():
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def run(**environment):
        variables = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHON": "", **environment}
        command = [BASH, tmp_path / "scripts/setup.sh"]
        result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
        assert (result.returncode, result.stderr) == (0, "")
        return (venv / "asked").read_text(encoding="utf-8").splitlines(), result.stdout

    return run


@pytest.mark.skipif(BASH is None, reason="needs bash")
@pytest.mark.parametrize(
    ("driver", "capability", "works", "taken"),
    [
        ("580.65.06", "9.0", "2.13", ["2.13.0 default"]),
        ("580.65.06", "9.0", "cu126", ["2.13.0 default", f"2.11.0 {CU128}", f"2.13.0 {CU126}"]),
        ("535.183.01", "8.6", "cu128", [f"2.11.0 {CU128}"]),
        ("470.256.02", "", "", ["2.13.0 default"]),
    ],
)
def test_set_up_takes_an_older_build_where_a_convolution_fails(set_up, driver, capability, works, taken):
    asked, said = set_up(DRIVER=driver, CAPABILITY=capability, WORKS=works)
    assert asked == taken
    assert ("a GPU that torch can't use" in said) == (not works)
