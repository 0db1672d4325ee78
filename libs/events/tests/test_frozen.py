"""Freezing and checking, each guard seen to hold on a small library of its own."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import Field

from crossdock_events import Catalogue, Cause, Envelope, Event, OpenEnum, Topic
from crossdock_events._check import check
from crossdock_events._event import Code, Identifier, Stability
from crossdock_events._frozen import Library, plan
from crossdock_events.examples import Example

TYPE = "crossdock.CaseOpened.v1"
CASES = Topic("crossdock.cases.v1", key="case_id", owner="crm-service")


class CaseEvent(Event, topic=CASES):
    case_id: Identifier


Declare = Callable[[Stability], type[Event]]


def first(stability: Stability) -> type[Event]:
    class Case(CaseEvent, type=TYPE, stability=stability):
        """A case was opened."""

        kind: Annotated[Code, OpenEnum("damage", "delay")]
        severity: Annotated[int, Field(ge=1, le=5)]

    return Case


def grown(stability: Stability) -> type[Event]:
    class Case(CaseEvent, type=TYPE, stability=stability):
        """A case was opened."""

        kind: Annotated[Code, OpenEnum("damage", "delay", "loss")]
        severity: Annotated[int, Field(ge=1, le=5)]
        line_count: Annotated[int, Field(ge=0)] | None = None

    return Case


def grown_again(stability: Stability) -> type[Event]:
    class Case(CaseEvent, type=TYPE, stability=stability):
        """A case was opened."""

        kind: Annotated[Code, OpenEnum("damage", "delay", "loss")]
        severity: Annotated[int, Field(ge=1, le=5)]
        line_count: Annotated[int, Field(ge=0)] | None = None
        urgent: bool = False

    return Case


def reworded(stability: Stability) -> type[Event]:
    class Renamed(CaseEvent, type=TYPE, stability=stability):
        """Somebody complained."""

        kind: Annotated[Code, OpenEnum("delay", "damage")]
        severity: Annotated[int, Field(ge=1, le=5)]

    return Renamed


def broken(stability: Stability) -> type[Event]:
    class Case(CaseEvent, type=TYPE, stability=stability):
        """A case was opened."""

        kind: Annotated[Code, OpenEnum("damage", "delay")]
        severity: Annotated[int, Field(ge=1, le=3)]

    return Case


@dataclass
class Repository:
    """A library's folder, and the contracts that its next `freeze` or `check` finds."""

    folder: Path
    declare: Declare = first
    stability: Stability = "stable"
    labels: tuple[str, ...] = ("usual",)
    values: dict[str, Any] = field(default_factory=lambda: {"kind": "damage", "severity": 2})

    def _catalogue(self) -> tuple[Catalogue, list[Example]]:
        contract = self.declare(self.stability)
        module = ModuleType(contract.__module__)
        vars(module)["Case"] = contract
        event = contract.model_validate({"case_id": "K-1", **self.values})
        at = datetime(2026, 1, 1, tzinfo=UTC)
        envelope = Envelope(event, UUID(int=1), "crm-service", at, 1, Cause(UUID(int=2)))
        return Catalogue(module), [Example(label, envelope) for label in self.labels]

    def freeze(self) -> list[str]:
        planned = plan(*self._catalogue(), Library(self.folder))
        if not planned.refusals:
            for path, content in planned.writes.items():
                path.parent.mkdir(exist_ok=True)
                path.write_text(content)
        return [str(refusal) for refusal in planned.refusals]

    def check(self) -> str:
        return "\n".join(map(str, check(*self._catalogue(), Library(self.folder))))

    def path(self, name: str) -> Path:
        return self.folder / name

    def files(self) -> dict[str, str]:
        return {p.relative_to(self.folder).as_posix(): p.read_text() for p in self.folder.rglob("*") if p.is_file()}


R1, R2 = f"schemas/{TYPE}.r1.json", f"schemas/{TYPE}.r2.json"
USUAL = f"examples/{TYPE}.usual.json"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """With the first shape frozen as stable."""
    made = Repository(tmp_path)
    assert made.freeze() == []
    return made


