"""The page of all settings: each variable, its default, and the docstring below its field."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

if TYPE_CHECKING:
    from crossdock_chassis import Service

HEAD = """\
# Settings

<!-- Generated from the settings of the services: `make generate`. -->

A process reads its settings from its environment. `CROSSDOCK_X_FILE` names a file with the value of `CROSSDOCK_X`.
[Settings that production needs](../settings.md) explains the connections to PostgreSQL and Kafka.

## Every service
"""


def page(services: Mapping[str, "Service"]) -> str:
    """Return the settings that all services have, then those of each."""
    from crossdock_chassis import Settings  # noqa: PLC0415  (a slow import that commands about processes do not need)

    lines = [*HEAD.splitlines(), "", *_table(Settings, Settings.model_fields)]
    for name, service in services.items():
        own = type(service.settings)
        lines += ["", f"## {name}", "", *_table(own, own.__annotations__)]
    return "\n".join(lines) + "\n"


def _table(settings: type[BaseModel], names: Mapping[str, Any]) -> Iterator[str]:
    yield "| variable | default | |"
    yield "|---|---|---|"
    texts = {name: text for each in reversed(settings.__mro__) for name, text in _docstrings(each).items()}
    for name in names:
        text = texts.get(name, "").replace("|", "\\|")
        yield f"| `CROSSDOCK_{name.upper()}` | {_default(settings, name)} | {text} |"


def _default(settings: type[BaseModel], name: str) -> str:
    field = settings.model_fields[name]
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined or field.default is None or not str(field.default):
        return ""
    return f"`{field.default}`"


def _docstrings(cls: type) -> dict[str, str]:
    """Return the docstring of each field that the class itself declares, in one line."""
    if not issubclass(cls, BaseModel) or cls.__module__.startswith("pydantic"):
        return {}
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            found[field.target.id] = " ".join(str(ast.literal_eval(text.value)).split())
    return found
