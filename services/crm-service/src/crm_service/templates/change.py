"""Change a template. It is checked before it is stored."""

from dataclasses import dataclass

from pydantic import BaseModel

from crm_service.templates import store
from crm_service.templates.model import VARIABLES, NoSuchTemplate, Template
from crossdock_chassis import Actor, Unit, record_action


@dataclass(frozen=True, slots=True)
class SetTemplate:
    """`template` is None to go back to the shipped one."""

    name: str
    locale: str
    template: Template | None
    by: Actor


class TemplateSet(BaseModel):
    name: str
    locale: str


async def set_template(unit: Unit, command: SetTemplate) -> TemplateSet:
    """Store the template, or drop it. Raise NoSuchTemplate, BadTemplate."""
    name, locale = command.name, command.locale
    if name not in VARIABLES:
        raise NoSuchTemplate(f"There is no template {name}")
    if command.template is not None:
        from crm_service.templates import engine  # noqa: PLC0415  (see its docstring)

        engine.check(name, command.template)
        await store.keep(unit, name, locale, command.template)
    elif not await store.drop(unit, name, locale):
        raise NoSuchTemplate(f"No template {name} is stored for {locale}")
    action = "template:drop" if command.template is None else "template:set"
    await record_action(unit, command.by, action, f"/v1/templates/{name}/{locale}")
    return TemplateSet(name=name, locale=locale)
