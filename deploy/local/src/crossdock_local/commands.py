"""What each command does and prints."""

import json
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from rich.console import Console
from rich.table import Table

from crossdock_local.errors import Refused
from crossdock_local.layout import size_of
from crossdock_local.processes import wait_until
from crossdock_local.report import runnable
from crossdock_local.stack import Stack

DECIDED_SECONDS = 5
OPERATOR = "operator"


class Steps:
    """Set-up as lines on the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def begin(self, what: str) -> None:
        self._console.print(f"  [dim]… {what}[/dim]")

    def done(self, what: str, seconds: float) -> None:
        self._console.print(f"  [green]✓[/green] {what}  [dim]{seconds:.1f} s[/dim]")


def up(stack: Stack, console: Console, *, fast: bool, replay: bool) -> None:
    begun = time.monotonic()
    if stack.running:
        console.print(f"Crossdock is running already, since {_since(stack)}.")
        if outdated := stack.outdated:
            console.print(f"The code of {', '.join(outdated)} has changed since: `make down up` takes it up.")
        started = False
    else:
        console.print("Starting Crossdock")
        stack.up(report=Steps(console))
        console.print(f"Everything runs after {time.monotonic() - begun:.1f} s.")
        started = True
    if replay and not stack.home.replayed.exists():
        _replay(stack, console, fast=fast)
    elif started and stack.home.replayed.exists():
        console.print("The trading day was replayed before: its orders and stock are still there.")
    _where(stack, console)


def down(stack: Stack, console: Console) -> None:
    if not any(handle.alive for handle in stack.handles()):
        console.print("Nothing was running.")
        return
    begun = time.monotonic()
    stack.down()
    console.print(f"Stopped after {time.monotonic() - begun:.1f} s. The data stays: `make up` starts it again.")


def status(stack: Stack, console: Console) -> None:
    table = Table("process", "state", "pid", "RAM", "address", box=None)
    states = stack.status()
    for each in states:
        colour = {"ready": "green", "stopped": "red"}.get(each.state, "yellow")
        ram = f"{each.memory / 1e6:.0f} MB" if each.memory else ""
        table.add_row(each.name, f"[{colour}]{each.state}[/{colour}]", str(each.pid or ""), ram, each.url)
    console.print(table)
    console.print(_weight(stack))


def logs(stack: Stack, console: Console, name: str | None, *, follow: bool) -> None:
    """`name` is a process or the start of one: order-service shows all of that service's."""
    found = sorted(stack.home.logs.glob("*.log"))
    files = [file for file in found if name is None or file.stem == name or file.stem.startswith(f"{name}.")]
    if not files:
        raise Refused(f"There is no log of {name}; there is: {', '.join(file.stem for file in found) or 'none yet'}.")
    wide = len(files) > 1
    for file in files:
        if wide:
            console.rule(file.stem, align="left")
        for line in file.read_text(errors="replace").splitlines()[-10 if wide else -100 :]:
            print(line)
    if follow:
        _follow(files, wide)


