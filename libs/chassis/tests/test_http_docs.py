"""The page `/docs` loads everything from the service itself."""

import re
from urllib.parse import urljoin, urlsplit

import httpx

from crossdock_chassis.http.application import Api
from crossdock_chassis.testing.signing import Signer

HERE = "http://service.example"


async def test_docs_page_loads_no_file_from_another_host() -> None:
    api = Api("toy-service", [], verifier=Signer.generate().verifier())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url=HERE) as client:
        page = await client.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        named = re.findall(r"""(?:src|href)=["']([^"']+)|"?url"?: ["']([^"']+)""", page.text)
        addresses = {urljoin(f"{HERE}/docs", "".join(each)) for each in named}
        assert len(addresses) == 4, "the script, the style sheet, the icon and the OpenAPI document"
        assert {urlsplit(each).netloc for each in addresses} == {urlsplit(HERE).netloc}
        assert "//" not in page.text
        for each in addresses:
            assert (await client.get(each)).status_code == 200, each
        style = (await client.get("/docs/swagger-ui.css")).text
        assert all(each.startswith("data:") for each in re.findall(r"""url\(["']?([^"')]+)""", style))


async def test_docs_page_asks_no_public_validator() -> None:
    api = Api("toy-service", [], verifier=Signer.generate().verifier())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url=HERE) as client:
        assert '"validatorUrl": null' in (await client.get("/docs")).text
