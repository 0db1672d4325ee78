"""The pages of the development issuer: choose a person, an error, signed out. They have no script."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from typing import Final

from starlette.responses import HTMLResponse

from crossdock_local.oauth import NO_STORE
from crossdock_local.people.grants import Person

_STYLE: Final = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
main { max-width: 26rem; margin: 12vh auto; padding: 0 1rem }
h1 { font-size: 1.4rem }
p.note { border-left: 4px solid #b45309; padding-left: .75rem }
button { display: block; width: 100%; margin: .75rem 0; padding: .75rem 1rem; font: inherit; text-align: left }
button b { display: block }
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
NOTE: Final = "This is the development issuer of Crossdock. It asks for no password. Never use it in production."


def choice(people: Sequence[Person], action: str, application: str, sends_to: str) -> HTMLResponse:
    """Return the page that lets somebody choose a person. `sends_to` is the origin that gets the code."""
    buttons = "".join(
        f'<button name="person" value="{escape(each.subject)}"><b>{escape(each.name)}</b>{escape(each.can)}</button>'
        for each in people
    )
    body = f"""<h1>Sign in to {escape(application)}</h1>
<p class="note">{NOTE}</p>
<form method="post" action="{escape(action)}">{buttons}<button name="person" value="">Cancel</button></form>"""
    # A browser applies form-action to the redirect behind the form too, so the application's origin must be in it.
    return _page("Sign in", body, 200, f"'self' {sends_to}")


def sentence(title: str, text: str, status: int = 200) -> HTMLResponse:
    return _page(title, f'<h1>{escape(title)}</h1><p>{escape(text)}</p><p class="note">{NOTE}</p>', status, "'none'")


def _page(title: str, body: str, status: int, form_action: str) -> HTMLResponse:
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action {form_action}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    headers = {
        **NO_STORE,
        "Content-Security-Policy": policy,
        # With `no-referrer` a browser would send `Origin: null` with the form.
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width"><style>'
        f"{_STYLE}</style><main>{body}</main></html>",
        status,
        headers,
    )
