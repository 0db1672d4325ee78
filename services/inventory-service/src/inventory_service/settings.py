from datetime import timedelta
from typing import Annotated

from pydantic import Field

import crossdock_chassis

Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(crossdock_chassis.Settings):
    http_port: Port = 8420
    ops_port: Port = 8421

    backorder_earmark_after: Annotated[timedelta, Field(gt=timedelta(0))] = timedelta(days=1)
    """A whole order that has waited longer than this earmarks the stock that arrives for it."""
    release_seconds: Annotated[float, Field(gt=0)] = 0.2
    """The shortest interval between two runs that serve the release queue. A change that fills it wakes the job."""
    release_limit: Annotated[int, Field(ge=1)] = 500
    """Backorders served in one unit. The next unit serves the rest."""
    level_seconds: Annotated[float, Field(gt=0)] = 0.25
    """The interval at which changed levels are published. A stock-out or a recovery does not wait for it."""
    import_max_bytes: Annotated[int, Field(ge=1024)] = 64 << 20
    """The largest file that can be imported. The number of its rows is not limited."""
