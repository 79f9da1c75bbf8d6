"""Files that are written whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_atomically(text: str | bytes, path: Path) -> bool:
    """Replaces the file in one step, so that an interrupted run leaves the old one whole; False where nothing changed."""
    data = text.encode() if isinstance(text, str) else text
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True
