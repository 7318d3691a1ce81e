"""Which program of a config a workflow runs; it needs MONAI alone, and bundles carry a copy of this file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.bundle import ReferenceResolver

__all__ = ["choose_program"]

_NO_PROGRAMS = ("initialize", "finalize")


def choose_program(workflow: Any, config: Mapping[str, Any]) -> str | None:
    """Let a workflow that was told a section of `run` run that; return what is wrong with what it was told.

    ``python -m monai.bundle run train --config_file train.json`` is MONAI's earlier form; taken by the letter it makes
    the section's objects, runs nothing and ends with exit code 0.

    Args:
        workflow: with a `run_id`, a :class:`monai.bundle.ConfigWorkflow`; changed in place.
        config: its config.

    Returns:
        The fault in one line, None where there is none.

    >>> from types import SimpleNamespace
    >>> workflow = SimpleNamespace(run_id="train")
    >>> choose_program(workflow, {"train": {"trainer": {}}, "run": ["$@train#trainer.run()"]})
    >>> workflow.run_id
    'run'
    """
    if workflow.run_id in _NO_PROGRAMS:
        return f"run {workflow.run_id}: it prepares or ends a run, and runs nothing: leave {workflow.run_id} out"
    node: Any = config
    for key in ReferenceResolver.split_id(workflow.run_id):
        node = node.get(key) if isinstance(node, Mapping) else None
    if isinstance(node, list) or (isinstance(node, str) and node.startswith("$")):
        return None
    run = str(config.get("run")).replace("::", "#")  # as MONAI's parser spells references
    if isinstance(node, Mapping) and "_target_" not in node and f"@{workflow.run_id}#" in run:
        workflow.run_id = "run"
        return None
    what = "the config has no such key" if node is None else "it is no expression that can be run"
    return f"run {workflow.run_id}: {what}: leave {workflow.run_id} out, or name run"
