"""Find the addresses that a mail names which nobody could read, so that an erasure finds it. Best effort.

Its structure is not known, so all of it is decoded in each way in which mails encode an address. Everything is linear
in the size of the mail, because a hostile mail comes here too.
"""

import binascii
import re
from collections.abc import Iterator
from typing import Final

from crm_service.customers.model import match_of

MOST: Final = 100_000
"""The places of a mail that are looked at."""
DEPTH: Final = 2
"""How often a decoded part is decoded again: a mail that is attached has encoded parts of its own."""
LONGEST_LOCAL: Final = 64
LONGEST_DOMAIN: Final = 190
WORD: Final = re.compile(rb"=\?[^?\s]{1,40}\?([bBqQ])\?([^?\s]*)\?=")
BASE64: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
BEFORE: Final = re.compile(r"[^\s@<>,;:\"\\()\[\]]+\Z")
AFTER: Final = re.compile(r"[\w.-]+")
MARKS: Final = re.compile(r"[=*/|&?!#%~{}'`]")


def addresses_in(raw: bytes) -> list[str]:
    """Return the addresses in the form that is compared."""
    found, left = set[str](), MOST
    for text in _texts(raw, DEPTH):
        found.update(match_of(each) for each in _addresses(text, left))
        if (left := left - text.count("@")) <= 0:
            break
    return sorted(found)


def _texts(raw: bytes, depth: int) -> Iterator[str]:
    yield raw.replace(b"\0", b"").decode("utf-8", "replace")  # without NUL, UTF-16 is nearly ASCII
    if depth == 0:
        return
    for each in (binascii.a2b_qp(raw), *_words(raw), *_blocks(raw)):
        if each and each != raw:
            yield from _texts(each, depth - 1)


def _words(raw: bytes) -> Iterator[bytes]:
    """Yield the contents of encoded headers (RFC 2047), and all of them joined: two may share an address."""
    words = [
        _decoded(text) if kind in b"bB" else binascii.a2b_qp(text, header=True) for kind, text in WORD.findall(raw)
    ]
    yield from words
    yield b"".join(words)


def _blocks(raw: bytes) -> Iterator[bytes]:
    """Yield what lines of base64 have that follow each other."""
    block = list[bytes]()
    for line in (*raw.split(b"\n"), b""):
        if BASE64.fullmatch(line := line.strip()):
            block.append(line)
        elif block:
            yield _decoded(b"".join(block))
            block = []


def _decoded(text: bytes) -> bytes:
    """Decode base64, also if its end is missing."""
    text = text.rstrip(b"=")
    try:
        return binascii.a2b_base64(text[: len(text) - (len(text) % 4 == 1)] + b"==")
    except binascii.Error:
        return b""


def _addresses(text: str, most: int) -> Iterator[str]:
    place = -1
    while most and (place := text.find("@", place + 1)) >= 0:
        most -= 1
        before = BEFORE.search(text[max(0, place - LONGEST_LOCAL) : place])
        after = AFTER.match(text, place + 1, place + 1 + LONGEST_DOMAIN)
        if before is not None and after is not None:
            domain = after[0].strip(".-")
            yield f"{before[0]}@{domain}"
            if (own := MARKS.split(before[0])[-1]) not in ("", before[0]):
                yield f"{own}@{domain}"
