import subprocess
import sys
from datetime import UTC, datetime
from types import ModuleType, new_class
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import AwareDatetime, Field, create_model

import crossdock_events
from crossdock_events import CATALOGUE, Catalogue, Cause, Envelope, Event, OpenEnum, Topic, Value
from crossdock_events._event import Code, Identifier
from crossdock_events._lint import FREE_TEXT, PERSONAL, lint
from crossdock_events.examples import EXAMPLES, Example
from crossdock_events.orders import OrderEvent

THINGS = Topic("crossdock.things.v1", key="thing_id", owner="order-service")


def module_of(*contracts: type[Event], name: str = "module_under_test") -> ModuleType:
    module = ModuleType(name)
    for number, contract in enumerate(contracts):
        contract.__module__ = name
        setattr(module, f"Contract{number}", contract)
    return module


def thing(
    topic: Topic = THINGS, ce_type: str = "crossdock.ThingDone.v1", doc: str = "It is.", **fields: Any
) -> type[Event]:
    """An event on `topic` with these fields beside its key: `name=annotation` or `name=(annotation, default)`."""
    annotations: dict[str, Any] = {topic.key: Identifier}
    namespace: dict[str, Any] = {"__module__": __name__, "__doc__": doc, "__annotations__": annotations}
    for name, declared in fields.items():
        annotations[name], *default = declared if isinstance(declared, tuple) else (declared,)
        if default:
            namespace[name] = default[0]
    made: type[Event] = new_class(
        "Thing", (Event,), {"topic": topic, "type": ce_type}, lambda body: body.update(namespace)
    )
    return made


def findings(*contracts: type[Event]) -> list[str]:
    return [f"{each.problem} -> {each.remedy}" for each in lint(Catalogue(module_of(*contracts)))]


def test_the_contracts_keep_every_rule() -> None:
    assert [str(each) for each in lint(CATALOGUE)] == []


def test_importing_registers_nothing() -> None:
    before = list(CATALOGUE)
    declared = thing(ce_type="crossdock.ThingDeclared.v1")
    assert list(CATALOGUE) == before and declared not in before
    program = (
        "import crossdock_events.orders as o; from crossdock_events import Catalogue; print(len(list(Catalogue())))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "0"


def test_a_type_that_is_declared_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"crossdock\.ThingDone\.v1 is declared twice"):
        Catalogue(module_of(thing(), thing()))


def test_catalogue_ignores_contracts_that_a_module_imports() -> None:
    borrowed = ModuleType("other")
    vars(borrowed).update(OrderPlaced=crossdock_events.orders.OrderPlaced, OrderEvent=OrderEvent)
    assert list(Catalogue(borrowed)) == []


def test_renaming_a_class_does_not_change_the_wire() -> None:
    class Before(OrderEvent, type="crossdock.OrderTouched.v1"):
        """It was touched."""

    class After(OrderEvent, type="crossdock.OrderTouched.v1"):
        """It was touched."""

    def wire(contract: type[Event]) -> object:
        event = contract.model_validate({"order_id": UUID(int=1), "partner": "p", "reference": "r"})
        return Envelope(event, UUID(int=2), "s", datetime(2026, 1, 1, tzinfo=UTC), 1, Cause(UUID(int=3))).encode()

    assert wire(Before) == wire(After)
    schemas = [Catalogue(module_of(contract)).schemas() for contract in (Before, After)]
    assert schemas[0] == schemas[1]


def test_a_type_is_not_inherited() -> None:
    class Touched(OrderEvent, type="crossdock.OrderTouched.v1"):
        """It was touched."""

    class Special(Touched):
        """A class for code's own use."""

    assert Special.ce_type == ""


def test_the_package_offers_what_it_says() -> None:
    assert all(hasattr(crossdock_events, name) for name in crossdock_events.__all__)
    assert len(crossdock_events.__all__) == len(set(crossdock_events.__all__))


def test_a_proper_contract_passes() -> None:
    class Part(Value):
        line_id: Identifier
        colour: Annotated[Code, OpenEnum("red")]

    assert (
        findings(thing(order_id=UUID, at=AwareDatetime, parts=tuple[Part, ...], more=(Identifier | None, None))) == []
    )


@pytest.mark.parametrize("name", sorted(PERSONAL | FREE_TEXT))
def test_what_looks_like_personal_data_or_free_text_is_refused(name: str) -> None:
    for field in (name, f"{name}_code", f"customer_{name}"):
        declared: dict[str, Any] = {field: Code}
        (finding,) = findings(thing(**declared))
        assert f"field {field} looks like" in finding


@pytest.mark.parametrize(
    "name", ["full_name", "contact_email", "street_line", "order_notes", "comment_text", "postcode"]
)
def test_it_is_found_in_the_parts_of_an_event_too(name: str) -> None:
    declared: dict[str, Any] = {name: (Code, ...)}
    part = create_model("Part", __base__=Value, **declared)
    (finding,) = findings(thing(parts=tuple[part, ...]))
    assert f"parts.{name} looks like" in finding


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ({"remark_code": str}, "allows free text at /properties/remark_code"),
        ({"value": Annotated[str, Field(max_length=65)]}, "allows free text at /properties/value"),
        ({"values": tuple[str, ...]}, "allows free text at /properties/values/items"),
        ({"value": dict[str, int]}, "has no fixed shape"),
        ({"value": Any}, "has no fixed shape"),
        ({"value": tuple[dict[str, int], ...]}, "has no fixed shape"),
        ({"value": int | None}, "does not default to None"),
        ({"value": (int | None, 0)}, "does not default to None"),
        ({"values": tuple[int | None, ...]}, "nulls inside a collection"),
        ({"at": datetime}, "may lack its offset"),
        ({"at": (datetime | None, None)}, "may lack its offset"),
        ({"line_id": Identifier}, "no required order_id"),
        ({"shipment_id": Identifier, "order_id": (UUID | None, None)}, "no required order_id"),
    ],
)
def test_each_rule_about_fields_is_kept(declared: dict[str, Any], problem: str) -> None:
    assert any(problem in finding for finding in findings(thing(**declared)))


