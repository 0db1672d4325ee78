"""Items: registered, shown and changed over HTTP."""

from crossdock_chassis import Coalescer, Database, Feature, each
from inventory_service.conventions import Registered
from inventory_service.items import http
from inventory_service.items.change import change_item
from inventory_service.items.register import register_items
from inventory_service.items.views import ItemView
from inventory_service.settings import Settings


def feature(database: Database, settings: Settings) -> Feature:
    items = http.Items(
        database=database,
        register=Coalescer(database, register_items, Registered[ItemView], limit=settings.batch_limit),
        change=Coalescer(database, each(change_item), ItemView, limit=1, name="change_item"),
    )
    return Feature(routers=[http.router], provides=[items], problems=http.PROBLEMS)
