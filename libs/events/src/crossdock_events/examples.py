"""Realistic messages of each type, for the documentation, the golden files and tests.

`freeze` writes each message to `examples/<type>.<label>.json` for ever. Do not change a message after the commit of its
file; add another label instead. Together the messages follow four orders: one is reserved in full, one in part, one is
rejected and one is cancelled.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from crossdock_events._envelope import Cause, Envelope
from crossdock_events._event import Event
from crossdock_events.cases import (
    ComplaintAssigned,
    ComplaintClosed,
    ComplaintEscalated,
    ComplaintMerged,
    ComplaintOpened,
    ComplaintReopened,
    ComplaintResolved,
    ComplaintReturnAsked,
    ComplaintTied,
    EnquiryReceived,
    ReturnedPart,
    ServiceRequested,
    SlaAtRisk,
    SlaBreached,
)
from crossdock_events.customers import (
    ConsentChanged,
    CustomerRegistered,
    CustomersMerged,
    CustomersUnmerged,
    CustomerUpdated,
)
from crossdock_events.forecasts import (
    DemandOutlierDetected,
    ForecastAccuracyMeasured,
    ForecastAtLag,
    ForecastBiasDetected,
    ForecastOverridden,
    ForecastQuantile,
    ForecastUpdated,
    ModelChanged,
)
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


@dataclass(frozen=True, slots=True)
class Example:
    label: str
    envelope: Envelope[Event]


_BEGIN = datetime(2026, 3, 2, 8, 30, 0, 125000, tzinfo=UTC)
_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def _uuid7(at: datetime, number: int) -> UUID:
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (0x2 << 62) | (number * 0x9E3779B97F4A7C15 & (1 << 62) - 1))


def _fact(number: int, sequence: int, event: Event, after: Envelope[Event] | None = None) -> Envelope[Event]:
    """Return fact `number` of the story, 40 ms after the previous fact. `after` is the cause."""
    at = _BEGIN + timedelta(milliseconds=40 * number)
    id = _uuid7(at, number)
    cause = after.as_cause() if after else Cause(_uuid7(at, 1000 + number), None, _TRACE)
    return Envelope(event, id, event.topic.owner, at, sequence, cause)


def _orders(story: int) -> UUID:
    return _uuid7(_BEGIN, 2000 + story)


_registered = _fact(
    1, 1, ItemRegistered(item_id="SKU-20417", unit_of_measure="each", category="household", status="active")
)
_uncategorised = _fact(2, 1, ItemRegistered(item_id="SKU-88001", unit_of_measure="kg", status="active"))
_discontinued = _fact(
    3, 2, ItemChanged(item_id="SKU-30977", unit_of_measure="case", category="beverages", status="discontinued")
)
_opening = _fact(
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
_gone = _fact(5, 7, StockLevelChanged(item_id="SKU-30977", levels=(), available=0, causes=("adjustment",)))

_full = {"order_id": _orders(1), "partner": "acme-retail", "reference": "PO-2026-004711"}
_placed = _fact(
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
_reserved = _fact(
    11,
    1,
    StockReserved(
        order_id=_orders(1),
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
    _placed,
)
_level = _fact(
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
    _placed,
)
_confirmed = _fact(13, 2, OrderConfirmed(**_full), _reserved)
_less = _fact(
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

_discounted = _fact(
    14,
    1,
    OrderPlaced(
        order_id=_orders(6),
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

_part = {"order_id": _orders(2), "partner": "acme-retail", "reference": "PO-2026-004712"}
_least = _fact(
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
_short = _fact(
    21,
    1,
    StockBackordered(
        order_id=_orders(2),
        lines=(
            ReservedLine(line_id="A", item_id="SKU-20417", requested=10, reserved=0, backordered=10, allocations=()),
        ),
    ),
    _least,
)
_waiting = _fact(
    22,
    2,
    OrderBackordered(
        **_part, lines=(WaitingLine(line_id="A", item_id="SKU-20417", requested=10, reserved=0, backordered=10),)
    ),
    _short,
)
_some = _fact(
    23,
    2,
    StockReserved(
        order_id=_orders(2),
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
_waiting_less = _fact(
    24,
    3,
    OrderBackordered(
        **_part, lines=(WaitingLine(line_id="A", item_id="SKU-20417", requested=10, reserved=7, backordered=3),)
    ),
    _some,
)

_refused_lines = (RefusedLine(line_id="1", item_id="SKU-30977", reason="discontinued_item"),)
_hopeless = _fact(30, 1, StockRejected(order_id=_orders(3), reason="discontinued_item", lines=_refused_lines), None)
_rejected = _fact(
    31,
    2,
    OrderRejected(
        order_id=_orders(3),
        partner="globex",
        reference="4500017",
        reason="discontinued_item",
        lines=_refused_lines,
    ),
    _hopeless,
)

_cancelled = _fact(
    40,
    3,
    OrderCancelled(order_id=_orders(4), partner="globex", reference="4500018", reason="partner_request"),
)
_released = _fact(
    41,
    2,
    StockReleased(
        order_id=_orders(4),
        reason="cancelled",
        lines=(ReleasedLine(line_id="1", item_id="SKU-20417", location_id="WH-EAST", quantity=3),),
    ),
    _cancelled,
)
_barred = _fact(42, 1, StockReleased(order_id=_orders(5), reason="cancelled", lines=()), _cancelled)

_successor = _fact(
    43,
    1,
    OrderPlaced(
        order_id=_orders(7),
        partner="globex",
        reference="4500018",
        replaces=_orders(4),
        channel="api",
        priority=5,
        partial=False,
        currency="EUR",
        lines=(OrderLine(line_id="1", item_id="SKU-20417", quantity=2, amount=Decimal("7.00")),),
        total=Decimal("7.00"),
    ),
)

_measured_item = _fact(
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
_measured = _fact(
    51,
    1,
    OrderPlaced(
        order_id=_orders(8),
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

_forecast = _fact(
    52,
    1,
    ForecastUpdated(
        series_id=UUID("5b0a3c0e-6a55-5d0e-8c0c-1f2f6a1a7c11"),
        item_id="SKU-10042",
        unit_of_measure="each",
        origin=date(2026, 3, 3),
        mean=(4.2, 3.9, 4.6),
        quantiles=(
            ForecastQuantile(level=0.5, daily=(4.0, 4.0, 4.0), cumulative=(4.0, 8.0, 12.0)),
            ForecastQuantile(level=0.9, daily=(8.0, 7.0, 8.0), cumulative=(8.0, 13.0, 18.0)),
        ),
        model="median",
        combined=("theta", "ets", "ridge"),
        demand_class="smooth",
        run_id=_uuid7(_BEGIN, 2052),
    ),
)
_forecast_of_place = _fact(
    53,
    7,
    ForecastUpdated(
        series_id=UUID("9d8a4b52-08b5-5f43-a7b1-7b0f0c2a9e40"),
        item_id="SKU-10042",
        location_id="dc-north",
        region="US-OR",
        unit_of_measure="each",
        origin=date(2026, 3, 3),
        mean=(0.2,),
        quantiles=(ForecastQuantile(level=0.9, daily=(1.0,), cumulative=(1.0,)),),
        model="seasonal_naive",
        demand_class="intermittent",
        run_id=_uuid7(_BEGIN, 2052),
    ),
)
_outlier = _fact(
    97,
    2,
    DemandOutlierDetected(
        series_id=UUID("5b0a3c0e-6a55-5d0e-8c0c-1f2f6a1a7c11"),
        item_id="SKU-10042",
        unit_of_measure="each",
        day=date(2026, 3, 2),
        demand=120.0,
        usual=4.0,
        run_id=_uuid7(_BEGIN, 2052),
    ),
)
_model_changed = _fact(
    54,
    8,
    ModelChanged(
        series_id=UUID("5b0a3c0e-6a55-5d0e-8c0c-1f2f6a1a7c11"),
        item_id="SKU-10042",
        origin=date(2026, 3, 10),
        run_id=_uuid7(_BEGIN, 2061),
        model="weighted",
        combined=("dynamic_theta", "ridge"),
        earlier_model="seasonal_average",
        reason="weekly",
        error=0.71,
        earlier_error=0.78,
    ),
)
_overridden_forecast = _fact(
    90,
    8,
    ForecastUpdated(
        series_id=UUID("5b0a3c0e-6a55-5d0e-8c0c-1f2f6a1a7c11"),
        item_id="SKU-10042",
        unit_of_measure="each",
        origin=date(2026, 3, 3),
        mean=(8.0, 4.0),
        quantiles=(ForecastQuantile(level=0.9, daily=(13.0, 8.0), cumulative=(13.0, 19.0)),),
        model="theta",
        demand_class="smooth",
        run_id=_uuid7(_BEGIN, 2052),
        overrides=(_uuid7(_BEGIN, 2053),),
        model_mean=(4.0, 4.0),
    ),
)
_override_of_item = _fact(
    91,
    1,
    ForecastOverridden(
        override_id=_uuid7(_BEGIN, 2053),
        level="item",
        item_id="SKU-10042",
        kind="percent",
        value=100.0,
        first_day=date(2026, 3, 3),
        last_day=date(2026, 3, 3),
        series=1,
        status="in_force",
    ),
)
_override_of_category = _fact(
    92,
    2,
    ForecastOverridden(
        override_id=_uuid7(_BEGIN, 2054),
        level="category",
        category="household",
        location_id="berlin",
        kind="absolute",
        value=1200.0,
        first_day=date(2026, 3, 9),
        last_day=date(2026, 3, 15),
        expires_at=datetime(2026, 3, 8, tzinfo=UTC),
        series=40,
        status="withdrawn",
    ),
)
_measured_forecast = _fact(
    93,
    31,
    ForecastAccuracyMeasured(
        series_id=UUID("5b0a3c0e-6a55-5d0e-8c0c-1f2f6a1a7c11"),
        item_id="SKU-10042",
        day=date(2026, 3, 3),
        unit_of_measure="each",
        actual=7.0,
        lags=(
            ForecastAtLag(lag=1, forecast=8.0, model=4.2, naive=5.0),
            ForecastAtLag(lag=7, forecast=3.9, model=3.9, naive=4.0),
        ),
    ),
)
_measured_in_region = _fact(
    94,
    1,
    ForecastAccuracyMeasured(
        series_id=UUID("9d8a4b52-08b5-5f43-a7b1-7b0f0c2a9e40"),
        item_id="SKU-10042",
        region="US-OR",
        day=date(2026, 3, 3),
        unit_of_measure="each",
        actual=0.0,
        lags=(ForecastAtLag(lag=1, forecast=0.2, model=0.2, naive=0.0),),
    ),
)
_biased = _fact(
    95,
    32,
    ForecastBiasDetected(
        series_id=UUID("5b0a3c0e-6a55-5d0e-8c0c-1f2f6a1a7c11"),
        item_id="SKU-10042",
        day=date(2026, 3, 3),
        direction="over",
        tracking_signal=4.2,
        days=56,
    ),
)
_unbiased = _fact(
    96,
    2,
    ForecastBiasDetected(
        series_id=UUID("9d8a4b52-08b5-5f43-a7b1-7b0f0c2a9e40"),
        item_id="SKU-10042",
        location_id="dc-north",
        region="US-OR",
        day=date(2026, 3, 3),
        direction="none",
        tracking_signal=-1.9,
        days=20,
    ),
)

_met = _fact(
    54,
    1,
    CustomerRegistered(
        customer_id=_uuid7(_BEGIN, 54), kind="person", origin="order", partner="acme", external_id="C-7731"
    ),
    _placed,
)
_account = _fact(
    55,
    1,
    CustomerRegistered(customer_id=_uuid7(_BEGIN, 55), kind="account", origin="order", partner="acme"),
    _placed,
)
_wrote = _fact(56, 1, CustomerRegistered(customer_id=_uuid7(_BEGIN, 56), kind="person", origin="mail"))
_described = _fact(57, 2, CustomerUpdated(customer_id=_uuid7(_BEGIN, 54), parts=("profile", "channels")))
_imported = _fact(
    175,
    1,
    CustomerRegistered(
        customer_id=_uuid7(_BEGIN, 175), kind="person", origin="import", partner="acme", external_id="C-7732"
    ),
)
_moved = _fact(171, 3, CustomerUpdated(customer_id=_uuid7(_BEGIN, 54), parts=("addresses", "merged")))
_merged = _fact(173, 2, CustomersMerged(customer_id=_uuid7(_BEGIN, 56), into=_uuid7(_BEGIN, 54)))
_parted = _fact(174, 3, CustomersUnmerged(customer_id=_uuid7(_BEGIN, 56), out_of=_uuid7(_BEGIN, 54)), _merged)
_opted_out = _fact(
    172,
    4,
    ConsentChanged(
        customer_id=_uuid7(_BEGIN, 54), purpose="marketing", channel="email", state="withdrawn", source="phone_call"
    ),
)

_case = {"case_id": _uuid7(_BEGIN, 58), "customer_id": UUID(_met.event.key), "partner": "acme"}
_complained = _fact(
    58,
    1,
    ComplaintOpened(**_case, channel="mail", severity="high", category="late_delivery"),
)
_tied = _fact(59, 2, ComplaintTied(**_case, order_id=UUID(_placed.event.key), line_id="1", quantity=2), _complained)
_assigned = _fact(60, 3, ComplaintAssigned(**_case))
_at_risk = _fact(61, 4, SlaAtRisk(**_case, clock="first_answer", due_at=_BEGIN, noticed_at=_BEGIN))
_breached = _fact(62, 5, SlaBreached(**_case, clock="first_answer", due_at=_BEGIN, noticed_at=_BEGIN))
_resolved = _fact(63, 6, ComplaintResolved(**_case))
_reopened = _fact(64, 7, ComplaintReopened(**_case, reason="reply"))
_closed = _fact(65, 8, ComplaintClosed(**_case, root_cause="lost_in_transit"))
_escalated = _fact(80, 9, ComplaintEscalated(**_case, level=1, reason="clock"))
_return_asked = _fact(
    81,
    10,
    ComplaintReturnAsked(
        **_case,
        order_id=UUID(_placed.event.key),
        parts=(ReturnedPart(line_id="1", quantity=2),),
        reason="damaged",
        wish="replacement",
    ),
)
_merged_into = _fact(82, 11, ComplaintMerged(**_case, into=_uuid7(_BEGIN, 66)))
_asked = _fact(
    66,
    1,
    EnquiryReceived(case_id=_uuid7(_BEGIN, 66), customer_id=UUID(_wrote.event.key), channel="mail", severity="normal"),
)
_service = _fact(
    67,
    1,
    ServiceRequested(
        case_id=_uuid7(_BEGIN, 67), customer_id=UUID(_wrote.event.key), channel="phone", severity="normal"
    ),
)

EXAMPLES = (
    Example("complete", _placed),
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
    Example("of-an-item", _forecast),
    Example("of-a-place", _forecast_of_place),
    Example("far-above", _outlier),
    Example("weekly", _model_changed),
    Example("overridden", _overridden_forecast),
    Example("of-an-item", _override_of_item),
    Example("of-a-category", _override_of_category),
    Example("of-an-item", _measured_forecast),
    Example("in-a-region", _measured_in_region),
    Example("raised", _biased),
    Example("cleared", _unbiased),
    Example("by-an-order", _met),
    Example("of-a-partner", _account),
    Example("by-mail", _wrote),
    Example("described", _described),
    Example("imported", _imported),
    Example("moved", _moved),
    Example("opted-out", _opted_out),
    Example("merged", _merged),
    Example("parted", _parted),
    Example("by-mail", _complained),
    Example("a-line", _tied),
    Example("to-a-person", _assigned),
    Example("first-answer", _at_risk),
    Example("first-answer", _breached),
    Example("answered", _resolved),
    Example("by-a-reply", _reopened),
    Example("with-cause", _closed),
    Example("by-a-clock", _escalated),
    Example("a-line", _return_asked),
    Example("into-another", _merged_into),
    Example("by-mail", _asked),
    Example("by-phone", _service),
)
