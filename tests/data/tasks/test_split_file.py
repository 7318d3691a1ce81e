"""Splits of one's own: what each kind of file says, and what is refused in which line."""

import json
from pathlib import Path

import pytest

from monai_patchgrow.data import Case, DataError, find_split, split_cases

CASES = [Case(f"p{patient}_{visit}", Path("i"), Path("l")) for patient in range(6) for visit in "ab"]
BY_PATIENT = "case,patient\n" + "".join(f"{case.name},{case.name[:2]}\n" for case in CASES)
NNUNET = [
    {"train": ["p0_a", "p0_b"], "val": ["p1_a", "p1_b"]},
    {"train": ["p1_a", "p1_b"], "val": ["p0_b", "p0_a"]},
    {"train": ["p0_a", "p1_b"], "val": ["p2_a"]},
]
ROWS = "case,fold\np0_a,0\np0_b,0\np1_a,1\np1_b,1.0\np2_a,test\np2_b,-1\n"


@pytest.fixture
def split(tmp_path):
    """Writes a file, and returns what it makes of the cases."""

    def find(content, *, fold=0, cases=CASES):
        file = tmp_path / ("splits.csv" if isinstance(content, str) else "splits.json")
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return find_split(cases, fold=fold, split_file=file)

    return find


def names(cases):
    return [case.name for case in cases]


def sides(split):
    return names(split.training), names(split.validation)


def test_without_a_file_the_folds_are_nnunet_s():
    split = find_split(CASES, fold=3)
    assert (split.training, split.validation) == split_cases(CASES, fold=3)
    assert split.notes == ()


def test_nnunet_s_list(split):
    assert sides(split(NNUNET, fold=1)) == (["p1_a", "p1_b"], ["p0_a", "p0_b"])
    assert sides(split(NNUNET, fold=2)) == (["p0_a", "p1_b"], ["p2_a"])


def test_cases_that_a_file_leaves_out_are_not_used(split, tmp_path):
    found = split(NNUNET, fold="all")
    assert names(found.training) == names(found.validation) == ["p0_a", "p0_b", "p1_a", "p1_b", "p2_a"]
    assert found.notes == (f"{tmp_path}/splits.json leaves out 7 of the data set's 12 cases: they are not used",)


@pytest.mark.parametrize("is_json", [False, True])
def test_a_fold_for_each_case(split, is_json):
    lines = [line.split(",") for line in ROWS.split()]
    rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]] if is_json else ROWS
    assert sides(split(rows, fold=1)) == (["p0_a", "p0_b"], ["p1_a", "p1_b"])
    assert sides(split(rows, fold="test")) == (["p0_a", "p0_b", "p1_a", "p1_b"], ["p2_a", "p2_b"])


@pytest.mark.parametrize("fold", range(5))
def test_a_patient_is_on_one_side(split, fold):
    training, validation = ({name[:2] for name in side} for side in sides(split(BY_PATIENT, fold=fold)))
    assert not training & validation
    assert len(training | validation) == 6


def test_patients_are_split_as_nnunet_splits_cases(split):
    patients = [Case(f"p{number}", Path("i"), Path("l")) for number in range(6)]
    validated = {name[:2] for name in names(split(BY_PATIENT, fold=2).validation)}
    assert validated == {*names(split_cases(patients, fold=2)[1])}


def test_a_test_list_is_held_out_of_nnunet_s_folds(split):
    rest = [case for case in CASES if case.name not in ("p5_a", "p5_b")]
    found = split({"test": ["p5_a", "p5_b"]}, fold=4)
    assert (found.training, found.validation) == split_cases(rest, fold=4)
    assert names(split({"test": ["p5_a"]}, fold="test").validation) == ["p5_a"]
    assert "p5_a" not in names(split({"test": ["p5_a"]}, fold="all").training)


def test_a_test_list_beside_folds(split):
    folds = [{**NNUNET[0], "test": ["p5_a"]}, NNUNET[1]]
    assert names(split(folds, fold="test").validation) == ["p5_a"]


def test_patients_of_whom_some_are_held_out(split):
    rows = "case,patient,fold\n" + "".join(
        f"{case.name},{case.name[:2]},{'test' if case.name.startswith('p5') else ''}\n" for case in CASES
    )
    assert names(split(rows, fold="test").validation) == ["p5_a", "p5_b"]
    found = split(rows, fold=4)
    assert len(found.training) == 8
    assert len(found.validation) == 2


def test_fewer_cases_than_folds():
    found = find_split(CASES[:3], fold=2)
    assert (len(found.training), len(found.validation)) == (2, 1)
    assert found.notes == ("3 cases make 3 folds, not 5",)
    with pytest.raises(ValueError, match="fold must be one of 0 to 2 or 'all', got 3"):
        find_split(CASES[:3], fold=3)


def test_fewer_patients_than_folds(split):
    found = split("case,patient\np0_a,0\np0_b,0\np1_a,1\n", fold=0, cases=CASES[:3])
    assert found.notes == ("2 patients make 2 folds, not 5",)


