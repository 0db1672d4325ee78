"""Where the time of one process goes while orders flow: py-spy's samples as two lists."""

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
    """Shares of the samples in which the process was busy: `own` in the function itself, `below` with all it called."""

    samples: int
    own: dict[str, float]
    below: dict[str, float]


def folded(lines: Iterable[str]) -> Profile:
    """From py-spy's raw format: `outer (file:1);inner (file:2) 17`. Lines of one function count together."""
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
    """`name (folder/file.py:12)` without the line."""
    name, _, place = frame.rpartition(" (")
    return f"{name} ({place.rstrip(')').rpartition(':')[0] or place.rstrip(')')})" if name else frame


@contextmanager
def watching(pid: int) -> Iterator[Callable[[], Profile]]:
    """The profile of the block, asked for after it. Raises NoProfiler without py-spy or the right to use it."""
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if program is None:
        raise NoProfiler("py-spy is not installed here: `.venv/bin/python -m pip install py-spy`, then again.")
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
                raise NoProfiler(f"py-spy could not look at the process: {said.strip()[-400:]}")
            found.append(folded(file.read_text().splitlines()))
