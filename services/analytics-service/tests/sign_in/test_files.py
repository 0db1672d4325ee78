"""The console's files, over real HTTP."""

import gzip
from pathlib import Path

import httpx
from consoles import Browser, Console, kind

PAGE = {"Accept": "text/html,application/xhtml+xml"}


async def test_each_page_is_the_same_file_under_a_strict_policy(browser: Browser) -> None:
    for path in ("/", "/orders", "/orders/0192?tab=events", "/stock/a.b", "/dead-letters"):
        answer = await browser.get(path, headers=PAGE)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8"), path
        assert "/assets/index-1.js" in answer.text
        assert answer.headers["cache-control"] == "no-cache"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy and "frame-ancestors 'none'" in policy


async def test_assets_may_be_kept_for_ever(browser: Browser) -> None:
    answer = await browser.get("/assets/index-1.js")
    assert (answer.status_code, answer.text) == (200, "console.log(1)")
    assert "immutable" in answer.headers["cache-control"]
    again = await browser.get("/icon.svg")
    known = {"If-None-Match": again.headers["etag"]}
    assert (await browser.get("/icon.svg", headers=known)).status_code == 304


async def test_a_file_is_compressed_for_a_browser_that_asks(console: Console, files: Path) -> None:
    script = "let text = 'again and again';\n" * 2_000
    (files / "assets" / "big-1.js").write_text(script)
    url = f"{console.url}/assets/big-1.js"
    async with console.http.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(raw).decode() == script and len(raw) < len(script) / 10
    plain = await console.http.get(url, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.text == script
    again = {"Accept-Encoding": "gzip", "If-None-Match": answer.headers["etag"]}
    assert (await console.http.get(url, headers=again)).status_code == 304


async def test_what_is_no_page_is_not_found(browser: Browser) -> None:
    for path in ("/assets/gone.js", "/v1/nothing", "/api/x", "/session/x", "/v1/nothing.html"):
        assert kind(await browser.get(path, headers=PAGE)) == (404, "not-found"), path
    assert kind(await browser.get("/gone.png")) == (404, "not-found")
    assert kind(await browser.send("POST", "/orders")) == (405, "method-not-allowed")


async def test_no_file_beside_the_console_is_served(console: Console) -> None:
    for path in (
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/assets/../../secret.txt",
        "/..%2fsecret.txt",
        "//secret.txt",
    ):
        url = httpx.URL(console.url).copy_with(raw_path=path.encode())
        answer = await console.http.get(url)
        assert (answer.status_code, "beside" in answer.text) == (404, False), path


async def test_a_new_build_is_served_without_a_restart(browser: Browser, files: Path) -> None:
    (files / "index.html").write_text("a new build")
    assert (await browser.get("/", headers=PAGE)).text == "a new build"
    (files / "index.html").unlink()
    assert kind(await browser.get("/", headers=PAGE)) == (404, "console-not-built")


async def test_other_name_of_this_machine_leads_to_the_address(browser: Browser) -> None:
    port = browser.url.rpartition(":")[2]
    answer = await browser.get("/orders?a=1", headers=PAGE | {"Host": f"localhost:{port}"})
    assert (answer.status_code, answer.headers["location"]) == (307, f"{browser.url}/orders?a=1")
    assert (await browser.get("/orders", headers=PAGE | {"Host": "evil.example"})).status_code == 200
