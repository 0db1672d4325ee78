"""The event of an override, as its row has it."""

from typing import Any

from crossdock_events.forecasts import ForecastOverridden


def event(row: Any) -> ForecastOverridden:
    """Return the state of an override. Who made it and why stays in the database."""
    return ForecastOverridden(
        override_id=row["id"],
        level=row["level"],
        item_id=row["item_id"],
        category=row["category"],
        location_id=row["location_id"],
        kind=row["kind"],
        value=row["value"],
        first_day=row["first_day"],
        last_day=row["last_day"],
        expires_at=row["expires_at"],
        series=row["series"],
        status=row["status"],
    )
