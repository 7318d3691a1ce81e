"""How a run is told by the system to end, and how it ends then."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from monai_patchgrow.data.loading.worker_signals import STOP_SIGNALS

__all__ = ["STOPPED", "RunStopped", "StopSignals"]

STOPPED = 75
"""Exit code of a run that was told to end and can be resumed: EX_TEMPFAIL of BSD's sysexits.h, "try again later"."""


class RunStopped(SystemExit):
    """Ends the process with the exit code `STOPPED`; the message says what was kept.

    >>> RunStopped("stopped by SIGTERM").code
    75
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = STOPPED


class StopSignals:
    """Notes SIGTERM, SIGINT and SIGUSR1 instead of ending the process; a second SIGINT interrupts it at once.

    Only the main thread of a process can listen; in another one nothing is noted.

    Attributes:
        received: name of the signal that came; None: none did.

    >>> signals = StopSignals()
    >>> signals.listen()
    >>> signal.raise_signal(signal.SIGTERM)
    >>> signals.received
    'SIGTERM'
    >>> signals.ignore()
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        """Take the signals from whoever had them."""
        self.received = None
        if not self._before and threading.current_thread() is threading.main_thread():
            self._before = {one: signal.signal(one, self._note) for one in STOP_SIGNALS}

    def ignore(self) -> None:
        """Give the signals back."""
        for one, handler in self._before.items():
            signal.signal(one, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
