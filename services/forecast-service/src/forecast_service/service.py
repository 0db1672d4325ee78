"""Wire forecast-service, which says what will be asked for: demand by day, forecasts, and how good they were."""

from crossdock_chassis import Database, Service
from forecast_service import migrations, tables
from forecast_service.settings import Settings

__all__ = ["Settings", "build"]


def build(settings: Settings) -> Service:
    database = Database(settings.postgres, source="forecast-service", pool_size=settings.pool_size)
    return Service(
        name="forecast-service",
        settings=settings,
        database=database,
        metadata=tables.Base.metadata,
        migrations=migrations,
    )
