"""Templates over HTTP: staff list them, and change them by name and locale."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from crm_service.conventions import CRM, Staff
from crm_service.templates import store
from crm_service.templates.change import SetTemplate, TemplateSet
from crm_service.templates.model import MAX_SOURCE, MAX_SUBJECT, VARIABLES, BadTemplate, NoSuchTemplate, Template
from crossdock_chassis import COMMAND_PROBLEMS, INVALID, Coalescer, Database, Problem, errors, provided

NO_SUCH_TEMPLATE: Final = Problem(404, "no-such-template", "There is no such template")
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {NoSuchTemplate: NO_SUCH_TEMPLATE, BadTemplate: INVALID}
Name = Annotated[str, Path(pattern="^[a-z][a-z_]{0,31}$", examples=["acknowledgement"])]
Locale = Annotated[
    str, Path(pattern="^[a-z]{2}(-[A-Z]{2})?$", examples=["zh"], description="A language, or with a region")
]


class TemplateIn(BaseModel):
    """A subject of one line and a plain text, in Liquid. Only what the template lists as variables can be named."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"subject": "Thank you [#{{ number }}]", "text": "We have your message."}]},
    )

    subject: Annotated[str, Field(min_length=1, max_length=MAX_SUBJECT, pattern=r"^[^\x00-\x1f\x7f]+$")]
    text: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE, pattern=r"^[^\x00]+$")]


class TemplateView(BaseModel):
    name: str
    locale: str
    subject: str
    text: str
    stored: Annotated[bool, Field(description="Whether it replaces the shipped one")]
    variables: Annotated[list[str], Field(description="What it may name")]


class TemplateList(BaseModel):
    items: list[TemplateView]


@dataclass(frozen=True, slots=True)
class Templates:
    """The dependencies of the routes."""

    database: Database
    change: Coalescer[SetTemplate, TemplateSet]

    async def show(self) -> TemplateList:
        async with self.database.unit() as unit:
            found = await store.all_of(unit.sql)
        items = [
            TemplateView(
                name=name,
                locale=locale,
                subject=template.subject,
                text=template.text,
                stored=stored,
                variables=sorted(VARIABLES.get(name, ())),
            )
            for name, locale, template, stored in found
        ]
        return TemplateList(items=items)


TemplatesDep = Annotated[Templates, provided(Templates)]
router = APIRouter(prefix="/v1/templates", tags=["templates"])


@router.get("", summary="List the templates of mails")
async def get_templates(caller: Staff, templates: TemplatesDep) -> TemplateList:
    return await templates.show()


@router.put(
    "/{name}/{locale}",
    dependencies=CRM,
    responses=errors(NO_SUCH_TEMPLATE, INVALID, *COMMAND_PROBLEMS),
    summary="Replace a template",
)
async def put_template(
    name: Name, locale: Locale, body: TemplateIn, caller: Staff, templates: TemplatesDep
) -> TemplateSet:
    """Mails that are written from now on use it."""
    template = Template(body.subject, body.text)
    return (await templates.change(SetTemplate(name, locale, template, caller.actor))).result


@router.delete(
    "/{name}/{locale}",
    dependencies=CRM,
    responses=errors(NO_SUCH_TEMPLATE, *COMMAND_PROBLEMS),
    summary="Go back to the shipped template",
)
async def delete_template(name: Name, locale: Locale, caller: Staff, templates: TemplatesDep) -> TemplateSet:
    return (await templates.change(SetTemplate(name, locale, None, caller.actor))).result
