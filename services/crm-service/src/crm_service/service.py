"""Wire crm-service, which knows the customers, their orders, their cases and their mails."""

from datetime import timedelta

from crm_service import checks, migrations, reactions, tables
from crm_service.attachments import feature as attachments
from crm_service.cases import feature as cases
from crm_service.cases.undelivered import undelivered
from crm_service.customers import feature as customers
from crm_service.erasure import feature as erasure
from crm_service.erasure.retention import Retention
from crm_service.imap import feature as imap
from crm_service.joining import feature as joining
from crm_service.macros import feature as macros
from crm_service.mail import feature as mail
from crm_service.overview import feature as overview
from crm_service.post.compose import Post
from crm_service.post.deliver import Delivery, Smtp, performer
from crm_service.queues import feature as queues
from crm_service.rules import feature as rules
from crm_service.settings import Settings
from crm_service.sla import feature as sla
from crm_service.templates import feature as templates
from crm_service.unsubscribe import feature as unsubscribe
from crm_service.uploads import feature as uploads
from crossdock_chassis import Database, Service

__all__ = ["Settings", "build"]


def build(settings: Settings) -> Service:
    database = Database(
        settings.postgres, source="crm-service", pool_size=settings.pool_size, direct=settings.postgres_direct
    )
    password = None if settings.smtp_password is None else settings.smtp_password.get_secret_value()
    host = settings.smtp_host or "127.0.0.1"
    smtp = Smtp(host, settings.smtp_port, settings.smtp_user, password, settings.smtp_tls)
    post = Post(settings.addresses, sends=settings.smtp_host is not None, public_url=settings.public_url)
    return Service(
        name="crm-service",
        settings=settings,
        database=database,
        metadata=tables.Base.metadata,
        migrations=migrations,
        features=[
            customers.feature(database, settings.addresses.digest),
            attachments.feature(database),
            erasure.feature(
                database, settings.addresses, Retention(settings.retention_days, settings.case_retention_days)
            ),
            imap.feature(settings),
            cases.feature(database, post, timedelta(days=settings.reopen_days)),
            joining.feature(database),
            macros.feature(database, post),
            queues.feature(database),
            mail.feature(database, settings, post),
            rules.feature(database, post),
            templates.feature(database),
            unsubscribe.feature(database, settings.addresses),
            sla.feature(database),
            uploads.feature(database, settings),
            overview.feature(database, settings.addresses.digest),
        ],
        reactions=reactions.table(settings.shared_namespaces),
        reactions_start="beginning",
        projections=reactions.PROJECTIONS,
        effects=[performer(Delivery(database, smtp, settings.addresses, undelivered))],
        checks=checks.CHECKS,
        unsettled=checks.UNSETTLED,
    )
