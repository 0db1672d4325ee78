"""The JSON Schema of the fields that staff add to customers: one for the whole installation."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from crm_service.customers.bodies import FieldSchema
from crm_service.customers.change import Expected
from crossdock_chassis import Actor, Unit, record_action

CURRENT: Final = """
    SELECT version, document::text, who, at FROM customer_schemas ORDER BY version DESC LIMIT 1
"""
INSERT: Final = "INSERT INTO customer_schemas (version, document, who, at) VALUES ($1, $2::jsonb, $3, $4)"
LOCK: Final = "LOCK TABLE customer_schemas IN SHARE ROW EXCLUSIVE MODE"
PATH: Final = "/v1/customers/schema"


class SchemaView(BaseModel):
    """Version 0 declares no fields."""

    version: int
    document: FieldSchema
    who: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SetSchema:
    document: FieldSchema
    by: Actor
    expected: Expected


async def set_schema(unit: Unit, command: SetSchema) -> SchemaView:
    """Store the schema. Fields that customers have stay, and are checked when they change."""
    await unit.sql.execute(LOCK)
    before = await current(unit.sql)
    command.expected.check(before.version)
    if command.document == before.document:
        return before
    version, who, document = before.version + 1, command.by.who, command.document.document()
    await unit.sql.execute(INSERT, version, to_json(document).decode(), who, unit.now)
    after: dict[str, Any] = {"version": version, "fields": sorted(document["properties"])}
    await record_action(unit, command.by, "customer:schema", PATH, after=after)
    return SchemaView(version=version, document=command.document, who=who, at=unit.now)


async def current(sql: asyncpg.Connection) -> SchemaView:
    row = await sql.fetchrow(CURRENT)
    if row is None:
        return SchemaView(version=0, document=FieldSchema(properties={}))
    return SchemaView.model_validate({**row, "document": from_json(row["document"])})
