"""Put the built console into the wheel of analytics-service, if CROSSDOCK_CONSOLE_BUILD names its folder."""

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleHook(BuildHookInterface[Any]):
    """Without the variable the wheel has no console: then `CROSSDOCK_CONSOLE` names one, or there is none."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        folder = os.environ.get("CROSSDOCK_CONSOLE_BUILD")
        if version == "editable" or not folder:
            return
        if not (Path(folder) / "index.html").is_file():
            raise ValueError(f"CROSSDOCK_CONSOLE_BUILD={folder} has no index.html: build the console first")
        build_data["force_include"][folder] = "analytics_service/console"
