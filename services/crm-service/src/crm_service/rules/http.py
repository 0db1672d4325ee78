"""Rules over HTTP, for staff."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from crm_service.cases.model import Kind
from crm_service.cases.open import Severity, Text
from crm_service.conventions import CRM, Name, Staff
from crm_service.rules import views
from crm_service.rules.change import Changed, DeleteRule, NoSuchRule, SetRule
from crm_service.rules.store import Rule
from crm_service.rules.views import DAY, RuleList, Trouble
from crossdock_chassis import COMMAND_PROBLEMS, Coalescer, Database, Problem, errors, provided

NO_SUCH_RULE: Final = Problem(404, "no-such-rule", "There is no rule with this name")
PROBLEMS: Final[Mapping[type[Exception], Problem]] = {NoSuchRule: NO_SUCH_RULE}


class RuleIn(BaseModel):
    """When a case is opened, and which. `notice` is mailed to the customer first."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "trouble": "backordered",
                    "after_days": 3,
                    "subject": "Your order waits for stock",
                    "notice": "Your order waits for stock. We write again as soon as it is complete.",
                }
            ]
        },
    )

    trouble: Trouble
    after_days: Annotated[float, Field(ge=0, le=365, description="How long the trouble has lasted")]
    kind: Annotated[Kind, Field(strict=False)] = Kind.COMPLAINT
    severity: Severity = "normal"
    category: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,63}$")] | None = None
    subject: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    notice: Text


@dataclass(frozen=True, slots=True)
class Rules:
    """The dependencies of the routes."""

    database: Database
    change: Coalescer[SetRule | DeleteRule, Changed]

    async def show(self) -> RuleList:
        async with self.database.unit() as unit:
            return await views.find(unit.sql)


RulesDep = Annotated[Rules, provided(Rules)]
RuleName = Annotated[Name, Path()]
router = APIRouter(prefix="/v1/rules", tags=["rules"])


@router.get("", summary="List the rules that open cases, and what they did")
async def get_rules(caller: Staff, rules: RulesDep) -> RuleList:
    return await rules.show()


@router.put("/{name}", dependencies=CRM, responses=errors(*COMMAND_PROBLEMS), summary="Make or change a rule")
async def put_rule(name: RuleName, body: RuleIn, caller: Staff, rules: RulesDep) -> RuleList:
    """Store the rule. It opens one case per order, and only for trouble that begins after it was made."""
    fields = body.model_dump(exclude={"after_days"})
    rule = Rule(name=name, after_seconds=round(body.after_days * DAY), **fields)
    await rules.change(SetRule(rule, caller.actor))
    return await rules.show()


@router.delete("/{name}", dependencies=CRM, responses=errors(NO_SUCH_RULE, *COMMAND_PROBLEMS), summary="Delete a rule")
async def delete_rule(name: RuleName, caller: Staff, rules: RulesDep) -> RuleList:
    """Delete the rule. Its cases stay. A later rule with the same name opens no second case for an order."""
    await rules.change(DeleteRule(name, caller.actor))
    return await rules.show()
