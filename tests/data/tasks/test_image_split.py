"""Labelled images under a split of one's own."""

import pytest

from monai_patchgrow.data.tasks.image_split import find_image_split
from monai_patchgrow.data.tasks.labelled_images import split_images

ITEMS = [{"image": f"{number}.png", "name": f"s{number}", "label": number % 2} for number in range(10)]


@pytest.fixture
def split(tmp_path):
    """Writes a table, and returns what it makes of the images: names on either side, and the notes."""

    def find(text, *, fold=0, items=ITEMS):
        file = tmp_path / "splits.csv"
        file.write_text(text)
        training, validation, notes = find_image_split(items, fold=fold, split_file=file)
        return [item["name"] for item in training], [item["name"] for item in validation], notes

    return find


def test_without_a_file_each_class_is_split_by_itself():
    assert find_image_split(ITEMS, fold=3) == (*split_images(ITEMS, fold=3), ())


def test_folds_of_a_table(split):
    training, validation, notes = split("case,fold\ns0,0\ns1,1\ns2,1\ns3,test\n")
    assert (training, validation) == (["s1", "s2"], ["s0"])
    assert notes[0].endswith("splits.csv leaves out 6 of the data set's 10 images: they are not used")
    assert split("case,fold\ns0,0\ns1,1\ns3,test\n", fold="test")[1] == ["s3"]


def test_patients_of_a_table_stay_together(split):
    table = "case,patient\n" + "".join(f"{item['name']},p{number // 5}\n" for number, item in enumerate(ITEMS))
    training, validation, notes = split(table, fold=1)
    assert {*training} in ({"s0", "s1", "s2", "s3", "s4"}, {"s5", "s6", "s7", "s8", "s9"})
    assert not {*training} & {*validation}
    assert notes == ("2 images, or patients, make 2 folds, not 5",)


@pytest.mark.parametrize("rows", ["s0,0\ns1,1", "s0,test\ns1,0\ns2,1"])
def test_a_patient_of_the_labels_on_both_sides(split, rows):
    items = [{**item, "patient": f"p{max(number, 1)}"} for number, item in enumerate(ITEMS)]
    with pytest.raises(ValueError, match=r"splits\.csv: images s1 and s0 of patient p1 are on both sides: keep them"):
        split(f"case,fold\n{rows}\n", items=items)
