from typing import Annotated

from pydantic import Field

import crossdock_chassis

Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(crossdock_chassis.Settings):
    http_port: Port = 8410
    ops_port: Port = 8411

    answer_within_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Cancel an order if inventory does not answer within this time after the order's event reached Kafka.

    The time does not run during an outage: see `deadline.AnswerDeadline`.
    """
    answer_lag_limit: Annotated[int, Field(ge=0)] = 1_000
    """If inventory has more unread orders than this, its silence counts as an outage: no order is cancelled."""
    answer_outbox_seconds: Annotated[float, Field(gt=0)] = 5.0
    """If an event in our outbox is older than this, the outbox counts as the outage: no order is cancelled."""
    backorder_days: Annotated[float, Field(gt=0)] = 30.0
    """Cancel a backordered order after this time without enough stock."""
    ended_after_days: Annotated[float, Field(ge=0)] = 30.0
    """Redact a confirmed order of an erased customer this long after it was confirmed.

    There is no event yet for an order that has arrived. Rejected and cancelled orders are redacted at once.
    """
