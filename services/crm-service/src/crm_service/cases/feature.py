"""Wire the feature: cases are opened, worked on and shown over HTTP."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from crm_service.cases import http, views
from crm_service.cases.act import Acted, Acting
from crm_service.cases.open import Opened, open_cases
from crm_service.cases.timing import Timers
from crm_service.cases.views import Asked, CaseView
from crm_service.post.compose import Post
from crossdock_chassis import Coalescer, Database, Feature, Together, each, every_in_units

TIMER_SECONDS = 1.0


def feature(database: Database, post: Post, reopens: timedelta) -> Feature:
    opened = Coalescer(database, open_cases, Opened, limit=50, name="open_case")

    async def read(asked: Sequence[Asked]) -> Mapping[Asked, CaseView]:
        async with database.unit() as unit:
            return await views.get_many(unit.sql, asked)

    see = Together(read, name="see_cases")
    acted = Coalescer(database, each(Acting(post, reopens).act_on_case), Acted, limit=1, name="act_on_case")
    return Feature(
        routers=[http.router],
        provides=[http.Cases(database, see, opened, acted)],
        jobs=[every_in_units(TIMER_SECONDS, Timers().notice_timers)],
        problems=http.PROBLEMS,
    )
