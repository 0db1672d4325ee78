"""The rules of a drill on a fault that only pretends, and the holds that keep a process stopped."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from crossdock_cli.attention import Row
from crossdock_cli.errors import CommandError
from crossdock_local.drills.engine import Answer, Interrupted, Remedy, Sign, Times, run
from crossdock_local.holds import Hold, Holds
from crossdock_local.supervisor import Watched

SIGN = Sign("dead_letters", "inventory-service")


def row(count: int, cause: str = "dead_letters") -> Row:
    return Row(cause, "inventory-service", "abc", count, None, "/dead-letters", f"{count} events failed.")


class Toy:
    """A stack with one row, which appears `delay` seconds after the fault and goes `delay` seconds after the remedy."""

    name = "toy"
    signs = (SIGN,)
    remedy = Remedy("press", "command", "runbook")
    shown_within = cleared_within = 10.0

    def __init__(self, delay: float = 2.0, before: int = 0, beside: bool = False) -> None:
        self.now, self.delay, self.before, self.beside = 0.0, delay, before, beside
        self.broken: float | None = None
        self.mended: float | None = None
        self.calls: list[str] = []
        self.at_tick: Callable[[], None] = lambda: None

    def rows(self) -> Sequence[Row] | None:
        broken = self.broken is not None and self.now >= self.broken + self.delay
        mended = self.mended is not None and self.now >= self.mended + self.delay
        count = self.before + (1 if broken and not mended else 0)
        return [row(count)] if count else []

    def prepare(self) -> None:
        self.calls.append("prepare")

    def inject(self) -> str:
        self.broken = self.now
        return "broken"

    def tick(self) -> None:
        self.at_tick()

    def apply(self) -> None:
        self.calls.append("apply")
        self.mended = self.now

    def restore(self) -> None:
        self.calls.append("restore")

    def tidy(self) -> None:
        self.calls.append("tidy")

    def say(self, text: str) -> None:
        return None

    def wait(self, text: str) -> None:
        return None

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self, answer: Answer = "apply") -> Times:
        return run(self, self.rows, lambda solved: answer, self, clock=lambda: self.now, sleep=self.sleep)


@pytest.mark.parametrize("before", [0, 3])
def test_a_drill_times_the_fault_and_its_remedy(before: int) -> None:
    toy = Toy(before=before, beside=True)
    times = toy.run()
    assert (times.shown, times.cleared) == (2.0, 2.0)
    assert toy.calls == ["prepare", "apply", "restore", "tidy"]


def test_a_fault_that_is_not_shown_fails_and_is_undone() -> None:
    toy = Toy(delay=99, before=2, beside=True)
    with pytest.raises(CommandError, match="did not show dead_letters within 10 s") as refused:
        toy.run()
    assert "2 events failed." in refused.value.details
    assert toy.calls == ["prepare", "restore", "tidy"]


def test_a_row_that_stays_fails_and_is_undone() -> None:
    toy = Toy()
    with pytest.raises(CommandError, match="still showed the fault 10 s after the remedy"):
        toy.run("solved")
    assert toy.calls == ["prepare", "restore", "tidy"]


def test_a_refused_remedy_undoes_the_fault() -> None:
    toy = Toy()
    with pytest.raises(CommandError, match="without its remedy"):
        toy.run("stop")
    assert toy.calls == ["prepare", "restore", "tidy"]


def test_the_first_error_is_raised_if_the_undoing_fails_too() -> None:
    toy, said = Toy(delay=99), list[str]()

    def fail() -> None:
        raise CommandError("No connection.")

    toy.restore, toy.say = fail, said.append  # type: ignore[method-assign, assignment]
    with pytest.raises(CommandError, match="did not show"):
        toy.run()
    assert said[-1] == "Not restored: No connection."
    assert toy.calls == ["prepare", "tidy"], "one failure does not prevent the rest"


def test_an_interrupt_undoes_the_fault() -> None:
    toy = Toy()

    def interrupt() -> None:
        raise Interrupted("SIGINT")

    toy.at_tick = interrupt
    with pytest.raises(Interrupted):
        toy.run()
    assert toy.calls == ["prepare", "restore", "tidy"]


def test_a_real_incident_refuses_the_drill() -> None:
    toy = Toy(before=1)
    with pytest.raises(CommandError, match="mend it first"):
        toy.run()
    assert toy.calls == []


def test_a_home_page_that_is_away_shows_and_clears_nothing() -> None:
    toy, answers = Toy(), iter([[], None, None, [row(1)], None, []])
    times = run(toy, lambda: next(answers), lambda solved: "apply", toy, clock=lambda: toy.now, sleep=toy.sleep)
    assert (times.shown, times.cleared) == (0.5, 0.25)


def test_every_sign_must_appear_and_go() -> None:
    toy = Toy()
    toy.signs = (SIGN, Sign("key_parked", "inventory-service"))  # type: ignore[assignment]
    both, one = [row(1), row(1, "key_parked")], [row(1)]
    answers = iter([[], one, both, one, []])
    times = run(toy, lambda: next(answers), lambda solved: "apply", toy, clock=lambda: toy.now, sleep=toy.sleep)
    assert (times.shown, times.cleared, len(times.rows)) == (0.25, 0.25, 2)


class Process:
    """A process under the test's control, as the supervisor sees it."""

    name, pid, memory = "worker", 1, 0
    alive, started = False, 0

    def ready(self) -> bool:
        return self.alive

    def start(self) -> None:
        self.alive, self.started = True, self.started + 1

    def kill(self, signal: int = 9) -> None:
        self.alive = False

    def wait_ready(self, seconds: float | None = None) -> None:
        return None

    def stop(self) -> None:
        self.alive = False


