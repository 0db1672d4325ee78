"""The console's files, its sign-in, and the way of its calls to the services."""

import httpx

from analytics_service.settings import Settings, keys_of
from analytics_service.sign_in.files import ConsoleFiles
from analytics_service.sign_in.http import SessionRoutes
from analytics_service.sign_in.issuer import Issuer
from analytics_service.sign_in.passing import CONNECT_SECONDS, QUIET_SECONDS, Passing
from analytics_service.sign_in.person import People
from analytics_service.sign_in.seal import Seal
from analytics_service.sign_in.store import Sessions
from crossdock_chassis import Database, Feature, every_in_units

PURGE_SECONDS = 300


def feature(database: Database, settings: Settings) -> Feature:
    """Return the feature, empty if the settings name no address of a console."""
    if settings.console_url is None or settings.sign_in_key is None:
        return Feature()
    seal = Seal(keys_of(settings.sign_in_key))
    sessions = Sessions(database, seal, idle=settings.session_idle_seconds, longest=settings.session_seconds)
    issuer = Issuer(settings)
    people = People(sessions, issuer)
    # No connection is kept open: a call on one that its service is just closing would have an unknown outcome. The
    # services are beside this one, so no proxy of the environment is between them.
    http = httpx.AsyncClient(
        timeout=httpx.Timeout(QUIET_SECONDS, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=1_000, max_keepalive_connections=0),
        trust_env=False,
        follow_redirects=False,
    )
    session = SessionRoutes(settings, sessions, issuer, people, seal)
    passing = Passing(settings.services, http, people, settings.console_url)
    pages = [*session.routes, *passing.routes]
    if settings.console is not None:
        pages += ConsoleFiles(settings.console, settings.console_url).routes
    return Feature(pages=pages, jobs=[every_in_units(PURGE_SECONDS, sessions.purge)])
