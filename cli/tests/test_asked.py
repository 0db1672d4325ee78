"""A refused request becomes one sentence and a line for each error."""

import httpx
import pytest

from crossdock_cli.errors import CommandError
from crossdock_cli.http import asked

REQUEST = httpx.Request("POST", "http://127.0.0.1/v1/orders")


def refusal(**problem: object) -> CommandError:
    with pytest.raises(CommandError) as refused:
        asked(httpx.Response(422, json=problem, request=REQUEST))
    return refused.value


def test_problem_becomes_a_sentence_with_its_errors() -> None:
    error = refusal(
        title="The request breaks a rule",
        detail="3 places",
        errors=[
            {"pointer": "/lines/0", "detail": "is missing"},
            {"in": "query", "parameter": "limit", "detail": "is too large"},
            {"row": 7, "column": "quantity", "detail": "must be a number"},
            {"row": 8, "column": None, "detail": "has too many columns"},
        ],
    )
    assert str(error) == "/v1/orders answered 422. The request breaks a rule. 3 places"
    assert error.details.splitlines() == [
        "/lines/0: is missing",
        "limit: is too large",
        "row 7, quantity: must be a number",
        "row 8: has too many columns",
    ]


def test_many_errors_are_cut_off() -> None:
    many = [{"pointer": f"/lines/{number}", "detail": "is missing"} for number in range(1000)]
    assert len(refusal(title="Wrong", errors=many).details.splitlines()) == 20


def test_answer_that_is_no_problem_is_shown_as_it_is() -> None:
    with pytest.raises(CommandError, match=r"^/v1/orders answered 502\. Bad Gateway$"):
        asked(httpx.Response(502, text="Bad Gateway", request=REQUEST))
