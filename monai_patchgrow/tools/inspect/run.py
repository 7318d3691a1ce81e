"""Inspects a bundle, and then runs it as ``python -m monai.bundle run`` does."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from monai_patchgrow.tools.inspect.bundle import inspect_bundle
from monai_patchgrow.tools.inspect.report import Report

__all__ = ["RunWords", "inspect_run", "start_run"]

_CONFIGS = re.compile(r".*\.(json|ya?ml|conf|ini|cfg)", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s'\"\[\](),=%#]+")


@dataclass(frozen=True)
class RunWords:
    """The words behind ``patchgrow run``.

    bundle: folder.
    allow: names of components that its configs may use beside the known ones.
    trust: findings that the user accepts, by file or by file and key.
    words: for ``python -m monai.bundle run``, as they were given.
    """

    bundle: str
    allow: tuple[str, ...]
    trust: tuple[str, ...]
    words: tuple[str, ...]

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> RunWords:
        """Sort the words; those of MONAI are not looked at.

        Raises:
            ValueError: no bundle is named.

        >>> RunWords.parse(["mine", "--allow", "nets", "--config_file", "mine/configs/train.json"])
        RunWords(bundle='mine', allow=('nets',), trust=(), words=('--config_file', 'mine/configs/train.json'))
        """
        if not arguments or not arguments[0] or arguments[0].startswith("-"):
            raise ValueError(
                "patchgrow run needs the bundle's folder first, then the words of python -m monai.bundle run"
            )
        ours: dict[str, list[str]] = {"--allow": [], "--trust": []}
        words, waiting = [], list(arguments[1:])
        while waiting:
            word = waiting.pop(0)
            option, is_joined, value = word.partition("=")
            if option not in ours:
                words.append(word)
                continue
            if not is_joined:
                if not waiting:
                    raise ValueError(f"{option} needs a name")
                value = waiting.pop(0)
            ours[option] += filter(None, value.split(","))
        return cls(arguments[0], tuple(ours["--allow"]), tuple(ours["--trust"]), tuple(words))


def inspect_run(order: RunWords) -> Report:
    """Inspect a bundle, and the config files that the words name beside it; what the user trusts is left out.

    Raises:
        ValueError: the bundle is no folder, which alone can be run.
    """
    folder = Path(order.bundle)
    if not folder.is_dir():
        raise ValueError(f"{order.bundle} is no folder: a bundle must be unpacked to be run")
    named = {part for word in order.words for part in (word, *_SEPARATORS.split(word))}
    files = {Path(name) for name in named if _CONFIGS.fullmatch(name) and Path(name).is_file()}
    beside = sorted(str(path) for path in files if not path.resolve().is_relative_to(folder.resolve()))
    return inspect_bundle(order.bundle, allow=order.allow, beside=beside).without(order.trust)


def start_run(words: Sequence[str]) -> NoReturn:
    """Become ``python -m monai.bundle run``: signals reach it, and its exit code is the command's.

    It writes no compiled code into the bundle, which the next inspection would find.
    """
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-B", "-m", "monai.bundle", "run", *words])
