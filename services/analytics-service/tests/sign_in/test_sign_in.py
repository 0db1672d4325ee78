"""Sign in, stay signed in, sign out: over real HTTP against the development issuer."""

import re
import time
from urllib.parse import quote

import asyncpg
import pytest
from consoles import Browser, Console, kind, parameters

from analytics_service.sign_in.cookie import NAME, digest
from crossdock_chassis.jobs.worker import Jobs

JOBS = "/api/analytics-service/v1/jobs"
STOP = "/api/analytics-service/v1/jobs/0192d3c4-0000-7000-8000-000000000000:stop"
NOT_SIGNED_IN = (401, "not-signed-in")
FOREIGN_PAGE = (403, "foreign-page")


async def rows(console: Console) -> list[asyncpg.Record]:
    return await console.service.database.fetch("SELECT * FROM console_session")


async def edit(console: Console, change: str) -> None:
    async with console.service.database.unit() as unit:
        await unit.sql.execute(f"UPDATE console_session SET {change}")


async def test_a_person_signs_in_and_calls_a_service(console: Console, browser: Browser) -> None:
    assert kind(await browser.get("/session")) == NOT_SIGNED_IN
    await browser.sign_in()
    shown = (await browser.get("/session")).json()
    assert shown["person"] == {"subject": "dev-operator", "name": "Olive Operator"}
    assert shown["scopes"] == ["ops:read", "ops:act"]
    jobs = await browser.get(JOBS)
    assert (jobs.status_code, "items" in jobs.json()) == (200, True)


async def test_no_token_reaches_the_browser_or_the_database_in_clear(console: Console, browser: Browser) -> None:
    there = await browser.to_issuer()
    callback = await browser.choose(there)
    answers = [await browser.get(callback), await browser.get("/session"), await browser.get(JOBS)]
    token = re.compile(r"eyJ[A-Za-z0-9_-]+\.")
    for text in [there, callback, *(f"{each.headers} {each.text}" for each in answers)]:
        assert not token.search(text)
    (row,) = await rows(console)
    assert browser.cookie is not None and row["id"] == digest(browser.cookie)
    for sealed in (row["access"], row["refresh"], row["identity"]):
        assert b"eyJ" not in sealed and len(sealed) > 60


async def test_reader_cannot_act_and_operator_can(console: Console, browser: Browser) -> None:
    await browser.sign_in("dev-reader")
    assert (await browser.get(JOBS)).status_code == 200
    assert kind(await browser.post(STOP)) == (403, "forbidden")
    await browser.sign_in("dev-operator")
    assert (await browser.post(STOP)).status_code == 404


async def test_a_new_sign_in_replaces_the_session_of_the_browser(console: Console, browser: Browser) -> None:
    await browser.sign_in("dev-reader")
    old = browser.cookie
    await browser.sign_in("dev-operator")
    assert len(await rows(console)) == 1
    browser.cookie = old
    assert await browser.who() is None


async def test_signing_out_ends_the_session_here_and_at_the_issuer(console: Console, signed_in: Browser) -> None:
    stolen = signed_in.cookie
    answer = await signed_in.post("/session/sign-out")
    assert (answer.status_code, signed_in.cookie, await rows(console)) == (200, None, [])
    assert "/oauth/revoke" in console.issuer.asked
    gone = await console.http.get(answer.json()["next"])
    assert (gone.status_code, gone.headers["location"]) == (303, f"{console.url}/")
    signed_in.cookie = stolen
    assert await signed_in.who() is None
    assert (await console.browser().post("/session/sign-out")).json() == {"next": f"{console.url}/"}


async def test_signing_out_works_while_the_issuer_is_away(console: Console, signed_in: Browser) -> None:
    console.issuer.away = True
    answer = await signed_in.post("/session/sign-out")
    assert (answer.status_code, signed_in.cookie, await rows(console)) == (200, None, [])


FORGED = (
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": ""},
    {"Crossdock-Console": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
)


async def test_a_forged_call_is_refused(signed_in: Browser) -> None:
    for headers in FORGED:
        for path in (STOP, "/session/sign-out", "/api/upstream/v1/echo"):
            assert kind(await signed_in.post(path, headers=headers)) == FOREIGN_PAGE, headers
    assert signed_in.console.upstream.seen == []
    assert await signed_in.who() == "dev-operator"


async def test_a_foreign_page_cannot_read(signed_in: Browser) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}):
        for path in (JOBS, "/session"):
            assert kind(await signed_in.get(path, headers=headers)) == FOREIGN_PAGE, headers


async def test_a_replayed_callback_is_refused(console: Console, browser: Browser) -> None:
    callback = await browser.choose(await browser.to_issuer())
    before = browser.cookie
    assert (await browser.get(callback)).status_code == 303
    calls = console.issuer.token_calls
    assert (await browser.get(callback)).status_code == 400
    assert console.issuer.token_calls == calls
    # A thief who has copied the old cookie too gets no further, and the issuer then ends the sign-in.
    thief = console.browser()
    thief.cookie = before
    assert (await thief.get(callback)).status_code == 400
    assert await thief.who() is None


async def test_a_callback_of_another_browser_is_refused(console: Console, browser: Browser) -> None:
    attacker = console.browser()
    callback = await attacker.choose(await attacker.to_issuer())
    for victim in (console.browser(), browser):
        answer = await victim.get(callback)
        assert (answer.status_code, answer.headers.get("location")) == (400, None)
        assert "Not signed in" in answer.text
        await victim.to_issuer()  # with a cookie of its own it is refused too
        assert (await victim.get(callback)).status_code == 400
        assert await victim.who() is None


