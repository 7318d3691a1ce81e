"""Reads a split of one's own: nnU-Net's splits_final.json, or a table with a fold or a patient for each case."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .case_names import CaseNames, text_of
from .errors import DataError
from .table import other_separator, read_table

__all__ = ["TEST", "FileSplit", "read_split_file"]

TEST = "test"
"""The fold of cases that are held out: neither trained on nor validated."""

_RULE = "split-file"

_SIDES = ("train", "val")
_LISTS = (*_SIDES, TEST)
_PATIENT = ("patient", "patient_id")
_JSON = (
    'a list of {"train": [...], "val": [...]} as nnU-Net\'s splits_final.json, {"test": [...]}, or a list of '
    '{"case": ..., "fold": ...} or {"case": ..., "patient": ...}'
)

Sides = tuple[frozenset[str], frozenset[str]]


@dataclass(frozen=True)
class FileSplit:
    """What a file says of a data set's cases, each by its name.

    file: its path.
    test: cases that are held out.
    used: cases that are trained on or validated, in one fold or another.
    folds: cases to train on and to validate on, by fold; empty where the file leaves the folds to nnU-Net's way.
    patients: patient by case; empty where the file names none.
    """

    file: str
    test: frozenset[str]
    used: frozenset[str]
    folds: Mapping[int, Sides] = field(default_factory=dict)
    patients: Mapping[str, str] = field(default_factory=dict)

    def sides(self, fold: int | str) -> Sides | None:
        """The cases to train on and those to validate on; None: the file leaves that to nnU-Net's way.

        Args:
            fold: one of the file's; "all" trains and validates on all that are used; "test" validates on those held
                out.

        Raises:
            ValueError: the file has no such fold.
        """
        if fold == "all":
            return self.used, self.used
        if fold == TEST:
            if not self.test:
                raise ValueError(f"fold '{TEST}' needs a split_file that holds cases out: {self.file} holds none")
            return self.used, self.test
        if not self.folds:
            return None
        if not isinstance(fold, int) or fold not in self.folds:
            known = ", ".join(map(str, sorted(self.folds)))
            raise ValueError(f"fold must be one that {self.file} has ({known}) or 'all', got {fold!r}")
        return self.folds[fold]


def read_split_file(path: str | os.PathLike[str], known: Collection[str]) -> FileSplit:
    """Read a split, and check it against the data set.

    Args:
        path: a .json or .csv file. JSON: nnU-Net's list of {"train": [...], "val": [...]}, one per fold; {"test":
            [...]}, alone or beside them; or rows. A row has a case, and its fold (from 0; -1 or "test": held out) or
            its patient, or both.
        known: names of the data set's cases.

    Raises:
        DataError: no such file, none that can be read, an unknown case, a case that is there twice, a case that is
            trained on and validated, a patient in two folds, nothing to train on or to validate on.
    """
    file = Path(path)
    names = CaseNames(file, known, rule=_RULE)
    if file.suffix.lower() == ".csv":
        header, rows = read_table(file, row_of="case")
        return _from_rows(names, header, [(f"line {line}", row) for line, row in rows])
    if file.suffix.lower() != ".json":
        names.refuse("a split is read from a .json or a .csv file")
    content = _read_json(file)
    entries = [content] if isinstance(content, dict) and "case" not in content else content
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        names.refuse(f"must hold {_JSON}")
    if "case" not in entries[0]:
        return _from_lists(names, entries)
    header = list(dict.fromkeys(key for entry in entries for key in entry))
    return _from_rows(names, header, [(f"entry {number}", row) for number, row in enumerate(entries)])


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DataError(f"{file}: no such file", rule=_RULE) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: no JSON that can be read ({error})", rule=_RULE) from None


def _from_lists(names: CaseNames, entries: Sequence[Mapping[str, Any]]) -> FileSplit:
    """The split of nnU-Net's list; a test list may stand in each of its entries, or alone."""
    folds, test = dict[int, Sides](), frozenset[str]()
    for number, entry in enumerate(entries):
        lists = {key: names.cases(entry[key], f'fold {number}, "{key}"') for key in _LISTS if key in entry}
        test |= lists.get(TEST, frozenset())
        if len(entries) == 1 and set(entry) == {TEST}:
            return _whole(names, FileSplit(str(names.file), test, names.known - test))
        if missing := [key for key in _SIDES if not lists.get(key)]:
            names.refuse(f'fold {number} has no "{missing[0]}", or an empty one: needed is {_JSON}')
        if both := sorted(lists["train"] & lists["val"]):
            names.refuse(f'fold {number}: case {both[0]} is in both "train" and "val": keep one')
        folds[number] = lists["train"], lists["val"]
    used = frozenset[str]().union(*(side for sides in folds.values() for side in sides))
    if both := sorted(used & test):
        names.refuse(f'case {both[0]} is in "test", and in "train" or "val": a case held out is in neither')
    return FileSplit(str(names.file), test, used, folds)


