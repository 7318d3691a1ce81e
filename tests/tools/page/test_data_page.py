"""The page about a data set: valid, alone, and with the name of each case that is unlike the others."""

import base64
import json
import re
from html.parser import HTMLParser
from io import BytesIO

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_patchgrow.data import read_task, write_phantom_like
from monai_patchgrow.tools.page.data_page import render_data_page
from monai_patchgrow.tools.page.plan_story import PlanStory
from monai_patchgrow.tools.page.suspects import outliers
from monai_patchgrow.tools.render.nnunet_plans import plan_of

VOID = {"meta", "img", "br", "hr", "link", "input"}
LEVELS = [[1, 1, 1], [2, 2, 2], [2, 2, 2]]
STORY = PlanStory(
    planner="ExperimentPlanner",
    version="2.8.1",
    configuration="3d_fullres",
    others=["2d"],
    memory="8 GiB",
    median_shape=(28, 26, 24),
)
NAMES = [f"phantom_{number:03d}" for number in range(12)]
COARSE, SHORT, BRIGHT, TINY, EMPTY, WITHOUT = NAMES[:6]


def plan_for(content):
    return plan_of(
        {
            "batch_size": 2,
            "patch_size": [16, 16, 16],
            "spacing": [1.0, 1.0, 1.0],
            "normalization_schemes": ["ZScoreNormalization"] * 2,
            "use_mask_for_norm": [False] * 2,
            "batch_dice": False,
            "residual": False,
            "features_per_stage": [8, 16, 32],
            "kernel_sizes": [[3, 3, 3]] * 3,
            "strides": LEVELS,
        },
        dataset="Dataset_Made_Up",
        channels=["T1 <b>", "T2"],
        labels=content,
        intensities={},
    )


def change(folder, name, function, *, label=False, scale=None):
    """Change the voxels of a case's images, or of its label, and its spacing across slices."""
    files = [folder / "labelsTr" / f"{name}.nii.gz"]
    files = files if label else [folder / "imagesTr" / f"{name}.nii.gz"]
    for path in files if scale is None else [folder / part / f"{name}.nii.gz" for part in ("imagesTr", "labelsTr")]:
        image = nib.load(path)
        affine = image.affine.copy()
        if scale:
            affine[:, 2] *= scale
        nib.save(nib.Nifti1Image(function(np.asarray(image.dataobj)), affine), path)


def corner(values):
    """The label without all but a few voxels of each class."""
    kept = np.zeros_like(values)
    for value in (1, 2):
        places = np.argwhere(values == value)[:3]
        kept[tuple(places.T)] = value
    return kept


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve cases, six of them each with one thing of its own."""
    made = tmp_path_factory.mktemp("page") / "task"
    write_phantom_like(
        made, num_cases=12, channels=["T1 <b>", "T2"], labels={"0": "background", "1": "organ", "2": "lesion"},
        spacing=(1, 1, 1), shape=(28, 26, 24),
    )  # fmt: skip
    content = json.loads((made / "dataset.json").read_text())
    first = content["training"][0]["image"].rpartition("/")[2].removesuffix(".nii.gz")
    assert first == NAMES[0]
    change(made, COARSE, lambda values: values, scale=4)
    for part in ("imagesTr", "labelsTr"):
        path = made / part / f"{SHORT}.nii.gz"
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[:, :, 7:17], image.affine), path)
    change(made, BRIGHT, lambda values: (values * 9).astype(np.float32))
    change(made, TINY, corner, label=True)
    change(made, EMPTY, np.zeros_like, label=True)
    change(made, WITHOUT, lambda values: np.where(values == 2, 1, values).astype(np.uint8), label=True)
    return made


@pytest.fixture(scope="module")
def page(folder):
    task = read_task(folder)
    return render_data_page(
        task, plan_for(task.labels), STORY, warnings_found=[("labelsTr/x.nii.gz", "a <warning>")], num_workers=0
    )


class Tags(HTMLParser):
    """Checks that tags are nested, attributes written once, names unique; notes what is said in which place."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.images, self.rows = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), self.getpos()
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if "href" in values else []
        if tag == "img":
            assert values["alt"]
            self.images.append(values["src"])
        if tag == "tr":
            self.rows.append([])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in {"circle", "line"}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data):
        if "tr" in self.open and data.strip():
            self.rows[-1].append(data.strip())


@pytest.fixture(scope="module")
def tags(page):
    return Tags(page)


def test_the_page_is_html_with_tags_that_fit(page, tags):
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert len(tags.ids) == len(set(tags.ids))
    assert {link.removeprefix("#") for link in tags.links} <= set(tags.ids)


def test_nothing_is_asked_of_anybody(page, tags):
    text = re.sub(r'"data:image/png;base64,[^"]*"', "", page).replace("http-equiv", "")
    assert re.findall(r"https?:|//[a-z]|url\(|@import|<script|<link|<iframe|srcset", text) == []
    assert "default-src 'none'" in page
    assert tags.images and all(image.startswith("data:image/png;base64,") for image in tags.images)


def test_colours_follow_the_reader(page):
    assert "prefers-color-scheme: dark" in page


def test_names_are_text_not_tags(page):
    assert "T1 &lt;b&gt;" in page and "T1 <b>" not in page and "a &lt;warning&gt;" in page


@pytest.mark.parametrize(
    ("case", "said"),
    [
        (COARSE, "inferior-superior spacing 4 mm; usual are 1 mm"),
        (COARSE, "inferior-superior extent 96 mm; usual are 24 mm"),
        (SHORT, "inferior-superior extent 10 mm; usual are 24 mm"),
        (BRIGHT, "T1 <b>: 99.5th percentile 4,410; usual are"),
        (BRIGHT, "T2: 99.5th percentile"),
        (TINY, "organ: 0.003 ml; usual are"),
        (EMPTY, "empty: background alone"),
        (WITHOUT, "lesion: none, which 10 of the 11 cases with labels have"),
    ],
)
def test_each_suspicious_case_is_named_with_what_is_unusual(tags, case, said):
    assert any(row[0] == case and row[-1].startswith(said) for row in tags.rows if row)


def test_no_other_case_is_suspicious(tags):
    kinds = {"spacing", "size", "intensity", "label"}
    assert {row[0] for row in tags.rows if len(row) == 3 and row[1] in kinds} == {*NAMES[:6]}


def test_slices_show_the_outlines_of_labels(tags):
    pixels = np.asarray(Image.open(BytesIO(base64.b64decode(tags.images[-1].partition(",")[2]))).convert("RGB"), int)
    assert (np.ptp(pixels, axis=2) > 100).any()


def test_each_curriculum_has_its_stages(page, tags):
    for curriculum in ("constant", "pgps", "pgps_plus", "efficiency", "performance", "random"):
        assert re.search(rf"<h3>{curriculum}: \d\.\d\d of constant", page)
    assert ["4x4x4", "4 x 4 x 4", "2", "1-100", "128"] in tags.rows


def test_the_plan_is_told_with_its_reasons(tags):
    planned = [row[:2] for row in tags.rows if len(row) == 3]
    assert ["patch", "16x16x16 voxels, 16 x 16 x 16 mm"] in planned and ["memory", "8 GiB"] in planned


def test_few_cases_have_no_outlier():
    assert outliers([1, 1, 1, 100], least=0.1) == []
