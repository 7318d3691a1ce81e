from __future__ import annotations

from pathlib import Path

import pytest
from commands import run_python

from monai_patchgrow.data.tiles.tiff import TiffTiles

SCRIPT = Path(__file__).parents[1] / "scripts" / "make_huge_tiff.py"
pytest.importorskip("tifffile", reason="needs the extra tiff")
pytest.importorskip("imagecodecs", reason="needs the extra tiff")


def run(*arguments):
    return run_python(SCRIPT, *arguments)


def test_a_tiled_tiff_of_the_wanted_size(tmp_path):
    result = run(str(tmp_path / "a.tif"), "--size", "300")
    assert result.stdout == f"{tmp_path / 'a.tif'}: 300 x 300 pixels, 0 MiB\n"
    with TiffTiles(tmp_path / "a.tif") as source:
        assert source.shape == (3, 300, 300)


def test_a_folder_that_is_missing_is_told_in_one_line(tmp_path):
    result = run(str(tmp_path / "absent" / "a.tif"), "--size", "300")
    assert result.returncode == 1
    assert result.stderr.startswith("make_huge_tiff: ")
    assert result.stderr.count("\n") == 1
