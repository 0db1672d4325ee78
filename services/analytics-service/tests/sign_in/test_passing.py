"""Calls of the console reach the services through the API process: real HTTP on both sides."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from consoles import Browser, Console, kind

from analytics_service.sign_in import passing

ECHO = "/api/upstream/v1/echo"
NOT_PASSED_ON = (404, "not-passed-on")


async def test_a_call_carries_the_token_and_chosen_headers_only(signed_in: Browser) -> None:
    sent = {
        "If-Match": '"3"',
        "Idempotency-Key": "k-1",
        "Authorization": "Bearer forged",
        "X-Forwarded-For": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "Referer": "http://x/",
    }
    answer = await signed_in.post(f"{ECHO}?a=1&a=2&b=%2F", headers=sent, json={"note": "é"})
    seen = answer.json()
    assert (seen["method"], seen["path"], seen["query"]) == ("POST", "/v1/echo", "a=1&a=2&b=%2F")
    assert (seen["headers"]["if-match"], seen["headers"]["idempotency-key"]) == ('"3"', "k-1")
    assert seen["headers"]["content-type"] == "application/json" and seen["bytes"] > 10
    assert seen["headers"]["authorization"].startswith("Bearer eyJ")
    unwanted = {"cookie", "origin", "crossdock-console", "x-forwarded-for", "forwarded", "referer"}
    assert not unwanted & seen["headers"].keys()

    assert answer.headers["etag"] == '"7"'
    assert not {"set-cookie", "x-powered-by"} & answer.headers.keys()
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_request_id_is_the_same_on_both_sides(signed_in: Browser) -> None:
    answer = await signed_in.get(ECHO, headers={"Request-Id": "r-1"})
    assert (answer.headers["request-id"], answer.json()["headers"]["request-id"]) == ("r-1", "r-1")


OUTSIDE = (
    "/api/upstream/v1/hidden",
    "/api/upstream/openapi.json",
    "/api/upstream/v1/echo/",
    "/api/upstream/v1/echo/x",
    "/api/upstream/v1/things/",
    "/api/upstream/v1/things/a/b",
    "/api/upstream/v1/things/..",
    "/api/upstream/v1/things/%2e%2e",
    "/api/upstream/v1/things/.%2E",
    "/api/upstream/v1/things/..%5Chidden",
    "/api/upstream/v1/things/%00",
    "/api/upstream/v1/../openapi.json",
    "/api/upstream//v1/echo",
    "/api/upstream/%76%31/echo",
    "/api/upstream/v1/%65cho",
    "/api/nobody/v1/echo",
    "/api/127.0.0.1:1/v1/echo",
    "/api/upstream@127.0.0.1:1/v1/echo",
    "/api/upstream/",
    "/api/%75pstream/v1/echo",
)


async def test_a_path_outside_the_openapi_is_not_passed_on(console: Console, signed_in: Browser) -> None:
    for path in OUTSIDE:
        # Without normalisation, which httpx would do.
        url = httpx.URL(console.url).copy_with(raw_path=path.encode())
        answer = await console.http.get(url, headers=signed_in.headers())
        assert kind(answer) == NOT_PASSED_ON, path
    assert console.upstream.seen == []


async def test_an_encoded_slash_stays_one_segment(signed_in: Browser) -> None:
    answer = await signed_in.get("/api/upstream/v1/things/a%2Fb%20c")
    assert answer.json()["path"] == "/v1/things/a%2Fb%20c"
    answer = await signed_in.post("/api/upstream/v1/things/a%3Aact:act")
    assert answer.json()["path"] == "/v1/things/a%3Aact:act"


async def test_method_outside_the_openapi_is_refused(signed_in: Browser) -> None:
    for method, path in (("DELETE", ECHO), ("PUT", ECHO), ("GET", "/api/upstream/v1/things/1:act")):
        answer = await signed_in.send(method, path)
        if method == "GET":  # another template has this path
            assert answer.status_code == 200
        else:
            assert (kind(answer), answer.headers["allow"]) == ((405, "method-not-allowed"), "GET, HEAD, POST")
    assert (await signed_in.send("OPTIONS", ECHO)).status_code == 405
    head = await signed_in.send("HEAD", "/api/analytics-service/v1/jobs")
    assert (head.status_code, head.content) == (200, b"")


async def test_nobody_gets_nothing_passed_on(console: Console, browser: Browser) -> None:
    for method, path in (("GET", ECHO), ("POST", ECHO), ("GET", "/api/nobody/v1/x")):
        assert kind(await browser.send(method, path)) == (401, "not-signed-in")
    assert console.upstream.seen == []


async def test_events_stream_through_at_once(console: Console, signed_in: Browser) -> None:
    sent = signed_in.headers() | {"Accept": "text/event-stream", "Last-Event-ID": "e.7"}
    async with console.http.stream("GET", f"{console.url}/api/upstream/v1/events", headers=sent) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        chunks = answer.aiter_raw()
        assert await asyncio.wait_for(anext(chunks), 10) == b"id: 1\ndata: first\n\n"
        console.upstream.go_on.set()
        assert await asyncio.wait_for(anext(chunks), 10) == b"id: 2\ndata: second\n\n"
    await asyncio.wait_for(console.upstream.left.wait(), 10)  # the service sees that the browser has left


async def test_a_stream_ends_after_the_sign_out(
    console: Console, signed_in: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passing, "LOOK_SECONDS", 0.0)
    url = f"{console.url}/api/upstream/v1/events"
    async with console.http.stream("GET", url, headers=signed_in.headers()) as answer:
        chunks = answer.aiter_raw()
        assert b"first" in await asyncio.wait_for(anext(chunks), 10)
        await signed_in.post("/session/sign-out")
        console.upstream.go_on.set()
        assert [chunk async for chunk in chunks] == []
    await asyncio.wait_for(console.upstream.left.wait(), 10)


async def test_a_body_beyond_the_limit_is_refused(console: Console, signed_in: Browser) -> None:
    fields = signed_in.headers("POST") | {"Content-Length": str(passing.MAX_BODY_BYTES + 1), "Host": "127.0.0.1"}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(console.url).port)
    writer.write(f"POST {ECHO} HTTP/1.1\r\n{head}\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 413 ") and b":too-large" in answer
    assert console.upstream.seen == []


async def test_a_chunked_body_beyond_the_limit_is_refused(
    console: Console, signed_in: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passing, "MAX_BODY_BYTES", 100_000)
    parts = [b"x" * 50_000] * 3

    async def chunks() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    answer = await console.http.post(console.url + ECHO, headers=signed_in.headers("POST"), content=chunks())
    assert kind(answer) == (413, "too-large")
    assert console.upstream.seen == []
    assert (await signed_in.post(ECHO, content=b"x" * 100_000)).json()["bytes"] == 100_000


async def test_an_endless_answer_is_cut_off(
    console: Console, signed_in: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passing, "MAX_ANSWER_BYTES", 3 << 20)
    with pytest.raises(httpx.RemoteProtocolError):
        await signed_in.get("/api/upstream/v1/endless")


async def test_a_broken_answer_is_broken_for_the_browser_too(signed_in: Browser) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await signed_in.get("/api/upstream/v1/broken")


async def test_a_location_stays_on_the_console(signed_in: Browser) -> None:
    for target, location in (
        ("/v1/echo", "/api/upstream/v1/echo"),
        ("https://evil.example/", None),
        ("//evil.example/", None),
    ):
        answer = await signed_in.get("/api/upstream/v1/elsewhere", params={"to": target})
        assert (answer.status_code, answer.headers.get("location")) == (303, location)


async def test_a_service_that_is_away_is_a_503(signed_in: Browser) -> None:
    answer = await signed_in.get("/api/away/v1/jobs")
    assert (kind(answer), answer.headers["retry-after"]) == ((503, "service-away"), "2")


async def test_a_service_that_goes_away_later_is_a_503(console: Console, signed_in: Browser) -> None:
    await signed_in.get(ECHO)
    await console.stop_upstream()
    assert kind(await signed_in.post(ECHO, json={})) == (503, "service-away")


async def test_a_slow_service_is_a_504(signed_in: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    await signed_in.get(ECHO)
    monkeypatch.setattr(passing, "WHOLE_SECONDS", 0.2)
    assert kind(await signed_in.get("/api/upstream/v1/slow")) == (504, "no-answer")


async def test_too_many_open_calls_of_a_session_are_refused(
    console: Console, signed_in: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passing, "CALLS", 1)
    async with console.http.stream(
        "GET", f"{console.url}/api/upstream/v1/events", headers=signed_in.headers()
    ) as answer:
        assert answer.status_code == 200
        assert kind(await signed_in.get(ECHO)) == (429, "too-many-calls")
        other = console.browser()
        await other.sign_in("dev-reader")
        assert (await other.get(ECHO)).status_code == 200
    await asyncio.wait_for(console.upstream.left.wait(), 10)
    assert (await signed_in.get(ECHO)).status_code == 200


async def test_a_refusal_of_the_service_passes_through(signed_in: Browser) -> None:
    answer = await signed_in.get("/api/analytics-service/v1/jobs", params={"limit": "many"})
    assert kind(answer) == (422, "invalid")
    assert json.loads(answer.text)["instance"] == "/v1/jobs"
