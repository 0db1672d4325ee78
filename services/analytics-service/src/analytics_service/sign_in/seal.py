"""Encrypt what the database or a browser keeps for us: AES-256-GCM, bound to its purpose."""

import hashlib
import os
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NAME_BYTES: Final = 4
NONCE_BYTES: Final = 12


class Unreadable(Exception):
    """The bytes were not sealed for this purpose with one of the keys."""


class Seal:
    """Seals with the first key and opens with each of them.

    A sealed value is the name of its key (4 bytes), a nonce (12 bytes), and the ciphertext with its tag.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_name(key): AESGCM(key) for key in keys}
        self._first = _name(keys[0])

    def seal(self, plain: str, purpose: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return self._first + nonce + self._keys[self._first].encrypt(nonce, plain.encode(), purpose)

    def open(self, sealed: bytes, purpose: bytes) -> str:
        """Return the text. Raise Unreadable."""
        key = self._keys.get(sealed[:NAME_BYTES])
        nonce, secret = sealed[NAME_BYTES : NAME_BYTES + NONCE_BYTES], sealed[NAME_BYTES + NONCE_BYTES :]
        if key is None or len(nonce) != NONCE_BYTES:
            raise Unreadable
        try:
            return key.decrypt(nonce, secret, purpose).decode()
        except InvalidTag:
            raise Unreadable from None


def _name(key: bytes) -> bytes:
    return hashlib.sha256(b"name" + key).digest()[:NAME_BYTES]
