"""Gauges of the groups of our services, for alerts: those of a dead worker vanish with it."""

from typing import Final

from analytics_service.consumers.views import KNOWN_FOR
from crossdock_chassis import GROUP_LAG_MESSAGES, GROUP_LAG_SECONDS, Unit

MEASURE_SECONDS: Final = 15.0
LAGS: Final = """
    SELECT name, lag, unread_since FROM kafka_group
    WHERE owner IS NOT NULL AND lag IS NOT NULL AND NOT replaced AND forgotten_at IS NULL AND answered_at >= $1
"""


async def measure_groups(unit: Unit) -> None:
    """Set the lag of each group that Kafka has shown lately. Other groups have no series: their lag is not known."""
    rows = await unit.sql.fetch(LAGS, unit.now - KNOWN_FOR)
    GROUP_LAG_MESSAGES.clear()
    GROUP_LAG_SECONDS.clear()
    for row in rows:
        since = row["unread_since"]
        seconds = 0.0 if since is None or not row["lag"] else max(0.0, (unit.now - since).total_seconds())
        GROUP_LAG_MESSAGES.labels(row["name"]).set(row["lag"])
        GROUP_LAG_SECONDS.labels(row["name"]).set(seconds)
