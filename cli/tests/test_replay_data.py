"""Check the documented numbers of the day against the installed data."""

from datetime import datetime
from decimal import Decimal
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossdock_cli.replay.data import METERED, THE_DAY, Basket, Day, Sale, load
from crossdock_cli.replay.orders import CENT, Cleaned, Order, Rule, clean, order_of
from crossdock_cli.replay.stock import CASE, LOCATIONS, items_csv, locations_csv, opening, opening_csv, units


@pytest.fixture(scope="module")
def day() -> Day:
    return load()


@pytest.fixture(scope="module")
def cleaned(day: Day) -> Cleaned:
    return clean(day.baskets)


def test_the_recorded_day_is_the_one_that_was_promised(day: Day) -> None:
    products = {sale.product for basket in day.baskets for sale in basket.sales}
    assert (len(day.baskets), day.lines, len(products)) == (606, 7_110, 4_475)
    assert {basket.at.date() for basket in day.baskets} == {THE_DAY}


def test_baskets_come_in_the_order_they_were_rung_up(day: Day) -> None:
    times = [(basket.at, basket.id) for basket in day.baskets]
    assert times == sorted(times)


def test_loading_takes_less_than_two_seconds_of_work() -> None:
    start = process_time()
    load()
    assert process_time() - start < 2


def test_orders_and_skipped_baskets_add_up(day: Day, cleaned: Cleaned) -> None:
    assert len(cleaned.orders) == 558
    assert cleaned.skipped_baskets == {Rule.ZERO: 1, Rule.METERED: 47}
    assert cleaned.baskets == len(day.baskets)


def test_lines_add_up_and_none_is_merged(day: Day, cleaned: Cleaned) -> None:
    kept = sum(len(order.body["lines"]) for order in cleaned.orders)
    assert kept == 7_017
    assert cleaned.skipped_lines == {Rule.ZERO: 45, Rule.METERED: 48}
    assert kept + sum(cleaned.skipped_lines.values()) == day.lines


def test_no_quantity_is_near_the_limit_of_metered_goods(day: Day) -> None:
    quantities = {sale.quantity for basket in day.baskets for sale in basket.sales}
    assert max(quantity for quantity in quantities if quantity < METERED) == 16
    assert min(quantity for quantity in quantities if quantity >= METERED) == 4_092


def test_only_fuel_is_metered(day: Day) -> None:
    metered = {sale.product for basket in day.baskets for sale in basket.sales if sale.quantity >= METERED}
    assert {day.products[product].description for product in metered} == {"GASOLINE-REG UNLEADED"}


def test_the_day_s_money(cleaned: Cleaned) -> None:
    discounts = [order.body["discounts"] for order in cleaned.orders]
    assert sum(order.total for order in cleaned.orders) == Decimal("23592.28")
    assert sum(bool(each) for each in discounts) == 38
    lines = [line for order in cleaned.orders for line in order.body["lines"]]
    assert sum("amount" in line for line in lines) == 109


def test_every_order_satisfies_the_rounding_rule(cleaned: Cleaned) -> None:
    for order in cleaned.orders:
        assert_total_follows(order)


def test_partners_are_the_stores(cleaned: Cleaned) -> None:
    stores = {order.partner for order in cleaned.orders}
    assert len(stores) == 110
    assert all(store.removeprefix("store-").isdigit() for store in stores)


def test_every_item_ordered_has_opening_stock_of_its_own(day: Day, cleaned: Cleaned) -> None:
    items = {int(item) for order in cleaned.orders for item in order.items}
    stock = list(opening(items, day.sold_before))
    assert len(items) == 4_453
    assert len({(each.item_id, each.location_id) for each in stock}) == len(stock) == 2 * len(items)
    assert all(each.quantity > 0 for each in stock)


def test_most_of_the_day_is_covered_and_a_little_is_not(day: Day, cleaned: Cleaned) -> None:
    """Compute outcomes first come, first served, as the stack does for orders that arrive one after the other."""
    left = {item: units(day.sold_before.get(int(item), 0)) for order in cleaned.orders for item in order.items}
    short = 0
    for order in cleaned.orders:
        needs = [(line["item_id"], line["quantity"]) for line in order.body["lines"]]
        if any(left[item] < quantity for item, quantity in needs):
            short += 1
        else:
            for item, quantity in needs:
                left[item] -= quantity
    assert short == 47, "8 % of the orders"


