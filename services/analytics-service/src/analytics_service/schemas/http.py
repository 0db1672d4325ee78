"""Serve the schema of each event without a token, because tools fetch a schema by its address."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from analytics_service.schemas.model import File, NoSuchSchema, Published
from crossdock_chassis import IfNoneMatch, Page, Problem, errors, etag, provided

MEDIA_TYPE: Final = "application/schema+json"
EXAMPLE: Final = "crossdock.OrderPlaced.v1"

NO_SUCH_SCHEMA: Final = Problem(404, "no-such-schema", "No event has this type. GET /v1/schemas lists all types.")
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {NoSuchSchema: NO_SUCH_SCHEMA}


@dataclass(frozen=True, slots=True)
class Schemas:
    published: Mapping[str, Published]

    def of(self, ce_type: str) -> Published:
        """Return the files of a type. Raise NoSuchSchema."""
        if (found := self.published.get(ce_type)) is None:
            raise NoSuchSchema(ce_type)
        return found


SchemasDep = Annotated[Schemas, provided(Schemas)]
EventType = Annotated[str, Path(max_length=128, description="Name and major version", examples=[EXAMPLE])]


class SchemaSummary(BaseModel):
    """A type of event. Partners see it if `visible_to_partner` names the field that holds the partner."""

    type: str = Field(examples=[EXAMPLE])
    topic: str = Field(examples=["crossdock.orders.v1"])
    stability: str = Field(description="`stable` changes in compatible ways only; `draft` may change its shape")
    visible_to_partner: str | None
    schema_path: str = Field(examples=[f"/v1/schemas/{EXAMPLE}"])
    examples_path: str = Field(examples=[f"/v1/schemas/{EXAMPLE}/examples"])


router = APIRouter(prefix="/v1/schemas", tags=["schemas"])


def _shows(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    tag = {"ETag": {"description": "The version of the document", "schema": {"type": "string"}}}
    content = {media_type: {"schema": {"type": "object"}}}
    return {
        200: {"description": description, "headers": tag, "content": content},
        304: {"description": "Your copy is current", "headers": tag},
    }


def _answer(file: File, copy: IfNoneMatch, media_type: str) -> Response:
    return copy.answer(etag(file.version), file.content, media_type)


@router.get("", summary="List the types of events")
async def list_schemas(schemas: SchemasDep) -> Page[SchemaSummary]:
    """Return all types, without a token. Types are added, and never removed."""
    return Page(
        items=[
            SchemaSummary(
                type=ce_type,
                topic=each.contract.topic.name,
                stability=each.contract.stability,
                visible_to_partner=each.contract.visible_to_partner,
                schema_path=f"/v1/schemas/{ce_type}",
                examples_path=f"/v1/schemas/{ce_type}/examples",
            )
            for ce_type, each in schemas.published.items()
        ]
    )


@router.get(
    "/{type}",
    summary="Show the schema of an event",
    response_class=Response,
    responses={**_shows(MEDIA_TYPE, "JSON Schema 2020-12 of the data"), **errors(NO_SUCH_SCHEMA)},
)
async def get_schema(type: EventType, copy: IfNoneMatch, schemas: SchemasDep) -> Response:
    """Return the newest schema for consumers, without a token. It accepts the data of all earlier revisions."""
    return _answer(schemas.of(type).schema, copy, MEDIA_TYPE)


@router.get(
    "/{type}/examples",
    summary="Show examples of an event",
    response_class=Response,
    responses={**_shows("application/json", "Structured CloudEvents by label"), **errors(NO_SUCH_SCHEMA)},
)
async def get_examples(type: EventType, copy: IfNoneMatch, schemas: SchemasDep) -> Response:
    """Return structured CloudEvents by label, without a token. `data` is the value of the Kafka record."""
    return _answer(schemas.of(type).examples, copy, "application/json")
