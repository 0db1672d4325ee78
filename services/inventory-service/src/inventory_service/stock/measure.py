"""Measure the drift of the ledger for alerts: a page of items each minute, round after round."""

from typing import Final

from crossdock_chassis import LEDGER_DRIFT, Unit
from inventory_service.stock.reconciliation import LEVELS, reconcile

ITEMS: Final = 1_000


class LedgerRounds:
    """One object per worker. A round compares each item once; its time does not grow with the ledger."""

    def __init__(self) -> None:
        self._after: str | None = None
        self._found = self._last = 0

    async def measure_ledger_drift(self, unit: Unit) -> None:
        """Compare the next items. Report the levels found in this round, or in the last round if those were more."""
        page = await reconcile(unit.session, self._after, ITEMS)
        self._found += len(page.items)
        self._after = LEVELS.decode(page.next)
        LEDGER_DRIFT.set(max(self._found, self._last))
        if self._after is None:
            self._found, self._last = 0, self._found
            LEDGER_DRIFT.set(self._last)
