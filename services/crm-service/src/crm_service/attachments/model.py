"""Names and types of attachments. Pure."""

import re
import unicodedata
from typing import Final

CHUNK: Final = 256 * 1024
MAX_BYTES: Final = 25_000_000
MAX_NAME: Final = 150
OCTETS: Final = "application/octet-stream"
_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}", re.ASCII)


def safe_name(name: str) -> str:
    """Return a name without folders, control characters and signs that turn the direction of a text.

    >>> safe_name("../../etc/passwd")
    'passwd'
    """
    last = re.split(r"[/\\]", name)[-1]
    shown = "".join(each for each in unicodedata.normalize("NFC", last) if unicodedata.category(each)[0] != "C")
    shown = " ".join(shown.split()).strip(". ")
    if len(shown) > MAX_NAME:
        stem, dot, ending = shown.rpartition(".")
        shown = f"{stem[: MAX_NAME - 20]}.{ending[:19]}" if dot else shown[:MAX_NAME]
    return re.sub(r'[<>:"|?*]', "_", shown) or "attachment"


def safe_type(media_type: str) -> str:
    """Return the media type in lower case, or that of unknown bytes if it is none."""
    found = media_type.lower()
    return found if _TYPE.fullmatch(found) else OCTETS
