"""Use the console in a browser as a person does."""

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from playwright.async_api import BrowserContext, Page, expect

from crossdock_local import console

OPERATOR, READER = "Olive Operator", "Robin Reader"


@dataclass
class Console:
    """The console in a browser of its own. `faults` has everything that the browser complained about."""

    url: str
    context: BrowserContext
    page: Page
    faults: list[str] = field(default_factory=list)

    async def sign_in(self, name: str) -> None:
        """Sign in at the development issuer as the person whose button has this name."""
        await self.page.goto(f"{self.url}/live")
        await self.page.get_by_role("banner").get_by_role("link", name="Sign in").click()
        await self.page.get_by_role("button", name=name).click()
        await self.live()

    async def live(self) -> None:
        """Wait until the page follows the stream."""
        await expect(self.page.get_by_role("status").filter(has_text=re.compile("^Live$"))).to_be_visible()

    async def barriers(self) -> list[str]:
        """Return what axe finds on the page that keeps people out: its rule, and the first elements that break it."""
        await self.page.evaluate(_axe())
        found: list[dict[str, Any]] = await self.page.evaluate(
            "axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations)"
        )
        return [f"{rule['id']}: {[node['html'][:200] for node in rule['nodes'][:3]]}" for rule in found]


@cache
def _axe() -> str:
    return (console.packages() / "axe-core" / "axe.min.js").read_text()
