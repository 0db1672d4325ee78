import pytest

from order_service.orders.destination import outward


@pytest.mark.parametrize(
    ("country", "postcode", "told"),
    [
        ("GB", "SW1Y 4LB", "SW1Y"),
        ("GB", "sw1y4lb", "SW1Y"),
        ("GB", " M1 1AE ", "M1"),
        ("GB", "M11AE", "M1"),
        ("GB", "1AE", None),
        ("US", "94107-1234", "941"),
        ("NL", "1012 AB", "101"),
        ("CA", "K1A 0B1", "K1A"),
        ("IS", "10", "10"),
        ("SE", "11 455", "11"),
        ("DE", " ", None),
    ],
)
def test_postcode_is_reduced_to_its_outward_part(country: str, postcode: str, told: str | None) -> None:
    assert outward(country, postcode) == told
