"""How text is written into a CSV: no spreadsheet that opens the table runs it."""

from __future__ import annotations

__all__ = ["text_cell"]

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def text_cell(text: object) -> str:
    """The cell of a name that comes from a user's data, such as an image's or a class's.

    Spreadsheets take what starts with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return for a formula. A single
    quote in front makes it text, as OWASP's "CSV injection" recommends. Figures are no such cells: -0.5 stays a number.

    >>> text_cell("scan_1"), text_cell("=1+1")
    ('scan_1', "'=1+1")
    """
    cell = str(text)
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell
