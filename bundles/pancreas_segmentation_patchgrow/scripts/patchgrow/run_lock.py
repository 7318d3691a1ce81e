"""Keeps two runs from writing into one folder: the second is refused, and told whose the folder is."""

from __future__ import annotations

import atexit
import errno
import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows, where the lock file alone tells
    fcntl = None  # type: ignore[assignment]

__all__ = ["LOCK_NAME", "Holder", "check_unlocked", "lock_folders", "unlock_folders"]

LOCK_NAME = ".patchgrow_run.lock"
"""The file in a folder that says which run writes there; it goes with the run."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_TRIES = 5  # another run may end, and take its file away, between two steps

_held = dict[Path, int]()  # descriptors by file
_made = set[Path]()  # folders that were not there
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_held.clear)  # the locks stay with the parent


@dataclass(frozen=True)
class Holder:
    """The run that writes into a folder.

    host: name of the machine.
    pid: of the process.
    start: of the run, as text.
    boot: of the machine's running system; processes of one such can see each other.
    born: when the process started, in clock ticks of the system; a later process may have its number.
    """

    host: str
    pid: int
    start: str
    boot: str
    born: str

    @classmethod
    def this(cls) -> Holder:
        """This process."""
        now = time.strftime("%Y-%m-%d %H:%M:%S %z")
        return cls(socket.gethostname(), os.getpid(), now, _boot_id(), _born(os.getpid()))

    @property
    def is_dead(self) -> bool:
        """Whether the process is known to have ended: this machine has none such, or has been started again since."""
        if self.host != socket.gethostname():
            return False
        return self.boot != _boot_id() or _born(self.pid) != self.born

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.start}"


def lock_folders(*folders: str | os.PathLike[str]) -> None:
    """Keep folders for this process until `unlock_folders`, or its end, whatever that is.

    A lock of the file system goes with its process, also over NFS. Where there is none, the process that the file names
    is looked for; one that was killed on this machine holds nothing.

    Args:
        folders: made where they are missing; one that this process has already is kept.

    Raises:
        ValueError: another run has one of them; names its process, host and start.
    """
    atexit.unregister(unlock_folders)
    atexit.register(unlock_folders)
    for folder in folders:
        path = Path(folder).resolve() / LOCK_NAME
        if path in _held:
            continue
        try:
            if not path.parent.exists():
                _made.add(path.parent)
            path.parent.mkdir(parents=True, exist_ok=True)
            _held[path] = _acquire(path)
        except OSError as error:
            raise ValueError(f"{folder}: can't write to it ({error.strerror}): give another folder") from error


def check_unlocked(*folders: str | os.PathLike[str]) -> None:
    """Check that no other run has these folders; nothing is written.

    Raises:
        ValueError: another run has one of them; names its process, host and start.
    """
    for folder in folders:
        path = Path(folder).resolve() / LOCK_NAME
        if path in _held or not path.is_file() or not os.access(path, os.R_OK | os.W_OK):
            continue
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            _check(path, descriptor)
        finally:
            os.close(descriptor)


def unlock_folders() -> None:
    """Give back the folders that this process keeps; of those that it made, the empty ones go."""
    for path, descriptor in reversed([*_held.items()]):
        with suppress(OSError):
            if _is_file(path, descriptor):
                path.unlink()
            if path.parent in _made:
                path.parent.rmdir()
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()
    _made.clear()


def _acquire(path: Path) -> int:
    for _ in range(_TRIES):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _check(path, descriptor)
            if _is_file(path, descriptor):
                _write(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise ValueError(f"{path.parent}: other runs come and go: try again")


def _check(path: Path, descriptor: int) -> None:
    """Lock an open lock file, or refuse the run that another one's is."""
    is_locked, holder = _lock(descriptor), _read(descriptor)
    if is_locked is False or (holder is not None and not _is_over(holder, is_locked=bool(is_locked))):
        raise ValueError(_refusal(path, holder))


def _is_over(holder: Holder, *, is_locked: bool) -> bool:
    """Whether the run that a lock file names has ended; on one machine nobody gets the lock before."""
    return holder.is_dead or (is_locked and holder.boot == _boot_id() != "")


def _refusal(path: Path, holder: Holder | None) -> str:
    if holder is None:
        return f"{path.parent}: another run writes there, which has just begun: give another folder"
    what = f"{path.parent}: another run writes there, {holder}: give another folder, or wait"
    elsewhere = holder.host != socket.gethostname() and holder.boot != _boot_id()
    return what + (f"; if that run is over, delete {path}" if elsewhere else "")


def _lock(descriptor: int) -> bool | None:
    """Whether this process got the lock; None where the file system has none."""
    if fcntl is None:
        return None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the process: a forked worker doesn't have it
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def _is_file(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one that lies there: a run that ends takes its own away."""
    with suppress(FileNotFoundError):
        there, ours = path.stat(), os.fstat(descriptor)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
    return False


def _read(descriptor: int) -> Holder | None:
    """The run that a lock file names; None where it names none, as when the disk was full."""
    try:
        return Holder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (TypeError, ValueError):
        return None


def _write(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(asdict(Holder.this())).encode(), 0)
    os.fsync(descriptor)


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""


def _born(pid: int) -> str:
    """When a process started, "running" where the system doesn't tell; empty where there is none."""
    try:
        if not _BOOT_ID.exists():
            os.kill(pid, 0)
            return "running"
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
