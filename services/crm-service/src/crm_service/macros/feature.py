"""Wire the feature: macros are kept and run over HTTP."""

from crm_service.macros import http
from crm_service.macros.run import Ran, Running, set_macro
from crm_service.post.compose import Post
from crossdock_chassis import Coalescer, Database, Feature, each


def feature(database: Database, post: Post) -> Feature:
    keep = Coalescer(database, each(set_macro), Ran, limit=1, name="set_macro")
    run = Coalescer(database, each(Running(post).run_macro), Ran, limit=1, name="run_macro")
    return Feature(routers=[http.router], provides=[http.Macros(database, keep, run)], problems=http.PROBLEMS)
