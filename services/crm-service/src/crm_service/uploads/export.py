"""Write all customers as the CSV file that an import reads."""

import csv
import io
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

from crm_service.customers import views
from crm_service.customers.listing import Wanted
from crm_service.customers.personal import Eyes
from crm_service.customers.views import CustomerView
from crm_service.uploads.kinds import customers
from crossdock_chassis import Database

PAGE: Final = 500
LINKS: Final = """
    SELECT root, (SELECT min(name) FROM partners WHERE partners.namespace = links.namespace) AS partner, external_id
    FROM customers JOIN customer_links AS links ON links.customer_id = customers.id
    WHERE root = ANY ($1::uuid[]) ORDER BY partner, external_id
"""


async def exported(database: Database, eyes: Eyes) -> AsyncIterator[str]:
    """Yield the header, then a row for each customer id of a partner, page by page: the newest customers first.

    No connection is held between two pages, so a slow reader blocks nobody. What changes meanwhile may be missing.
    """
    names = [column.name for column in customers().columns]
    yield _lines([names])
    cursor: str | None = None
    while True:
        async with database.unit() as unit:
            page = await views.page(unit.sql, None, cursor, PAGE, eyes, Wanted())
            links = defaultdict[UUID, list[tuple[str, str]]](list)
            for root, *link in await unit.sql.fetch(LINKS, [each.id for each in page.items]):
                links[root].append((link[0], link[1]))
        rows = [
            {"partner": partner, "external_id": external_id, **_cells(each)}
            for each in page.items
            for partner, external_id in links[each.id]
        ]
        if rows:
            yield _lines([[str(row.get(name) or "") for name in names] for row in rows])
        if (cursor := page.next) is None:
            return


def _cells(customer: CustomerView) -> dict[str, object]:
    """Return the cells that a row has room for: one mail address, one number and one postal address."""
    email, phone = (
        next((each for each in customer.channels if each.kind == kind), None) for kind in ("email", "phone")
    )
    place = next(iter(customer.addresses), None)
    return {
        "name": customer.name,
        "email": email and email.value,
        "phone": phone and phone.value,
        "region": (phone and phone.region) or customer.region,
        "born_on": customer.born_on,
        **({} if place is None else place.model_dump(include={"street", "city", "postcode", "country"})),
        "zone": customer.zone,
        "locale": customer.locale,
        "owner": customer.owner,
        "tags": " ".join(customer.tags),
    }


def _lines(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
