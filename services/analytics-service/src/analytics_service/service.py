"""Wire analytics-service, which shows what happens: it reads the events of all services and owns none of them."""

from analytics_service import checks, migrations, reactions, tables
from analytics_service.asking import Services
from analytics_service.attention import feature as attention
from analytics_service.consumers import feature as consumers
from analytics_service.diagnosis import feature as diagnosis
from analytics_service.levels import feature as levels
from analytics_service.log import feature as log
from analytics_service.log.keep import Keeper
from analytics_service.orders import feature as orders
from analytics_service.schemas import feature as schemas
from analytics_service.search import feature as search
from analytics_service.settings import Settings
from analytics_service.sign_in import feature as sign_in
from analytics_service.topics import feature as topics
from analytics_service.trace import feature as trace
from crossdock_chassis import Database, Service

__all__ = ["Settings", "build"]


def build(settings: Settings) -> Service:
    database = Database(
        settings.postgres, source="analytics-service", pool_size=settings.pool_size, direct=settings.postgres_direct
    )
    services = Services(settings.services)
    return Service(
        name="analytics-service",
        settings=settings,
        database=database,
        metadata=tables.Base.metadata,
        migrations=migrations,
        features=[
            log.feature(database, settings),
            orders.feature(database),
            trace.feature(database),
            diagnosis.feature(database, settings, services),
            levels.feature(database),
            attention.feature(database, settings, services),
            search.feature(database),
            consumers.feature(database, settings),
            schemas.feature(),
            topics.feature(database, services),
            sign_in.feature(database, settings),
        ],
        projections=reactions.PROJECTIONS,
        log=Keeper(database),
        checks=checks.CHECKS,
        watches=["*"],
    )
