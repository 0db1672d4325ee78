"""`crossdock mail`: write to the service desk of this machine, and read what its post office has kept."""

import smtplib
from email import message_from_string, policy
from email.message import EmailMessage
from email.utils import make_msgid
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from crossdock_cli import installation
from crossdock_cli.errors import CommandError
from crossdock_cli.mails import counted
from crossdock_cli.output import console, moment, print_table
from crossdock_cli.progress import runnable
from crossdock_local.network import here
from crossdock_local.post_office import kept
from crossdock_local.posting import DOMAIN

SECONDS = 20

mail = typer.Typer(no_args_is_help=True, help="Write to the service desk of this machine, and read its mails.")
mail.callback()(lambda: None)


@mail.command()
def send(
    text: Annotated[str, typer.Argument(help="The text of the mail.")],
    sender: Annotated[str, typer.Option("--from", help="The address of the customer.")] = "ada@example.com",
    subject: Annotated[str, typer.Option(help="The subject.")] = "A question",
    to: Annotated[str, typer.Option(help="support, complaints, or an address such as a Reply-To.")] = "support",
) -> None:
    """Send a mail over SMTP to the post office, as a customer would."""
    one = EmailMessage(policy=policy.SMTP)
    recipient = to if "@" in to else f"{to}@{DOMAIN}"
    try:
        one["From"], one["To"], one["Subject"] = sender, recipient, subject
        one["Message-ID"] = make_msgid(domain="example.com")
        one.set_content(text)
        with smtplib.SMTP(*here().post_office, timeout=SECONDS) as server:
            server.send_message(one, sender, [recipient])
    except ValueError as error:
        raise CommandError(f"The mail cannot be written: {error}.") from error
    except smtplib.SMTPException as error:
        raise CommandError(f"The post office refused the mail: {error}.") from error
    except OSError as error:
        raise CommandError("The post office does not answer: is everything up?") from error
    out = console()
    out.print(f"The mail to {recipient} is sent. {runnable('crossdock cases')} shows its case.", markup=False)


@mail.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="The most mails that are shown.")] = 20,
    full: Annotated[bool, typer.Option("--full", help="With the text of each mail.")] = False,
) -> None:
    """List the mails that the post office has kept, the newest first, and count those that were not sent."""
    out, found = console(), kept(here().home.mail)[:limit]
    table = Table("at", "from", "to", "subject", box=None)
    for envelope, content in found:
        one = message_from_string(content, policy=policy.default)
        cells = (moment(envelope["at"]), envelope["from"], envelope["to"], str(one["Subject"] or ""))
        if full:
            out.print("  ".join(cells), markup=False)
            body = one.get_body(("plain",))
            out.print(body.get_content() if body else "", markup=False)
        table.add_row(*map(escape, cells))
    if not full:
        print_table(out, table)
    out.print(counted(installation.current()), markup=False)
