"""Demand: counted from orders by day, and imported for the time before."""

from crossdock_chassis import Coalescer, Database, Feature, Imports, each, every_in_units
from forecast_service.demand import http
from forecast_service.demand.cut_over import set_cut_over
from forecast_service.demand.forget import forget_orders
from forecast_service.demand.kinds import DEMAND, DEMAND_PARQUET
from forecast_service.demand.settle import Settle
from forecast_service.demand.views import CutOver
from forecast_service.drivers.kinds import DRIVERS
from forecast_service.settings import Settings

SETTLE_SECONDS = 60.0
FORGET_SECONDS = 3600.0


def feature(database: Database, settings: Settings) -> Feature:
    kinds = {kind.name: kind for kind in (DEMAND, DEMAND_PARQUET, DRIVERS)}
    imports = Imports(database, kinds, settings.import_max_bytes)
    cut_over = Coalescer(database, each(set_cut_over), CutOver, limit=1)
    jobs = [
        *imports.jobs,
        every_in_units(SETTLE_SECONDS, Settle(database, settings).settle),
        every_in_units(FORGET_SECONDS, forget_orders),
    ]
    return Feature(routers=[http.router, http.status], provides=[imports, http.Demand(database, cut_over)], jobs=jobs)
