"""The log on disk answers as a list in memory would."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossdock_cli.verify.log import Entry, Log, text
from crossdock_events.orders import OrderEvent

ORDERS = OrderEvent.topic.name
TOPICS = (ORDERS, "crossdock.items.v1", f"{ORDERS}.inventory-service.dlq")

records = st.lists(
    st.builds(
        lambda topic, partition, key, id, sequence, value: Entry(
            topic, partition, 0, 7, key, value, (("ce_type", b"\xff\x00t"),), "t", id, sequence, "s"
        ),
        st.sampled_from(TOPICS),
        st.integers(0, 2),
        st.sampled_from([None, b"", b"a", b"b", b"\xff", "株".encode()]),
        st.sampled_from([None, "1", "2", "3", "not an id"]),
        st.integers(0, 5),
        st.binary(max_size=3),
    ),
    max_size=30,
).map(lambda made: [entry._replace(offset=offset) for offset, entry in enumerate(made)])


def in_order(entries: list[Entry], topic: str) -> list[Entry]:
    return sorted((e for e in entries if e.topic == topic), key=lambda e: (e.partition, e.offset))


def once(entries: list[Entry]) -> list[Entry]:
    seen: set[str | None] = {None}
    return [e for e in entries if e.id not in seen and not seen.add(e.id)]  # type: ignore[func-returns-value]


@settings(deadline=None, max_examples=60)
@given(records, st.sets(st.integers(0, 29)))
def test_log_on_disk_equals_a_list(entries: list[Entry], hidden: set[int]) -> None:
    whole = Log(entries)
    places = {entry.place for entry in entries if entry.offset in hidden}
    for log, expected in ((whole, entries), (whole.without(places), [e for e in entries if e.place not in places])):
        for topic in TOPICS:
            of_topic = in_order(expected, topic)
            assert list(log.records(topic)) == of_topic
            assert list(log.firsts(topic)) == once(of_topic)
            keys: dict[str, list[Entry]] = defaultdict(list)
            for entry in once(of_topic):
                if entry.key is not None:
                    keys[text(entry.key)].append(entry)
            by_key = log.by_key(topic)
            assert {key: list(found) for key, found in by_key.items()} == keys
            assert list(by_key) == sorted(keys, key=str.encode)
            assert all(list(by_key[key]) == found and key in by_key for key, found in keys.items())
            assert "no such key" not in by_key and len(by_key) == len(keys)
        assert log.newest(TOPICS) == (7 if expected else 0)
        for entry in expected:
            assert log.at(entry.place) == entry
            if entry.key is not None:
                assert entry in list(log.of_key(entry.topic, entry.key))
        known = {e.id for topic in TOPICS[:2] for e in once(in_order(expected, topic))}
        assert log.find(["1", "2", "3"]).keys() == known & {"1", "2", "3"}


@pytest.mark.parametrize(
    ("headers", "stated"),
    [
        ((), ""),
        ((("ce_type", b"crossdock.OrderCancelled.v1"),), "crossdock.OrderCancelled.v1"),
        ((("ce_type", b""),), ""),
        ((("ce_type", b"x"), ("content-type", b"application/cloudevents+json")), ""),
    ],
)
def test_an_unreadable_record_has_the_type_of_its_header(headers: tuple[tuple[str, bytes], ...], stated: str) -> None:
    """A consumer passes over a record of a type that it does not handle, and decodes one without a stated type."""
    assert Entry("t", 0, 0, 0, b"k", b"no event", headers, "", None, 0, "").stated_type == stated
