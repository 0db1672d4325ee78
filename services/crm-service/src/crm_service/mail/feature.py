"""Wire the feature: mails are stored over HTTP, and filed by a job."""

from datetime import timedelta

from crm_service.mail import http
from crm_service.mail.filing import Filing
from crm_service.mail.receive import WAKES, Received, receive_mails
from crm_service.post.compose import Post
from crm_service.settings import Settings
from crossdock_chassis import Coalescer, Database, Feature, every_in_units

FILE_SECONDS = 0.1


def feature(database: Database, settings: Settings, post: Post) -> Feature:
    filing = Filing(post, timedelta(days=settings.reopen_days))
    receive = Coalescer(database, receive_mails, Received, limit=20, name="receive_mail")
    return Feature(
        routers=[http.router],
        provides=[http.Mails(database, receive)],
        jobs=[every_in_units(FILE_SECONDS, filing.file_mails, woken_by=WAKES)],
        problems=http.PROBLEMS,
    )
