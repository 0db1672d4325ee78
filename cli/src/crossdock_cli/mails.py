"""Count the mails that crm-service has sent, and those that it has not."""

from collections import Counter
from typing import Any

from rich.console import Console

from crossdock_cli.commands.customer import SCOPES, SERVICE
from crossdock_cli.http import asked, client
from crossdock_cli.installation import Installation


def counted(there: Installation) -> str:
    """Return a sentence: how many mails went out, and how many did not, by reason."""
    with client(there, None, SCOPES) as opened:
        return sentence(asked(opened.get(f"{there.url(SERVICE)}/v1/mail/summary"))["out"])


def sentence(out: list[dict[str, Any]]) -> str:
    states: Counter[str] = Counter()
    for each in out:
        states[each["state"]] += each["mails"]
    head = f"{states['sent']:,} mails sent, {states['suppressed']:,} suppressed"
    rest = [f"{states[state]:,} {name}" for state, name in NAMES.items() if states[state]]
    reasons = [f"{each['mails']:,} {each['reason']}" for each in out if each["state"] == "suppressed"]
    return ", ".join([head, *rest]) + (f" ({'; '.join(reasons)})." if reasons else ".")


NAMES = {"requested": "waiting", "refused": "refused", "bounced": "bounced", "unknown": "of unknown outcome"}


def show_mails(there: Installation, out: Console) -> None:
    out.print(counted(there), markup=False)
    out.print()
