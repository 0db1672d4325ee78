"""The supervisor: its rules on a process that only pretends, and a real stack that `crossdock up` starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crossdock_cli.waiting import wait_until
from crossdock_local import supervisor
from crossdock_local.ports import Ports
from crossdock_local.stack import Stack
from crossdock_local.supervisor import RESTART_LIMIT, Watched


class Pretended:
    """A process under the test's control."""

    name, pid, memory = "worker", 1, 0

    def __init__(self) -> None:
        self.alive = True
        self.started = self.killed = 0

    def ready(self) -> bool:
        return self.alive

    def start(self) -> None:
        self.alive = True
        self.started += 1

    def kill(self, signal: signal.Signals = signal.SIGKILL) -> None:
        self.alive = False
        self.killed += 1

    def wait_ready(self, seconds: float | None = None) -> None:
        return None

    def stop(self) -> None:
        self.alive = False


def test_an_ended_process_is_restarted_with_back_off() -> None:
    process = Pretended()
    watched = Watched(process, lambda: True)
    assert watched.look(0) is None
    process.alive = False
    assert watched.look(1) == "worker restarted"
    process.alive = False
    assert watched.look(1.5) is None, "the second restart waits"
    assert watched.look(2.5) == "worker restarted"
    assert (process.started, watched.restarts) == (2, 2)


def test_a_process_that_does_not_answer_is_killed() -> None:
    process = Pretended()
    watched = Watched(process, lambda: False, started=-1_000)
    assert watched.look(0) is None
    assert watched.look(supervisor.HANG_SECONDS - 1) is None
    assert watched.look(supervisor.HANG_SECONDS + 1) == "worker restarted"
    assert (process.killed, process.started) == (1, 1)


def test_a_starting_process_has_more_time() -> None:
    process = Pretended()
    watched = Watched(process, lambda: False)
    process.alive = False
    watched.look(1_000)
    assert watched.look(1_000 + supervisor.HANG_SECONDS + 1) is None
    assert process.killed == 0


def test_a_process_that_keeps_ending_is_given_up() -> None:
    process = Pretended()
    watched = Watched(process, lambda: True)
    happened = []
    for now in range(0, 4 * 1_800, 2):
        process.alive = False
        happened.append(watched.look(float(now)))
    assert process.started == RESTART_LIMIT
    assert [each for each in happened if each][-1] == "worker was restarted 20 times in 30 minutes: given up"


def crossdock(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from crossdock_cli.app import main; main()", *words]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=180, check=False
    )


@pytest.fixture
def environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name, value in {"CROSSDOCK_HOME": str(home), "CROSSDOCK_PORTS": "free"}.items():
        monkeypatch.setenv(name, value)
    return dict(os.environ)


def test_a_killed_worker_is_back_and_status_counts_it(environment: dict[str, str], home: Path) -> None:
    started = crossdock(environment, "up", "--no-replay")
    assert started.returncode == 0, started.stderr
    stack = Stack(home, Ports.free())
    try:
        worker, kafka = stack.process("order-service.worker"), stack.process("kafka")
        worker.kill()
        kafka.kill()
        assert wait_until(lambda: stack.running, 90), [each for each in stack.status() if each.state != "ready"]
        assert crossdock(environment, "status").returncode == 0
        assert supervisor.restarts(stack.restarts_file)["order-service.worker"] >= 1
        assert supervisor.restarts(stack.restarts_file)["kafka"] >= 1
    finally:
        assert crossdock(environment, "down").returncode == 0
    assert not any(handle.alive for handle in [*stack.handles(), stack.supervisor])
