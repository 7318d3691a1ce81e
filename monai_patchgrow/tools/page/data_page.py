"""Makes the page of a data set and its plan: one HTML file that asks nobody for anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from monai_patchgrow.data.tasks.task import DecathlonTask
from monai_patchgrow.tools.page.case_survey import SAMPLED, CaseSurvey, survey_cases
from monai_patchgrow.tools.page.charts import RANGES, STRIP, draw_ranges, draw_strip
from monai_patchgrow.tools.page.plan_story import PlanStory, plan_rows, schedule_tables
from monai_patchgrow.tools.page.slices import COLOURS, choose_samples, sample_slice
from monai_patchgrow.tools.page.suspects import Suspect, find_suspects
from monai_patchgrow.tools.page.text import axis_name, number, sizes
from monai_patchgrow.tools.render.bundle import MAX_EPOCHS
from monai_patchgrow.tools.render.segmentation_plan import SegmentationPlan

__all__ = ["render_data_page"]

_TEMPLATE = "data_page.html"
_KEYS = ("low", "median", "high")
_ENDS = (np.min, np.median, np.max)


def render_data_page(
    task: DecathlonTask,
    plan: SegmentationPlan,
    story: PlanStory,
    *,
    warnings_found: Sequence[tuple[str, str]] = (),
    num_workers: int | None = None,
) -> str:
    """The page's HTML: what is suspicious, what the data is like, sample slices, the plan and why, the stage tables.

    All cases are read, each by itself, and a few of them again for their slices.

    Args:
        task: the data set.
        plan: that was made for it.
        story: how it came about.
        warnings_found: file and words of what a check of the data warned of.
        num_workers: processes that read; default: one per core, at most 8.

    Raises:
        DataError: a file that can't be read.
    """
    cases = survey_cases(task, orientation=plan.orientation, num_workers=num_workers)
    suspects, groups = find_suspects(cases, task.classes, task.channels, orientation=plan.orientation)
    named = {suspect.case for suspect in suspects}
    chosen = choose_samples(cases, [one.case for one in suspects], num_labels=task.classes.num_labels)
    by_name = {survey.name: (case, survey) for case, survey in zip(task.cases, cases, strict=True)}
    return _template().render(
        name=plan.dataset,
        facts=_facts(task, cases, plan),
        cases=cases,
        suspects=suspects,
        groups=groups,
        warnings_found=_by_words(warnings_found),
        grids=_grids(cases, plan, named),
        intensities=_intensities(task, cases, named),
        sampled=SAMPLED,
        structures=_structures(task, cases, suspects),
        ignored=_ignored(task, cases),
        samples=[sample_slice(*by_name[name], task.classes, task.channels) for name in chosen],
        named=named,
        plan_rows=plan_rows(plan, story, cases),
        schedules=schedule_tables(plan),
        max_epochs=MAX_EPOCHS,
        strip_width=STRIP,
        ranges_width=RANGES,
        number=number,
    )


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    return environment.get_template(_TEMPLATE)


def _by_words(warnings_found: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """The files of each warning, by its words."""
    found: dict[str, list[str]] = {}
    for file, what in warnings_found:
        found.setdefault(what, []).append(file)
    return [*found.items()]


def _facts(task: DecathlonTask, cases: Sequence[CaseSurvey], plan: SegmentationPlan) -> list[tuple[str, str]]:
    classes = task.classes
    written = dict(zip(classes.regions, classes.regions_class_order, strict=False))
    labels = [
        f"{name} ({'+'.join(map(str, values))}{f', written as {written[name]}' if written else ''})"
        for name, values in zip(classes.structures, classes.values, strict=True)
    ]
    facts = [
        ("cases", str(len(cases))),
        ("channels", ", ".join(task.channels)),
        ("regions" if written else "labels", ", ".join(labels)),
        ("axes", f"{plan.orientation}: {', '.join(map(axis_name, plan.orientation))}, in this order everywhere below"),
    ]
    if classes.ignored is not None:
        facts.append(("not annotated", f"voxels with the label {classes.ignored}: they count nowhere"))
    return facts


def _grids(cases: Sequence[CaseSurvey], plan: SegmentationPlan, named: set[str]) -> list[dict[str, Any]]:
    """Strips of shape, spacing and extent along each axis."""
    names = [case.name for case in cases]
    rows: list[dict[str, Any]] = []
    for title, unit, key in (("shape", "voxels", "shape"), ("spacing", "mm", "spacing"), ("extent", "mm", "extent")):
        values = np.array([getattr(case, key) for case in cases], float)
        strips = [
            (axis_name(code), draw_strip(names, values[:, axis].tolist(), unit, named))
            for axis, code in enumerate(plan.orientation)
        ]
        low, middle, high = (sizes(end(values, axis=0)) for end in _ENDS)
        rows.append({"title": title, "unit": unit, "range": (low, middle, high), "strips": strips})
    return rows


def _intensities(task: DecathlonTask, cases: Sequence[CaseSurvey], named: set[str]) -> list[dict[str, Any]]:
    names = [case.name for case in cases]
    rows = []
    for channel, name in enumerate(task.channels):
        own = [case.channels[channel] for case in cases]
        unit = "HU" if name.strip().lower() == "ct" else "the files' own unit"
        ranges = draw_ranges(names, [(one.low, one.median, one.high) for one in own], named)
        low, middle, high = (number(float(np.median([getattr(one, key) for one in own]))) for key in _KEYS)
        rows.append({"name": name, "unit": unit, "ranges": ranges, "usual": (low, middle, high)})
    return rows


def _structures(task: DecathlonTask, cases: Sequence[CaseSurvey], suspects: Sequence[Suspect]) -> list[dict[str, Any]]:
    """Share and size of each structure."""
    classes, rows = task.classes, []
    annotated = sum(sum(case.counts[: classes.num_labels]) for case in cases)
    for place, (name, values) in enumerate(zip(classes.structures, classes.values, strict=True)):
        sizes_ = {case.name: case.millilitres(values) for case in cases}
        having = {case: size for case, size in sizes_.items() if size}
        voxels = sum(case.counts[value] for case in cases for value in values)
        marked = {one.case for one in suspects if one.kind == "label" and one.what.startswith(f"{name}: ")}
        rows.append(
            {
                "name": name,
                "label_values": ", ".join(map(str, values)),
                "colour": COLOURS[place % len(COLOURS)],
                "count": len(having),
                "share": f"{voxels / annotated:.3%}" if annotated else "-",
                "range": tuple(number(float(end([*having.values()]))) for end in _ENDS) if having else None,
                "strip": draw_strip([*having], [*having.values()], "ml", marked) if having else None,
            }
        )
    return rows


def _ignored(task: DecathlonTask, cases: Sequence[CaseSurvey]) -> str | None:
    """Share of the voxels that are annotated, over the cases."""
    if (ignored := task.classes.ignored) is None:
        return None
    shares = [1 - case.counts[ignored] / sum(case.counts) for case in cases]
    low, middle, high = (f"{float(end(shares)):.1%}" for end in _ENDS)
    return f"{low} to {high} of a case's voxels are annotated, the median is {middle}."
