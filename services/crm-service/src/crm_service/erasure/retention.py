"""Ask to erase people who were inactive for longer than the retention, and erase what old cases have."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from crm_service.erasure import store
from crm_service.erasure.stores import OF_CASES, erase_some
from crm_service.tables import TO_ERASE
from crossdock_chassis import JobRun

BY: Final = "crm-service"
REASON: Final = "retention"
CHUNK: Final = 200

INACTIVE: Final = f"""
    SELECT id FROM customers
    WHERE root = id AND kind = 'person' AND erased_at IS NULL AND registered_at < $1
          AND NOT EXISTS (SELECT FROM erasures WHERE customer_id = customers.id)
          AND NOT EXISTS (
              SELECT FROM customers AS member WHERE member.root = customers.id AND (
                  EXISTS (SELECT FROM customer_changes WHERE customer_id = member.id AND at >= $1)
                  OR EXISTS (SELECT FROM consents WHERE customer_id = member.id AND at >= $1)
                  OR EXISTS (SELECT FROM customer_activities WHERE customer_id = member.id AND at >= $1)
                  OR EXISTS (SELECT FROM cases WHERE customer_id = member.id AND changed_at >= $1)
                  OR EXISTS (
                      SELECT FROM customer_links AS links JOIN customer_meetings AS met USING (namespace, external_id)
                      JOIN customer_orders AS orders USING (partner, external_id)
                      WHERE links.customer_id = member.id AND placed_at >= $1
                  )
              )
          )
    ORDER BY id LIMIT {CHUNK}
"""


OLD: Final = f"""
    SELECT id FROM cases WHERE {TO_ERASE} AND changed_at < $1 AND NOT EXISTS (
        SELECT FROM customers AS own JOIN customers AS held ON held.root = own.root
        JOIN holds ON holds.customer_id = held.id
        WHERE own.id = cases.customer_id AND lifted_at IS NULL AND until >= $2::timestamptz::date - 1
    )
    ORDER BY changed_at LIMIT {CHUNK}
"""
ERASED: Final = "UPDATE cases SET erased_at = changed_at WHERE id = ANY ($1)"


@dataclass(frozen=True, slots=True)
class Retention:
    """`days` is how long people are kept after their last order, case, change or note. None: for ever.

    `case_days` is how long texts, mails and files of a case are kept after its last change, once it is resolved.
    """

    days: float | None
    case_days: float | None = None

    async def ask_for_the_inactive(self, run: JobRun) -> Mapping[str, object]:
        asked = 0
        while self.days is not None:
            async with run.unit() as unit:
                inactive = await unit.sql.fetch(INACTIVE, unit.now - timedelta(days=self.days))
                for row in inactive:
                    await store.ask(unit, row["id"], REASON, BY)
            asked += len(inactive)
            if len(inactive) < CHUNK:
                break
        return {"asked": asked}

    async def erase_old_cases(self, run: JobRun) -> Mapping[str, object]:
        """Erase texts, mails and files of cases that ended long ago. A hold of staff on the customer keeps them."""
        cases = rows = 0
        while self.case_days is not None:
            async with run.unit() as unit:
                old = await unit.sql.fetch(OLD, unit.now - timedelta(days=self.case_days), unit.now)
                ids = [row["id"] for row in old]
                rows += (count := await erase_some(unit.sql, ids, OF_CASES) if ids else 0)
                if not count:
                    await unit.sql.execute(ERASED, ids)
                    cases += len(ids)
            if not ids:
                break
        return {"cases": cases, "rows": rows}
