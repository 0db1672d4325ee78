"""Make, change and delete rules."""

from dataclasses import dataclass

from pydantic import BaseModel

from crm_service.rules import store
from crm_service.rules.store import Rule
from crossdock_chassis import Actor, Unit, record_action


class NoSuchRule(Exception):
    pass


@dataclass(frozen=True, slots=True)
class SetRule:
    rule: Rule
    by: Actor


@dataclass(frozen=True, slots=True)
class DeleteRule:
    name: str
    by: Actor


class Changed(BaseModel):
    changed: bool


async def change_rules(unit: Unit, command: SetRule | DeleteRule) -> Changed:
    """Store or delete a rule. Raise NoSuchRule if it is to be deleted and there is none."""
    await store.lock_rules(unit)
    if isinstance(command, DeleteRule):
        name, action, changed = command.name, "rule:delete", True
        if not await store.forget(unit, name):
            raise NoSuchRule(f"There is no rule {name}")
    else:
        name, action = command.rule.name, "rule:set"
        changed = (await store.find(unit.sql)).get(name) != command.rule
        if changed:
            await store.keep(unit, command.rule)
    if changed:
        await record_action(unit, command.by, action, f"/v1/rules/{name}")
    return Changed(changed=changed)
