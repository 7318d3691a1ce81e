"""Runs ``python -m monai.bundle`` for a caller that keeps its output in a log: a failure is one line.

python -m monai_patchgrow.tools.compare.logged_bundle LOG run --config_file ... > LOG
"""

from __future__ import annotations

import runpy
import sys
import traceback

from monai_patchgrow.bundle.one_line import reason_of

__all__ = ["main"]


def main() -> None:
    """Run MONAI's command; a traceback goes to stdout.

    Raises:
        SystemExit: with the reason and the log's path, where the command ended in a traceback.
    """
    log = sys.argv.pop(1)
    try:
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
    except Exception as error:
        traceback.print_exc(file=sys.stdout)
        raise SystemExit(f"error: {reason_of(error)} (its log: {log})") from None


if __name__ == "__main__":
    main()
