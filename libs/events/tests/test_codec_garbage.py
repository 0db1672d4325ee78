"""Whatever arrives, decoding answers; and what it answers quotes nothing of what arrived."""

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crossdock_events import CATALOGUE, Envelope, Malformed, Message, Unknown
from crossdock_events.examples import EXAMPLES

SECRET = "Zq8xWv7k"  # looks like nothing that our own texts contain
GOOD = [example.envelope.encode() for example in EXAMPLES]
STRUCTURED = [example.envelope.encode_structured() for example in EXAMPLES]
HEADERS = sorted({name for message in GOOD for name in message.headers})
TOPICS = sorted({message.topic for message in GOOD})

secrets = st.sampled_from([SECRET, f"{SECRET}\ud800", f"2026-13-{SECRET}", f"urn:uuid:{SECRET}", SECRET * 50])
nasty_text = secrets | st.text() | st.sampled_from(["", "-1", "NaN", "1E400", "\x00", "0" * 40, "2026-01-01T00:00:00"])
nasty_bytes = st.binary() | nasty_text.map(lambda text: text.encode(errors="surrogatepass"))
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | nasty_text | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(nasty_text, inner, max_size=4),
    max_leaves=12,
)


def answer(message: Message) -> Envelope[Any] | Unknown | Malformed:
    result = CATALOGUE.decode(message)
    assert isinstance(result, Envelope | Unknown | Malformed)
    if isinstance(result, Malformed):
        assert SECRET not in result.reason
        assert len(result.reason) < 1000
    return result


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, inner in children for place in leaves(inner, (*path, key))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


@given(
    topic=st.sampled_from(TOPICS) | st.text(),
    key=st.none() | nasty_bytes,
    value=nasty_bytes,
    headers=st.dictionaries(st.sampled_from(HEADERS) | st.text(), nasty_bytes),
)
def test_random_records(topic: str, key: bytes | None, value: bytes, headers: dict[str, bytes]) -> None:
    assert isinstance(answer(Message(topic, key, value, headers)), Malformed | Unknown)


@given(message=st.sampled_from(GOOD), headers=st.dictionaries(st.sampled_from(HEADERS), nasty_bytes, min_size=1))
def test_random_headers_on_good_data(message: Message, headers: dict[str, bytes]) -> None:
    answer(replace(message, headers={**message.headers, **headers}))


@given(message=st.sampled_from(GOOD + STRUCTURED), data=st.data())
def test_truncated_and_flipped_values(message: Message, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(message.value) - 1))
    assert isinstance(answer(replace(message, value=message.value[:at])), Malformed)
    answer(replace(message, value=message.value[:at] + data.draw(st.binary(max_size=3)) + message.value[at + 1 :]))


@settings(max_examples=300)
@given(message=st.sampled_from(GOOD + STRUCTURED), new=json_values, data=st.data())
def test_any_part_of_a_document_replaced(message: Message, new: Any, data: st.DataObject) -> None:
    document = json.loads(message.value)
    path = data.draw(st.sampled_from(leaves(document)))
    answer(replace(message, value=json.dumps(put(document, path, new)).encode()))


@given(message=st.sampled_from(STRUCTURED), data=st.data())
def test_structured_events_with_parts_missing(message: Message, data: st.DataObject) -> None:
    document = json.loads(message.value)
    gone = data.draw(st.sets(st.sampled_from(sorted(document)), min_size=1))
    answer(replace(message, value=json.dumps({name: document[name] for name in document if name not in gone}).encode()))


@given(message=st.sampled_from(GOOD), depth=st.integers(1, 200_000), bracket=st.sampled_from([b"[", b'{"a":']))
@settings(max_examples=20)
def test_deep_nesting(message: Message, depth: int, bracket: bytes) -> None:
    deep = b'{"order_id":' + bracket * depth
    assert isinstance(answer(replace(message, value=deep)), Malformed)
    headers = {"content-type": b"application/cloudevents+json"}
    assert isinstance(answer(replace(message, value=deep, headers=headers)), Malformed)


@given(
    message=st.sampled_from(GOOD),
    extra=st.lists(st.tuples(st.sampled_from(HEADERS) | st.text(), st.none() | nasty_bytes)),
    first=st.booleans(),
)
def test_repeated_headers(message: Message, extra: list[tuple[str, bytes | None]], first: bool) -> None:
    own = list(message.headers.items())
    headers = [*extra, *own] if first else [*own, *extra]
    result = answer(Message.from_record(message.topic, message.key, message.value, headers))
    if first and message.headers.keys() >= {name for name, _ in extra}:
        assert isinstance(result, Envelope)


@given(one=st.sampled_from(GOOD), other=st.sampled_from(GOOD))
def test_parts_of_one_message_on_another(one: Message, other: Message) -> None:
    expected = Envelope if one.topic == other.topic else Malformed
    assert isinstance(answer(replace(one, topic=other.topic)), expected)
    expected = Envelope if one.key == other.key else Malformed
    assert isinstance(answer(replace(one, key=other.key)), expected)
    answer(replace(one, headers=other.headers))
