import pytest

from crossdock_cli import discovery
from crossdock_cli.discovery import Installed


@pytest.mark.parametrize("service", discovery.installed(), ids=lambda each: str(each.name))
def test_service_that_computes_declares_its_runner(service: Installed) -> None:
    """The launcher would start no runner otherwise, or a runner with nothing to do."""
    environment = {"POSTGRES": "postgresql://127.0.0.1:1/none", "KAFKA": "127.0.0.1:1", "ISSUER": "http://127.0.0.1:1"}
    built = service.build({f"CROSSDOCK_{name}": value for name, value in environment.items()})
    assert any(feature.computing for feature in built.features) == service.runner
