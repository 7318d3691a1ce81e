"""Reads a table: a CSV file with a header, as pandas writes it."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from .errors import DataError

__all__ = ["other_separator", "read_table"]

Row = dict[str, "str | None"]


def read_table(csv_file: str | os.PathLike[str], *, row_of: str) -> tuple[list[str], list[tuple[int, Row]]]:
    """Read a CSV file.

    Args:
        csv_file: with a header; UTF-8.
        row_of: what there is a row for each of, as "image".

    Returns:
        The header, and the rows with the numbers of their lines.

    Raises:
        DataError: no such file, or none that can be read, or one without rows.
    """
    file = Path(csv_file)
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = [(reader.line_num, row) for row in reader]
            header = list(reader.fieldnames or [])
    except FileNotFoundError:
        raise DataError(f"{file}: no such file", rule="table-unreadable") from None
    except UnicodeDecodeError as error:
        what = f"no CSV file that can be read ({error}): save it as UTF-8"
        raise DataError(f"{file}: {what}", rule="table-unreadable") from None
    except (OSError, csv.Error) as error:
        raise DataError(f"{file}: no CSV file that can be read ({error})", rule="table-unreadable") from None
    if not rows:
        raise DataError(f"{file}: no rows; needed are a header and one row per {row_of}", rule="table-unreadable")
    return header, rows


def other_separator(header: Sequence[str]) -> str:
    """The hint to give where a column is missing; empty unless the header is separated by something else.

    >>> other_separator(["case;fold"])
    ': columns must be separated by commas'
    """
    other_mark = len(header) == 1 and any(mark in header[0] for mark in ";\t")
    return ": columns must be separated by commas" if other_mark else ""
