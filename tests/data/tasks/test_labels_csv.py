from __future__ import annotations

import pytest

from monai_patchgrow.data import DataError
from monai_patchgrow.data.tasks.labels_csv import read_slides_csv


@pytest.fixture
def slides(tmp_path):
    for name in ("a.tiff", "b.svs"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def write(slides, text, encoding="utf-8"):
    (slides / "train.csv").write_text(text, encoding=encoding)
    return slides / "train.csv"


def test_pandas_csv(slides):
    file = write(slides, "image_id,data_provider,isup_grade,gleason_score\na,karolinska,0,0+0\nb,radboud,5,4+5\n")
    assert read_slides_csv(file, slides, 6) == [
        {"image": str(slides / "a.tiff"), "label": 0},
        {"image": str(slides / "b.svs"), "label": 5},
    ]


def test_patients(slides):
    items = read_slides_csv(write(slides, "image,label,patient_id\na,0,p1\nb,1, p1 \n"), slides, 2)
    assert [item["patient"] for item in items] == ["p1", "p1"]


def test_a_row_without_its_patient_is_refused(slides):
    file = write(slides, "image,label,patient_id\na,0,p1\nb,1,\n")
    with pytest.raises(DataError, match=r"train\.csv: line 3: no patient_id: name the patient in every row, or leave"):
        read_slides_csv(file, slides, 2)


def test_paths_with_suffixes(slides):
    items = read_slides_csv(write(slides, "path,grade\nb.svs,1\n"), slides, 2)
    assert items == [{"image": str(slides / "b.svs"), "label": 1}]


def test_columns_by_name(slides):
    file = write(slides, "slide;,isup_grade,stage\na,9,1\n")
    assert read_slides_csv(file, slides, 4, image_column="slide;", grade_column="stage")[0]["label"] == 1


def test_a_slide_with_a_folder_of_its_name(slides):
    (slides / "a").mkdir()
    (slides / "m").mkdir()
    (slides / "m.mrxs").write_bytes(b"")
    items = read_slides_csv(write(slides, "image_id,isup_grade\na,1\nm,0\n"), slides, 6)
    assert [item["image"] for item in items] == [str(slides / "a.tiff"), str(slides / "m.mrxs")]


@pytest.mark.parametrize(
    "name", ["c.nii", "c.nii.gz", "c.png", "c.jpg", "c.svslide", "c.vms", "c.vmu", "c.dcm", "c.TIFF", "c.1.Nii.Gz"]
)
def test_names_without_a_suffix_of_any_known_image(slides, name):
    (slides / name).write_bytes(b"")
    stem = "c.1" if name.startswith("c.1") else "c"
    assert read_slides_csv(write(slides, f"image,label\n{stem},1\n"), slides, 2)[0]["image"] == str(slides / name)


def test_a_suffix_in_another_case(slides):
    assert read_slides_csv(write(slides, "image,label\na.TIFF,1\n"), slides, 2)[0]["image"] == str(slides / "a.tiff")


def test_names_are_looked_for_with_the_suffixes_given(slides):
    (slides / "a.nii.gz").write_bytes(b"")
    items = read_slides_csv(write(slides, "image,label\na,1\n"), slides, 2, suffixes=(".nii", ".nii.gz"))
    assert items[0]["image"] == str(slides / "a.nii.gz")


def test_a_folder_that_is_no_image(slides):
    (slides / "c").mkdir()
    with pytest.raises(DataError, match=r"line 2: no image .*c, nor with"):
        read_slides_csv(write(slides, "image_id,isup_grade\nc,1\n"), slides, 6)


def test_a_whole_number_with_a_point(slides):
    assert read_slides_csv(write(slides, "image_id,isup_grade\na,3.0\n"), slides, 6)[0]["label"] == 3


def test_values_are_any_finite_numbers(slides):
    items = read_slides_csv(write(slides, "image,label\na,41.2\nb,-3\n"), slides, None)
    assert [item["label"] for item in items] == [41.2, -3.0]


@pytest.mark.parametrize("text", ["nan", "inf", "old", ""])
def test_a_value_that_is_no_number_is_refused(slides, text):
    with pytest.raises(DataError, match=f"line 2: a value must be a finite number, got '{text}'"):
        read_slides_csv(write(slides, f"image,label\na,{text}\n"), slides, None)


@pytest.mark.parametrize(
    "text", ["image_id,isup_grade\r\na,1\r\n", '"image_id","isup_grade"\n"a","1"\n', "isup_grade,image_id\n1,a\n"]
)
def test_a_mark_of_utf_8_is_no_part_of_the_first_column(slides, text):
    assert read_slides_csv(write(slides, text, "utf-8-sig"), slides, 6)[0]["label"] == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_another_encoding_is_refused(slides, encoding):
    with pytest.raises(DataError, match=r"train\.csv: no"):
        read_slides_csv(write(slides, "image_id,isup_grade\n\u00e4,1\n", encoding), slides, 6)


def test_a_file_from_a_spreadsheet(slides):
    assert len(read_slides_csv(write(slides, "image_id,isup_grade\r\na,1\r\n", "utf-8-sig"), slides, 6)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,isup_grade\na,0\nc,1\n", r"train.csv: line 3: no image .*c, nor with .tiff"),
        ("image_id,isup_grade\n,0\n", r"train.csv: line 2: no name of an image"),
        ("image_id,isup_grade\na,6\n", r"line 2: a label must be a whole number from 0 to 5, got '6'"),
        ("image_id,isup_grade\na,-1\n", r"from 0 to 5, got '-1'"),
        ("image_id,isup_grade\na,\n", r"from 0 to 5, got ''"),
        ("image_id,isup_grade\na\n", r"from 0 to 5, got None"),
        ("image_id,isup_grade\na,2.5\n", r"from 0 to 5, got '2.5'"),
        ("image_id,isup_grade\na,0\nb,1\na.tiff,2\n", r"line 4: a.tiff is on line 2 already"),
        ("image_id,score\na,0\n", r"no column isup_grade or grade or label for the labels; there are image_id, score"),
        ("image_id;isup_grade\na;0\n", r"there are image_id;isup_grade: columns must be separated by commas"),
        ("name,isup_grade\na,0\n", r"no column image_id or path or image for the images; there are name, isup_grade"),
        ("image_id,isup_grade\n", r"train.csv: no rows; needed are a header and one row per image"),
        ("", r"train.csv: no rows"),
    ],
)
def test_faults_are_named(slides, text, message):
    with pytest.raises(DataError, match=message) as error:
        read_slides_csv(write(slides, text), slides, 6)
    assert "\n" not in str(error.value)


def test_a_column_by_name_that_is_missing(slides):
    with pytest.raises(DataError, match=r"no column stage for the labels; there are image_id, isup_grade"):
        read_slides_csv(write(slides, "image_id,isup_grade\na,0\n"), slides, 6, grade_column="stage")


def test_no_such_csv(slides):
    with pytest.raises(DataError, match=r"absent.csv: no such file"):
        read_slides_csv(slides / "absent.csv", slides, 6)


def test_what_is_no_text(slides):
    (slides / "train.csv").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(DataError, match=r"train.csv: no CSV file that can be read"):
        read_slides_csv(slides / "train.csv", slides, 6)


def test_one_grade_is_no_task(slides):
    with pytest.raises(ValueError, match="num_grades must be 2 or more, got 1"):
        read_slides_csv(write(slides, "image_id,isup_grade\na,0\n"), slides, 1)
