"""Text that PostgreSQL can store."""


def storable(text: str) -> str:
    """Escape what PostgreSQL cannot store: NUL, and surrogates that stand alone."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