def watched(holds: Holds, process: Process) -> Watched:
    return Watched(process, lambda: True, held=lambda: holds.of("worker"), drop=lambda: holds.drop("worker"))


def test_a_held_process_stays_stopped_until_it_is_released(tmp_path: Path) -> None:
    holds, process = Holds(tmp_path / "held"), Process()
    holds.put("worker", "a test", 60)
    each = watched(holds, process)
    assert each.look(0) is None
    with holds.released("up", 60):
        assert each.look(1) is None, "whoever releases it starts it"
    assert each.look(2) == "worker restarted"


def test_a_hold_ends_with_its_owner(tmp_path: Path) -> None:
    folder, process = tmp_path / "held", Process()
    put = f"from pathlib import Path; from crossdock_local.holds import Holds; Holds(Path({str(folder)!r})).put"
    subprocess.run([sys.executable, "-c", f"{put}('worker', 'a killed drill', 60)"], check=True)
    assert watched(Holds(folder), process).look(0) == "worker restarted"
    assert Holds(folder).all() == []


def test_the_hold_of_a_running_process_ends_with_its_owner(tmp_path: Path) -> None:
    (tmp_path / "worker.json").write_text("{}")
    process = Process()
    process.start()
    assert watched(Holds(tmp_path), process).look(0) is None
    assert Holds(tmp_path).all() == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"why": 1, "owner": "x"}'])
def test_an_unreadable_hold_holds_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "worker.json").write_text(content)
    assert watched(Holds(tmp_path), Process()).look(0) == "worker restarted"


def test_a_hold_ends_with_its_time_and_with_a_recycled_pid() -> None:
    own = os.getpid()
    assert not Hold("worker", "", own, 0.0, time.time() + 60).valid
    assert not Hold("worker", "", own, time.time(), time.time() - 1).valid


@pytest.mark.parametrize(
    ("more", "said"),
    [({}, "Crossdock is not running on this machine"), ({"CROSSDOCK_INSTALLATION": "prod.toml"}, "names prod.toml")],
)
def test_a_drill_is_refused_elsewhere(home: Path, more: dict[str, str], said: str) -> None:
    environment = dict(os.environ) | {"CROSSDOCK_HOME": str(home / "none"), "CROSSDOCK_PORTS": "free"} | more
    command = [sys.executable, "-c", "from crossdock_cli.app import main; main()", "drill", "broker", "--yes"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert not (home / "none").exists()
