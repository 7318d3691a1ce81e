"""The table of predictions has a row per image."""

import csv

import pytest
import torch
from ignite.engine import Engine, Events

from monai_patchgrow.data import DataError
from monai_patchgrow.handlers import PredictionTable
from monai_patchgrow.losses import ImageTarget


def run(path, kind="classes", *, preds, labels=None, num_classes=2, **options):
    """Write the table of one iteration."""

    def iterate(engine, batch):
        engine.state.batch = [{"name": name} for name in batch]
        return [
            {"pred": torch.tensor(pred), "label": None if labels is None else torch.tensor(labels[number])}
            for number, pred in enumerate(preds)
        ]

    engine = Engine(iterate)
    PredictionTable(path, ImageTarget(kind, num_classes), **options).attach(engine)
    engine.run([["a", "b"][: len(preds)]])
    return path.read_text().splitlines()


def test_classes(tmp_path):
    rows = run(tmp_path / "new" / "t.csv", preds=[[0.0, 0.0], [-50.0, 50.0]], labels=[1, 1])
    assert rows == ["image,prediction,label,p_0,p_1", "a,0,1,0.5,0.5", "b,1,1,0,1"]


def test_names_of_classes_and_no_labels(tmp_path):
    rows = run(tmp_path / "t.csv", preds=[[50.0, -50.0]], class_names=["healthy", "ill"])
    assert rows == ["image,prediction,class,label,p_healthy,p_ill", "a,0,healthy,,1,0"]


def test_a_value_has_no_class(tmp_path):
    rows = run(tmp_path / "t.csv", "value", preds=[[0.75]], class_names=["healthy", "ill"])
    assert rows == ["image,prediction,label,value", "a,1,,0.75"]


def test_a_value_stands_for_itself(tmp_path):
    assert run(tmp_path / "t.csv", "value", preds=[[0.75]]) == ["image,prediction,label,value", "a,1,,0.75"]


@pytest.mark.parametrize(
    ("label", "written"), [(2.7, "2.7"), (-0.25, "-0.25"), (3, "3"), (4.0, "4"), (1234567.0, "1234567")]
)
def test_the_label_of_a_value_keeps_its_fraction(tmp_path, label, written):
    rows = run(tmp_path / "t.csv", "value", preds=[[1.5]], labels=[label])
    assert rows[1] == f"a,1,{written},1.5"


def test_a_large_value_keeps_its_digits(tmp_path):
    assert run(tmp_path / "t.csv", "value", preds=[[1234567.0]])[1] == "a,1,,1234567"


def test_grades_and_their_probabilities_agree_where_thresholds_are_not_in_order(tmp_path):
    rows = run(tmp_path / "t.csv", "grades", num_classes=4, preds=[[-50.0, 50.0, -50.0]])
    assert rows[1] == "a,1,,0,1,0,0"


def test_an_earlier_table_is_replaced(tmp_path):
    for _ in range(2):
        rows = run(tmp_path / "t.csv", "grades", preds=[[0.0]])
    assert rows == ["image,prediction,label,p_0,p_1", "a,0,,0.5,0.5"]


def test_a_run_that_ends_early_leaves_an_earlier_table_and_its_own_rows(tmp_path):
    (tmp_path / "t.csv").write_text("earlier")

    def iterate(engine, batch):
        if batch == "b":
            raise OSError("no such file")
        engine.state.batch = [{"name": batch}]
        return [{"pred": torch.tensor([50.0, -50.0])}]

    engine = Engine(iterate)
    PredictionTable(tmp_path / "t.csv", ImageTarget("classes", 2)).attach(engine)
    with pytest.raises(OSError, match="no such file"):
        engine.run(["a", "b"])
    assert (tmp_path / "t.csv").read_text() == "earlier"
    assert (tmp_path / "t.csv.partial").read_text().splitlines()[1:] == ["a,0,,1,0"]


def test_names_of_another_number_of_classes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there must be a name for each of 2 classes"):
        run(tmp_path / "t.csv", preds=[[0.0, 0.0]], class_names=["one"])


@pytest.mark.parametrize("kind", ["classes", "grades", "value"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_no_class(tmp_path, kind, value):
    with pytest.raises(DataError, match=r"^a: the network's output is NaN or infinite$"):
        run(tmp_path / "t.csv", kind, preds=[[value] if kind == "value" else [0.0, value]], num_classes=3)
    assert not (tmp_path / "t.csv").exists()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_spreadsheet_runs_no_name(tmp_path, start):
    name = f'{start}HYPERLINK("http://x")'
    table = PredictionTable(tmp_path / "t.csv", ImageTarget("classes", 2), class_names=[name, "b"])
    engine = Engine(lambda engine, batch: [{"pred": torch.tensor([50.0, -50.0]), "label": None}])
    table.attach(engine)
    engine.add_event_handler(Events.ITERATION_STARTED, lambda engine: setattr(engine.state, "batch", [{"name": name}]))
    engine.run([0])
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        header, row = list(csv.reader(file))
    assert header == ["image", "prediction", "class", "label", f"p_{name}", "p_b"]
    assert row == [f"'{name}", "0", f"'{name}", "", "1", "0"]


def test_a_negative_value_stays_a_number(tmp_path):
    assert run(tmp_path / "t.csv", "value", preds=[[-0.75]])[1].split(",")[3] == "-0.75"
