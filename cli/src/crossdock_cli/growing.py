"""Give a topic more partitions while everything runs, so that no event is handled before an earlier one of its key.

A group stops at a partition in which it has no position. So the new partitions are read only once each group has passed
what the old ones held when every producer knew the new number.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
from rich.console import Console

from crossdock_cli.broker import broker
from crossdock_cli.discovery import installed
from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked, client
from crossdock_cli.installation import Installation
from crossdock_cli.topics import Topics

KNOWN_SECONDS: Final = 40.0
"""Clients ask for the number of partitions again after 30 s."""
READ_SECONDS: Final = 600.0
POLL_SECONDS: Final = 1.0
REASON: Final = "The topic has more partitions, and all earlier events are handled"


def grow(there: Installation, topic: str, partitions: int, out: Console) -> None:
    """Add partitions up to this number. Repeated, it goes on where it was interrupted.

    Raise CommandError if the topic has more, or if a group does not read it to its end within READ_SECONDS.
    """
    kafka = broker(there.kafka)
    admin = Topics(**kafka.options)
    has = admin.partitions(topic)
    if partitions < has:
        raise CommandError(f"{topic} has {has} partitions, and Kafka cannot remove any.")
    if partitions > has:
        admin.grow(topic, partitions)
        out.print(f"{topic} has {partitions} partitions instead of {has}.", markup=False)
        with out.status(f"Waiting {KNOWN_SECONDS:.0f} s, until all producers use them"):
            time.sleep(KNOWN_SECONDS)
    ends, deadline = admin.ends(topic), time.monotonic() + READ_SECONDS
    with client(there, None, ["ops:read", "ops:act"]) as opened, out.status("Waiting until all groups have read it"):
        while behind := [why for _, group in _groups(opened, there, topic) if (why := _behind(group, topic, ends))]:
            if time.monotonic() > deadline:
                raise CommandError(
                    "Not all groups have read the topic. Mend that, and repeat the command.", "\n".join(behind)
                )
            time.sleep(POLL_SECONDS)
        begun = 0
        for url, group in _groups(opened, there, topic):
            for stop in _new_partitions(group, topic):
                asked(
                    opened.post(f"{url}/v1/stopped/{stop['id']}:skip", json={"reason": REASON, "move_to": "beginning"})
                )
                begun += 1
    out.print(f"{begun} new places are read from their beginning.", markup=False)


def _groups(opened: httpx.Client, there: Installation, topic: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the address of the service and the state of each group that reads the topic."""
    for each in installed():
        url = there.url(each.name)
        for group in asked(opened.get(f"{url}/v1/operations"))["groups"]:
            if group["kind"] is not None and any(one["topic"] == topic and one["reads"] for one in group["partitions"]):
                yield url, group


def _behind(group: dict[str, Any], topic: str, ends: Mapping[int, int]) -> str | None:
    """Return why the group may not read the new partitions yet, or None."""
    places = {each["partition"]: each["position"] for each in group["partitions"] if each["topic"] == topic}
    waiting = {each["partition"] for each in _new_partitions(group, topic)}
    for partition, end in sorted(ends.items()):
        position = places.get(partition)
        if position is None and partition not in waiting:
            return f"{group['group']} has not noticed partition {partition}"
        if position is not None and position < end:
            return f"{group['group']} is {end - position} messages behind in partition {partition}"
    return None


def _new_partitions(group: dict[str, Any], topic: str) -> list[dict[str, Any]]:
    """Return the stops of the group at partitions of the topic in which it has no position."""
    return [each for each in group["stopped"] if each["kind"] == "no-position" and each["topic"] == topic]
