from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

import crossdock_chassis
from forecast_service.places import SeriesLevel, Zones

Port = Annotated[int, Field(ge=0, le=65535)]


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{value!r} is no time zone such as Europe/Berlin") from None
    return value


Zone = Annotated[str, AfterValidator(_zone)]


class Settings(crossdock_chassis.Settings):
    http_port: Port = 8450
    ops_port: Port = 8451

    time_zone: Zone = "UTC"
    """The zone of the days of orders without a destination."""
    time_zones: dict[Annotated[str, Field(pattern="^[A-Z]{2}(-.+)?$")], Zone] = Field(default_factory=dict)
    """Zones of countries and regions: JSON like {"US": "America/New_York", "US-CA": "America/Los_Angeles"}. A country
    that is not listed has its first zone in the time zone database. Rebuild the projection `demand` after a change."""
    chunk_series: Annotated[int, Field(ge=1, le=1_000)] = 50
    """Series of a run that are forecast together. They share their errors, so small chunks give worse forecasts. A
    runner that ends loses the chunk in its hands, so large ones cost more time."""
    series_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How long the forecast of one series may take. It then gets a fallback. The first one of a child also loads the
    libraries, which takes 10 s of processor time."""
    nightly_levels: list[SeriesLevel] = Field(default=["item"], min_length=1)
    """Of which series the nightly run is: JSON like ["item", "location"]. Locations multiply its time and its rows."""
    forecast_engine: Annotated[str, Field(pattern=r"^(child|dask://[^\s/]+:\d{1,5})$")] = "child"
    """Where forecasts are computed: in a child of each runner, or on the Dask cluster of a scheduler, such as
    dask://scheduler:8786."""
    import_max_bytes: Annotated[int, Field(ge=1024)] = 256 << 20
    """The largest file that can be imported. The number of its rows is not limited."""

    @property
    def zones(self) -> Zones:
        return Zones(self.time_zone, self.time_zones)
