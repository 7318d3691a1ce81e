"""Text in a CSV is no formula."""

import pytest

from monai_patchgrow.csv_cells import text_cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_what_a_spreadsheet_would_run_stands_behind_a_quote(text):
    assert text_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["scan_1", "", "a=b", "'=1", "/data/-1.nii.gz"])
def test_other_text_stays(text):
    assert text_cell(text) == text


def test_a_number_of_an_image_is_text():
    assert text_cell(3) == "3"
