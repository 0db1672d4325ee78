"""Render templates in Liquid, within limits. Importing it costs 0.3 s and 20 MB, so only functions import it."""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Final

from liquid import BoundTemplate, Environment, StrictUndefined
from liquid.exceptions import LiquidError

from crm_service.templates.model import MAX_SUBJECT, VARIABLES, BadTemplate, Rendered, Template

TAGS: Final = ("#", "assign", "case", "comment", "content", "for", "if", "illegal", "output", "unless")
FILTERS: Final = ("capitalize", "default", "downcase", "escape", "strip", "truncate", "upcase")
"""None of them makes a text longer than by a constant factor. A chain of `replace` would fill the memory."""


class _Limited(Environment):
    block_nesting_limit = 5
    context_depth_limit = 5
    loop_iteration_limit = 1_000
    local_namespace_limit = 50_000
    output_stream_limit = 100_000

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        self.tags = {name: self.tags[name] for name in TAGS}
        self.filters = {name: self.filters[name] for name in FILTERS}


def check(name: str, template: Template) -> None:
    """Raise BadTemplate, with the pointer of the member, unless the template can be rendered."""
    known = VARIABLES[name]
    for pointer, source in (("/subject", template.subject), ("/text", template.text)):
        parsed = _checked(pointer, source)
        for variable, places in parsed.analyze().globals.items():
            if variable not in known:
                line = source.count("\n", 0, places[0].span.index) + 1
                detail = f"line {line} names {variable}; {name} has {', '.join(sorted(known))}"
                raise BadTemplate(pointer, detail, "unknown_variable")
        try:
            parsed.render(**dict.fromkeys(known, "x"))
        except (LiquidError, RecursionError) as error:
            raise BadTemplate(pointer, _reason(error), "not_renderable") from None


def render(template: Template, data: Mapping[str, Any]) -> Rendered:
    """Render a template. Raise liquid's error beyond a limit, or if `data` lacks what the template names."""
    subject = " ".join(_parsed(template.subject).render(**data).split())
    return Rendered(subject[:MAX_SUBJECT], _parsed(template.text).render(**data).strip())


def _checked(pointer: str, source: str) -> BoundTemplate:
    try:
        return _parsed(source)
    except (LiquidError, RecursionError) as error:
        raise BadTemplate(pointer, _reason(error), "not_liquid") from None


@cache
def _environment() -> Environment:
    return _Limited(undefined=StrictUndefined)


@lru_cache(maxsize=256)
def _parsed(source: str) -> BoundTemplate:
    return _environment().from_string(source)


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0][:200] or "its expressions are nested too deep"
