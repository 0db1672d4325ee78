"""Run helper processes of the bench. Each reads a line of JSON and answers with a line of JSON."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent


class HelperFailed(Exception):
    pass


class Helper:
    """A process `python -m <module>` that answers each line it receives."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.module = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, job: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Return the next answer of the process. Raise HelperFailed with its error if it failed."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise HelperFailed(f"{self.module} ended with code {self._process.wait()}")
        answer = json.loads(line)
        if isinstance(answer, dict) and "failed" in answer:
            raise HelperFailed(f"{self.module}: {answer['failed']}")
        return answer

    def ask(self, job: Mapping[str, Any]) -> Any:
        self.tell(job)
        return self.hear()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def say(answer: object) -> None:
    """Write one line to the parent process.

    Do not use `print`: with PYTHONUNBUFFERED, standard output drops the bytes that a pipe does not accept at once.
    """
    with open(sys.stdout.fileno(), "wb", closefd=False) as out:
        out.write(json.dumps(answer).encode() + b"\n")


def serve(handle: Callable[[dict[str, Any]], Any]) -> None:
    """Answer each line of standard input with the result of `handle`, in the helper process."""
    for line in sys.stdin:
        try:
            answer = handle(json.loads(line))
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"}
        say(answer)
