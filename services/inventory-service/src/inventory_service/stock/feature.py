"""Stock: received, adjusted, moved and shown over HTTP."""

from crossdock_chassis import Coalescer, Database, Feature, each, every, every_in_units, measured
from inventory_service.settings import Settings
from inventory_service.stock import http
from inventory_service.stock.measure import LedgerRounds
from inventory_service.stock.receive import receive_stock
from inventory_service.stock.reconciliation import fold_ledger
from inventory_service.stock.settle import settle_levels
from inventory_service.stock.store import LEVELS
from inventory_service.stock.transfer import transfer_stock
from inventory_service.stock.views import Recorded


def feature(database: Database, settings: Settings) -> Feature:
    stock = http.StockRoutes(
        database=database,
        receive=Coalescer(database, each(receive_stock), Recorded, limit=1, name="receive_stock"),
        transfer=Coalescer(database, each(transfer_stock), Recorded, limit=1, name="transfer_stock"),
    )
    return Feature(
        routers=[http.router],
        provides=[stock],
        jobs=[
            every(15, fold_ledger),
            measured(60, LedgerRounds().measure_ledger_drift),
            every_in_units(settings.level_seconds, settle_levels, woken_by=LEVELS),
        ],
        problems=http.PROBLEMS,
    )
