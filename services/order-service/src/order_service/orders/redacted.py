"""What a redaction takes from an order, and what stays. Pure.

The address, notes, metadata and payment reference leave the document, and the notes on cancels leave the history. The
fingerprint of the order as placed stays, so a repeated order is still recognised. A second fingerprint shows an edit of
what is left.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from crossdock_chassis import fingerprint_of

PERSONAL: Final = ("ship_to", "notes", "metadata", "payment_reference")
"""The members of a document that may describe a person."""

CANCEL_NOTE: Final = "cancel_note"


class Redaction(NamedTuple):
    """The document and history without personal data, and the parts that had some. `parts` is empty if none had."""

    document: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    parts: Sequence[str]


def redacted(document: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> Redaction:
    parts = [name for name in PERSONAL if document.get(name)]
    if any(entry.get("note") for entry in history):
        parts.append(CANCEL_NOTE)
    return Redaction(
        {name: value for name, value in document.items() if name not in PERSONAL},
        [{**entry, "note": None} if entry.get("note") else entry for entry in history],
        parts,
    )


def fingerprint_of_redacted(fingerprint: bytes, document: Mapping[str, Any]) -> bytes:
    """Return the fingerprint of a redacted document together with the one of the order as placed."""
    return fingerprint_of({"as_placed": fingerprint.hex(), "document": document})
