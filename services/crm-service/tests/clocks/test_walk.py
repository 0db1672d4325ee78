"""Clocks against a walk through the minutes: breaks, holidays, make-up days, special days, and changes of the clock."""

from datetime import datetime

from clock_walk import check_history, check_span, histories, places, policies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_service.clocks.model import Calendar, Policy

few = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


@few
@given(places(), st.integers(1, 3 * 1440))
def test_open_time_of_any_calendar_equals_a_walk(place: tuple[Calendar, datetime], minutes: int) -> None:
    check_span(*place, minutes)


@few
@given(places(), policies, histories)
def test_clocks_of_any_history_equal_a_walk(
    place: tuple[Calendar, datetime], policy: Policy, then: list[tuple[int, tuple[str, str, str | None]]]
) -> None:
    check_history(place[0], policy, place[1], then)
