"""Wire the feature: orders are placed, validated, shown and cancelled over HTTP, and cancelled by time."""

from datetime import timedelta
from functools import partial
from typing import Final

from crossdock_chassis import CatchUp, Coalescer, Database, Feature, each, every, every_in_units, lag, measured
from crossdock_events.items import ItemEvent
from crossdock_events.orders import OrderPlaced
from order_service.known_items.learn import KNOWN_ITEMS
from order_service.orders import deadline, http
from order_service.orders.cancel import Cancelled, cancel_order
from order_service.orders.measure import measure_waiting
from order_service.orders.place import Placed, place_orders
from order_service.orders.redact import ERASURES, redact_after
from order_service.orders.up_to_date import UpToDate
from order_service.orders.validate import Valid, validate_orders
from order_service.orders.wait import Waiters
from order_service.settings import Settings

ANSWERED_BY: Final = "inventory-service"


def feature(database: Database, settings: Settings) -> Feature:
    patience = timedelta(days=settings.backorder_days)
    batches = partial(Coalescer, limit=settings.batch_limit, queue_limit=settings.queue_limit)
    answer_deadline = deadline.AnswerDeadline(
        timedelta(seconds=settings.answer_within_seconds),
        partial(lag, settings.broker, ANSWERED_BY, OrderPlaced.topic.name),
        lag_limit=settings.answer_lag_limit,
        outbox_age=timedelta(seconds=settings.answer_outbox_seconds),
    )
    known_items = CatchUp(database, settings.broker, KNOWN_ITEMS, ItemEvent.topic.name)
    return Feature(
        routers=http.ROUTERS,
        provides=[
            http.Orders(
                database=database,
                place=UpToDate(batches(database, place_orders, Placed, optimistic=True), known_items),
                validate=UpToDate(batches(database, validate_orders, Valid), known_items),
                cancel=Coalescer(database, each(cancel_order), Cancelled, limit=1, name="cancel_order"),
                waiters=Waiters(database),
                patience=patience,
            )
        ],
        jobs=[
            every(10, answer_deadline.look),
            every(60, deadline.expire_after(patience)),
            every_in_units(1, redact_after(timedelta(days=settings.ended_after_days)), woken_by=ERASURES),
            measured(15, measure_waiting),
        ],
        problems=http.PROBLEMS,
    )
