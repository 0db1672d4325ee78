"""Open the cases of rules, and write to the customer first."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from crm_service.cases.model import Case, Did, Kind, Tie
from crm_service.cases.open import begin
from crm_service.cases.store import Entry, NewCase, record
from crm_service.orders import look
from crm_service.post.compose import Post
from crm_service.rules import store
from crm_service.rules.store import Rule, Watch
from crossdock_chassis import JobRun, Unit, new_id

CHUNK: Final = 50
SOON: Final = timedelta(seconds=1)
CHANNEL: Final = "rule"
SYSTEM: Final = "system"


@dataclass(frozen=True, slots=True)
class Firing:
    post: Post

    async def open_cases_of_rules(self, run: JobRun) -> Mapping[str, object]:
        """Open a case for each order whose trouble has lasted as long as a rule allows."""
        opened = 0
        while True:
            async with run.unit() as unit:
                due = await store.due(unit, CHUNK)
                rules = await store.find(unit.sql) if due else {}
                for each in due:
                    opened += await self._open(unit, rules[each.rule], each)
            if len(due) < CHUNK:
                return {"opened": opened}

    async def _open(self, unit: Unit, rule: Rule, watch: Watch) -> bool:
        order = (await look.orders(unit, [watch.order_id])).get(watch.order_id)
        if order is None:  # the projection of orders is behind the reactions
            await store.put_off(unit, watch, SOON)
            return False
        case = Case(new_id(), Kind(rule.kind), order.customer_id, order.partner, rule.severity)
        new = NewCase(case, rule.category, rule.subject, CHANNEL)
        await begin(unit, new, Entry(Did.OPENED, SYSTEM, rule.name), [Tie(watch.order_id)], None)
        mail_id = await self.post.notice_of_case(unit, case.id, case.customer_id, rule.notice)
        if mail_id is None:
            suppressed = "no_address" if self.post.sends else "no_server"
        else:
            suppressed = await unit.sql.fetchval("SELECT reason FROM mails WHERE id = $1", mail_id)
        body = f"not sent: {suppressed}" if suppressed else rule.notice
        entry = Entry(Did.NOTIFIED, SYSTEM, rule.name, body, mail_id)
        await record(unit, case, entry, case.notify(), None)
        await store.note_case(unit, watch, case.id, suppressed)
        return True
