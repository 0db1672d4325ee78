"""The loopback ports of a stack."""

import json
import random
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from crossdock_cli.errors import CommandError

HOST = "127.0.0.1"
FIXED = {"postgres": 8432, "kafka": 8492, "kafka-controller": 8493, "issuer": 8400}
# The range is below the one from which kernels give ports to outgoing connections. Otherwise such a connection could
# take the port of a broker that was just killed and is about to restart.
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
    """Return whether a program accepts connections on the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def free_ports() -> Iterator[int]:
    candidates = list(FREE_RANGE)
    random.shuffle(candidates)
    return (port for port in candidates if is_free(port))


class Ports:
    """Ports by name. Fixed ports are the documented defaults; free ports are chosen at random once per home.

    Both kinds are stored in the home, because only an import shows a service's default port, and that takes seconds.
    """

    def __init__(self, fixed: dict[str, int] | None) -> None:
        self._fixed = fixed
        self._kept: dict[str, int] = {}
        self._file: Path | None = None

    @classmethod
    def fixed(cls, **others: int) -> "Ports":
        """Return the default ports; a keyword (`kafka_controller=9093`) replaces a default."""
        return cls(FIXED | {name.replace("_", "-"): port for name, port in others.items()})

    @classmethod
    def free(cls) -> "Ports":
        return cls(None)

    def kept_in(self, file: Path) -> "Ports":
        """Store the ports in `file`, so that the next command on this home uses the same ports."""
        self._file = file
        if file.exists():
            self._kept = {str(name): int(port) for name, port in json.loads(file.read_text()).items()}
        return self

    def forget(self) -> None:
        """Forget the stored default ports, because a newer version may have others. Free ports stay."""
        if self._fixed is not None:
            self._kept = {}

    def of(self, name: str, default: Callable[[], int] | None = None) -> int:
        """Return the port of `name`. Raise CommandError if the name is unknown."""
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
    """Raise CommandError if another program holds a port. The error names the first such port."""
    for name, port in ports:
        if not is_free(port):
            raise CommandError(
                f"Port {port}, needed for {name}, is taken by another program: "
                f"stop that program. `lsof -i :{port}` shows which one it is."
            )
