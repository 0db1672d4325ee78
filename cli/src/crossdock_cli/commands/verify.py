from crossdock_cli import installation
from crossdock_cli import verify as checker
from crossdock_cli.errors import CommandError
from crossdock_cli.output import console


def verify() -> None:
    """Check that no order is lost, no stock oversold, no event handled twice and each level explained."""
    report = checker.verify(installation.current())
    console().print(str(report))
    if not report.clean:
        raise CommandError("The books do not balance: the differences are above.")
