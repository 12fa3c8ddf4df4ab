"""Files that a job writes beside its result."""

from pipeline.errors import UsageError
from pipeline.storage.folder import Folder
from pipeline.storage.urls import make_absolute


def write_text(path: str, text: str) -> None:
    """Puts a text, on any store. Raises UsageError where it cannot be written."""
    try:
        folder, _, name = make_absolute(path).rpartition("/")
        Folder(folder or "/").put(name, text.encode())
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(f"{path}: cannot be written: {error}") from None
