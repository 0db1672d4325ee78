"""Templates of mails: checked when they are stored, limited when they are rendered."""

import httpx
import pytest

from crm_service.templates import store
from crm_service.templates.engine import check, render
from crm_service.templates.model import LOCALES, VARIABLES, BadTemplate, Template, shipped
from crossdock_chassis import Service

URL = "/v1/templates/acknowledgement/de"
GOOD = {"subject": "Danke [#{{ number }}]", "text": "Wir haben {{ subject | upcase }}."}


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("name", VARIABLES)
def test_shipped_template_is_whole(name: str, locale: str) -> None:
    check(name, shipped(name, locale))
    found = render(shipped(name, locale), {**dict.fromkeys(VARIABLES[name], "x"), "number": 7, "subject": "a\nb"})
    assert "\n" not in found.subject and found.text


async def test_stored_template_replaces_the_shipped_one(service: Service, staff: httpx.AsyncClient) -> None:
    data = {"number": 7, "subject": "Bestellung"}

    async def rendered(locale: str) -> str:
        async with service.database.unit() as unit:
            return (await store.render(unit, "acknowledgement", locale, data)).text

    assert "A person will answer" in await rendered("de-AT")
    assert (await staff.put(URL, json=GOOD)).json() == {"name": "acknowledgement", "locale": "de"}
    assert await rendered("de-AT") == "Wir haben BESTELLUNG."
    items = (await staff.get("/v1/templates")).json()["items"]
    stored = [each for each in items if each["stored"]]
    assert [(each["locale"], each["variables"]) for each in stored] == [("de", ["number", "subject"])]
    assert (await staff.delete(URL)).status_code == 200
    assert (await staff.delete(URL)).status_code == 404
    assert "客服" in await rendered("zh-CN")


@pytest.mark.parametrize(
    ("member", "source", "code"),
    [
        ("text", "Hello\n{{ nobody }}", "unknown_variable"),
        ("subject", "{{ text }}", "unknown_variable"),
        ("text", "{% if number %}{{ subject.secret.deep }}{% endif %}{{ self }}", "unknown_variable"),
        ("text", "{{ number", "not_liquid"),
        ("text", "{{ subject | replace: 'a', 'aaaa' }}", "not_renderable"),
        ("text", "{% include 'answer' %}", "not_liquid"),
        ("text", "{{ " + "number[" * 1_000 + "0" + "]" * 1_000 + " }}", "not_liquid"),
        ("text", "{% for i in (1..1000000000) %}x{% endfor %}", "not_renderable"),
        ("text", "{% for i in (1..999) %}" + "x" * 200 + "{% endfor %}", "not_renderable"),
    ],
)
async def test_bad_template_is_refused_with_its_place(
    staff: httpx.AsyncClient, member: str, source: str, code: str
) -> None:
    answer = await staff.put(URL, json={**GOOD, member: source})
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == (f"/{member}", code)
    assert not any(each["stored"] for each in (await staff.get("/v1/templates")).json()["items"])


async def test_unknown_name_is_404(staff: httpx.AsyncClient) -> None:
    assert (await staff.put("/v1/templates/nothing/en", json=GOOD)).status_code == 404


def test_unknown_variable_is_named_with_its_line() -> None:
    with pytest.raises(BadTemplate, match="line 3 names nobody; answer has number, subject, text"):
        check("answer", Template("x", "a\nb\n{{ nobody }}"))
