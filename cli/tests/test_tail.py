import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka.structs import ConsumerRecord

from crossdock_cli import progress as report
from crossdock_cli.commands.tail import _line
from crossdock_events import Cause, Envelope, Message
from crossdock_events.items import ItemRegistered


def record(message: Message) -> "ConsumerRecord[bytes, bytes]":
    return ConsumerRecord(
        topic=message.topic,
        partition=3,
        offset=7,
        timestamp=0,
        timestamp_type=0,
        key=message.key,
        value=message.value,
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
        headers=tuple(message.headers.items()),
    )


def test_event_is_shown_as_one_line() -> None:
    event = ItemRegistered(item_id="SKU-[1]", unit_of_measure="each", status="active")
    at = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    message = Envelope(event, uuid4(), "inventory-service", at, 5, Cause(uuid4())).encode()
    line = _line(record(message)).plain
    assert line.endswith(
        'ItemRegistered SKU-[1] #5 {"item_id": "SKU-[1]", "unit_of_measure": "each", "status": "active"}'
    )


def test_what_cannot_be_read_is_shown_with_its_place() -> None:
    line = _line(record(Message("crossdock.items.v1", b"SKU-1", b"garbage", {}))).plain
    assert line.startswith("crossdock.items.v1 3/7: ")


def test_commands_are_shown_as_they_can_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert report.runnable("crossdock verify") == ".venv/bin/crossdock verify"
    assert report.runnable("make down") == "make down"
    monkeypatch.setattr(shutil, "which", lambda name: "/somewhere/crossdock")
    assert report.runnable("crossdock verify") == ".venv/bin/crossdock verify", "another installation is on the path"
    monkeypatch.setattr(shutil, "which", lambda name: str(Path(sys.executable).with_name("crossdock")))
    assert report.runnable("crossdock verify") == "crossdock verify"
