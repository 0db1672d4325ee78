from typing import Annotated

from pydantic import Field

import crossdock_chassis

Port = Annotated[int, Field(ge=0, le=65535)]


class Settings(crossdock_chassis.Settings):
    http_port: Port = 8450
    ops_port: Port = 8451