def reset(stack: Stack, console: Console) -> None:
    stack.down()
    freed = 0
    home = stack.home
    for name in ("postgres", "broker", "issuer", "secrets", "logs", "run", "ports.json", home.replayed.name):
        path = home.root / name
        freed += size_of(path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    console.print(f"Forgotten; {freed / 1e6:.0f} MB freed. `make up` starts anew.")


def add_partner(stack: Stack, console: Console, name: str, scopes: Sequence[str]) -> None:
    from crossdock_local import issuer  # noqa: PLC0415  (takes seconds to import)

    try:
        identifier, secret = issuer.add_partner(stack.home.issuer, name, scopes)
    except ValueError as error:
        raise Refused(f"{error}.") from error
    console.print(f"client id      {identifier}\nclient secret  {secret}   [dim](shown this once)[/dim]")
    console.print(f"scopes         {' '.join(scopes)}\n\nA token for an hour:", soft_wrap=True)
    console.print(
        f"  curl -s -u {identifier}:{secret} -d grant_type=client_credentials {stack.issuer_url}/oauth/token",
        soft_wrap=True,
    )


def order(stack: Stack, console: Console, file: Path | None, partner: str) -> None:
    with _client(stack, partner, ["orders:read", "orders:write", "stock:read"]) as client:
        base = stack.url("order-service")
        body = _read(file) if file else _sample(client, stack.url("inventory-service"))
        receipt = _asked(client.post(f"{base}/v1/orders", json=body))
        console.print(f"accepted: order {receipt['id']}, {receipt['total']} {receipt['currency']}")
        decided: dict[str, Any] = {}

        def settled() -> bool:
            decided.update(_asked(client.get(f"{base}/v1/orders/{receipt['id']}")))
            return str(decided["status"]) != "placed"

        wait_until(settled, DECIDED_SECONDS)
    console.print_json(json.dumps(decided))


def receive(stack: Stack, console: Console, item: str, quantity: int, location: str | None) -> None:
    with _client(stack, OPERATOR, ["stock:read", "stock:write"]) as client:
        base = stack.url("inventory-service")
        if location is None:
            places = _asked(client.get(f"{base}/v1/locations"))["items"]
            if not places:
                raise Refused("There is no location to receive at: register one with POST /v1/locations.")
            location = str(places[0]["location_id"])
        line = {"item_id": item, "quantity": quantity}
        body = {"reference": f"receive-{uuid4().hex[:12]}", "location_id": location, "lines": [line]}
        _asked(client.post(f"{base}/v1/receipts", json=body, headers={"Idempotency-Key": uuid4().hex}))
    console.print(f"{quantity} of {item} received at {location}. Orders that waited for it are being released.")


def replay(stack: Stack, console: Console, *, fast: bool) -> None:
    if not stack.running:
        raise Refused("Crossdock is not running: `make up` starts it.")
    _replay(stack, console, fast=fast)


def verify(stack: Stack, console: Console) -> None:
    """Exits non-zero, with the differences, when something does not add up."""
    from crossdock_local import verify as checker  # noqa: PLC0415  (imports much, and few commands need it)

    report = checker.verify(stack)
    console.print(str(report))
    if not report.clean:
        raise Refused("The books do not balance: the differences are above.")


def tail(stack: Stack, console: Console, topic: str | None, *, beginning: bool) -> None:
    from crossdock_local import watching  # noqa: PLC0415  (imports a Kafka client)

    watching.tail(stack.kafka, console, topic, beginning=beginning)


def _replay(stack: Stack, console: Console, *, fast: bool) -> None:
    from crossdock_local import replay as day  # noqa: PLC0415  (imports much, and few commands need it)
    from crossdock_local import verify as checker  # noqa: PLC0415

    summary = day.replay(stack, fast=fast, console=console)
    day.show(summary, console)
    report = checker.verify(stack)
    console.print(str(report))
    if not summary.clean or not report.clean:
        raise Refused("The replayed day does not add up: what is wrong is above. Everything keeps running.")
    stack.home.replayed.write_text(json.dumps({"at": datetime.now().astimezone().isoformat()}))


def _where(stack: Stack, console: Console) -> None:
    orders = stack.url("order-service")
    table = Table.grid(padding=(0, 2))
    for name, address in (
        ("orders", f"{orders}/docs"),
        ("stock", f"{stack.url('inventory-service')}/docs"),
        ("issuer", stack.issuer_url),
        ("Kafka", stack.kafka),
    ):
        table.add_row(f"  {name}", address)
    console.print(table)
    console.print(_weight(stack))
    console.print("Next:")
    for command, why in (
        ("crossdock order", "post an order and see it decided"),
        ("crossdock tail orders", "watch events as they happen"),
        ("crossdock status", "what runs, and the memory it takes"),
        ("crossdock verify", "check that everything adds up"),
        ("make down", "stop; the data stays"),
    ):
        console.print(f"  [bold]{runnable(command):<32}[/bold] [dim]{why}[/dim]")


def _weight(stack: Stack) -> str:
    ram = sum(handle.memory for handle in stack.handles())
    disk, data = size_of(stack.home.root), size_of(stack.home.postgres) + size_of(stack.home.broker)
    return f"RAM {ram / 1e6:.0f} MB, disk {disk / 1e6:.0f} MB (data {data / 1e6:.0f} MB) in {stack.home.root}"


def _since(stack: Stack) -> str:
    started = stack.started_at
    return f"{datetime.fromtimestamp(started):%d %B %H:%M}" if started else "a while"


def _client(stack: Stack, partner: str, scopes: Sequence[str]) -> httpx.Client:
    if not stack.running:
        raise Refused("Crossdock is not running: `make up` starts it.")
    return httpx.Client(headers={"Authorization": f"Bearer {stack.token(partner, scopes)}"}, timeout=10)


def _asked(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_success:
        found: dict[str, Any] = answer.json()
        return found
    try:
        problem = answer.json()
        where = ", ".join(str(error["pointer"]) for error in problem.get("errors", ()))
        said = f"{problem['title']}: {problem.get('detail', '')}" + (f" ({where})" if where else "")
    except (ValueError, KeyError, TypeError):
        said = answer.text
    raise Refused(f"{answer.request.url.path} answered {answer.status_code}. {said}")


def _read(file: Path) -> Any:
    try:
        return json.loads(sys.stdin.read() if str(file) == "-" else file.read_text())
    except (OSError, ValueError) as error:
        raise Refused(f"{file} is no order: {error}") from error


def _sample(client: httpx.Client, inventory: str) -> dict[str, Any]:
    items = _asked(client.get(f"{inventory}/v1/items"))["items"]
    if not items:
        raise Refused("There are no items yet: replay the trading day (crossdock replay) or register some.")
    line = {"line_id": "1", "item_id": items[0]["item_id"], "quantity": 1, "unit_price": "9.99"}
    return {"reference": f"TRY-{uuid4().hex[:8]}", "currency": "USD", "lines": [line], "total": "9.99"}


def _follow(files: Sequence[Path], wide: bool) -> None:
    places = {file: file.stat().st_size for file in files}
    while True:
        for file, place in places.items():
            with file.open(errors="replace") as stream:
                stream.seek(place)
                for line in stream:
                    print(f"{file.stem}: {line}" if wide else line, end="", flush=True)
                places[file] = stream.tell()
        time.sleep(0.2)
