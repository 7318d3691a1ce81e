"""What the benchmarks beside an earlier commit share: its tree, and a script's function called on a tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """The files of a commit, in a worktree of git that goes with the block."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "before"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(tree), commit], cwd=ROOT, check=True)
        try:
            yield tree
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(tree)], cwd=ROOT, check=True)


def call_in(tree: Path, script: str, *arguments: str, **environment: str) -> Any:
    """Run a script in a process whose package is that of the tree, and return the JSON of its last line.

    Raises:
        RuntimeError: The script failed; the message ends as its error output does.
    """
    whole = {**os.environ, "PYTHONPATH": str(tree), **environment}
    run = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, env=whole, check=False)
    if run.returncode:
        raise RuntimeError(run.stderr[-2000:])
    return json.loads(run.stdout.splitlines()[-1])
