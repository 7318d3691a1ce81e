"""What a command leaves behind when its loader's workers hand out nothing."""

from commands import run_python

_STALLED = """
import multiprocessing, os, signal, time
from monai_patchgrow.bundle import engine_run
class Stalled:
    def run(self):
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
        worker.start()
        os.kill(worker.pid, signal.SIGSTOP)
        print(worker.pid)
        raise RuntimeError("DataLoader timed out after 1 seconds")
engine_run.is_command = lambda: True
try:
    engine_run.run_engine(Stalled())
except engine_run.DataError as error:
    raise SystemExit(f"error: {error}")
"""


def test_a_command_ends_though_a_worker_is_stopped(tmp_path):
    ended = run_python("-W", "ignore", "-c", _STALLED, timeout=30)
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.startswith(
        "error: num_workers: DataLoader timed out after 1 seconds: is /dev/shm or the memory"
    )
    assert not is_running(int(ended.stdout))


def is_running(process):
    try:
        with open(f"/proc/{process}/stat") as status:
            return ") Z" not in status.read()
    except FileNotFoundError:
        return False
