"""The service's own tables, one class per table. Hand-written SQL reads and writes them."""

from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ARRAY, TIMESTAMP, BigInteger, Double, Identity, Index, Text, text
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ACTIVE = "status IN ('new', 'open', 'waiting', 'reopened')"


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[type, Any]] = {
        str: Text,
        int: BigInteger,
        datetime: TIMESTAMP(timezone=True),
        list[Any]: JSONB,
        dict[str, Any]: JSONB,
        list[str]: ARRAY(Text),
        list[int]: ARRAY(BigInteger),
        bytes: BYTEA,
        float: Double,
    }


class PartnerRow(Base):
    """A partner that has ordered, and the namespace of its customer ids.

    `account_id` is the customer that the orders without a customer id go to. It is null until there is such an order.
    """

    __tablename__ = "partners"
    __table_args__ = (Index("partners_account", "account_id", unique=True),)

    name: Mapped[str] = mapped_column(primary_key=True)
    namespace: Mapped[str]
    account_id: Mapped[UUID | None]


class CustomerRow(Base):
    """A person or an account. `kind` and `origin` have the codes of `CustomerRegistered`. `version` counts its events.

    `met_as` is the id by which it was met, in the partner's own numbering, and null for an account. A customer that was
    merged names the one that took it in, and keeps all that it has. `root` is the customer at the end of that chain,
    itself if it was not merged: what is shown of a customer is joined from all rows with its `root`.
    """

    __tablename__ = "customers"
    __table_args__ = (
        Index("customers_root", "root"),
        Index("customers_parent", "parent_id"),
        Index("customers_erased", "erased_at", postgresql_where=text("erased_at IS NOT NULL")),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    origin: Mapped[str]
    met_by: Mapped[str | None]
    met_as: Mapped[str | None]
    display_name: Mapped[str | None]
    version: Mapped[int]
    registered_at: Mapped[datetime]
    born_on: Mapped[date | None]
    zone: Mapped[str | None]
    locale: Mapped[str | None]
    region: Mapped[str | None]
    owner: Mapped[str | None]
    parent_id: Mapped[UUID | None]
    tags: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    fields: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    merged_into: Mapped[UUID | None]
    merged_at: Mapped[datetime | None]
    root: Mapped[UUID]
    erased_at: Mapped[datetime | None]


class ChannelRow(Base):
    """A mail address or phone number. `address` is as it was given, and `match` is the form that is compared.

    A mail address has one customer, and a phone number may have several. `region` is that of a number without +.
    """

    __tablename__ = "channels"
    __table_args__ = (
        Index("channels_customer", "customer_id"),
        Index("channels_email", "match", unique=True, postgresql_where=text("kind = 'email'")),
    )

    match: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(server_default=text("'email'"))
    address: Mapped[str]
    region: Mapped[str | None]
    added_at: Mapped[datetime]
    verified_at: Mapped[datetime | None]
    undeliverable_at: Mapped[datetime | None]
    undeliverable_why: Mapped[str | None]


class CustomerAddressRow(Base):
    """A postal address of a customer."""

    __tablename__ = "customer_addresses"
    __table_args__ = (Index("customer_addresses_customer", "customer_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    purpose: Mapped[str]
    street: Mapped[str]
    extra: Mapped[str | None]
    city: Mapped[str]
    region: Mapped[str | None]
    postcode: Mapped[str | None]
    country: Mapped[str]
    added_at: Mapped[datetime]


class CustomerChangeRow(Base):
    """A value of a customer that changed: from, to, when, and who did it. `version` is that of the event."""

    __tablename__ = "customer_changes"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    who: Mapped[str]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]


class ConsentRow(Base):
    """A consent that was given or withdrawn, for a purpose and a channel. Rows never change: the last one counts."""

    __tablename__ = "consents"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    purpose: Mapped[str]
    channel: Mapped[str]
    state: Mapped[str]
    source: Mapped[str]
    at: Mapped[datetime]
    who: Mapped[str]


class MatchKeyRow(Base):
    """A hash of a value, or of a part of it, by which a customer is found when another one has it too."""

    __tablename__ = "match_keys"
    __table_args__ = (Index("match_keys_customer", "customer_id"),)

    key: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(primary_key=True)


class SuspectRow(Base):
    """Two customers that may be the same, `one` with the lower id: `open`, `dismissed` or `merged`."""

    __tablename__ = "suspects"
    __table_args__ = (
        Index("suspects_other", "other"),
        Index("suspects_open", "score", "one", "other", postgresql_where=text("state = 'open'")),
    )

    one: Mapped[UUID] = mapped_column(primary_key=True)
    other: Mapped[UUID] = mapped_column(primary_key=True)
    score: Mapped[float]
    reasons: Mapped[list[str]]
    state: Mapped[str]
    found_at: Mapped[datetime]


class CustomerActivityRow(Base):
    """A note about a customer, or a call: `direction` is in or out, and `seconds` its length."""

    __tablename__ = "customer_activities"
    __table_args__ = (Index("customer_activities_customer", "customer_id", "at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    kind: Mapped[str]
    at: Mapped[datetime]
    who: Mapped[str]
    body: Mapped[str]
    direction: Mapped[str | None]
    seconds: Mapped[int | None]


class CustomerSchemaRow(Base):
    """A JSON Schema of the fields that staff add to customers. The newest version counts."""

    __tablename__ = "customer_schemas"

    version: Mapped[int] = mapped_column(primary_key=True)
    document: Mapped[dict[str, Any]]
    who: Mapped[str]
    at: Mapped[datetime]


class CustomerLinkRow(Base):
    """A customer id as partners send it, and the customer that it leads to: with the orders placed `since` then."""

    __tablename__ = "customer_links"
    __table_args__ = (Index("customer_links_customer", "customer_id"),)

    namespace: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    since: Mapped[datetime] = mapped_column(server_default=text("'-infinity'"))


class CustomerMeetingRow(Base):
    """A partner that has ordered for a customer id. It names the link, and so it moves with the link."""

    __tablename__ = "customer_meetings"
    __table_args__ = (Index("customer_meetings_partner", "partner"),)

    namespace: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    partner: Mapped[str] = mapped_column(primary_key=True)


class ErasureRow(Base):
    """A customer that is to be erased, with all that was merged into it. `erased` counts rows, and stays as proof.

    `sequence` is that of the event that was sent before a restore, and null if the erasure sends one.
    """

    __tablename__ = "erasures"
    __table_args__ = (
        Index("erasures_open", "customer_id", unique=True, postgresql_where=text("done_at IS NULL")),
        Index("erasures_looked", "looked_at", postgresql_where=text("done_at IS NULL")),
        Index("erasures_done", "done_at", postgresql_where=text("done_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    reason: Mapped[str]
    who: Mapped[str]
    asked_at: Mapped[datetime]
    looked_at: Mapped[datetime]
    erased: Mapped[int] = mapped_column(server_default=text("0"))
    done_at: Mapped[datetime | None]
    sequence: Mapped[int | None]


class ErasedLinkRow(Base):
    """A customer id of a customer that was erased. Orders placed before then lead to nobody."""

    __tablename__ = "erased_links"

    namespace: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    erased_at: Mapped[datetime]


class HoldRow(Base):
    """A reason of law not to erase a customer, up to and with a day."""

    __tablename__ = "holds"
    __table_args__ = (Index("holds_customer", "customer_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    reason: Mapped[str]
    until: Mapped[date]
    who: Mapped[str]
    placed_at: Mapped[datetime]
    lifted_at: Mapped[datetime | None]


class CaseRow(Base):
    """A case as its history left it. `version` counts its events, and `entries` the rows of its history."""

    __tablename__ = "cases"
    __table_args__ = (
        Index("cases_number", "number", unique=True),
        Index("cases_customer", "customer_id", "id"),
        Index("cases_partner", "partner", "id"),
        Index("cases_assigned", "assignee", postgresql_where=text(f"assignee IS NOT NULL AND {ACTIVE}")),
        Index("cases_queued", "queue", "id", postgresql_where=text(f"assignee IS NULL AND queue <> '' AND {ACTIVE}")),
        Index("cases_parent", "parent", postgresql_where=text("parent IS NOT NULL")),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Identity(always=True))
    kind: Mapped[str]
    customer_id: Mapped[UUID]
    partner: Mapped[str | None]
    status: Mapped[str]
    waiting_for: Mapped[str | None]
    severity: Mapped[str]
    category: Mapped[str | None]
    subject: Mapped[str]
    channel: Mapped[str]
    follows: Mapped[UUID | None]
    assignee: Mapped[str | None]
    root_cause: Mapped[str | None]
    segment: Mapped[str] = mapped_column(server_default=text("''"))
    contract: Mapped[str] = mapped_column(server_default=text("''"))
    level: Mapped[int] = mapped_column(server_default=text("0"))
    merged_into: Mapped[UUID | None]
    queue: Mapped[str] = mapped_column(server_default=text("''"))
    split_from: Mapped[UUID | None]
    parent: Mapped[UUID | None]
    version: Mapped[int]
    entries: Mapped[int]
    opened_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]


class CaseEntryRow(Base):
    """An entry of the history of a case, with the status after it. Entries never change."""

    __tablename__ = "case_entries"

    case_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    did: Mapped[str]
    status: Mapped[str]
    waiting_for: Mapped[str | None]
    side: Mapped[str]
    who: Mapped[str | None]
    body: Mapped[str | None]
    mail_id: Mapped[UUID | None]


class CaseTieRow(Base):
    """An order, or a line of it, that a case concerns. `line_id` is empty for the whole order."""

    __tablename__ = "case_ties"
    __table_args__ = (Index("case_ties_order", "order_id"),)

    case_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    line_id: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[int | None]


class MailRow(Base):
    """A mail as it came in or goes out. `digest` is of a mail in and its recipient, so that it is stored once.

    A mail in is `stored`, then `filed`, `duplicate`, `machine` or `unreadable`. A mail out is `requested` or
    `suppressed`, then `sent`, `refused`, `bounced`, or `unknown`. `kind` is of a mail out.
    `handed_at` is just before its final dot.
    """

    __tablename__ = "mails"
    __table_args__ = (
        Index("mails_digest", "digest", unique=True),
        Index("mails_message", "message_id"),
        Index("mails_case", "case_id", "at"),
        Index("mails_stored", "at", "id", postgresql_where=text("state = 'stored'")),
        Index("mails_state", "state", "id"),
        Index("mails_outcome", "state", "reason", postgresql_where=text("direction = 'out'")),
        Index("mails_from", text("lower(sender)"), postgresql_where=text("case_id IS NULL")),
        Index("mails_to", text("lower(recipient)"), postgresql_where=text("case_id IS NULL")),
        Index("mails_acknowledged", text("lower(recipient)"), "at", postgresql_where=text("kind = 'acknowledgement'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    direction: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str | None]
    digest: Mapped[bytes | None]
    message_id: Mapped[str | None]
    references: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    sender: Mapped[str | None]
    recipient: Mapped[str]
    case_id: Mapped[UUID | None]
    raw: Mapped[bytes]
    at: Mapped[datetime]
    kind: Mapped[str | None]
    handed_at: Mapped[datetime | None]
    html: Mapped[str | None]


class SuppressionRow(Base):
    """A mail address, as a keyed hash, that gets no mail: none at all (`all`), or no `notice`."""

    __tablename__ = "suppressions"

    address: Mapped[bytes] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    at: Mapped[datetime]


class TemplateRow(Base):
    """A template of a mail that replaces the shipped one."""

    __tablename__ = "templates"

    name: Mapped[str] = mapped_column(primary_key=True)
    locale: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    text: Mapped[str]
    changed_at: Mapped[datetime]


class AttachmentRow(Base):
    """A file of a case. `stored_at` is null until all of its chunks are stored, and `size` and `sha256` are, too."""

    __tablename__ = "attachments"
    __table_args__ = (
        Index("attachments_case", "case_id", "id"),
        Index("attachments_begun", "begun_at", postgresql_where=text("stored_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    case_id: Mapped[UUID]
    mail_id: Mapped[UUID | None]
    name: Mapped[str]
    media_type: Mapped[str]
    internal: Mapped[bool]
    side: Mapped[str]
    who: Mapped[str | None]
    size: Mapped[int | None]
    sha256: Mapped[bytes | None]
    begun_at: Mapped[datetime]
    stored_at: Mapped[datetime | None]


class AttachmentChunkRow(Base):
    """A piece of a file: 256 KiB, the last one less."""

    __tablename__ = "attachment_chunks"

    attachment_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes]


class ImapPositionRow(Base):
    """Up to which mail a mailbox was read."""

    __tablename__ = "imap_positions"

    mailbox: Mapped[str] = mapped_column(primary_key=True)
    validity: Mapped[int]
    uid: Mapped[int]
    at: Mapped[datetime]


class SlaPolicyRow(Base):
    """The open seconds that a kind and severity has, for a segment and contract of customers, which are empty for all.

    `steps` are open seconds of the resolution after which a case is escalated. `calendar` is null for 24 hours a day.
    """

    __tablename__ = "sla_policies"

    kind: Mapped[str] = mapped_column(primary_key=True)
    severity: Mapped[str] = mapped_column(primary_key=True)
    segment: Mapped[str] = mapped_column(primary_key=True, server_default=text("''"))
    contract: Mapped[str] = mapped_column(primary_key=True, server_default=text("''"))
    first_answer: Mapped[int]
    resolution: Mapped[int]
    next_answer: Mapped[int | None]
    steps: Mapped[list[int]] = mapped_column(server_default=text("'{}'"))
    calendar: Mapped[str | None]


class CustomerTermsRow(Base):
    """The segment and contract of a customer, which its new cases take over."""

    __tablename__ = "customer_terms"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    segment: Mapped[str]
    contract: Mapped[str]


class SlaCalendarRow(Base):
    """Opening times: weekday (0 is Monday) and two minutes of the day each, in a time zone.

    `special` has days with their own openings: date, and pairs of minutes of the day.
    """

    __tablename__ = "sla_calendars"

    name: Mapped[str] = mapped_column(primary_key=True)
    zone: Mapped[str]
    openings: Mapped[list[Any]]
    holidays: Mapped[str | None]
    special: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))


class CaseTimerRow(Base):
    """A moment of a running clock that is to be noticed: `risk`, `breach`, or `step-1` and so on of escalation."""

    __tablename__ = "case_timers"
    __table_args__ = (Index("case_timers_due", "due_at"),)

    case_id: Mapped[UUID] = mapped_column(primary_key=True)
    clock: Mapped[str] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True, server_default=text("1"))
    noticed: Mapped[str] = mapped_column(primary_key=True)
    due_at: Mapped[datetime]


class SlaMarkRow(Base):
    """A moment of a clock that was noticed, so that its event is sent once. `round` is that of the next answer."""

    __tablename__ = "sla_marks"

    case_id: Mapped[UUID] = mapped_column(primary_key=True)
    clock: Mapped[str] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True, server_default=text("1"))
    noticed: Mapped[str] = mapped_column(primary_key=True)
    due_at: Mapped[datetime]
    noticed_at: Mapped[datetime]


class QueueRow(Base):
    """A queue of cases of a kind and category, which are empty for any. `skill` is what an agent needs for it."""

    __tablename__ = "queues"

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    category: Mapped[str]
    skill: Mapped[str]


class AgentRow(Base):
    """A person of the desk who gets cases. `calendar` has the shifts, and is null for always."""

    __tablename__ = "agents"

    who: Mapped[str] = mapped_column(primary_key=True)
    skills: Mapped[list[str]]
    capacity: Mapped[int]
    present: Mapped[bool]
    calendar: Mapped[str | None]


class MacroRow(Base):
    """A named list of acts on a case, each with its text."""

    __tablename__ = "macros"

    name: Mapped[str] = mapped_column(primary_key=True)
    acts: Mapped[list[Any]]


class CaseRuleRow(Base):
    """A rule that opens a case once an order has had a trouble for so long. Only troubles after `made_at` count."""

    __tablename__ = "case_rules"

    name: Mapped[str] = mapped_column(primary_key=True)
    trouble: Mapped[str]
    after_seconds: Mapped[int]
    kind: Mapped[str]
    severity: Mapped[str]
    category: Mapped[str | None]
    subject: Mapped[str]
    notice: Mapped[str]
    made_at: Mapped[datetime]


class OrderTroubleRow(Base):
    """An order that is in trouble now, and since when."""

    __tablename__ = "order_troubles"

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    trouble: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]


class RuleWatchRow(Base):
    """An order in trouble for which a rule opens a case at `due_at`, unless the trouble ends before."""

    __tablename__ = "rule_watches"
    __table_args__ = (Index("rule_watches_due", "due_at"), Index("rule_watches_order", "order_id"))

    rule: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    due_at: Mapped[datetime]


class RuleCaseRow(Base):
    """A case that a rule has opened. Its key allows one per rule and order. `suppressed`: why no notice was sent."""

    __tablename__ = "rule_cases"
    __table_args__ = (Index("rule_cases_case", "case_id", unique=True),)

    rule: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    case_id: Mapped[UUID]
    suppressed: Mapped[str | None]
    opened_at: Mapped[datetime]


class OrdersProjected(DeclarativeBase):
    """The tables of the projection `customer_orders`. No migration creates them: each generation has its own."""

    type_annotation_map: ClassVar[dict[type, Any]] = Base.type_annotation_map


class CustomerOrderRow(OrdersProjected):
    """An order by its partner and customer id, empty without one. It names no customer: links can move.

    `lines` has line id, item and quantity of each line. `waiting` has item and missing quantity of each line that lacks
    stock. `since` is when it reached its status.
    """

    __tablename__ = "customer_orders"
    __table_args__ = (
        Index("customer_orders_customer", "partner", "external_id", "placed_at"),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    partner: Mapped[str]
    reference: Mapped[str]
    external_id: Mapped[str] = mapped_column(server_default=text("''"))
    status: Mapped[str]
    since: Mapped[datetime]
    placed_at: Mapped[datetime]
    sequence: Mapped[int]
    currency: Mapped[str | None]
    total: Mapped[str | None]
    reason: Mapped[str | None]
    lines: Mapped[list[Any] | None]
    waiting: Mapped[list[Any] | None]
