"""Spellings of one order compare equal. A real change compares unequal, and its place is named."""

import json
from decimal import Decimal
from functools import partial
from typing import Any
from unicodedata import normalize

from hypothesis import given
from hypothesis import strategies as st

from crossdock_chassis import Content, JsonBody, fingerprint_of
from order_service.orders.draft import Draft, settle
from order_service.orders.model import InvalidOrder

parse = JsonBody(Draft).parse
texts = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=8).map(partial(normalize, "NFC"))
prices = st.decimals(min_value=0, max_value=1000, places=6).map(lambda price: f"{price.normalize():f}")
optional: dict[str, st.SearchStrategy[Any]] = {
    "customer_id": texts,
    "priority": st.integers(0, 9),
    "requested_date": st.dates().map(str),
    "partial": st.booleans(),
    "ship_to": st.fixed_dictionaries({"country": st.just("GB")}, optional={"city": texts, "postcode": texts}),
    "notes": texts,
    "metadata": st.dictionaries(texts, texts, max_size=5),
}
NOTHING: dict[str, list[Any]] = {"notes": [None, ""], "metadata": [{}], "discounts": [[]], "ship_to": [None]}


@st.composite
def orders(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(texts, min_size=1, max_size=12, unique=True))
    line = st.fixed_dictionaries({"item_id": texts, "quantity": st.integers(1, 1000), "unit_price": prices})
    lines = [{"line_id": name, **draw(line)} for name in names]
    return {"reference": "PO-1", "currency": "USD", "lines": lines} | draw(st.fixed_dictionaries({}, optional=optional))


@st.composite
def spellings(draw: st.DrawFn, order: dict[str, Any]) -> dict[str, Any]:
    """Return the order in another spelling of the same content."""
    lines = [line | {"unit_price": draw(_number(line["unit_price"]))} for line in order["lines"]]
    spelled = order | {"lines": [_shuffled(draw, line) for line in draw(st.permutations(lines))]}
    for name in ("metadata", "ship_to"):
        if name in order:
            spelled[name] = _shuffled(draw, order[name])
    for name, values in NOTHING.items():
        if not order.get(name) and draw(st.booleans()):
            spelled[name] = draw(st.sampled_from(values))
    if "priority" not in order and draw(st.booleans()):
        spelled["priority"] = 5
    return _shuffled(draw, spelled)


def _number(text: str) -> st.SearchStrategy[str]:
    places = len(text.partition(".")[2])
    point = "" if places else "."
    return st.sampled_from([text, f"0{text}", *(text + point + "0" * n for n in range(1, 7 - places))])


def _shuffled(draw: st.DrawFn, members: dict[str, Any]) -> dict[str, Any]:
    return dict(draw(st.permutations(list(members.items()))))


def content(order: dict[str, Any]) -> Content:
    """Return the content as the routes make it, with the total that the order adds up to."""
    draft = parse(json.dumps(order | {"total": "0"}).encode())
    try:
        settle(draft)
    except InvalidOrder as error:
        draft.total = Decimal(error.extra["computed_total"])
    return Content.of(settle(draft))


@given(st.data(), orders())
def test_spellings_of_one_order_are_equal(data: st.DataObject, order: dict[str, Any]) -> None:
    one, other = content(order), content(data.draw(spellings(order)))
    assert other.fingerprint == one.fingerprint
    assert other.difference(one.document) is None


@given(orders())
def test_the_fingerprint_follows_from_the_document(order: dict[str, Any]) -> None:
    """`crossdock verify` computes it from the stored document."""
    one = content(order)
    assert fingerprint_of(json.loads(one.document)) == one.fingerprint


@given(st.data(), orders())
def test_any_change_is_unequal_and_named(data: st.DataObject, order: dict[str, Any]) -> None:
    changed = json.loads(json.dumps(data.draw(spellings(order))))
    name = data.draw(st.sampled_from([name for name in changed if name not in NOTHING or changed[name]]))
    if name == "lines":
        i = data.draw(st.integers(0, len(changed["lines"]) - 1))
        line = changed["lines"][i]
        member = data.draw(st.sampled_from(["quantity", "unit_price", "item_id"]))
        others = {"quantity": line["quantity"] + 1, "unit_price": "2000.5", "item_id": line["item_id"] + "x"}
        line[member] = others[member]
        place = f"/lines/{i}/{member}"
    else:
        value = changed[name]
        values: dict[str, Any] = {"priority": (value + 1) % 10} if name == "priority" else {}
        values |= {"partial": not value, "currency": "EUR", "requested_date": "0001-01-01", "ship_to": None}
        if name == "requested_date" and value == "0001-01-01":
            values[name] = "0001-01-02"
        changed[name] = values.get(name) if name in values else {} if name == "metadata" else value + "x"
        place = f"/{name}"
    one, other = content(order), content(changed)
    assert other.fingerprint != one.fingerprint
    found = other.difference(one.document)
    assert found is not None and (found == place or found.startswith(f"{place}/")), (found, place)


@given(orders())
def test_a_line_more_or_less_is_unequal(order: dict[str, Any]) -> None:
    more = order | {"lines": [*order["lines"], {"line_id": "123456789", "item_id": "a", "quantity": 1, "amount": "0"}]}
    assert content(more).difference(content(order).document) == f"/lines/{len(order['lines'])}"
    assert content(order).difference(content(more).document) == "/lines"
