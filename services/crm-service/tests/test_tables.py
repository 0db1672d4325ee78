from retention_page import TABLES, rules

from crossdock_chassis import Service
from crossdock_chassis.testing import schema_differences, unlisted


async def test_migrations_create_the_declared_tables(service: Service) -> None:
    assert await schema_differences(service) == []


async def test_every_table_has_a_stated_retention(service: Service) -> None:
    async with service.database.unit() as unit:
        found = {row["relname"] for row in await unit.sql.fetch(TABLES)}
    assert found - rules().keys() == set(), "add it to docs/retention.md"


async def test_each_problem_is_listed_by_a_route(service: Service) -> None:
    assert unlisted(service) == []