@pytest.mark.parametrize(
    ("contract", "problem"),
    [
        (thing(doc=""), "no docstring"),
        (thing(ce_type="crossdock.thing.v1"), "is not crossdock."),
        (thing(ce_type="crossdock.ThingDone"), "is not crossdock."),
        (thing(ce_type="crossdock.ThingDone.v0"), "is not crossdock."),
        (thing(Topic("things", key="thing_id", owner="order-service")), "is not named crossdock."),
        (thing(Topic("crossdock.things.v1", key="thing_id", owner="the order people")), "is not a service"),
        (
            thing(Topic("crossdock.things.v1", key="thing_id", owner="order-service"), thing_id=int),
            "the key of its topic",
        ),
        (thing(thing_id=(Identifier | None, None)), "the key of its topic"),
    ],
)
def test_each_rule_about_types_and_topics_is_kept(contract: type[Event], problem: str) -> None:
    assert any(problem in finding for finding in findings(contract))


def test_only_these_events_are_visible_to_a_partner() -> None:
    """An event that is added here goes to partners: check that each field of it is the partner's to know."""
    assert {contract.ce_type: contract.visible_to_partner for contract in CATALOGUE} == {
        "crossdock.OrderPlaced.v1": "partner",
        "crossdock.OrderConfirmed.v1": "partner",
        "crossdock.OrderBackordered.v1": "partner",
        "crossdock.OrderRejected.v1": "partner",
        "crossdock.OrderCancelled.v1": "partner",
        "crossdock.OrderRedacted.v1": "partner",
        "crossdock.StockReserved.v1": None,
        "crossdock.StockBackordered.v1": None,
        "crossdock.StockRejected.v1": None,
        "crossdock.StockReleased.v1": None,
        "crossdock.StockLevelChanged.v1": None,
        "crossdock.ForecastUpdated.v1": None,
        "crossdock.ModelChanged.v1": None,
        "crossdock.ForecastOverridden.v1": None,
        "crossdock.ForecastAccuracyMeasured.v1": None,
        "crossdock.ForecastBiasDetected.v1": None,
        "crossdock.EnquiryReceived.v1": None,
        "crossdock.ServiceRequested.v1": None,
        "crossdock.ComplaintOpened.v1": None,
        "crossdock.ComplaintTied.v1": None,
        "crossdock.ComplaintAssigned.v1": None,
        "crossdock.ComplaintResolved.v1": None,
        "crossdock.ComplaintReopened.v1": None,
        "crossdock.ComplaintClosed.v1": None,
        "crossdock.ComplaintEscalated.v1": None,
        "crossdock.ComplaintMerged.v1": None,
        "crossdock.ComplaintReturnAsked.v1": None,
        "crossdock.SlaAtRisk.v1": None,
        "crossdock.SlaBreached.v1": None,
        "crossdock.CustomerRegistered.v1": None,
        "crossdock.CustomerUpdated.v1": None,
        "crossdock.ConsentChanged.v1": None,
        "crossdock.CustomersMerged.v1": None,
        "crossdock.CustomersUnmerged.v1": None,
        "crossdock.CustomerErased.v1": None,
        "crossdock.DemandOutlierDetected.v1": None,
        "crossdock.ItemRegistered.v1": None,
        "crossdock.ItemChanged.v1": None,
    }


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: f"{each.envelope.event.ce_type}.{each.label}")
def test_an_event_is_seen_by_its_own_partner_or_by_none(example: Example) -> None:
    event = example.envelope.event
    assert event.seen_by == (event.partner if isinstance(event, OrderEvent) else None)


def test_a_new_event_is_visible_to_no_partner() -> None:
    class Touched(OrderEvent, type="crossdock.OrderTouched.v1"):
        """It was touched."""

    class Shown(OrderEvent, type="crossdock.OrderShown.v1", visible_to_partner="partner"):
        """It was shown."""

    class Hidden(Shown, type="crossdock.OrderHidden.v1"):
        """It was hidden, and does not inherit."""

    seen = [each(order_id=UUID(int=1), partner="acme", reference="r").seen_by for each in (Touched, Shown, Hidden)]
    assert seen == [None, "acme", None]


@pytest.mark.parametrize(
    "declared", [{}, {"partner": (Identifier | None, None)}, {"partner": int}, {"partner": (Identifier, "acme")}]
)
def test_a_visible_event_names_its_partner(declared: dict[str, Any]) -> None:
    contract = thing(**declared)
    contract.visible_to_partner = "partner"
    (finding,) = findings(contract)
    assert "is visible to the partner in partner, which is not a required Identifier" in finding


def test_a_docstring_is_not_inherited() -> None:
    contract = thing(doc="")
    del contract.__doc__
    assert any("no docstring" in finding for finding in findings(contract))


def test_a_topic_has_one_owner_and_one_declaration() -> None:
    other = Topic("crossdock.things.v1", key="thing_id", owner="inventory-service")
    (finding,) = findings(thing(), thing(other, ce_type="crossdock.ThingUndone.v1"))
    assert "inventory-service, order-service" in finding


def test_a_contract_that_contains_itself_is_refused() -> None:
    class Node(Value):
        children: "tuple[Node, ...]"

    Node.model_rebuild(_types_namespace={"Node": Node})
    with pytest.raises(ValueError, match="contains itself"):
        findings(thing(root=Node))
