"""The handle of a container, on a stand-in for Docker's: what a real engine adds is covered where one is."""

from signal import SIGTERM
from typing import Any, cast

import pytest
from docker.errors import NotFound
from testcontainers.core.container import DockerContainer

from crossdock_local.containers import Container
from crossdock_local.errors import Refused


class Engine:
    """One container as docker and testcontainers show it."""

    def __init__(self) -> None:
        self.attrs: dict[str, Any] = {"State": {"Running": False, "Pid": 0}}
        self.signals: list[str] = []
        self.removed = False

    def start(self) -> None:
        self.attrs = {"State": {"Running": True, "Pid": 4711}}

    def get_wrapped_container(self) -> "Engine":
        return self

    def reload(self) -> None:
        if self.removed:
            raise NotFound("gone")

    def kill(self, signal: str) -> None:
        self.signals.append(signal)
        self.attrs = {"State": {"Running": False, "Pid": 0}}

    def stop(self) -> None:
        self.removed = True

    def stats(self, stream: bool) -> dict[str, Any]:
        return {"memory_stats": {"usage": 5_000_000}}

    def logs(self, tail: int) -> bytes:
        return b"no space left"


@pytest.fixture
def engine() -> Engine:
    return Engine()


def container(engine: Engine, ready: bool = True) -> Container:
    return Container("kafka", cast(DockerContainer, engine), ready=lambda: ready)


def test_it_is_started_killed_by_name_of_the_signal_and_brought_back(engine: Engine) -> None:
    kafka = container(engine)
    assert (kafka.alive, kafka.pid, kafka.memory, kafka.ready()) == (False, None, 0, False)
    kafka.start()
    kafka.wait_ready(1)
    assert (kafka.alive, kafka.pid, kafka.memory, kafka.ready()) == (True, 4711, 5_000_000, True)
    kafka.kill()
    kafka.kill(SIGTERM)
    assert engine.signals == ["SIGKILL"]
    assert not kafka.alive
    kafka.start()
    assert kafka.alive
    kafka.stop()
    assert not kafka.alive


def test_one_that_dies_while_starting_shows_its_log(engine: Engine) -> None:
    kafka = container(engine, ready=False)
    kafka.start()
    engine.kill("SIGKILL")
    with pytest.raises(Refused, match="container of kafka was not ready") as refused:
        kafka.wait_ready(5)
    assert refused.value.details == "no space left"


def test_one_that_was_removed_behind_our_back_is_not_alive(engine: Engine) -> None:
    kafka = container(engine)
    kafka.start()
    engine.removed = True
    assert not kafka.alive
