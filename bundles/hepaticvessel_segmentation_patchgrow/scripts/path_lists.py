"""Reads text and JSON files that list the images to predict."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["read_list"]

stop = runpy.run_path(str(Path(__file__).with_name("command.py")))["stop"]


def read_list(path: Path) -> list[Any]:
    """The entries of a text or JSON file; relative paths are relative to it."""
    text = path.read_text(encoding="utf-8-sig")  # some editors put a byte order mark first
    if path.suffix.lower() == ".txt":
        lines = (line.strip() for line in text.splitlines())
        return [str(path.parent / line) for line in lines if line and not line.startswith("#")]
    try:
        entries = json.loads(text)
    except ValueError as error:
        stop(f"dataset_dir: {path} is no JSON: {error}")
    if not isinstance(entries, list):
        stop(f"dataset_dir: {path} must hold a list of paths")
    return [_map_paths(entry, lambda name: str(path.parent / name)) for entry in entries]


def _map_paths(entry: Any, function: Callable[[str], str]) -> Any:
    if isinstance(entry, dict):
        entry = entry.get("image")
    if isinstance(entry, list):
        return [_map_paths(part, function) for part in entry]
    return function(entry) if isinstance(entry, str) else entry
