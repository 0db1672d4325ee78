"""Profile one process under load, and summarize py-spy's samples as two lists."""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SAMPLES_A_SECOND = 200


class NoProfiler(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Profile:
    """Shares of the busy samples by function. `own`: in the function itself. `below`: including its callees."""

    samples: int
    own: dict[str, float]
    below: dict[str, float]


def folded(lines: Iterable[str]) -> Profile:
    """Parse py-spy's raw format: `outer (file:1);inner (file:2) 17`. Add up all lines of one function."""
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    total = 0
    for line in lines:
        stack, _, text = line.strip().rpartition(" ")
        if not stack:
            continue
        count = int(text)
        frames = [_function(frame) for frame in stack.split(";")]
        total += count
        own[frames[-1]] += count
        for frame in set(frames):
            below[frame] += count
    whole = max(total, 1)
    return Profile(
        total,
        {name: count / whole for name, count in own.most_common()},
        {name: count / whole for name, count in below.most_common()},
    )


def _function(frame: str) -> str:
    """Return `name (folder/file.py:12)` without the line number."""
    name, _, place = frame.rpartition(" (")
    return f"{name} ({place.rstrip(')').rpartition(':')[0] or place.rstrip(')')})" if name else frame


@contextmanager
def watching(pid: int) -> Iterator[Callable[[], Profile]]:
    """Profile a block; call the yielded function after it. Raise NoProfiler without py-spy or its permissions."""
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if program is None:
        raise NoProfiler("py-spy is not installed: run `.venv/bin/python -m pip install py-spy` and try again.")
    with tempfile.TemporaryDirectory(prefix="cd-") as folder:
        file = Path(folder) / "profile.raw"
        words = ["record", "--pid", str(pid), "--rate", str(SAMPLES_A_SECOND), "--format", "raw", "--nonblocking"]
        process = subprocess.Popen(
            [program, *words, "--output", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        found: list[Profile] = []
        try:
            yield lambda: found[0]
        finally:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
            if not file.exists():
                raise NoProfiler(f"py-spy could not read the process, maybe without root: {said.strip()[-400:]}")
            found.append(folded(file.read_text().splitlines()))