async def test_cookie_that_was_set_before_does_not_sign_in(console: Console, browser: Browser) -> None:
    await browser.to_issuer()
    planted = browser.cookie
    await browser.sign_in()
    assert browser.cookie != planted
    browser.cookie = planted
    assert await browser.who() is None


FAULTY: tuple[dict[str, str | None], ...] = (
    {"state": "garbage"},
    {"state": ""},
    {"state": "A" * 5_000},
    {"state": "é"},
    {"code": "garbage"},
    {"code": ""},
    {"iss": "https://evil.example"},
    {"iss": None},
    {"error": "access_denied"},
    {"error": "<script>"},
)


async def test_a_faulty_callback_is_a_page(browser: Browser) -> None:
    for change in FAULTY:
        sent = parameters(await browser.choose(await browser.to_issuer())) | change
        query = "&".join(f"{name}={quote(value)}" for name, value in sent.items() if value is not None)
        answer = await browser.get(f"/session/callback?{query}")
        assert (answer.status_code, answer.headers.get("location")) == (400, None), change
        assert "Sign in again" in answer.text and "<script" not in answer.text
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert await browser.who() is None


@pytest.mark.parametrize(
    ("accepted", "language", "sentence"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh", "未登录"),
        ("fr, en-GB;q=0.7, zh;q=0.3", "en", "Not signed in"),
        ("é" * 5_000, "en", "Not signed in"),
        ("", "en", "Not signed in"),
    ],
)
async def test_a_failed_sign_in_is_told_in_a_known_language(
    browser: Browser, accepted: str, language: str, sentence: str
) -> None:
    answer = await browser.get("/session/sign-in?return_to=//evil", headers={"Accept-Language": accepted.encode()})
    assert f'lang="{language}"' in answer.text and sentence in answer.text


async def test_an_attempt_that_took_too_long_is_refused(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    callback = await browser.choose(await browser.to_issuer())
    later = time.time() + 601
    monkeypatch.setattr("analytics_service.sign_in.attempt.time.time", lambda: later)
    answer = await browser.get(callback)
    assert (answer.status_code, "taken too long" in answer.text) == (400, True)


FOREIGN = (
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example",
    "\\\\evil.example",
    "javascript:alert(1)",
    "",
    "orders",
    "/\tx",
    "/\r\nSet-Cookie: a=b",
    "/" + "a" * 2_000,
    "/session/callback",
    "/é",
)


async def test_a_foreign_place_to_go_on_is_refused(browser: Browser) -> None:
    for target in FOREIGN:
        answer = await browser.get("/session/sign-in", params={"return_to": target})
        assert (answer.status_code, answer.headers.get("location")) == (400, None), target


async def test_a_garbage_query_is_refused(browser: Browser) -> None:
    for query in ("return_to=/&return_to=/", "return_to=%ff", "a&" * 50, "return_to=" + "a" * 20_000):
        assert (await browser.get(f"/session/sign-in?{query}")).status_code == 400, query
        assert (await browser.get(f"/session/callback?{query}")).status_code == 400, query


async def test_a_garbage_cookie_is_nobody(signed_in: Browser) -> None:
    for value in (b"", b"x", b"a" * 43, b"\xe9" * 43, b"a" * 5_000, b"a.b.c", b'"; DROP TABLE'):
        for path in ("/session", JOBS):
            sent = {b"Cookie": NAME.encode() + b"=" + value}
            answer = await signed_in.console.http.get(signed_in.url + path, headers=sent)
            assert kind(answer) == NOT_SIGNED_IN, value
            assert "Max-Age=0" in answer.headers["set-cookie"]


async def test_two_cookies_of_the_name_are_nobody(signed_in: Browser) -> None:
    twice = f"{NAME}={signed_in.cookie}; {NAME}={signed_in.cookie}"
    assert kind(await signed_in.get("/session", headers={"Cookie": twice})) == NOT_SIGNED_IN


async def test_api_routes_do_not_take_the_cookie_for_a_token(signed_in: Browser) -> None:
    assert kind(await signed_in.get("/v1/jobs")) == (401, "unauthenticated")


@pytest.mark.parametrize("ended", ["ends_at = now()", "used_at = now() - interval '1 hour'"])
async def test_a_session_ends_when_idle_and_after_its_time(console: Console, signed_in: Browser, ended: str) -> None:
    await edit(console, ended)
    assert kind(await signed_in.get(JOBS)) == NOT_SIGNED_IN
    assert signed_in.cookie is None


async def test_use_keeps_a_session_alive(console: Console, signed_in: Browser) -> None:
    await edit(console, "used_at = now() - interval '59 minutes'")
    await signed_in.get(JOBS)
    ((age,),) = await console.service.database.fetch("SELECT now() - used_at < interval '10 s' FROM console_session")
    assert age


async def test_ended_sessions_are_deleted(console: Console, signed_in: Browser) -> None:
    await console.browser().sign_in("dev-reader")
    async with console.service.database.unit() as unit:
        await unit.sql.execute("UPDATE console_session SET ends_at = now() WHERE subject = 'dev-operator'")
    await Jobs(console.service.database, console.service.jobs).run_due()
    assert [row["subject"] for row in await rows(console)] == ["dev-reader"]


async def test_a_person_has_a_bounded_number_of_sessions(console: Console, signed_in: Browser) -> None:
    for _ in range(20):
        await console.browser().sign_in()
    assert len(await rows(console)) == 20
    assert await signed_in.who() is None  # the oldest one