def test_freeze_writes_a_schema_an_example_and_their_hashes(repository: Repository) -> None:
    assert set(repository.files()) == {R1, USUAL, "frozen.sha256"}
    assert repository.check() == ""
    schema = json.loads(repository.path(R1).read_text())
    assert "additionalProperties" not in json.dumps(schema)
    assert schema["properties"]["kind"]["x-open-enum"] == ["damage", "delay"]
    assert json.loads(repository.path(USUAL).read_text())["data"] == {"case_id": "K-1", "kind": "damage", "severity": 2}


def test_nothing_is_up_to_date_before_the_first_freeze(tmp_path: Path) -> None:
    said = Repository(tmp_path).check()
    assert R1 in said and USUAL in said and "run `python -m crossdock_events freeze`" in said


def test_freezing_again_changes_nothing(repository: Repository) -> None:
    before = repository.files()
    assert repository.freeze() == [] and repository.files() == before


def test_prose_field_order_and_class_name_need_no_revision(repository: Repository) -> None:
    before = repository.files()
    repository.declare = reworded
    assert repository.check() == ""
    assert repository.freeze() == [] and repository.files() == before


def test_compatible_change_is_frozen_as_a_new_revision(repository: Repository) -> None:
    before = repository.files()
    repository.declare = grown
    assert R2 in repository.check()
    assert repository.freeze() == []
    after = repository.files()
    assert after[R1] == before[R1] and after[USUAL] == before[USUAL] and R2 in after
    assert repository.check() == ""
    repository.declare = grown_again  # with a default, which the class writes and the golden example lacks
    assert repository.freeze() == [] and repository.check() == ""
    assert repository.files()[USUAL] == before[USUAL]
    repository.values["urgent"] = True
    assert "differs from its golden file" in repository.freeze()[0]


def test_a_breaking_change_is_refused_and_writes_nothing(repository: Repository) -> None:
    before = repository.files()
    repository.declare, repository.labels = broken, ("usual", "new")
    (refusal,) = repository.freeze()
    assert "breaks revision 1 at /properties/severity/maximum" in refusal and "next version" in refusal
    assert repository.files() == before
    assert "breaks revision 1" in repository.check()


def test_change_is_checked_against_every_revision(repository: Repository) -> None:
    repository.declare = grown
    assert repository.freeze() == []
    repository.declare = first
    (refusal, *_) = repository.freeze()
    assert "breaks revision 2" in refusal
    repository.declare = broken
    assert {line.split(" at ")[0] for line in repository.freeze()} >= {
        f"{TYPE}: breaks revision 1",
        f"{TYPE}: breaks revision 2",
    }


def test_a_draft_may_change_until_it_is_stable(tmp_path: Path) -> None:
    repository = Repository(tmp_path, stability="draft")
    assert repository.freeze() == [] and repository.check() == ""
    repository.declare = broken
    assert R1 in repository.check()
    assert repository.freeze() == [] and repository.check() == ""
    assert set(repository.files()) == {R1, USUAL}
    repository.stability = "stable"
    assert "frozen.sha256" in repository.check()
    assert repository.freeze() == [] and repository.check() == ""
    repository.declare = first
    assert "breaks revision 1" in repository.freeze()[0]


def test_draft_example_that_no_longer_decodes_must_be_removed(tmp_path: Path) -> None:
    repository = Repository(tmp_path, stability="draft", labels=("usual", "severe"))
    repository.values["severity"] = 5
    assert repository.freeze() == []
    repository.declare, repository.labels, repository.values["severity"] = broken, ("usual",), 1
    assert repository.freeze() == []
    said = repository.check()
    assert "severe.json: does not decode: severity: less_than_equal (le 3)" in said and "remove the file" in said


def test_stable_is_not_taken_back(repository: Repository) -> None:
    repository.stability = "draft"
    assert "make it stable again" in repository.freeze()[0]
    assert "make it stable again" in repository.check()


@pytest.mark.parametrize("name", [R1, USUAL])
def test_what_is_frozen_is_not_edited(repository: Repository, name: str) -> None:
    path = repository.path(name)
    path.write_text(path.read_text().replace("crm-service", "order-service").replace("A case", "The case"))
    assert f"{name}: was edited after it was frozen" in repository.check()
    repository.freeze()
    assert f"{name}: was edited after it was frozen" in repository.check()


@pytest.mark.parametrize("name", [R1, USUAL])
def test_what_is_frozen_is_not_removed(repository: Repository, name: str) -> None:
    repository.path(name).unlink()
    assert f"{name}: is listed in frozen.sha256 but gone" in repository.check()


