"""Four orders: one is reserved in full, one in part, one is rejected and one is cancelled. And their items."""

from datetime import date
from decimal import Decimal

from crossdock_events.examples.story import Example, fact, order_id
from crossdock_events.items import ItemChanged, ItemRegistered, ItemUnit
from crossdock_events.orders import (
    Destination,
    OrderBackordered,
    OrderCancelled,
    OrderConfirmed,
    OrderedQuantity,
    OrderLine,
    OrderPlaced,
    OrderRejected,
    RefusedLine,
    WaitingLine,
)
from crossdock_events.reservations import (
    Allocation,
    ReleasedLine,
    ReservedLine,
    StockBackordered,
    StockRejected,
    StockReleased,
    StockReserved,
)
from crossdock_events.stock import Level, StockLevelChanged

_registered = fact(
    1, 1, ItemRegistered(item_id="SKU-20417", unit_of_measure="each", category="household", status="active")
)
_uncategorised = fact(2, 1, ItemRegistered(item_id="SKU-88001", unit_of_measure="kg", status="active"))
_discontinued = fact(
    3, 2, ItemChanged(item_id="SKU-30977", unit_of_measure="case", category="beverages", status="discontinued")
)
_opening = fact(
    4,
    1,
    StockLevelChanged(
        item_id="SKU-20417",
        levels=(
            Level(location_id="WH-EAST", on_hand=40, reserved=0),
            Level(location_id="WH-WEST", on_hand=12, reserved=0),
        ),
        available=52,
        causes=("opening",),
    ),
)
_gone = fact(5, 7, StockLevelChanged(item_id="SKU-30977", levels=(), available=0, causes=("adjustment",)))

_full = {"order_id": order_id(1), "partner": "acme-retail", "reference": "PO-2026-004711"}
PLACED = fact(
    10,
    1,
    OrderPlaced(
        **_full,
        channel="api",
        customer_id="C-90210",
        priority=7,
        requested_date=date(2026, 3, 5),
        partial=False,
        ship_to=Destination(country="GB", region="Greater London", postcode_outward="SW1A"),
        currency="GBP",
        lines=(
            OrderLine(
                line_id="1", item_id="SKU-20417", quantity=45, unit_price=Decimal("3.495"), amount=Decimal("157.28")
            ),
            OrderLine(line_id="2", item_id="SKU-88001", quantity=2, amount=Decimal("11.00")),
        ),
        total=Decimal("172.23"),
    ),
)
_reserved = fact(
    11,
    1,
    StockReserved(
        order_id=order_id(1),
        lines=(
            ReservedLine(
                line_id="1",
                item_id="SKU-20417",
                requested=45,
                reserved=45,
                backordered=0,
                allocations=(
                    Allocation(location_id="WH-EAST", quantity=40),
                    Allocation(location_id="WH-WEST", quantity=5),
                ),
            ),
            ReservedLine(
                line_id="2",
                item_id="SKU-88001",
                requested=2,
                reserved=2,
                backordered=0,
                allocations=(Allocation(location_id="WH-EAST", quantity=2),),
            ),
        ),
    ),
    PLACED,
)
_level = fact(
    12,
    2,
    StockLevelChanged(
        item_id="SKU-20417",
        levels=(
            Level(location_id="WH-EAST", on_hand=40, reserved=40),
            Level(location_id="WH-WEST", on_hand=12, reserved=5),
        ),
        available=7,
        causes=("reservation",),
    ),
    PLACED,
)
_confirmed = fact(13, 2, OrderConfirmed(**_full), _reserved)
_less = fact(
    14,
    3,
    StockLevelChanged(
        item_id="SKU-20417",
        levels=(
            Level(location_id="WH-EAST", on_hand=38, reserved=0),
            Level(location_id="WH-WEST", on_hand=12, reserved=0),
        ),
        available=50,
        causes=("adjustment", "withdrawal"),
    ),
)

_discounted = fact(
    14,
    1,
    OrderPlaced(
        order_id=order_id(6),
        partner="globex",
        reference="INV-2026/0815",
        channel="api",
        priority=5,
        partial=False,
        currency="EUR",
        lines=(
            OrderLine(
                line_id="1",
                item_id="SKU-20417",
                quantity=3,
                unit_price=Decimal("9.99"),
                discount=Decimal("3.00"),
                amount=Decimal("26.97"),
            ),
        ),
        total=Decimal("26.97"),
    ),
)

