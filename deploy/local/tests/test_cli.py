"""The commands, run as a user types them, on a folder of their own."""

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crossdock_cli.waiting import wait_until
from crossdock_local.layout import Home

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    return dict(os.environ) | {"CROSSDOCK_HOME": str(home), "CROSSDOCK_PORTS": "free"}


def crossdock(environment: dict[str, str], *words: str) -> Done:
    command = [sys.executable, "-c", "from crossdock_cli.app import main; main()", *words]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False
    )


def log_of(home: Path, name: str) -> Path:
    Home(home).make()
    return Home(home).logs / f"{name}.log"


def test_what_does_not_run_is_shown_as_stopped(environment: dict[str, str]) -> None:
    done = crossdock(environment, "status")
    assert done.returncode == 1
    for name in ("postgres", "kafka", "issuer", "order-service.api", "inventory-service.worker"):
        assert any(line.split()[:2] == [name, "stopped"] for line in done.stdout.splitlines())


@pytest.mark.parametrize("command", ["status", "down", "logs", "verify", "order", "reset --yes"])
def test_commands_that_only_look_make_no_folder(environment: dict[str, str], home: Path, command: str) -> None:
    crossdock(environment | {"CROSSDOCK_HOME": str(home / "none")}, *command.split())
    assert not (home / "none").exists()


@pytest.mark.parametrize("command", ["down", "logs", "reset --yes"])
def test_commands_about_processes_import_no_service(environment: dict[str, str], command: str) -> None:
    program = "import sys; from crossdock_cli.app import main\ntry: main()\nfinally: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, *command.split()],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "crossdock_local.stack" in done.stdout.split()
    assert "crossdock_chassis" not in done.stdout.split()


def test_unknown_kind_of_ports_is_refused(environment: dict[str, str]) -> None:
    done = crossdock(environment | {"CROSSDOCK_PORTS": "fre"}, "status")
    assert (done.returncode, done.stderr.startswith("CROSSDOCK_PORTS is 'fre': set it to free")) == (1, True)


def test_down_with_nothing_running_says_so(environment: dict[str, str]) -> None:
    done = crossdock(environment, "down")
    assert (done.returncode, done.stdout) == (0, "Nothing was running.\n")


def test_reset_does_not_forget_without_being_told(environment: dict[str, str], home: Path) -> None:
    log_of(home, "kafka").write_text("kept\n")
    done = crossdock(environment, "reset")
    assert done.returncode == 1
    assert "run `make reset YES=1` or" in done.stderr
    assert home.joinpath("logs", "kafka.log").exists()
    done = crossdock(environment, "reset", "--yes")
    assert done.returncode == 0
    assert done.stdout.startswith("Deleted; ")
    assert not home.joinpath("logs", "kafka.log").exists()


def test_reset_forgets_that_a_service_is_one_process(environment: dict[str, str], home: Path) -> None:
    Home(home).together.touch()
    assert "order-service.all" in crossdock(environment, "status").stdout
    assert crossdock(environment, "reset", "--yes").returncode == 0
    assert "order-service.api" in crossdock(environment, "status").stdout


def test_reset_keeps_what_was_downloaded(environment: dict[str, str], home: Path) -> None:
    jar = home / "kafka" / "4" / "broker.jar"
    jar.parent.mkdir(parents=True)
    jar.touch()
    assert crossdock(environment, "reset", "--yes").returncode == 0
    assert jar.exists()


def test_logs_are_shown_by_name_and_unknown_names_refused(environment: dict[str, str], home: Path) -> None:
    log_of(home, "kafka").write_text("a broker\n")
    log_of(home, "order-service.api").write_text("an api\n")
    log_of(home, "order-service.worker").write_text("a worker\n")
    assert crossdock(environment, "logs", "kafka").stdout == "a broker\n"
    both = crossdock(environment, "logs", "order-service").stdout
    assert "an api" in both
    assert "a worker" in both
    assert "a broker" not in both
    done = crossdock(environment, "logs", "nobody")
    assert done.returncode == 1
    expected = "There is no log of nobody; there is: kafka, order-service.api, order-service.worker.\n"
    assert done.stderr == expected


def test_logs_can_be_followed(environment: dict[str, str], home: Path) -> None:
    log = log_of(home, "kafka")
    log.write_text("before\n")
    command = [sys.executable, "-u", "-c", "from crossdock_cli.app import main; main()", "logs", "kafka", "-f"]
    with (home / "out").open("w") as out, subprocess.Popen(command, env=environment, stdout=out) as follower:
        try:
            assert wait_until(lambda: "before" in (home / "out").read_text(), 20)
            deadline = time.monotonic() + 20
            while "after" not in (home / "out").read_text() and time.monotonic() < deadline:
                with log.open("a") as stream:
                    stream.write("after\n")
                wait_until(lambda: "after" in (home / "out").read_text(), 1)
            assert "after" in (home / "out").read_text()
        finally:
            follower.terminate()


def test_token_of_an_operator_names_no_partner(environment: dict[str, str]) -> None:
    payload = crossdock(environment, "token", "--operator", "ann").stdout.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (claims["sub"], claims["scope"], "partner" in claims) == (
        "ann",
        "ops:read ops:act crm:staff pii:read pii:erase",
        False,
    )
    both = crossdock(environment, "token", "acme", "--operator", "ann")
    assert (both.returncode, "Name a partner, or an operator" in both.stderr) == (1, True)


def test_a_token_stands_alone_on_stdout(environment: dict[str, str]) -> None:
    done = crossdock(environment, "token", "acme", "--scope", "orders:write")
    assert done.returncode == 0
    assert done.stdout.count(".") == 2
    assert len(done.stdout.split()) == 1
    done = crossdock(environment, "token", "acme", "--scope", "orders:eat")
    assert done.returncode == 1
    assert done.stderr.startswith("No such scope: orders:eat")


def test_a_partner_gets_an_id_and_a_secret_once(environment: dict[str, str], home: Path) -> None:
    done = crossdock(environment, "partner", "add", "acme")
    assert done.returncode == 0
    words = dict(line.split(maxsplit=2)[1:] for line in done.stdout.splitlines() if line.startswith("client "))
    assert words["id"].startswith("acme")
    secret = words["secret"].split()[0]
    assert secret not in "".join(file.read_text() for file in home.rglob("*.json"))
    assert "/oauth/token" in done.stdout
    assert "stock:" not in done.stdout  # the ledger shows the orders of all partners
    done = crossdock(environment, "partner", "add", "Not A Name")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["replay"], ["order"], ["receive", "SKU-1", "5"], ["tail", "orders"]])
def test_what_needs_a_running_stack_says_so(environment: dict[str, str], words: list[str]) -> None:
    done = crossdock(environment, *words)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.endswith(("`make up` starts it.\n", "is everything up?\n"))


def test_tail_of_an_unknown_topic_lists_the_known_ones(environment: dict[str, str]) -> None:
    done = crossdock(environment, "tail", "odrers")
    assert done.returncode == 1
    assert "crossdock.orders.v1" in done.stderr
