"""The file of customers: its columns, the rules of its cells, and the verb that applies its rows."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import Field

from crm_service.customers.bodies import Birthday, Email, Line, Locale, Name, Region, Zone
from crm_service.uploads import xlsx
from crm_service.uploads.take import Taking
from crossdock_chassis import Column, ImportKind, Sheet

CSV: Final = "text/csv"

Partner = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
Phone = Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[^\x00-\x1f\x7f]+$")]
Postcode = Annotated[str, Field(min_length=1, max_length=20, pattern=r"^[^\x00-\x1f\x7f]+$")]
Country = Annotated[str, Field(pattern="^[A-Z]{2}$", description="a country in two capital letters")]
Tags = Annotated[
    str,
    Field(pattern=r"^[^\x00-\x20\x7f,]{1,64}( [^\x00-\x20\x7f,]{1,64}){0,49}$", description="tags with blanks between"),
]


def _whole_address(cells: dict[str, Any], arguments: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what an address lacks."""
    given = [name for name in ("street", "city", "postcode", "country") if cells.get(name) is not None]
    for name in ("street", "city", "country"):
        if given and name not in given:
            yield name, f"must not be empty, because {given[0]} is given"


_CUSTOMERS: Final = Sheet(
    (
        Column("partner", Partner, required=True, example="acme"),
        Column("external_id", Partner, required=True, example="C-90210"),
        Column("name", Name, example="Ada Example"),
        Column("email", Email, example="ada@example.com"),
        Column("phone", Phone, example="020 7183 8750"),
        Column("region", Region, example="GB"),
        Column("born_on", Birthday, example="1980-02-29"),
        Column("street", Line, example="1 High Street"),
        Column("city", Line, example="Leeds"),
        Column("postcode", Postcode, example="LS1 4AP"),
        Column("country", Country, example="GB"),
        Column("zone", Zone, example="Europe/London"),
        Column("locale", Locale, example="en-GB"),
        Column("owner", Name, example="ann"),
        Column("tags", Tags, example="vip wholesale"),
    ),
    key=("partner", "external_id"),
    rule=_whole_address,
)


def customers() -> Sheet:
    return _CUSTOMERS


def kinds(shared_namespaces: Mapping[str, str]) -> dict[str, ImportKind]:
    """Return the kind of each media type. Both have the same columns, rules and errors."""
    take = Taking(shared_namespaces).take_customers
    return {
        CSV: ImportKind("customers", customers, take),
        xlsx.MEDIA_TYPE: ImportKind("customers-xlsx", customers, take, xlsx.Xlsx, heavy=True),
    }
