"""What a loader's worker does when a scheduler signals all processes of a run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

__all__ = ["STOP_SIGNALS", "outlive_signals"]

STOP_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)]
"""By which schedulers and users tell a run to end; Windows has no SIGUSR1."""


def outlive_signals(worker_id: int = 0) -> None:
    """Let a loader's worker live on when a scheduler, or Ctrl-C, signals all processes of a run at once.

    The main process needs its batches to come to the end of an iteration. A worker ends when that process does, or
    sends it a SIGTERM. (Where Python doesn't tell who sent a signal, as on macOS, any SIGTERM ends it.)

    Args:
        worker_id: as a loader gives it to its ``worker_init_fn``.
    """
    for one in STOP_SIGNALS:
        signal.signal(one, signal.SIG_DFL if one == signal.SIGTERM else signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # threads that start later inherit it
        parent = multiprocessing.parent_process()  # of one from a fork server, os.getppid() is that server
        master = os.getppid() if parent is None else parent.pid
        threading.Thread(target=_wait_for, args=(master,), name="signals", daemon=True).start()


def _wait_for(master: int | None) -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != master:
        pass
    os._exit(0)
