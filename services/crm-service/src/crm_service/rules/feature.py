"""Wire the feature: rules over HTTP, and the job that opens their cases."""

from crm_service.post.compose import Post
from crm_service.rules import http
from crm_service.rules.change import Changed, change_rules
from crm_service.rules.fire import Firing
from crossdock_chassis import Coalescer, Database, Feature, each, every_in_units

FIRE_SECONDS = 1.0


def feature(database: Database, post: Post) -> Feature:
    change = Coalescer(database, each(change_rules), Changed, limit=1, name="change_rules")
    return Feature(
        routers=[http.router],
        provides=[http.Rules(database, change)],
        jobs=[every_in_units(FIRE_SECONDS, Firing(post).open_cases_of_rules)],
        problems=http.PROBLEMS,
    )