def test_a_frozen_file_without_its_hash_is_noticed(repository: Repository) -> None:
    repository.path("frozen.sha256").write_text("")
    assert "frozen.sha256: differs from the contracts" in repository.check()


def test_an_example_stays_when_the_code_forgets_it(repository: Repository) -> None:
    repository.labels = ("another",)
    assert repository.freeze() == []
    assert repository.path(USUAL).exists() and repository.check() == ""


def test_an_example_is_not_changed_under_its_label(repository: Repository) -> None:
    repository.values["severity"] = 3
    (refusal,) = repository.freeze()
    assert "differs from its golden file" in refusal and "under another label" in refusal


def test_every_event_has_an_example(tmp_path: Path) -> None:
    assert "has no example" in Repository(tmp_path, labels=()).freeze()[0]


def test_a_stable_type_keeps_its_class(repository: Repository) -> None:
    said = "\n".join(map(str, check(Catalogue(), [], Library(repository.folder))))
    assert f"{R1}: has no class" in said and f"restore the class of {TYPE}" in said


def test_a_draft_without_a_class_is_to_be_removed(tmp_path: Path) -> None:
    repository = Repository(tmp_path, stability="draft")
    repository.freeze()
    said = "\n".join(map(str, check(Catalogue(), [], Library(tmp_path))))
    assert f"{R1}: has no class" in said and "remove the file of this draft" in said


@pytest.mark.parametrize("name", ["schemas/readme.txt", f"schemas/{TYPE}.json", f"examples/{TYPE}.Label.json"])
def test_strays_are_noticed(repository: Repository, name: str) -> None:
    repository.path(name).write_text("{}")
    assert f"{name}: is neither a schema nor an example" in repository.check()


def test_a_gap_in_the_revisions_is_noticed(repository: Repository) -> None:
    repository.path(R1).rename(repository.path(R2))
    assert "has schema revisions [2]" in repository.check()


def golden(repository: Repository, label: str, **changes: Any) -> None:
    """A golden example by hand, as one cut from a real log would be."""
    document = json.loads(repository.path(USUAL).read_text())
    document["data"] |= changes.pop("data", {})
    path = repository.path(f"examples/{TYPE}.{label}.json")
    path.write_text(json.dumps({**document, **changes}))


def test_an_example_by_hand_is_frozen_with_the_rest(repository: Repository) -> None:
    golden(repository, "by-hand", id=str(UUID(int=9)), time="2025-12-31T23:59:59Z")
    assert "frozen.sha256: differs from" in repository.check()
    assert repository.freeze() == [] and repository.check() == ""
    assert "by-hand" in repository.path("frozen.sha256").read_text()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"data": {"severity": 9}}, "does not decode: severity: less_than_equal"),
        ({"data": {"severity": "2"}}, "does not decode: severity: int_type"),
        ({"subject": "K-2"}, "does not decode: the record's key"),
        ({"time": "2026-01-01T00:00:00"}, "does not decode: attribute time has no offset"),
        ({"type": "crossdock.Other.v1"}, "is of type crossdock.Other.v1"),
        ({"data": {"colour": "red"}}, "comes back different at /colour"),
    ],
)
def test_an_example_that_does_not_fit_is_noticed(repository: Repository, changes: Any, problem: str) -> None:
    golden(repository, "by-hand", **changes)
    assert problem in repository.check()


def test_an_old_schema_must_accept_what_the_class_writes(repository: Repository) -> None:
    """Examples are a second check: a frozen schema that is tighter than the class refuses its example."""
    schema = json.loads(repository.path(R1).read_text())
    schema["properties"]["severity"]["maximum"] = 1
    repository.path(R1).write_text(json.dumps(schema))
    assert "schema revision 1 refuses the example at /severity: maximum" in repository.check()


def test_what_breaks_a_rule_is_not_frozen(tmp_path: Path) -> None:
    def careless(stability: Stability) -> type[Event]:
        class Case(CaseEvent, type=TYPE, stability=stability):
            """A case was opened."""

            kind: Code
            severity: int
            customer_name: Code = "somebody"

        return Case

    repository = Repository(tmp_path, careless)
    assert any("customer_name looks like personal data" in refusal for refusal in repository.freeze())
    assert repository.files() == {}
    assert "customer_name looks like personal data" in repository.check()
