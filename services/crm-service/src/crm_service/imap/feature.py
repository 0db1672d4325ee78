"""Wire the feature: a job reads the mailbox of the desk, if there is one."""

from crm_service.imap.fetch import Fetching
from crm_service.imap.mailbox import Mailbox
from crm_service.mail.receive import MAX_BYTES
from crm_service.settings import Settings
from crossdock_chassis import Feature, every_in_units


def feature(settings: Settings) -> Feature:
    if settings.imap_host is None:
        return Feature()
    mailbox = Mailbox(
        settings.imap_host,
        settings.imap_port,
        settings.imap_user,
        settings.imap_password.get_secret_value(),
        settings.imap_tls,
        settings.imap_folder,
        MAX_BYTES,
    )
    fetching = Fetching(mailbox, settings.addresses.desk)
    return Feature(jobs=[every_in_units(settings.imap_seconds, fetching.fetch_mails)])
