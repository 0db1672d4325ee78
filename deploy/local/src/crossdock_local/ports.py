"""Which loopback ports a stack listens on."""

import json
import random
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from crossdock_cli.errors import CommandError

HOST = "127.0.0.1"
FIXED = {"postgres": 8432, "kafka": 8492, "kafka-controller": 8493, "issuer": 8400}
# Below the range from which kernels give ports to outgoing connections: one of those could sit on the port of a broker
# that was just killed and is about to come back.
FREE_RANGE = range(12_000, 30_000)


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def is_open(port: int) -> bool:
    """Somebody accepts connections there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def free_ports() -> Iterator[int]:
    candidates = list(FREE_RANGE)
    random.shuffle(candidates)
    return (port for port in candidates if is_free(port))


class Ports:
    """Port by name. Fixed ones are the documented defaults; free ones are drawn once for a home.

    Both kinds are kept in the home: a service tells its default only when it is imported, which takes seconds.
    """

    def __init__(self, fixed: dict[str, int] | None) -> None:
        self._fixed = fixed
        self._kept: dict[str, int] = {}
        self._file: Path | None = None

    @classmethod
    def fixed(cls, **others: int) -> "Ports":
        """The defaults; a keyword (`kafka_controller=9093`) replaces one."""
        return cls(FIXED | {name.replace("_", "-"): port for name, port in others.items()})

    @classmethod
    def free(cls) -> "Ports":
        return cls(None)

    def kept_in(self, file: Path) -> "Ports":
        """The same ports again for the next command over this home."""
        self._file = file
        if file.exists():
            self._kept = {str(name): int(port) for name, port in json.loads(file.read_text()).items()}
        return self

    def forget(self) -> None:
        """Asks for the defaults anew: a newer version may have others. Drawn ports stay what they are."""
        if self._fixed is not None:
            self._kept = {}

    def of(self, name: str, default: Callable[[], int] | None = None) -> int:
        """Raises CommandError for a name that nothing is known of."""
        if self._fixed is not None and name in self._fixed:
            return self._fixed[name]
        if name not in self._kept:
            if self._fixed is None:
                taken = set(self._kept.values())
                self._kept[name] = next(port for port in free_ports() if port not in taken)
            elif default is not None:
                self._kept[name] = default()
            else:
                raise CommandError(f"No port is known for {name}.")
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.write_text(json.dumps(self._kept, indent=1))
        return self._kept[name]


def require_free(ports: Iterable[tuple[str, int]]) -> None:
    """Raises CommandError naming the first port that somebody else holds."""
    for name, port in ports:
        if not is_free(port):
            raise CommandError(
                f"Port {port}, needed for {name}, is taken by another program: "
                f"stop that program, or see who it is with `lsof -i :{port}`."
            )
