import secrets
from typing import Annotated

from pydantic import Field, SecretStr

import crossdock_chassis
from crm_service.post.address import Addresses

Port = Annotated[int, Field(ge=0, le=65535)]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class Settings(crossdock_chassis.Settings):
    http_port: Port = 8460
    ops_port: Port = 8461

    shared_namespaces: dict[Name, Name] = Field(default_factory=dict)
    """Partners whose customer ids mean the same people: JSON like {"store-*": "stores"}, a pattern of partners and the
    name of their namespace. Other partners have a namespace each. A partner keeps the namespace of its first order."""

    mail_domain: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,187}[a-z0-9])?$")] = "crm.test"
    """The domain of the desk: support@ and complaints@ are its addresses."""
    mail_key: SecretStr = Field(default_factory=lambda: SecretStr(secrets.token_hex(16)))
    """Signs the address of each case. All processes need the same key; without it, only other ways find the case."""
    smtp_host: Annotated[str, Field(min_length=1)] | None = None
    """The server that takes mails out. Without it no mail is sent."""
    smtp_port: Port = 25
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: bool = False
    """TLS from the first byte, as on port 465. Without it STARTTLS is used if the server has it."""
    public_url: Annotated[str, Field(pattern=r"^https?://[^\s]+[^\s/]$")] = "http://127.0.0.1:8460"
    """Where customers reach this service: the links in mails begin with it."""
    imap_host: Annotated[str, Field(min_length=1)] | None = None
    """The server of the desk's mailbox. Without it mails come over HTTP only."""
    imap_port: Port = 993
    imap_user: str = ""
    imap_password: SecretStr = SecretStr("")
    imap_tls: bool = True
    imap_folder: Annotated[str, Field(min_length=1)] = "INBOX"
    imap_seconds: Annotated[float, Field(ge=0.1)] = 30.0
    """How often the mailbox is read. It is read only: nothing in it is marked or deleted."""
    reopen_days: Annotated[float, Field(gt=0)] = 14.0
    """A reply within this time reopens a resolved case. A later one begins another case."""

    retention_days: Annotated[float, Field(gt=0)] | None = None
    """People are erased so long after their last order, case, change or note. Without it they are kept for ever."""
    case_retention_days: Annotated[float, Field(gt=0)] | None = None
    """Texts, mails and files of a case are erased so long after its last change, once it is resolved. Without it they
    are kept for ever."""

    import_max_bytes: Annotated[int, Field(ge=1024)] = 64 << 20
    """The largest file of customers."""

    @property
    def addresses(self) -> Addresses:
        return Addresses(self.mail_domain, self.mail_key.get_secret_value().encode())
