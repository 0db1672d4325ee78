"""The loopback ports of a stack."""

import json
import random
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

from crossdock_cli.errors import CommandError
from crossdock_local.layout import write

Kind: TypeAlias = Literal["fixed", "free"]

HOST = "127.0.0.1"
FIXED = {"postgres": 8432, "kafka": 8492, "kafka-controller": 8493, "issuer": 8400, "post-office": 8480}
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

    Both kinds are stored in the home. A later command needs no variable to find free ports. And only an import shows a
    service's default port, which takes seconds.
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

    @classmethod
    def of_home(cls, file: Path) -> "Ports":
        """Return ports of the kind that `file` stores, or else fixed ports."""
        return cls.free() if _kind(_read(file)) == "free" else cls.fixed()

    @property
    def kind(self) -> Kind:
        return "free" if self._fixed is None else "fixed"

    def kept_in(self, file: Path) -> "Ports":
        """Store the ports in `file` once its folder exists, so that the next command on this home uses the same ports.

        Stored ports of the other kind are ignored.
        """
        self._file, kept = file, _read(file)
        if _kind(kept) == self.kind:
            self._kept = kept
        return self

    def forget(self) -> None:
        """Forget the stored default ports, because a newer version may have others. Free ports stay."""
        if self._fixed is not None:
            self._kept = {}

    def keep(self) -> None:
        """Store the ports now, if there is a folder for them."""
        if self._file is not None and self._file.parent.exists():
            write(self._file, json.dumps(self._kept, indent=1))

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
            self.keep()
        return self._kept[name]


def _read(file: Path) -> dict[str, int]:
    try:
        return {str(name): int(port) for name, port in json.loads(file.read_text()).items()}
    except FileNotFoundError:
        return {}


def _kind(kept: Mapping[str, int]) -> Kind:
    """Return the kind of stored ports. Of the ports with a documented default, only free ones are stored."""
    return "fixed" if FIXED.keys().isdisjoint(kept) else "free"


def require_free(ports: Iterable[tuple[str, int]]) -> None:
    """Raise CommandError if another program holds a port. The error names the first such port."""
    for name, port in ports:
        if not is_free(port):
            raise CommandError(
                f"Port {port}, needed for {name}, is taken by another program: "
                f"stop that program. `lsof -i :{port}` shows which one it is."
            )
