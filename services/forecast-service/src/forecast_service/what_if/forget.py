"""Forget what-ifs minutes after they were asked."""

from typing import Final

from crossdock_chassis import Unit

KEPT_SECONDS: Final = 600.0

FORGET: Final = "DELETE FROM what_ifs WHERE asked_at < now() - make_interval(secs => $1)"


async def forget_what_ifs(unit: Unit) -> None:
    await unit.sql.execute(FORGET, KEPT_SECONDS)
