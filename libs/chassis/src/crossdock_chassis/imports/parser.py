"""The process that parses one file: its pieces come from the standard input, batches go to the standard output.

It ends when its parent ends, because its standard input then ends. No other module imports this one.
"""

import pickle
import resource
import signal
import sys
from contextlib import suppress
from typing import IO, Any, Final

from crossdock_chassis.imports.parsing import HEAD, Parser
from crossdock_chassis.imports.sheet import Batch

MEMORY: Final = 1 << 30
"""Bytes of address space of the process."""


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(ValueError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    sys.path[:] = _load(source)
    sheet, format, arguments = _load(source)
    parser = Parser(sheet(), format(), arguments)
    while True:
        for batch in parser.parse(*_load(source)):
            _dump(target, batch)
        _dump(target, None)


def _load(source: IO[bytes]) -> Any:
    head = source.read(HEAD.size)
    if len(head) < HEAD.size:
        raise SystemExit
    return pickle.loads(source.read(HEAD.unpack(head)[0]))


def _dump(target: IO[bytes], batch: Batch | None) -> None:
    content = pickle.dumps(batch)
    try:
        target.write(HEAD.pack(len(content)) + content)
        target.flush()
    except BrokenPipeError:
        raise SystemExit from None


if __name__ == "__main__":
    main()
