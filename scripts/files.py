"""Files that scripts edit: read whole, replaced whole, shown as a difference."""

import difflib
import os
import tempfile
from pathlib import Path


class Trouble(Exception):
    """What the user is told; nothing more is done."""


def read(path):
    """None where there is no such file."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Trouble(f"cannot read {path}: {error}") from error


def write(path, text, like=None):
    """The file is the old one or all of the new one at any time. Owner and mode stay; those of a new file are like those of
    the file `like`, or root's with 0644."""
    path.parent.mkdir(parents=True, exist_ok=True)
    model = next((file for file in (path, like) if file and file.exists()), None)
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, model.stat().st_mode & 0o7777 if model else 0o644)
        if model:
            os.chown(temporary, model.stat().st_uid, model.stat().st_gid)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise Trouble(f"cannot write {path}: {error}") from error


def difference(path, before, after):
    """As diff -u prints it; empty where there is none."""
    return "".join(difflib.unified_diff((before or "").splitlines(True), after.splitlines(True), str(path), str(path)))
