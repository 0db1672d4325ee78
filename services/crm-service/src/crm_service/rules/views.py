"""What staff see of rules."""

from datetime import datetime
from typing import Annotated, Final, Literal

import asyncpg
from pydantic import BaseModel, Field

from crm_service.cases.model import Kind
from crm_service.cases.open import Severity
from crm_service.rules.store import FIELDS

DAY: Final = 86_400

NOT_TOLD: Final = """
    SELECT rule, coalesce(suppressed, notice.why) AS why FROM rule_cases LEFT JOIN LATERAL (
        SELECT CASE state WHEN 'suppressed' THEN reason ELSE state END AS why FROM mails
        WHERE mails.case_id = rule_cases.case_id AND kind = 'notice' AND state IN ('suppressed', 'refused', 'bounced')
        ORDER BY at LIMIT 1
    ) AS notice ON true
"""
"""Each case of a rule, and why its customer has no notice. It may also be suppressed later, when it is to go out."""
ALL: Final = f"""
    SELECT {FIELDS},
           (SELECT count(*) FROM rule_watches WHERE rule = name) AS watched,
           coalesce(opened, 0) AS opened, coalesce(told, 0) AS told
    FROM case_rules LEFT JOIN (
        SELECT rule, count(*) AS opened, count(*) FILTER (WHERE why IS NULL) AS told FROM ({NOT_TOLD}) AS found
        GROUP BY rule
    ) AS cases ON rule = name
    ORDER BY name
"""
SUPPRESSED: Final = f"""
    SELECT rule, why, count(*) FROM ({NOT_TOLD}) AS found WHERE why IS NOT NULL GROUP BY rule, why
"""
Trouble = Literal["backordered"]


class RuleView(BaseModel):
    """A rule and what it has done. Of an order's trouble before `made_at` it opens no case."""

    name: str
    trouble: Trouble
    after_days: float
    kind: Kind
    severity: Severity
    category: str | None
    subject: str
    notice: str
    made_at: datetime
    watched: Annotated[int, Field(description="Orders in trouble whose time has not come")]
    opened: Annotated[int, Field(description="Cases that it has opened, one per order")]
    told: Annotated[int, Field(description="Customers that it has written to")]
    suppressed: Annotated[dict[str, int], Field(description="Notices that were not sent, by reason")]


class RuleList(BaseModel):
    items: list[RuleView]


async def find(sql: asyncpg.Connection) -> RuleList:
    """Return all rules by name."""
    suppressed: dict[str, dict[str, int]] = {}
    for row in await sql.fetch(SUPPRESSED):
        suppressed.setdefault(row["rule"], {})[row["why"]] = row["count"]
    items = []
    for each in await sql.fetch(ALL):
        row = dict(each)
        row["after_days"] = row.pop("after_seconds") / DAY
        items.append(RuleView(**row, suppressed=suppressed.get(row["name"], {})))
    return RuleList(items=items)
