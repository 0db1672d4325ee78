"""Check that a database suits this build, before anything works with it."""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Final

from crossdock_chassis.database.unit import Database
from crossdock_chassis.unfit import Unfit

OLDEST: Final = 17
"""The oldest major version of PostgreSQL with `transaction_timeout`."""
VERSION: Final = "SELECT current_setting('server_version_num')::int / 10000"
PRESENT: Final = "SELECT to_regclass($1) IS NOT NULL"


class Fit:
    """Compare the database with the newest revision of each history, by its version table."""

    def __init__(self, database: Database, histories: Mapping[str, ModuleType]) -> None:
        self._database, self._histories = database, histories
        self._passed = False

    async def check(self, *, migrating: bool = False) -> None:
        """Raise Unfit with what to do. Once passed, return at once. `migrating`: the schema may be older."""
        if self._passed:
            return
        ((major,),) = await self._database.fetch(VERSION)
        if major < OLDEST:
            raise Unfit(f"PostgreSQL {major} is too old: upgrade the server to {OLDEST} or newer")
        name = self._database.name
        for table, history in self._histories.items():
            newest, found = newest_of(history), await self._revision(table)
            if found > newest:
                remedy = "deploy the image that migrated it, or a newer one"
                raise Unfit(f"the database {name} is at revision {found}, and this build knows {newest}: {remedy}")
            if found < newest and not migrating:
                at = f"is at revision {found}" if found else "is not migrated"
                raise Unfit(f"the database {name} {at}, and this build needs {newest}: run the role migrate first")
        self._passed = not migrating

    async def _revision(self, table: str) -> str:
        """Return the revision, or "" if nothing was migrated."""
        ((present,),) = await self._database.fetch(PRESENT, table)
        rows = await self._database.fetch(f"SELECT version_num FROM {table}") if present else []
        return max((str(row["version_num"]) for row in rows), default="")


def newest_of(history: ModuleType) -> str:
    """Return the newest revision: the files of a history are named by their revisions, which are numbers."""
    assert history.__file__ is not None
    return max(file.name[:4] for file in Path(history.__file__).parent.glob("[0-9][0-9][0-9][0-9]_*.py"))