def _from_rows(names: CaseNames, header: Sequence[str], rows: Iterable[tuple[str, Mapping[str, Any]]]) -> FileSplit:
    """The split of a table: the cases of a fold are validated in it, and trained on in the others."""
    column = next((name for name in _PATIENT if name in header), None)
    if "case" not in header or (column is None and "fold" not in header):
        there = ", ".join(map(str, header))
        names.refuse(f"needed are columns case, and fold or patient; there are {there}{other_separator(header)}")
    places, folds, patients = dict[str, str](), dict[str, int | str | None](), dict[str, str]()
    for where, row in rows:
        case = names.case(row.get("case"), where)
        if case in places:
            names.refuse(f"{where}: case {case} is in {places[case]} already: keep one")
        places[case], folds[case] = where, _fold_of(names, row.get("fold"), where)
        if column is not None:
            patients[case] = text_of(row.get(column))
            if not patients[case]:
                names.refuse(f"{where}: no {column}: name the patient in every row, or leave the column out")
    _check_patients(names, patients, folds, places)
    test = frozenset(case for case, fold in folds.items() if fold == TEST)
    used = frozenset(folds) - test
    split = FileSplit(str(names.file), test, used, _sides_of(names, folds, places), patients)
    return _whole(names, split)


def _fold_of(names: CaseNames, value: Any, where: str) -> int | str | None:
    """The fold of a row; None where its cell is empty, or there is no such column."""
    text = text_of(value).lower()
    if text in ("", TEST):
        return text or None
    try:
        number = float(text)  # pandas writes whole numbers as 1.0 where others are missing
    except ValueError:
        number = 0.5
    if not number >= -1 or number != number // 1:
        names.refuse(f"{where}: fold must be 0, 1, 2, ..., or -1 or {TEST} for a case held out, got {value!r}")
    return TEST if number == -1 else int(number)


def _check_patients(
    names: CaseNames,
    patients: Mapping[str, str],
    folds: Mapping[str, int | str | None],
    places: Mapping[str, str],
) -> None:
    """Refuse a patient of whom two cases are in two folds."""
    first = dict[str, str]()
    for case, patient in patients.items():
        other = first.setdefault(patient, case)
        if folds[case] != folds[other]:
            ours, theirs = ("no fold" if folds[one] is None else f"fold {folds[one]}" for one in (case, other))
            names.refuse(
                f"{places[case]}: patient {patient} is in {ours}, but in {theirs} in {places[other]}: "
                "all cases of a patient belong into one fold"
            )


def _sides_of(names: CaseNames, folds: Mapping[str, int | str | None], places: Mapping[str, str]) -> dict[int, Sides]:
    """The sides of each fold that a case has; none where no case has one."""
    numbered = {case: fold for case, fold in folds.items() if isinstance(fold, int)}
    without = [case for case, fold in folds.items() if fold is None]
    if numbered and without:
        names.refuse(f"{places[without[0]]}: no fold, though other cases have one: give it one, or take the row out")
    if len({*numbered.values()}) == 1:
        number = next(iter(numbered.values()))
        names.refuse(f"all cases are in fold {number}, which leaves none to train on: needed are two folds or more")
    sides = dict[int, Sides]()
    for number in sorted({*numbered.values()}):
        validated = frozenset(case for case, fold in numbered.items() if fold == number)
        sides[number] = frozenset(numbered) - validated, validated
    return sides


def _whole(names: CaseNames, split: FileSplit) -> FileSplit:
    if not split.used:
        names.refuse("holds every case out, which leaves none to train on")
    return split
