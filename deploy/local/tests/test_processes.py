import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from crossdock_cli.errors import CommandError
from crossdock_cli.waiting import wait_until
from crossdock_local.layout import Home
from crossdock_local.logfiles import trim
from crossdock_local.ports import FREE_RANGE, HOST, Ports, is_free, require_free
from crossdock_local.processes import Process, Program

IDLE = "import signal, pathlib; pathlib.Path('up').touch(); signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {IDLE}"
CRASH = "import sys; print('opening the books', flush=True); sys.exit('no ink left')"

CHATTER = """
import pathlib, time
pathlib.Path('up').touch()
while True:
    time.sleep(0.01)
    try:
        text = pathlib.Path('say').read_text()
    except FileNotFoundError:
        continue
    if text:
        pathlib.Path('say').unlink()
        print(text, flush=True)
"""

Make = Callable[..., Process]


@pytest.fixture
def make(home: Path) -> Iterator[Make]:
    made: list[Process] = []

    def one(code: str, name: str = "worker", stop_seconds: float = 10) -> Process:
        program = Program(argv=[sys.executable, "-c", code], env=dict(os.environ), cwd=home)
        process = Process(
            name, Home(home), lambda: program, ready=lambda: (home / "up").exists(), stop_seconds=stop_seconds
        )
        made.append(process)
        return process

    yield one
    for process in made:
        process.kill()


def test_process_starts_in_its_own_session_and_stops(make: Make, home: Path) -> None:
    process = make(IDLE)
    process.start()
    process.wait_ready(10)
    assert process.pid is not None
    assert os.getsid(process.pid) == process.pid != os.getsid(0)
    assert process.memory > 1_000_000
    process.stop()
    assert not process.alive
    assert process.pid is None
    assert not list((home / "run").glob("worker*"))


def test_large_log_is_cut_under_its_writer_and_kept_once(make: Make, home: Path) -> None:
    """A log of months would fill the disk."""
    process = make(CHATTER)
    process.start()
    process.wait_ready(20)

    def shows(text: str) -> bool:
        return text in process.log.read_text()

    for round in ("first", "second"):
        (home / "say").write_text(f"{round} {'x' * 5000}")
        assert wait_until(partial(shows, f"{round} x"), 20)
        trim(home / "logs", limit_bytes=4096)
        assert process.log.stat().st_size < 4096
        older = process.log.with_suffix(".log.1").read_text()
        assert f"{round} x" in older
    assert "first" not in older
    (home / "say").write_text("after")
    assert wait_until(lambda: process.log_since_start() == "after\n", 20), "the writer goes on at the new end"
    trim(home / "logs", limit_bytes=4096)
    assert process.log.read_text() == "after\n", "a small log stays"


def test_second_start_in_the_same_folder_finds_the_process(make: Make) -> None:
    first = make(IDLE)
    first.start()
    first.wait_ready(10)
    again = make(IDLE)
    again.start()
    assert again.pid == first.pid
    again.stop()
    assert not first.alive


def test_a_killed_one_is_seen_dead_and_starts_again(make: Make, home: Path) -> None:
    process = make(IDLE)
    process.start()
    process.wait_ready(10)
    killed = process.pid
    process.kill(signal.SIGKILL)
    assert not process.alive
    process.start()
    assert process.pid not in (None, killed)


def test_one_that_does_not_listen_is_killed_after_its_time(make: Make) -> None:
    process = make(DEAF, stop_seconds=0.3)
    process.start()
    process.wait_ready(10)
    process.stop()
    assert not process.alive


def test_a_foreign_process_that_got_the_pid_is_never_signalled(make: Make, home: Path) -> None:
    """After a reboot or a wrap-around another process may have the pid in the file."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as stranger:
        try:
            Home(home).make()
            Home(home).run.joinpath("worker.json").write_text(
                json.dumps({"pid": stranger.pid, "started": 1_000_000.0, "log_offset": 0})
            )
            process = make(IDLE)
            assert not process.alive
            process.kill(signal.SIGKILL)
            process.stop()
            assert stranger.poll() is None
            assert psutil.Process(stranger.pid).status() != psutil.STATUS_ZOMBIE
        finally:
            stranger.kill()


def test_a_crash_while_starting_shows_the_end_of_the_log(make: Make) -> None:
    process = make(CRASH)
    process.start()
    with pytest.raises(
        CommandError, match=r"^worker stopped while starting; its whole log is .*worker\.log\."
    ) as refused:
        process.wait_ready(10)
    assert refused.value.details == "opening the books\nno ink left"


def test_only_what_was_logged_since_this_start_is_shown(make: Make) -> None:
    process = make(CRASH)
    for _ in range(2):
        process.start()
        assert wait_until(lambda: not process.alive, 10)
    assert process.log_since_start().count("no ink left") == 1


def test_one_that_hangs_is_named_with_the_time_it_was_given(make: Make) -> None:
    process = make("import signal; signal.pause()")
    process.start()
    with pytest.raises(CommandError, match=r"worker was not ready within 0 s"):
        process.wait_ready(0.2)


def test_free_ports_are_kept_and_below_the_ephemeral_range(home: Path) -> None:
    ports = Ports.free().kept_in(home / "ports.json")
    drawn = {name: ports.of(name) for name in ("kafka", "postgres", "order-service")}
    assert len(set(drawn.values())) == 3
    assert all(port in FREE_RANGE for port in drawn.values())
    again = Ports.free().kept_in(home / "ports.json")
    assert {name: again.of(name) for name in drawn} == drawn


def test_fixed_ports_are_the_documented_ones_and_a_service_s_own(home: Path) -> None:
    ports = Ports.fixed(kafka=9092).kept_in(home / "ports.json")
    assert (ports.of("kafka"), ports.of("kafka-controller"), ports.of("postgres")) == (9092, 8493, 8432)
    assert ports.of("order-service", lambda: 8410) == 8410
    assert Ports.fixed().kept_in(home / "ports.json").of("order-service") == 8410
    ports.forget()
    assert ports.of("order-service", lambda: 9410) == 9410
    with pytest.raises(CommandError):
        ports.of("nothing")


def test_home_remembers_the_kind_of_its_ports(home: Path) -> None:
    file = home / "ports.json"
    assert Ports.of_home(file).kind == "fixed"
    chosen = Ports.free().kept_in(file).of("kafka")
    found = Ports.of_home(file).kept_in(file)
    assert (found.kind, found.of("kafka")) == ("free", chosen)
    other = Ports.fixed().kept_in(file)
    assert other.of("order-service", lambda: 8410) == 8410, "ports of the other kind are ignored"
    assert Ports.of_home(file).kind == "fixed"


def test_folders_that_an_older_version_left_open_are_closed(home: Path) -> None:
    opened = [home / name for name in ("run", "logs", "broker", "issuer")]
    for folder in opened:
        folder.mkdir()
        folder.chmod(0o755)
    Home(home).make()
    assert {folder.stat().st_mode & 0o777 for folder in opened} == {0o700}
    assert home.stat().st_mode & 0o777 == 0o755, "a folder that existed before may hold other files"


def test_ports_of_a_missing_home_are_not_stored(home: Path) -> None:
    Ports.free().kept_in(home / "none" / "ports.json").of("kafka")
    assert not (home / "none").exists()


def test_a_taken_port_is_named_in_a_sentence() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(CommandError, match=rf"^Port {port}, needed for kafka, is taken by another program"):
            require_free([("kafka", port)])
