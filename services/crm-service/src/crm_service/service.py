"""Wire crm-service, which knows the customers, their orders, their cases and their mails."""

from crm_service import checks, migrations, reactions, tables
from crm_service.cases import feature as cases
from crm_service.customers import feature as customers
from crm_service.mail import feature as mail
from crm_service.overview import feature as overview
from crm_service.post.compose import Post
from crm_service.post.deliver import Smtp, performer
from crm_service.rules import feature as rules
from crm_service.settings import Settings
from crm_service.sla import feature as sla
from crossdock_chassis import Database, Service

__all__ = ["Settings", "build"]


def build(settings: Settings) -> Service:
    database = Database(settings.postgres, source="crm-service", pool_size=settings.pool_size)
    smtp = None if settings.smtp_host is None else Smtp(settings.smtp_host, settings.smtp_port)
    post = Post(settings.addresses, sends=smtp is not None)
    return Service(
        name="crm-service",
        settings=settings,
        database=database,
        metadata=tables.Base.metadata,
        migrations=migrations,
        features=[
            customers.feature(database),
            cases.feature(database, post),
            mail.feature(database, settings),
            rules.feature(database, post),
            sla.feature(database),
            overview.feature(database),
        ],
        reactions=reactions.table(settings.shared_namespaces),
        reactions_start="beginning",
        projections=reactions.PROJECTIONS,
        effects=[performer(smtp or Smtp("127.0.0.1", settings.smtp_port))],
        checks=checks.CHECKS,
        unsettled=checks.UNSETTLED,
    )
