"""The process of a `Child`: `python child_process.py`. It answers what its parent asks, until the parent ends.

It imports no other module of the chassis, so that it is as small as what it computes with. A frame is a length and a
pickle. The first frame is the path of imports, the second what makes the function. Each other frame has the arguments
of a call.
"""

import os
import pickle
import resource
import signal
import struct
import sys
import threading
import traceback
from contextlib import suppress
from queue import SimpleQueue
from typing import IO, Any, Final

HEAD: Final = struct.Struct(">Q")


def main() -> None:
    for each in (signal.SIGINT, signal.SIGTERM):  # a group gets them together: the parent decides about its child
        signal.signal(each, signal.SIG_IGN)
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    asked: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read, args=(source, asked), daemon=True).start()
    sys.path[:] = pickle.loads(asked.get())
    try:
        make, memory, nice = pickle.loads(asked.get())
        os.nice(nice)
        if memory is not None:
            with suppress(ValueError):  # macOS has no such limit
                resource.setrlimit(resource.RLIMIT_AS, (memory, resource.getrlimit(resource.RLIMIT_AS)[1]))
        function = make()
    except Exception as error:
        _failed(target, error)
        return
    _write(target, "end", None)
    while True:
        arguments = asked.get()
        try:
            for answer in function(*pickle.loads(arguments)):
                _write(target, "answer", answer)
        except Exception as error:
            _failed(target, error)
        else:
            _write(target, "end", None)


def _read(source: IO[bytes], asked: "SimpleQueue[bytes]") -> None:
    """Queue the frames. When the parent ends, so does the pipe: end this process at once, also if it computes."""
    while len(head := source.read(HEAD.size)) == HEAD.size:
        asked.put(source.read(HEAD.unpack(head)[0]))
    os._exit(0)


def _failed(target: IO[bytes], error: Exception) -> None:
    traceback.print_exception(error)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    _write(target, "failed", text)


def _write(target: IO[bytes], kind: str, value: Any) -> None:
    content = pickle.dumps((kind, value))
    try:
        target.write(HEAD.pack(len(content)) + content)
        target.flush()
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
