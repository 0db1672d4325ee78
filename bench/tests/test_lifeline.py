"""A killed bench leaves nothing running: no server, no service process, no helper, no folder."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
from bench.helper import ROOT
from bench.lifeline import processes

from crossdock_cli.waiting import wait_until

BENCH = """
import os, sys, time
from bench import lifeline
from bench.helper import Helper
from crossdock_local.layout import Home
from crossdock_local.ports import Ports
from crossdock_local.processes import Process, Program
from crossdock_local.servers import Servers

with lifeline.folder() as folder, Servers(folder, Ports.free(), kafka=False), Helper("bench.loader"):
    argv = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"]
    service = Process("service", Home(folder), lambda: Program(argv=argv, env=os.environ), ready=lambda: True)
    service.start()
    print(folder, flush=True)
    time.sleep(600)
"""


def test_killed_bench_leaves_nothing_running() -> None:
    with subprocess.Popen([sys.executable, "-c", BENCH], cwd=ROOT, stdout=subprocess.PIPE, text=True) as bench:
        assert bench.stdout is not None
        folder = Path(bench.stdout.readline().strip())
        started = processes(folder)
        names = sorted({each.name() for each in started})
        bench.send_signal(signal.SIGKILL)
    assert len(started) > 3 and "postgres" in names
    assert wait_until(lambda: not folder.exists(), 60)
    assert not [each for each in started if psutil.pid_exists(each.pid) and each.status() != psutil.STATUS_ZOMBIE]
