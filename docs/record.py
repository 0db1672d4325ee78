"""Record the terminal output of a real run as a picture: `.venv/bin/python docs/record.py FILE.svg COMMAND…`.

The command runs on a pseudo-terminal, so it prints the colours that a person sees. Of a progress bar only the last
state is kept. The picture names no web font, because pages that embed it may not load one.
"""

import io
import os
import pty
import re
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 100
OVERDRAWN = re.compile(r"[^\n]*\r\x1b\[2K")
WEB_FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def run(command: list[str]) -> str:
    """Return everything that the command prints. Raise SystemExit if it fails."""
    printed = bytearray()

    def read(terminal: int) -> bytes:
        data = os.read(terminal, 65536)
        printed.extend(data)
        return data

    os.environ |= {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    if status := pty.spawn(command, read):
        raise SystemExit(f"{shlex.join(command)} failed with status {os.waitstatus_to_exitcode(status)}.")
    return OVERDRAWN.sub("", printed.decode().replace("\r\n", "\n"))


def picture(command: list[str], printed: str) -> str:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(f"[bold]$ {shlex.join(command)}[/bold]", highlight=False)
    console.print(Text.from_ansi(printed))
    return WEB_FONT.sub("", console.export_svg(title="crossdock"))


if __name__ == "__main__":
    file, command = Path(sys.argv[1]), sys.argv[2:]
    file.write_text(picture(command, run(command)))
