"""Tokens are refreshed once, whoever asks, and a refusal ends the session."""

import asyncio

import pytest
from consoles import KEY, Browser, Console, another_api, api_process, kind
from pydantic import SecretStr

JOBS = "/api/analytics-service/v1/jobs"
OTHER_KEY = "YW5vdGhlciBrZXkgb2YgdGhlIGNvbnNvbGUgdGVzdHM="


async def edit(console: Console, change: str) -> None:
    async with console.service.database.unit() as unit:
        await unit.sql.execute(f"UPDATE console_session SET {change}")


async def version(console: Console) -> int:
    ((found,),) = await console.service.database.fetch("SELECT version FROM console_session")
    return int(found)


async def test_an_expired_token_is_refreshed_unnoticed(console: Console, signed_in: Browser) -> None:
    await edit(console, "access_expires_at = now() - interval '1 s'")
    assert (await signed_in.get(JOBS)).status_code == 200
    assert (await version(console), console.issuer.token_calls) == (1, 2)
    assert (await signed_in.get(JOBS)).status_code == 200
    assert console.issuer.token_calls == 2


async def test_two_processes_refresh_a_token_once(console: Console, signed_in: Browser) -> None:
    """The issuer takes a second use of a refresh token for theft, and would end the sign-in."""
    async with api_process(console) as other:
        other.cookie = signed_in.cookie
        for turn in range(1, 4):
            await edit(console, "access_expires_at = now() - interval '1 s'")
            console.issuer.slow = 0.2
            both = [each.get(JOBS) for _ in range(10) for each in (signed_in, other)]
            assert {answer.status_code for answer in await asyncio.gather(*both)} == {200}
            assert (await version(console), console.issuer.token_calls) == (turn, turn + 1)


async def test_the_old_token_works_while_the_new_one_is_fetched(console: Console, signed_in: Browser) -> None:
    async with another_api(console) as other:
        other.cookie = signed_in.cookie
        await edit(console, "access_expires_at = now() + interval '20 s'")
        console.issuer.gives.clear()
        first = asyncio.create_task(signed_in.get(JOBS))
        while console.issuer.token_calls == 1:
            await asyncio.sleep(0.01)
        assert (await other.get(JOBS)).status_code == 200
        assert not first.done()
        console.issuer.gives.set()
        assert (await first).status_code == 200


async def test_the_claim_of_a_dead_process_runs_out(console: Console, signed_in: Browser) -> None:
    await edit(console, "access_expires_at = now(), refreshing_until = now() + interval '1 s'")
    assert (await signed_in.get(JOBS)).status_code == 200
    assert await version(console) == 1


async def test_an_issuer_that_is_away_ends_no_session(console: Console, signed_in: Browser) -> None:
    await signed_in.get(JOBS)  # the service has the issuer's keys now
    console.issuer.away = True
    await edit(console, "access_expires_at = now() + interval '20 s'")
    assert (await signed_in.get(JOBS)).status_code == 200  # the old token still works
    await edit(console, "access_expires_at = now()")
    answer = await signed_in.get(JOBS)
    assert (kind(answer), answer.headers["retry-after"]) == ((503, "issuer-away"), "2")
    assert (await signed_in.get("/session")).status_code == 200
    console.issuer.away = False
    assert (await signed_in.get(JOBS)).status_code == 200


async def test_a_sign_in_that_ended_at_the_issuer_ends_here(console: Console, signed_in: Browser) -> None:
    console.issuer.restart()  # it keeps sign-ins in memory
    await edit(console, "access_expires_at = now()")
    assert kind(await signed_in.get(JOBS)) == (401, "not-signed-in")
    assert signed_in.cookie is None
    assert await console.service.database.fetch("SELECT FROM console_session") == []


async def test_tokens_of_a_session_that_ended_meanwhile_are_revoked(console: Console, signed_in: Browser) -> None:
    await edit(console, "access_expires_at = now()")
    console.issuer.gives.clear()
    call = asyncio.create_task(signed_in.get(JOBS))
    while console.issuer.token_calls == 1:
        await asyncio.sleep(0.01)
    async with console.service.database.unit() as unit:
        await unit.sql.execute("DELETE FROM console_session")
    console.issuer.gives.set()
    assert kind(await call) == (401, "not-signed-in")
    assert "/oauth/revoke" in console.issuer.asked


async def test_a_session_without_refresh_token_ends_with_its_token(console: Console, signed_in: Browser) -> None:
    await edit(console, "refresh = NULL, access_expires_at = now() + interval '20 s'")
    assert (await signed_in.get(JOBS)).status_code == 200
    await edit(console, "access_expires_at = now()")
    assert kind(await signed_in.get(JOBS)) == (401, "not-signed-in")


async def test_a_new_key_reads_what_the_old_key_sealed(console: Console, signed_in: Browser) -> None:
    async with another_api(console, sign_in_key=SecretStr(f"{OTHER_KEY},{KEY}")) as rotated:
        rotated.cookie = signed_in.cookie
        assert await rotated.who() == "dev-operator"
    async with another_api(console, sign_in_key=SecretStr(OTHER_KEY)) as replaced:
        replaced.cookie = signed_in.cookie
        assert await replaced.who() is None


@pytest.mark.parametrize("swapped", ["access = refresh", "refresh = access", "access = '\\x00'"])
async def test_sealed_tokens_cannot_be_swapped(console: Console, signed_in: Browser, swapped: str) -> None:
    await edit(console, swapped)
    assert kind(await signed_in.get(JOBS)) == (401, "not-signed-in")
