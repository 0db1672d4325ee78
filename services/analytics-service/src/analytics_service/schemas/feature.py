from analytics_service.schemas import http
from analytics_service.schemas.model import published
from crossdock_chassis import Feature


def feature() -> Feature:
    return Feature(routers=[http.router], provides=[http.Schemas(published())], problems=http.PROBLEMS)
