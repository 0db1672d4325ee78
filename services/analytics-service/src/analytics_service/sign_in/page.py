"""The page that a browser shows if a sign-in fails. It has no script and no style."""

from collections.abc import Mapping
from html import escape
from typing import Final, Literal
from urllib.parse import quote

from starlette.responses import HTMLResponse

POLICY = "default-src 'none'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"

Why = Literal["foreign_place", "away", "not_started", "denied", "not_asked", "not_confirmed"]

TEXTS: Final[Mapping[str, Mapping[Why | Literal["title", "again"], str]]] = {
    "en": {
        "title": "Not signed in",
        "again": "Sign in again",
        "foreign_place": "The address asks to go on at another place than a page of the console.",
        "away": "The issuer does not answer. Wait a moment.",
        "not_started": "This sign-in was not started in this browser, or it has taken too long.",
        "denied": "You did not sign in at the issuer.",
        "not_asked": "The issuer did not ask you.",
        "not_confirmed": "The issuer did not confirm this sign-in.",
    },
    "zh": {
        "title": "未登录",
        "again": "重新登录",
        "foreign_place": "该地址要求转到控制台页面以外的地方。",
        "away": "登录服务没有响应，请稍候。",  # noqa: RUF001  (a Chinese comma)
        "not_started": "此登录不是在此浏览器中开始的，或者耗时过长。",  # noqa: RUF001  (a Chinese comma)
        "denied": "您没有在登录服务中登录。",
        "not_asked": "登录服务没有询问您。",
        "not_confirmed": "登录服务没有确认此次登录。",
    },
}


def failed(why: Why, status: int, accept_language: str, return_to: str = "/") -> HTMLResponse:
    """Return the page in the first language of the browser that it knows, else in English."""
    language = _language(accept_language)
    texts = TEXTS[language]
    again = f"/session/sign-in?return_to={quote(return_to, safe='')}"
    return HTMLResponse(
        f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>{escape(texts["title"])}</title>'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<h1>{escape(texts['title'])}</h1><p>{escape(texts[why])}</p>"
        f'<p><a href="{escape(again)}">{escape(texts["again"])}</a></p></html>',
        status,
        {
            "Cache-Control": "no-store",
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        },
    )


def _language(accepted: str) -> str:
    """Return the language that comes first in `Accept-Language`: browsers list them in the order of preference."""
    wanted = (each.partition(";")[0].partition("-")[0].strip().lower() for each in accepted[:200].split(","))
    return next((each for each in wanted if each in TEXTS), "en")
