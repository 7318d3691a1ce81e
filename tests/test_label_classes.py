"""What labels stand for: classes, regions, and what is to be ignored."""

import json

import pytest

from monai_patchgrow.data.tasks.decathlon import read_task
from monai_patchgrow.data.tasks.faults import FaultList
from monai_patchgrow.label_classes import LabelClasses, parse_label_classes

BRAIN = {"background": 0, "whole tumour": [1, 2, 3], "tumour core": [2, 3], "enhancing": 3}
PARTLY = {"background": 0, "organ": 1, "vessel": 2, "ignore": 3}


def test_regions_and_their_order():
    classes = parse_label_classes(BRAIN, [1, 2, 3])
    assert classes.structures == classes.outputs == ("whole tumour", "tumour core", "enhancing")
    assert classes.values == ((1, 2, 3), (2, 3), (3,))
    assert (classes.num_values, classes.num_labels, classes.num_outputs, classes.ignored) == (4, 4, 3, None)
    assert classes.places == ((0,), (1, 2, 3), (2, 3), (3,))
    assert classes.names[2] == "whole tumour, tumour core"


@pytest.mark.parametrize("labels", [PARTLY, {"0": "background", "1": "organ", "2": "vessel", "3": "ignore"}])
def test_a_label_to_ignore_is_no_class(labels):
    classes = parse_label_classes(labels)
    assert (classes.num_values, classes.num_labels, classes.num_outputs, classes.ignored) == (4, 3, 3, 3)
    assert classes.outputs == ("background", "organ", "vessel")
    assert (classes.places, classes.annotated) == (((0,), (1,), (2,)), (0, 1, 2))


def test_regions_with_a_label_to_ignore():
    classes = parse_label_classes({**BRAIN, "ignore": 4}, [1, 2, 3])
    assert (classes.num_values, classes.num_labels, classes.num_outputs, classes.ignored) == (5, 4, 3, 4)
    assert classes.annotated == (0, 1, 2, 3)


@pytest.mark.parametrize(("labels", "order"), [(BRAIN, [1, 2, 3]), ({**BRAIN, "ignore": 4}, [1, 2, 3])])
def test_a_config_holds_what_was_read(labels, order):
    assert parse_label_classes(labels, order).as_config() == labels


def test_classes_stay_names_by_value():
    assert parse_label_classes(PARTLY).as_config() == {0: "background", 1: "organ", 2: "vessel", 3: "ignore"}


def test_a_last_class_is_not_ignored_for_its_number():
    assert LabelClasses({0: "background", 1: "organ"}).ignored is None


@pytest.mark.parametrize(
    ("labels", "order", "gives_back"),
    [
        (BRAIN, [1, 2, 3], True),
        (BRAIN, [2, 1, 3], False),
        ({"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumour": 2}, [1, 3, 2], True),
        ({"background": 0, "both": [1, 2]}, [1], True),
        ({"background": 0, "core": 2, "whole": [1, 2]}, [2, 1], False),
    ],
)
def test_an_order_may_hide_regions(labels, order, gives_back):
    assert parse_label_classes(labels, order).is_written_back is gives_back


@pytest.mark.parametrize(
    ("labels", "order", "said"),
    [
        (BRAIN, None, r"regions_class_order must have one value per region \(whole tumour, tumour core, enhancing\)"),
        (BRAIN, [1, 2], "regions_class_order must have one value per region"),
        (BRAIN, [1, 2, 4], r"regions_class_order must have values out of \[1, 2, 3\], got \[1, 2, 4\]"),
        (BRAIN, [0, 2, 3], "regions_class_order must have values out of"),
        ({"background": 0, "a": 1, "ignore": 3}, None, '"ignore" must be the highest value, 2 here'),
        ({"background": 0, "ignore": 1, "a": 2}, None, '"ignore" must be the highest value'),
        ({"background": 0, "a": 1, "ignore": [2, 3]}, None, "'ignore' must have one value"),
        ({"background": 0, "a": [0, 1]}, [1], "no region with 0"),
        ({"a": [1, 2]}, [1], "one name for 0"),
        ({"background": 0, "a": [1, 3]}, [1], "without gaps"),
        ({"background": 0, "a": [1, 1]}, [1], "each value once"),
        ({"background": 0, "a": [1, "2"]}, [1], "values by name"),
        ({"background": 0, "a": []}, [1], "values by name"),
        ({"background": 0, "a": 1, "b": 1, "ignore": 2}, None, "each value must have one name"),
        ({"background": 0, "ignore": 1}, None, "without gaps"),
        ([], None, "values by name"),
    ],
)
def test_what_is_malformed_is_refused(labels, order, said):
    with pytest.raises(ValueError, match=said):
        parse_label_classes(labels, order)


def write_task(folder, layout, **content):
    """A folder of one empty case, with a dataset.json."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir()
    image = "scan_0000.nii.gz" if layout == "nnunet" else "scan.nii.gz"
    for file in (f"imagesTr/{image}", "labelsTr/scan.nii.gz"):
        (folder / file).touch()
    if layout == "nnunet":
        own = {"channel_names": {"0": "MR"}, "file_ending": ".nii.gz", "numTraining": 1}
    else:
        case = {"image": "imagesTr/scan.nii.gz", "label": "labelsTr/scan.nii.gz"}
        own = {"modality": {"0": "MR"}, "training": [case]}
    (folder / "dataset.json").write_text(json.dumps({**own, **content}))
    return folder


@pytest.mark.parametrize("layout", ["decathlon", "nnunet"])
def test_both_layouts_have_regions(layout, tmp_path):
    task = read_task(write_task(tmp_path, layout, labels={**BRAIN, "ignore": 4}, regions_class_order=[1, 2, 3]))
    assert task.classes == parse_label_classes({**BRAIN, "ignore": 4}, [1, 2, 3])
    assert task.labels[4] == "ignore" and len(task.cases) == 1


@pytest.mark.parametrize("layout", ["decathlon", "nnunet"])
@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ({"labels": BRAIN}, "label-kind"),
        ({"labels": {"background": 0, "a": 1, "ignore": 3}}, "label-kind"),
        ({"labels": BRAIN, "regions_class_order": [2, 1, 3]}, "region-order"),
    ],
)
def test_a_fault_of_regions_has_its_rule(layout, content, rule, tmp_path):
    faults = FaultList()
    read_task(write_task(tmp_path, layout, **content), report=faults.report)
    assert [fault.rule for fault in faults] == [rule]
