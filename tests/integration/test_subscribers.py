"""Run the subscribers of examples/subscribers by the commands of their README, each whose toolchain is installed."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from groups import begin_at_the_end, until_the_end
from harness import Harness, eventually, order

from crossdock_cli.verify.log import Entry

EXAMPLES = Path(__file__).parents[2] / "examples" / "subscribers"
TOPIC = "crossdock.orders.v1"
BUILD_SECONDS = 300
STOP_SECONDS = 20
NEEDED = {
    "Python": [["python3", "--version"]],
    "Java": [["java", "-version"], ["mvn", "--version"]],
    "Go": [["go", "version"]],
    "Node": [["node", "--version"], ["npm", "--version"]],
}
LEAST = {"python3": (3, 11), "java": (17, 0), "go": (1, 26), "node": (20, 19)}

Handled = list[tuple[str, int]]


def installed(language: str) -> bool:
    return all(shutil.which(command[0]) and _new_enough(command) for command in NEEDED[language])


def _new_enough(command: Sequence[str]) -> bool:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    numbers = re.search(r"(\d+)\.(\d+)", done.stdout + done.stderr)
    return numbers is not None and tuple(map(int, numbers.groups())) >= LEAST.get(command[0], (0, 0))


@dataclass
class Subscriber:
    """A program in a copy of its folder. `commands` build it; the last one runs it."""

    language: str
    folder: Path
    commands: list[str]
    group: str

    @property
    def journal(self) -> Path:
        return self.folder / "orders.journal"

    def build(self) -> None:
        script = "\n".join(["set -e", *self.commands[:-1]])
        environment = os.environ | {"GOTOOLCHAIN": "local"}
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{self.language}: {done.stdout[-2000:]}{done.stderr[-2000:]}"

    async def start(self, **settings: str) -> asyncio.subprocess.Process:
        environment = os.environ | {"GROUP": self.group, **settings}
        with (self.folder / "output").open("ab") as output:
            return await asyncio.create_subprocess_exec(
                "sh",
                "-c",
                f"exec {self.commands[-1]}",
                cwd=self.folder,
                env=environment,
                stdout=output,
                stderr=output,
            )

    def handled(self, keys: Sequence[str]) -> Handled:
        """Return key and sequence of each line about these keys, in the order of the file."""
        content = self.journal.read_bytes() if self.journal.exists() else b""
        lines = [line.split("\t") for line in content[: content.rfind(b"\n") + 1].decode().splitlines()]
        return [(line[0], int(line[1])) for line in lines if line[0] in keys]

    def said(self) -> str:
        return f"{self.language}: " + (self.folder / "output").read_text(errors="replace")[-3000:]


def copies(folder: Path) -> list[Subscriber]:
    """Return the subscribers whose toolchain is installed, each in a copy of its folder."""
    text = (EXAMPLES / "README.md").read_text()
    found = []
    for language in NEEDED:
        if installed(language):
            (block,) = re.findall(rf"^## {language}\n.*?```sh\n(.*?)```", text, re.DOTALL | re.MULTILINE)
            own = folder / language.lower()
            built = shutil.ignore_patterns(".venv", "jars", "node_modules", "*.journal", "subscriber")
            shutil.copytree(EXAMPLES / language.lower(), own, ignore=built)
            found.append(Subscriber(language, own, block.strip().splitlines(), f"{language}-{uuid4().hex[:8]}"))
    return found


async def place(harness: Harness, item: str, count: int) -> list[str]:
    """Place orders and return their ids once each is confirmed."""
    async with harness.client() as client:
        placed = [await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 1))) for _ in range(count)]
        return [str((await harness.until(client, each["id"], "confirmed"))["id"]) for each in placed]


async def published(harness: Harness, ids: Sequence[str]) -> list[Entry]:
    """Wait for both events of each order, and return them."""

    async def there() -> list[Entry] | None:
        by_key = (await harness.log(TOPIC)).by_key(TOPIC)
        entries = [entry for id in ids for entry in by_key.get(id, ())]
        return entries if len(entries) == 2 * len(ids) else None

    return await eventually(there)


async def until_handled(subscribers: Sequence[Subscriber], ids: Sequence[str], count: int) -> None:
    async def there() -> bool:
        return all(len(each.handled(ids)) >= count for each in subscribers)

    try:
        await eventually(there)
    except TimeoutError:
        counts = {each.language: len(each.handled(ids)) for each in subscribers}
        raise AssertionError(f"of {count}: {counts}\n" + "\n".join(each.said() for each in subscribers)) from None


async def test_subscribers_lose_and_repeat_nothing_when_killed(
    harness: Harness, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subscribers = copies(tmp_path)
    ran, missing = [each.language for each in subscribers], set(NEEDED) - {each.language for each in subscribers}
    assert "Python" in ran
    with capsys.disabled():
        print(f"\nsubscribers ran in: {', '.join(ran)}; not installed: {', '.join(sorted(missing)) or 'none'}")
    await asyncio.gather(*(asyncio.to_thread(each.build) for each in subscribers))
    (item,) = await harness.items(on_hand=100)
    for each in subscribers:
        await begin_at_the_end(harness, each.group, TOPIC)
    live = {"CROSSDOCK_KAFKA": harness.stack.kafka}
    first = await place(harness, item, 4)
    processes = [await each.start(**live) for each in subscribers]
    try:
        await until_handled(subscribers, first, 3)
        await _kill(processes)
        for each in subscribers:
            with each.journal.open("ab") as journal:
                journal.write(b"half a li")  # as a killed process leaves it
        await harness.copy(await published(harness, first))  # each event arrives twice
        second = await place(harness, item, 4)
        processes = [await each.start(**live) for each in subscribers]
        await until_handled(subscribers, [*first, *second], 16)
        await asyncio.gather(*(until_the_end(harness, each.group, TOPIC) for each in subscribers))
        for process, each in zip(processes, subscribers, strict=True):
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(STOP_SECONDS):
                code = await process.wait()
            assert code in (0, 128 + signal.SIGTERM), f"{code} {each.said()}"
        for each in subscribers:
            handled = each.handled([*first, *second])
            assert sorted(handled) == sorted((id, number) for id in (*first, *second) for number in (1, 2)), each.said()
            assert all(handled.index((id, 1)) < handled.index((id, 2)) for id in (*first, *second)), each.language
        await _odd_records(harness, subscribers, await published(harness, first[:1]))
    finally:
        await _kill(processes)


async def test_feed_and_stream_by_curl_resume_after_a_kill(harness: Harness, tmp_path: Path) -> None:
    operator = harness.stack.operator_token(["ops:read"], "ann")
    tokens = {"feed": harness.token("acme", ["events:read"]), "stream": operator}
    (item,) = await harness.items(on_hand=100)
    environment = {"CROSSDOCK_EVENTS": harness.stack.url("analytics-service")}
    scripts = {name: (EXAMPLES / name / f"{name}.sh", tmp_path / f"{name}.journal") for name in tokens}
    processes: list[asyncio.subprocess.Process] = []

    async def start() -> None:
        for name, (script, journal) in scripts.items():
            settings = os.environ | environment | {"TOKEN": tokens[name], "JOURNAL": str(journal)}
            processes.append(await asyncio.create_subprocess_exec(str(script), env=settings))

    async def until(ids: Sequence[str]) -> None:
        """Wait until each file has both events of each order, once."""
        for name, (_, journal) in scripts.items():
            expected = sorted((id, type) for id in ids for type in ("OrderConfirmed", "OrderPlaced"))

            async def there(journal: Path = journal, count: int = len(expected)) -> bool:
                return len(events_of(journal, ids)) >= count

            await eventually(there)
            assert sorted(events_of(journal, ids)) == expected, name

    url, now = harness.stack.url("analytics-service"), datetime.now(UTC)
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {operator}"}) as client:
        page = (await client.get("/v1/events", params={"since": now.isoformat()})).json()
    scripts["stream"][1].write_text(f"{page['next']}\t{{}}\n")  # a stream without a cursor begins with the next record
    try:
        await start()
        first = await place(harness, item, 2)
        await until(first)
        await _kill(processes)
        for _, journal in scripts.values():
            with journal.open("a") as file:
                file.write("half a li")  # as a killed script leaves it
        second = await place(harness, item, 2)
        processes.clear()
        await start()
        await until([*first, *second])
        for process in processes:
            process.terminate()
            async with asyncio.timeout(2 * STOP_SECONDS):
                assert await process.wait() == 0
    finally:
        await _kill(processes)


def events_of(journal: Path, ids: Sequence[str]) -> list[tuple[str, str]]:
    """Return key and name of each order event of these keys in the file of a script."""
    found = []
    for line in journal.read_text().splitlines() if journal.exists() else ():
        text = line.rpartition("\t")[2]
        if text.startswith("{") and text.endswith("}"):
            document = json.loads(text)
            for each in document.get("items", [document]):
                key, name = each.get("key"), str(each.get("type")).split(".")[1:2]
                if key in ids and name and name[0].startswith("Order"):
                    found.append((key, name[0]))
    return found


async def _odd_records(harness: Harness, subscribers: Sequence[Subscriber], entries: Sequence[Entry]) -> None:
    """Check that each program skips unreadable records and other types, and stops at a newer version."""
    topic = f"odd-{uuid4().hex[:8]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=harness.stack.kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()
    placed = entries[0]
    headers, value = dict(placed.headers), placed.value

    def typed(name: str) -> list[tuple[str, bytes]]:
        return list((headers | {"ce_type": name.encode()}).items())

    records: list[tuple[bytes | None, list[tuple[str, bytes]]]] = [
        (b"\xff\x00 garbage", []),
        (None, list(headers.items())),
        (value, list((headers | {"ce_sequence": b"many"}).items())),
        (b"[]", list(headers.items())),
        (value, [(name, content) for name, content in headers.items() if name != "ce_sequence"]),
        (value, typed("crossdock.OrderPraised.v1")),
        (value, list(headers.items())),
        (value, typed("crossdock.OrderPlaced.v9")),
    ]
    async with harness.producer() as producer:
        for content, own in records:
            await producer.send_and_wait(topic, content, key=placed.key, headers=own)
    settings = {"CROSSDOCK_KAFKA": harness.stack.kafka, "CROSSDOCK_TOPIC": topic, "JOURNAL": "odd.journal"}
    for each in subscribers:
        (each.folder / "output").unlink()
    processes = [await each.start(**settings | {"GROUP": f"{each.group}-odd"}) for each in subscribers]
    try:
        async with asyncio.timeout(60):
            codes = [await process.wait() for process in processes]
    except TimeoutError:
        raise AssertionError("not all stopped:\n" + "\n".join(each.said() for each in subscribers)) from None
    finally:
        await _kill(processes)
    line = "\t".join((str(placed.message.headers["ce_subject"], "utf-8"), "1", placed.type, placed.data["reference"]))
    for code, each in zip(codes, subscribers, strict=True):
        said = each.said()
        assert code == 1 and "crossdock.OrderPlaced.v9 is newer than this program" in said, f"{code} {said}"
        assert said.count("skipped ") == 5, said
        written = (each.folder / "odd.journal").read_text()
        # The last batch ends with the newer version. Its earlier events come again after the program is updated.
        assert written in ("", f"{line}\n")


async def _kill(processes: Sequence[asyncio.subprocess.Process]) -> None:
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.wait()
