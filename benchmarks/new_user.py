"""Times a new user: from a fresh clone and a folder of labelled images to the end of the first epoch of a training."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from results_file import table

from monai_patchgrow.handlers.run_log import read_history

__all__ = ["lines_about", "time_new_user"]

_ROOT = Path(__file__).parents[1]
_BUNDLE = "mine_segmentation_patchgrow"
_ACTIVATE = ". .venv/bin/activate && . scripts/environment.sh"
_SECONDS_PER_LOOK, _LONGEST = 0.2, 3600.0  # seconds


def time_new_user(data: Path, python: str, page: Path) -> dict[str, Any]:
    """Clone the repository, then run the commands that README and documentation name, and the training as it stands.

    The training is ended after its first epoch.

    Args:
        data: folder of labelled images.
        python: interpreter of nnU-Net's environment, which is there already.
        page: file that gets the page about the data.

    Returns:
        Each command with its seconds, and the seconds from `patchgrow new` to the end of the first epoch.

    Raises:
        RuntimeError: a command failed.
    """
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "monai-patchgrow"
        typed = _Typed(clone, {str(_ROOT): "REPOSITORY", str(data): data.name, python: "NNUNET_ENVIRONMENT/bin/python"})
        typed("git", f"git clone {_ROOT} {clone.name}", folder=clone.parent)
        typed("set-up", "bash scripts/setup.sh")
        typed("bundle", f"patchgrow new {data} -o {_BUNDLE} --memory 8GiB --python {python}")
        history = clone / _BUNDLE / "history.jsonl"
        train = f"python -m monai.bundle run --config_file {_BUNDLE}/configs/train.json --dataset_dir {data}"
        typed("first epoch", train, until=lambda: history.exists() and any(read_history(history)))
        page.write_bytes((clone / _BUNDLE / "docs" / "data.html").read_bytes())
        first = read_history(history)[0]
    seconds = round(sum(one["seconds"] for one in typed.found[-2:]), 1)
    return {"commands": typed.found, "seconds_to_first_epoch": seconds, "first_epoch": first}


def lines_about(timed: Mapping[str, Any]) -> list[str]:
    """Markdown of what `time_new_user` found, line by line."""
    rows = [[one["what"], f"`{one['typed']}`", one["seconds"]] for one in timed["commands"]]
    patch = "x".join(map(str, timed["first_epoch"]["patch_size"]))
    return [
        "",
        "A new user, from a fresh clone to the first epoch of the bundle's own training (250 iterations of the first "
        f"stage's {patch}, full network), by what README and documentation say; `{_ACTIVATE}` was "
        "typed after set-up, and nnU-Net's environment was there. The training was ended then. From "
        f"`patchgrow new` on: {timed['seconds_to_first_epoch']} s.",
        "",
        *table(["for", "typed", "seconds"], rows),
    ]


class _Typed:
    """Runs command lines in a clone, one after the other, as its user does, and keeps their seconds.

    Args:
        clone: the folder.
        names: what stands in the record for paths of this machine.
    """

    def __init__(self, clone: Path, names: Mapping[str, str]) -> None:
        self.clone, self.names = clone, names
        self.found: list[dict[str, Any]] = []

    def __call__(
        self, what: str, line: str, *, folder: Path | None = None, until: Callable[[], bool] | None = None
    ) -> None:
        """Run a line; `until`: end it when that is so.

        Raises:
            RuntimeError: it failed, or took more than an hour.
        """
        ready = f"{_ACTIVATE} && " if (self.clone / ".venv").exists() else ""
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.clone.parent / "cache")}  # nothing is known before
        began = time.monotonic()
        process = subprocess.Popen(
            ["bash", "-c", ready + line], cwd=folder or self.clone, env=environment, start_new_session=True
        )
        try:
            while process.poll() is None and not (until and until()):
                if time.monotonic() - began > _LONGEST:
                    raise RuntimeError(f"{line}: not done after {_LONGEST:g} s")
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_SECONDS_PER_LOOK)
            seconds = time.monotonic() - began
        finally:
            with suppress(OSError):  # it has ended
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
        if process.returncode and not (until and until()):
            raise RuntimeError(f"{line}: failed")
        for path, name in self.names.items():
            line = line.replace(path, name)
        self.found.append({"what": what, "typed": line, "seconds": round(seconds, 1)})
