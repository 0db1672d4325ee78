"""The stated rule, and every way in which a sent order can break it."""

import json
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crossdock_chassis import Content
from order_service.orders.codes import EXPONENTS
from order_service.orders.draft import Draft, settle
from order_service.orders.model import InvalidOrder
from order_service.orders.money import QUANTA, amount_of, exact

prices = st.decimals(min_value=0, max_value=Decimal("999999999.999999"), places=6)
quantities = st.integers(1, 1_000_000)
exponents = st.integers(0, 4)


def sent(**fields: Any) -> Draft:
    order = {"reference": "PO-1", "currency": "USD", "total": "0.00"} | fields
    return Draft.model_validate_json(json.dumps(order))


def one(**line: Any) -> list[dict[str, Any]]:
    return [{"line_id": "1", "item_id": "SKU-1", "quantity": 1} | line]


def refused(**fields: Any) -> InvalidOrder:
    with pytest.raises(InvalidOrder) as caught:
        settle(sent(**fields))
    return caught.value


@given(quantities, prices, exponents)
def test_line_amount_rounds_half_up(quantity: int, price: Decimal, exponent: int) -> None:
    amount = amount_of(quantity, price, QUANTA[exponent])
    true = Fraction(quantity) * Fraction(price)
    step = Fraction(1, 10**exponent)
    assert Fraction(amount) - true <= step / 2
    assert true - Fraction(amount) < step / 2
    assert amount.as_tuple().exponent == -exponent


@given(prices, exponents)
def test_exact_never_changes_a_value(value: Decimal, exponent: int) -> None:
    found = exact(value, QUANTA[exponent])
    assert (found is None) == (value != value.quantize(QUANTA[exponent], ROUND_HALF_UP))
    assert found is None or found == value


@given(
    st.sampled_from(["USD", "JPY", "KWD", "CLF"]),
    st.lists(st.tuples(quantities, prices), min_size=1, max_size=8),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
)
def test_the_total_is_the_exact_sum_of_rounded_lines_and_charges(
    currency: str, lines: list[tuple[int, Decimal]], discount: int, shipping: int, tax: int
) -> None:
    quantum = QUANTA[EXPONENTS[currency]]
    amounts = [amount_of(quantity, price, quantum) for quantity, price in lines]
    total = sum(amounts) + (shipping + tax) * quantum - discount * quantum
    order = {
        "currency": currency,
        "lines": [
            {"line_id": str(i), "item_id": "A", "quantity": quantity, "unit_price": f"{price:f}"}
            for i, (quantity, price) in enumerate(lines)
        ],
        "discounts": [{"code": "X", "amount": f"{discount * quantum:f}"}],
        "shipping": f"{shipping * quantum:f}",
        "tax": f"{tax * quantum:f}",
    }
    assume(total >= 0 and total + quantum < 10**15)  # the range of an amount
    settled = settle(sent(**order, total=f"{total:f}"))
    assert [line.amount for line in settled.lines] == amounts
    assert settled.total == total
    wrong = refused(**order, total=f"{total + quantum:f}")
    assert wrong.errors[0]["pointer"] == "/total"
    assert Decimal(wrong.extra["computed_total"]) == total


@given(st.sampled_from(["USD", "JPY", "KWD", "CLF"]), quantities, prices, st.integers(0, 10**9), st.booleans())
def test_line_amount_is_the_rounded_product_less_the_discount(
    currency: str, quantity: int, price: Decimal, minor: int, net: bool
) -> None:
    """What an invoice states is taken: its discount, or its net amount whatever the product is."""
    quantum = QUANTA[EXPONENTS[currency]]
    gross, stated = amount_of(quantity, price, quantum), minor * quantum
    assume(gross < 10**15 and (net or stated <= gross))
    amount = stated if net else gross - stated
    line = {"quantity": quantity, "unit_price": f"{price:f}", "net_amount" if net else "discount": f"{stated:f}"}
    order = settle(sent(currency=currency, lines=one(**line), total=f"{amount:f}"))
    [settled] = order.lines
    assert settled.amount == order.total == amount == gross - (settled.discount or 0)
    for each in (settled.amount, settled.discount or settled.amount):
        assert each.as_tuple().exponent == -EXPONENTS[currency]


def test_discount_and_net_amount_of_one_value_are_the_same_order() -> None:
    price = {"quantity": 3, "unit_price": "9.99"}
    spellings = [{"discount": "3"}, {"discount": "3.000", "amount": "26.97"}, {"net_amount": "26.970"}]
    contents = {Content.of(settle(sent(lines=one(**price, **each), total="26.97"))).fingerprint for each in spellings}
    assert len(contents) == 1
    none = [{}, {"discount": "0"}, {"net_amount": "29.97"}, {"amount": "29.97"}]
    contents = {Content.of(settle(sent(lines=one(**price, **each), total="29.97"))).fingerprint for each in none}
    assert len(contents) == 1


