from typing import Annotated

from pydantic import Field

import crossdock_chassis

Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(crossdock_chassis.Settings):
    # Not 8430: the ops port of that worker would be 8432, the port of PostgreSQL.
    http_port: Port = 8440
    ops_port: Port = 8441
