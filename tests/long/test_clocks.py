"""Clocks of cases against a walk through the minutes, with many more calendars and histories than in `make test`."""

from datetime import datetime

from clock_walk import check_history, check_span, histories, places, policies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_service.clocks.model import Calendar, Policy

many = settings(max_examples=3_000, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


@many
@given(places(), st.integers(0, 10 * 1440))
def test_open_time_of_many_calendars_equals_a_walk(place: tuple[Calendar, datetime], minutes: int) -> None:
    check_span(*place, minutes)


@many
@given(places(), policies, histories)
def test_clocks_of_many_histories_equal_a_walk(
    place: tuple[Calendar, datetime], policy: Policy, then: list[tuple[int, tuple[str, str, str | None]]]
) -> None:
    check_history(place[0], policy, place[1], then)
