"""Find the clone that the packages are installed from."""

from pathlib import Path


def checkout() -> Path:
    """Return the folder of the clone that this package is installed from, or else the working folder."""
    for folder in Path(__file__).resolve().parents:
        if (folder / "deploy" / "local").is_dir() and (folder / "libs").is_dir():
            return folder
    return Path.cwd()
