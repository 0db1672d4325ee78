"""Ask to erase people who were inactive for longer than the retention."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from crm_service.erasure import store
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


@dataclass(frozen=True, slots=True)
class Retention:
    """`days` is how long people are kept after their last order, case, change or note. None: for ever."""

    days: float | None

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
