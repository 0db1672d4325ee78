"""End the processes of a bench that was killed: `python -m bench.lifeline FOLDER`.

The bench holds a pipe to this process. The pipe closes when the bench ends, also if it is killed. Then this process
ends what still runs and deletes the folder.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil

from bench.helper import ROOT
from crossdock_cli.waiting import wait_until

MARK: Final = "CROSSDOCK_BENCH_FOLDER"
STOP_SECONDS: Final = 3.0


@contextmanager
def folder() -> Iterator[Path]:
    """Yield a temporary folder. Processes that are started in the block end with the bench, however it ends.

    They are recognized by the folder: PostgreSQL and Kafka run in it, and all others inherit MARK.
    """
    with tempfile.TemporaryDirectory(prefix="cd-", ignore_cleanup_errors=True) as name:
        command = [sys.executable, "-m", "bench.lifeline", name]
        # In a session of its own, because an interrupt from the terminal must not end it before the bench.
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True):
            os.environ[MARK] = name
            try:
                yield Path(name)
            finally:
                del os.environ[MARK]


def processes(home: Path) -> list[psutil.Process]:
    """Return the processes that were started in the block of `folder`."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == str(home) or Path(process.cwd()).is_relative_to(home.resolve()):
                found.append(process)
    return found


def end(home: Path) -> None:
    """Stop all processes of the folder; kill those that do not stop in time. Then delete the folder."""
    stop = psutil.Process.terminate
    while found := processes(home):
        for process in found:
            with suppress(psutil.Error):
                stop(process)
        wait_until(lambda: not processes(home), STOP_SECONDS)
        stop = psutil.Process.kill
    shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.stdin.read()
    end(Path(sys.argv[1]))