def test_imports_have_a_header_and_a_row_each(day: Day) -> None:
    products = sorted(day.products)[:3]
    assert len(locations_csv().splitlines()) == 1 + len(LOCATIONS)
    assert len(items_csv(day.products[product] for product in products).splitlines()) == 4
    assert len(opening_csv(list(opening(products, {})), "opening").splitlines()) == 1 + 2 * 3


def test_every_product_has_a_name_to_show(day: Day) -> None:
    assert day.products[933067].name == "BACON: FLAVORED/OTHER, 16 OZ"
    unnamed = [product.name for product in day.products.values() if product.description is None]
    assert unnamed
    assert all(name.startswith("unnamed product") for name in unnamed)


quantities = st.integers(min_value=-2, max_value=40_000)
sales = st.builds(
    Sale,
    product=st.integers(1, 10),
    quantity=quantities,
    value=st.integers(0, 100_000),
    coupon=st.integers(0, 100_000),
)
baskets = st.builds(
    Basket,
    id=st.integers(1, 10**11),
    store=st.integers(1, 40_000),
    household=st.integers(1, 2_500),
    at=st.datetimes(datetime(2017, 12, 23), datetime(2017, 12, 24)),
    sales=st.lists(sales, min_size=1, max_size=12).map(tuple),
)


@given(st.lists(baskets, max_size=8))
def test_whatever_is_recorded_baskets_and_lines_add_up(recorded: list[Basket]) -> None:
    cleaned = clean(recorded)
    assert cleaned.baskets == len(recorded)
    kept = sum(len(order.body["lines"]) for order in cleaned.orders)
    assert kept + sum(cleaned.skipped_lines.values()) == sum(len(basket.sales) for basket in recorded)


@given(baskets.filter(lambda basket: any(0 < sale.quantity < METERED for sale in basket.sales)))
def test_whatever_is_recorded_the_total_follows_the_rule(basket: Basket) -> None:
    order = order_of(basket)
    assert_total_follows(order)
    assert order.total >= 0


def test_a_product_twice_on_a_receipt_stays_two_lines() -> None:
    order = order_of(basket_of(Sale(7, 1, 250), Sale(7, 2, 500)))
    assert [(line["line_id"], line["item_id"], line["quantity"]) for line in order.body["lines"]] == [
        ("1", "7", 1),
        ("2", "7", 2),
    ]


def test_three_for_five_is_sent_as_an_amount() -> None:
    (line,) = order_of(basket_of(Sale(7, 3, 500))).body["lines"]
    assert line == {"line_id": "1", "item_id": "7", "quantity": 3, "amount": "5.00"}


def test_whole_cents_are_sent_as_a_price() -> None:
    (line,) = order_of(basket_of(Sale(7, 3, 600))).body["lines"]
    assert line == {"line_id": "1", "item_id": "7", "quantity": 3, "unit_price": "2.00"}


def test_a_coupon_recorded_without_goods_counts_for_its_basket() -> None:
    order = order_of(basket_of(Sale(7, 1, 600), Sale(8, 0, 0, coupon=150)))
    assert order.body["discounts"] == [{"code": "manufacturer-coupon", "amount": "1.50"}]
    assert order.body["total"] == "4.50"


@given(st.integers(min_value=0, max_value=10**6))
def test_opening_stock_is_at_least_a_case_and_grows_with_sales(sold: int) -> None:
    assert units(sold) >= CASE
    assert units(sold + 1) >= units(sold)
    assert sum(each.quantity for each in opening([1], {1: sold})) == units(sold)


def basket_of(*lines: Sale) -> Basket:
    return Basket(1, 2, 3, datetime(2017, 12, 23, 9), lines)


def assert_total_follows(order: Order) -> None:
    """Total = Σ line amounts - Σ discounts, each line rounded to cents; computed here independently."""
    amounts = [
        Decimal(line["amount"]) if "amount" in line else line["quantity"] * Decimal(line["unit_price"])
        for line in order.body["lines"]
    ]
    assert all(amount == amount.quantize(CENT) for amount in amounts)
    discounts = sum(Decimal(each["amount"]) for each in order.body["discounts"])
    assert Decimal(order.body["total"]) == sum(amounts) - discounts == order.total
