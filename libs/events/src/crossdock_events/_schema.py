from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from crossdock_events._envelope import schema_uri
from crossdock_events._event import Event

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Consumer(GenerateJsonSchema):
    """Generate the schema for readers. Properties stay open because later revisions add some. An optional property is
    absent instead of null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        described = super().default_schema(schema)
        if described.get("default", ...) is None:
            del described["default"]
        return described

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        described = super().model_schema(schema)
        described.pop("additionalProperties", None)
        return described

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def consumer_schema(contract: type[Event]) -> dict[str, Any]:
    """Return the JSON Schema 2020-12 of the data.

    `x-open-enum` lists the values known so far; later revisions add values. `enum` is final. The other `x-` keywords of
    the root are promises of the whole type.
    """
    shape = contract.model_json_schema(schema_generator=_Consumer)
    return {
        "$schema": DIALECT,
        "$id": schema_uri(contract.ce_type),
        **shape,
        "title": contract.ce_type,
        "x-topic": contract.topic.name,
        "x-key": contract.topic.key,
        "x-carries": contract.carries,
        "x-stability": contract.stability,
    }


def self_contained(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with each `$ref` replaced by its definition, for documents without `#/$defs`."""
    definitions = schema.get("$defs", {})

    def inline(value: Any) -> Any:
        if isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str):
                rest = {key: each for key, each in value.items() if key != "$ref"}
                return inline(definitions[reference.removeprefix("#/$defs/")] | rest)
            return {key: inline(each) for key, each in value.items() if key not in ("$defs", "$schema", "$id")}
        if isinstance(value, list):
            return [inline(each) for each in value]
        return value

    whole: dict[str, Any] = inline(schema)
    return whole
