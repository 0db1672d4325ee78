"""The page that a browser shows if a sign-in fails. It has no script and no style."""

from html import escape
from urllib.parse import quote

from starlette.responses import HTMLResponse

POLICY = "default-src 'none'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"


def failed(reason: str, status: int, return_to: str = "/") -> HTMLResponse:
    again = f"/session/sign-in?return_to={quote(return_to, safe='')}"
    return HTMLResponse(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Not signed in</title>'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f'<h1>Not signed in</h1><p>{escape(reason)}</p><p><a href="{escape(again)}">Sign in again</a></p></html>',
        status,
        {
            "Cache-Control": "no-store",
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )
