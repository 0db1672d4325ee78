"""The page `/docs`: Swagger UI with its own files, so that the page works in a closed network."""

from importlib.resources import files
from typing import Final

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

PACKAGE: Final = "fastapi_swagger.resources"
"""A package that carries the files of Swagger UI (Apache-2.0). No other part of it is used."""
SCRIPT, STYLE, ICON = "swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"


def routes(title: str) -> list[Route]:
    """Return the routes of the page and its files. The page has relative addresses only, for proxies with a prefix."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=title,
        swagger_js_url=f"docs/{SCRIPT}",
        swagger_css_url=f"docs/{STYLE}",
        swagger_favicon_url=f"docs/{ICON}",
        # Otherwise Swagger UI sends the address of the OpenAPI document to a public validator.
        swagger_ui_parameters={"validatorUrl": None},
    )

    async def show(_: Request) -> Response:
        return page

    return [Route("/docs", show), *(_file(name) for name in (SCRIPT, STYLE, ICON))]


def _file(name: str) -> Route:
    path = str(files(PACKAGE) / name)

    async def send(_: Request) -> Response:
        return FileResponse(path)

    return Route(f"/docs/{name}", send)
