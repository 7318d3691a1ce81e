"""The table of predictions has a row per image."""

import pytest
import torch
from ignite.engine import Engine

from monai_patchgrow.handlers import PredictionTable
from monai_patchgrow.losses import ImageTarget


def run(path, kind="classes", *, preds, labels=None, **options):
    """Write the table of one iteration."""

    def iterate(engine, batch):
        engine.state.batch = [{"name": name} for name in batch]
        return [
            {"pred": torch.tensor(pred), "label": None if labels is None else torch.tensor(labels[number])}
            for number, pred in enumerate(preds)
        ]

    engine = Engine(iterate)
    PredictionTable(path, ImageTarget(kind, 2), **options).attach(engine)
    engine.run([["a", "b"][: len(preds)]])
    return path.read_text().splitlines()


def test_classes(tmp_path):
    rows = run(tmp_path / "new" / "t.csv", preds=[[0.0, 0.0], [-50.0, 50.0]], labels=[1, 1])
    assert rows == ["image,prediction,label,p_0,p_1", "a,0,1,0.5,0.5", "b,1,1,0,1"]


def test_names_of_classes_and_no_labels(tmp_path):
    rows = run(tmp_path / "t.csv", preds=[[50.0, -50.0]], class_names=["healthy", "ill"])
    assert rows == ["image,prediction,label,p_healthy,p_ill", "a,0,,1,0"]


def test_a_value_stands_for_itself(tmp_path):
    assert run(tmp_path / "t.csv", "value", preds=[[0.75]]) == ["image,prediction,label,value", "a,1,,0.75"]


def test_an_earlier_table_is_replaced(tmp_path):
    for _ in range(2):
        rows = run(tmp_path / "t.csv", "grades", preds=[[0.0]])
    assert rows == ["image,prediction,label,p_0,p_1", "a,0,,0.5,0.5"]


def test_names_of_another_number_of_classes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there must be a name for each of 2 classes"):
        run(tmp_path / "t.csv", preds=[[0.0, 0.0]], class_names=["one"])
