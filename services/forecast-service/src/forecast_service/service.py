"""Wire forecast-service, which counts demand by day and forecasts it."""

from crossdock_chassis import Database, Service
from forecast_service import checks, migrations, reactions, tables
from forecast_service.accuracy import feature as accuracy
from forecast_service.calendar import feature as calendar
from forecast_service.cleaning import feature as cleaning
from forecast_service.demand import feature as demand
from forecast_service.drivers import feature as drivers
from forecast_service.forecasts import feature as forecasts
from forecast_service.hierarchy import feature as hierarchy
from forecast_service.introductions import feature as introductions
from forecast_service.overrides import feature as overrides
from forecast_service.runs import feature as runs
from forecast_service.series import feature as series
from forecast_service.settings import Settings
from forecast_service.what_if import feature as what_if

__all__ = ["Settings", "build"]


def build(settings: Settings) -> Service:
    database = Database(
        settings.postgres, source="forecast-service", pool_size=settings.pool_size, direct=settings.postgres_direct
    )
    return Service(
        name="forecast-service",
        settings=settings,
        database=database,
        metadata=tables.Base.metadata,
        migrations=migrations,
        features=[
            demand.feature(database, settings),
            forecasts.feature(database),
            overrides.feature(database),
            runs.feature(database, settings),
            accuracy.feature(database, settings),
            calendar.feature(database),
            drivers.feature(database),
            series.feature(database, settings),
            hierarchy.feature(database),
            introductions.feature(database, settings),
            what_if.feature(database, settings),
            cleaning.feature(database),
        ],
        projections=reactions.projections(settings.zones),
        checks=checks.checks(settings.zones),
        unsettled=checks.UNSETTLED,
    )
