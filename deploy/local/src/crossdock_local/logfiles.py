"""Keep the logs of a stack from filling the disk. They are opened for appending, so they can be cut while in use."""

import os
import shutil
from pathlib import Path
from typing import Final

LIMIT_BYTES: Final = 32 << 20


def trim(folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
    """Move the content of each log that is larger than the limit to `NAME.log.1`, which replaces the one before.

    So a process keeps at least its last 32 MB, and at most twice that. A line written between the copy and the cut
    is lost.
    """
    for log in folder.glob("*.log"):
        if log.stat().st_size > limit_bytes:
            shutil.copy(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)