def test_one_case():
    line = "1 case can't be split into folds: fold='all' trains and validates on the same"
    with pytest.raises(ValueError, match=f"^{line}$"):
        find_split(CASES[:1], fold=0)
    assert len(find_split(CASES[:1], fold="all").training) == 1


WRONG = [
    ("case,fold\nP0_a,0\n", "line 2: the data set has no case P0_a: did you mean p0_a?"),
    ("case,fold\nzebra,0\n", "line 2: the data set has no case zebra: take it out"),
    ("case,fold\n,0\n", "line 2: no case: write its name"),
    ("case,fold\np0_a,0\np0_a,1\n", "line 3: case p0_a is in line 2 already: keep one"),
    ("case,fold\np0_a,0\np0_b,x\n", "line 3: fold must be 0, 1, 2, ..., or -1 or test for a case held out, got 'x'"),
    (
        "case,fold\np0_a,0\np0_b,0.5\n",
        "line 3: fold must be 0, 1, 2, ..., or -1 or test for a case held out, got '0.5'",
    ),
    ("case,fold\np0_a,0\np0_b,\n", "line 3: no fold, though other cases have one: give it one, or take the row out"),
    (
        "case,fold\np0_a,2\np0_b,2\n",
        "all cases are in fold 2, which leaves none to train on: needed are two folds or more",
    ),
    ("case,fold\np0_a,test\n", "holds every case out, which leaves none to train on"),
    (
        "case;fold\np0_a;0\n",
        "needed are columns case, and fold or patient; there are case;fold: columns must be separated",
    ),
    ("case,age\np0_a,7\n", "needed are columns case, and fold or patient; there are case, age"),
    ("case,patient\np0_a,\n", "line 2: no patient: name the patient in every row, or leave the column out"),
    (
        "case,fold,patient\np0_a,0,x\np0_b,1,x\n",
        "line 3: patient x is in fold 1, but in fold 0 in line 2: all cases of a",
    ),
    ("case,fold,patient\np0_a,0,x\np0_b,test,x\n", "line 3: patient x is in fold test, but in fold 0 in line 2: all"),
    ("case,fold\n", "no rows; needed are a header and one row per case"),
    ([{"train": ["p0_a"], "val": ["p0_c"]}], 'fold 0, "val": the data set has no case p0_c: did you mean p0_'),
    ([{"train": ["p0_a", "p0_a"], "val": ["p0_b"]}], 'fold 0, "train": lists case p0_a twice: keep one'),
    ([NNUNET[0], {"train": ["p0_a"], "val": ["p0_a"]}], 'fold 1: case p0_a is in both "train" and "val": keep one'),
    (
        [{"train": [], "val": ["p0_a"]}],
        'fold 0 has no "train", or an empty one: needed is a list of {"train": [...], "val"',
    ),
    ([{"train": ["p0_a"]}], 'fold 0 has no "val", or an empty one: needed is'),
    (
        [{**NNUNET[0], "test": ["p0_a"]}],
        'case p0_a is in "test", and in "train" or "val": a case held out is in neither',
    ),
    ([{"train": "p0_a", "val": ["p0_b"]}], "fold 0, \"train\" must be a list of cases, got 'p0_a'"),
    ([{"case": "p0_a", "fold": 0}, {"case": "p0_a", "fold": 1}], "entry 1: case p0_a is in entry 0 already: keep one"),
    ({"test": [case.name for case in CASES]}, "holds every case out, which leaves none to train on"),
    ({"case": ["p0_a"], "fold": [0]}, 'must hold a list of {"train": [...], "val": [...]}'),
    ([], 'must hold a list of {"train": [...], "val": [...]}'),
    (3, 'must hold a list of {"train": [...], "val": [...]}'),
]


@pytest.mark.parametrize(("content", "line"), WRONG)
def test_what_is_refused(split, tmp_path, content, line):
    with pytest.raises(DataError) as caught:
        split(content)
    name = "splits.csv" if isinstance(content, str) else "splits.json"
    assert str(caught.value).startswith(f"{tmp_path}/{name}: {line}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fold", "line"),
    [
        (3, r"fold must be one that .*splits\.json has \(0, 1, 2\) or 'all', got 3"),
        ("0", r"fold must be one that .* or 'all', got '0'"),
        ([0], r"fold must be one that .* or 'all', got \[0\]"),
        ("test", r"fold 'test' needs a split_file that holds cases out: .*splits\.json holds none"),
    ],
)
def test_a_fold_that_the_file_has_not(split, fold, line):
    with pytest.raises(ValueError, match=line):
        split(NNUNET, fold=fold)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("none.csv", None, "no such file"),
        ("none.json", None, "no such file"),
        ("splits.txt", b"", "a split is read from a .json or a .csv file"),
        ("splits.json", b"{", "no JSON that can be read"),
        ("splits.json", b"\xff\xfe", "no JSON that can be read"),
        ("splits.csv", b"case,fold\n\xff,0\n", "no CSV file that can be read"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, name, content, line):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"^{tmp_path / name}: {line}"):
        find_split(CASES, fold=0, split_file=tmp_path / name)
