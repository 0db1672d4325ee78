"""Read and write templates: a stored one replaces the shipped one of its name and locale."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

from crm_service.templates import model
from crm_service.templates.model import LOCALES, NoSuchTemplate, Rendered, Template
from crossdock_chassis import Unit

STORED: Final = "SELECT subject, text FROM templates WHERE name = $1 AND locale = $2"
KEEP: Final = """
    INSERT INTO templates (name, locale, subject, text, changed_at) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (name, locale) DO UPDATE SET subject = excluded.subject, text = excluded.text,
        changed_at = excluded.changed_at
"""
DROP: Final = "DELETE FROM templates WHERE name = $1 AND locale = $2 RETURNING true"


async def render(unit: Unit, name: str, locale: str, data: Mapping[str, Any]) -> Rendered:
    """Render the template of a locale such as `zh` or `zh-CN`. `data` has all of `VARIABLES[name]`.

    The locale falls back to its language, then to English. Raise NoSuchTemplate.
    """
    (rendered,) = await render_all(unit, name, [(locale, data)])
    return rendered


async def render_all(unit: Unit, name: str, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Rendered]:
    """Render a template for each locale and data, as `render` does. Each locale is read once."""
    from crm_service.templates import engine  # noqa: PLC0415  (see its docstring)

    chosen = {locale: await _chosen(unit.sql, name, locale) for locale in {locale for locale, _ in asked}}
    return [engine.render(chosen[locale], data) for locale, data in asked]


async def _chosen(sql: asyncpg.Connection, name: str, locale: str) -> Template:
    for each in dict.fromkeys((locale, locale.partition("-")[0], LOCALES[0])):
        if (found := await get(sql, name, each)) is not None:
            return found[0]
    raise NoSuchTemplate(f"There is no template {name}")


async def get(sql: asyncpg.Connection, name: str, locale: str) -> tuple[Template, bool] | None:
    """Return the template and whether it is a stored one."""
    if (row := await sql.fetchrow(STORED, name, locale)) is not None:
        return Template(row["subject"], row["text"]), True
    try:
        return model.shipped(name, locale), False
    except NoSuchTemplate:
        return None


async def keep(unit: Unit, name: str, locale: str, template: Template) -> None:
    await unit.sql.execute(KEEP, name, locale, *template, unit.now)


async def drop(unit: Unit, name: str, locale: str) -> bool:
    """Drop the stored template, so that the shipped one counts again. Return whether there was one."""
    return bool(await unit.sql.fetchval(DROP, name, locale))


async def all_of(sql: asyncpg.Connection) -> list[tuple[str, str, Template, bool]]:
    """Return name, locale, template and whether it is stored, of each one."""
    rows = await sql.fetch("SELECT name, locale, subject, text FROM templates")
    found = {(name, locale): (model.shipped(name, locale), False) for name in model.VARIABLES for locale in LOCALES}
    found |= {(row["name"], row["locale"]): (Template(row["subject"], row["text"]), True) for row in rows}
    return [(*key, *value) for key, value in sorted(found.items())]