@given(
    st.sampled_from(["USD", "JPY", "KWD"]),
    st.decimals(min_value="0.000001", max_value="999999.999999", places=6),
    prices,
)
def test_price_of_a_measured_line_is_rounded_once(currency: str, quantity: Decimal, price: Decimal) -> None:
    quantum = QUANTA[EXPONENTS[currency]]
    amount = (quantity * price).quantize(quantum, ROUND_HALF_UP)
    line = {"quantity": float(quantity), "unit": "kg", "unit_price": f"{price:f}"}
    assert settle(sent(currency=currency, lines=one(**line), total=f"{amount:f}")).total == amount


def test_unit_prices_round_to_the_line_amount() -> None:
    lines = [{"line_id": "1", "item_id": "A", "quantity": 3, "unit_price": "0.335"}]  # 1.005
    assert settle(sent(lines=lines, total="1.01")).lines[0].amount == Decimal("1.01")


def test_line_amount_without_a_unit_price_is_accepted() -> None:
    settled = settle(sent(lines=one(quantity=3, amount="5"), total="5.00"))
    assert str(settled.lines[0].amount) == "5.00"


def test_unit_price_with_an_agreeing_amount_is_accepted() -> None:
    assert settle(sent(lines=one(unit_price="9.99", amount="9.990"), total="9.99")).total == Decimal("9.99")
    wrong = refused(lines=one(unit_price="9.99", amount="9.98"), total="9.98")
    assert wrong.errors == (
        {
            "pointer": "/lines/0/amount",
            "code": "amount_disagrees",
            "detail": "quantity * unit_price rounds to 9.99",
        },
    )


@pytest.mark.parametrize(
    ("order", "pointer", "code"),
    [
        ({"currency": "XXX", "lines": one(amount="1")}, "/currency", "unknown_currency"),
        ({"currency": "XAU", "lines": one(amount="1")}, "/currency", "unknown_currency"),
        ({"currency": "ABC", "lines": one(amount="1")}, "/currency", "unknown_currency"),
        ({"lines": one()}, "/lines/0", "no_price"),
        ({"lines": one(amount="0.001")}, "/lines/0/amount", "too_many_places"),
        ({"lines": one(net_amount="0.001")}, "/lines/0/net_amount", "too_many_places"),
        ({"lines": one(unit_price="1", discount="0.001")}, "/lines/0/discount", "too_many_places"),
        ({"lines": one(unit_price="1", discount="1.01")}, "/lines/0/discount", "discount_too_large"),
        ({"lines": one(amount="1", discount="1")}, "/lines/0/discount", "no_unit_price"),
        ({"lines": one(unit_price="3", amount="1", discount="1")}, "/lines/0/amount", "amount_disagrees"),
        ({"lines": one(net_amount="1", discount="1")}, "/lines/0/net_amount", "two_amounts"),
        ({"lines": one(net_amount="1", amount="1")}, "/lines/0/net_amount", "two_amounts"),
        ({"currency": "JPY", "lines": one(amount="0.5")}, "/lines/0/amount", "too_many_places"),
        ({"lines": one(amount="1") + one(amount="1")}, "/lines/1/line_id", "repeated_line_id"),
        ({"lines": one(amount="1"), "shipping": "0.001"}, "/shipping", "too_many_places"),
        ({"lines": one(amount="1"), "tax": "0.001"}, "/tax", "too_many_places"),
        (
            {"lines": one(amount="1"), "discounts": [{"code": "X", "amount": "0.001"}]},
            "/discounts/0/amount",
            "too_many_places",
        ),
        ({"lines": one(amount="1")}, "/total", "wrong_total"),
        (
            {
                "lines": one(amount="1"),
                "total": "1",
                "ship_to": {"name": "N", "street": "S", "city": "C", "country": "ZZ"},
            },
            "/ship_to/country",
            "unknown_country",
        ),
    ],
)
def test_broken_rule_is_reported_with_its_pointer(order: dict[str, Any], pointer: str, code: str) -> None:
    assert [(each["pointer"], each["code"]) for each in refused(**order).errors] == [(pointer, code)]


def test_all_errors_are_reported_at_once() -> None:
    wrong = refused(lines=[*one(amount="0.001"), *one()], shipping="0.001")
    assert [each["pointer"] for each in wrong.errors] == [
        "/lines/0/amount",
        "/lines/1/line_id",
        "/lines/1",
        "/shipping",
    ]


def test_limits_stay_within_exact_decimal_arithmetic() -> None:
    most = [{"line_id": str(i), "item_id": "A", "quantity": 1, "amount": "9" * 15 + ".9999"} for i in range(500)]
    wrong = refused(currency="CLF", lines=most)
    assert Decimal(wrong.extra["computed_total"]) == 500 * Decimal("9" * 15 + ".9999")
    dearest = one(quantity=1_000_000, unit_price="999999999.999999")
    assert Decimal(refused(currency="CLF", lines=dearest).extra["computed_total"]) == Decimal("999999999999999")
