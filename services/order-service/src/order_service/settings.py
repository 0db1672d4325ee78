from typing import Annotated

from pydantic import Field

import crossdock_chassis

Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(crossdock_chassis.Settings):
    http_port: Port = 8410
    ops_port: Port = 8411

    answer_within_seconds: Annotated[float, Field(gt=0)] = 60.0
    """The time inventory has from an order's event on Kafka to its answer, while nothing is out of order."""
    answer_lag_limit: Annotated[int, Field(ge=0)] = 1_000
    """With more unread orders than this, inventory's silence is an outage, and no order is cancelled because of it."""
    answer_outbox_seconds: Annotated[float, Field(gt=0)] = 5.0
    """With an unpublished event older than this, our own outbox is the outage, and no order is cancelled either."""
    backorder_days: Annotated[float, Field(gt=0)] = 30.0
    """How long a backordered order waits for stock."""