_part = {"order_id": order_id(2), "partner": "acme-retail", "reference": "PO-2026-004712"}
_least = fact(
    20,
    1,
    OrderPlaced(
        **_part,
        channel="file",
        priority=5,
        partial=True,
        currency="JPY",
        lines=(OrderLine(line_id="A", item_id="SKU-20417", quantity=10, amount=Decimal(5000)),),
        total=Decimal(5000),
    ),
)
_short = fact(
    21,
    1,
    StockBackordered(
        order_id=order_id(2),
        lines=(
            ReservedLine(line_id="A", item_id="SKU-20417", requested=10, reserved=0, backordered=10, allocations=()),
        ),
    ),
    _least,
)
_waiting = fact(
    22,
    2,
    OrderBackordered(
        **_part, lines=(WaitingLine(line_id="A", item_id="SKU-20417", requested=10, reserved=0, backordered=10),)
    ),
    _short,
)
_some = fact(
    23,
    2,
    StockReserved(
        order_id=order_id(2),
        lines=(
            ReservedLine(
                line_id="A",
                item_id="SKU-20417",
                requested=10,
                reserved=7,
                backordered=3,
                allocations=(Allocation(location_id="WH-WEST", quantity=7),),
            ),
        ),
    ),
    _least,
)
_waiting_less = fact(
    24,
    3,
    OrderBackordered(
        **_part, lines=(WaitingLine(line_id="A", item_id="SKU-20417", requested=10, reserved=7, backordered=3),)
    ),
    _some,
)

_refused_lines = (RefusedLine(line_id="1", item_id="SKU-30977", reason="discontinued_item"),)
_hopeless = fact(30, 1, StockRejected(order_id=order_id(3), reason="discontinued_item", lines=_refused_lines), None)
_rejected = fact(
    31,
    2,
    OrderRejected(
        order_id=order_id(3),
        partner="globex",
        reference="4500017",
        reason="discontinued_item",
        lines=_refused_lines,
    ),
    _hopeless,
)

_cancelled = fact(
    40,
    3,
    OrderCancelled(order_id=order_id(4), partner="globex", reference="4500018", reason="partner_request"),
)
_released = fact(
    41,
    2,
    StockReleased(
        order_id=order_id(4),
        reason="cancelled",
        lines=(ReleasedLine(line_id="1", item_id="SKU-20417", location_id="WH-EAST", quantity=3),),
    ),
    _cancelled,
)
_barred = fact(42, 1, StockReleased(order_id=order_id(5), reason="cancelled", lines=()), _cancelled)

_successor = fact(
    43,
    1,
    OrderPlaced(
        order_id=order_id(7),
        partner="globex",
        reference="4500018",
        replaces=order_id(4),
        channel="api",
        priority=5,
        partial=False,
        currency="EUR",
        lines=(OrderLine(line_id="1", item_id="SKU-20417", quantity=2, amount=Decimal("7.00")),),
        total=Decimal("7.00"),
    ),
)

_measured_item = fact(
    50,
    1,
    ItemRegistered(
        item_id="SKU-55010",
        unit_of_measure="g",
        units=(ItemUnit(unit="kg", factor=1000), ItemUnit(unit="sack", factor=25_000)),
        category="flour",
        status="active",
    ),
)
_measured = fact(
    51,
    1,
    OrderPlaced(
        order_id=order_id(8),
        partner="acme-retail",
        reference="PO #4713",
        channel="api",
        priority=5,
        partial=False,
        currency="EUR",
        lines=(
            OrderLine(
                line_id="1",
                item_id="SKU-55010",
                quantity=2500,
                ordered=OrderedQuantity(quantity=Decimal("2.5"), unit="kg", unit_price=Decimal("1.20")),
                amount=Decimal("3.00"),
            ),
        ),
        total=Decimal("3.00"),
    ),
)

EXAMPLES = (
    Example("complete", PLACED),
    Example("least", _least),
    Example("discounted", _discounted),
    Example("successor", _successor),
    Example("measured", _measured),
    Example("first", _confirmed),
    Example("nothing-there", _waiting),
    Example("partly-served", _waiting_less),
    Example("discontinued", _rejected),
    Example("by-partner", _cancelled),
    Example("in-full", _reserved),
    Example("in-part", _some),
    Example("nothing-there", _short),
    Example("discontinued", _hopeless),
    Example("after-cancel", _released),
    Example("held-nothing", _barred),
    Example("opening", _opening),
    Example("reserved", _level),
    Example("no-location", _gone),
    Example("written-off", _less),
    Example("complete", _registered),
    Example("least", _uncategorised),
    Example("measured", _measured_item),
    Example("discontinued", _discontinued),
)
