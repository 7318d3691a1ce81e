"""The handler that writes the Dice of every validated case, which paired tests need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

__all__ = ["CaseDice"]


class CaseDice:
    """Appends a JSON line per validation: its epoch, and Dice per case and class; null where a class is absent.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI evaluator whose key metric keeps its details."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the validation that just ended."""
        state: Any = engine.state
        rows = state.metric_details[state.key_metric_name].tolist()
        dice = [[None if value != value else round(value, 5) for value in row] for row in rows]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as lines:
            lines.write(json.dumps({"epoch": state.epoch, "dice": dice}) + "\n")
