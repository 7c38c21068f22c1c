"""Files that scripts edit (read whole, replaced whole, shown as a difference), and what scripts tell."""

import difflib
import errno
import os
import re
import stat
import sys
import tempfile
from pathlib import Path

LIMIT = 1 << 20  # bytes; no file that is read here comes near
ACCESS_LIST = "system.posix_acl_access"
OF_CONTENT = ("security.ima", "security.evm")  # the kernel's own measure of what a file holds


class Trouble(Exception):
    """What the user is told; nothing more is done."""


def plain(text, but="\n\t"):
    """As it may be shown on a terminal: control characters, `but` these, and what is no text are escaped."""
    text = re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: found[0] if found[0] in but else f"\\x{ord(found[0]):02x}", str(text))
    return text.encode("utf-8", "backslashreplace").decode()


def say(text, end="\n"):
    print(plain(text), end=end)


def end(program, work):
    """The exit status of a script: 0, or 1 with a line on stderr that says why."""
    try:
        work()
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        reason = "interrupted"
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's end says it once more
        reason = "nobody reads what it says"
    except (Trouble, OSError) as error:
        reason = str(error)
    except Exception as error:  # a mistake of the script: told as all else is
        reason = f"did not expect {type(error).__name__}: {error}"
    print(f"{program}: {plain(reason, but='')}", file=sys.stderr)
    return 1


def read_with_status(path):
    """(text, os.stat_result) of the same file; None where there is none. Waits for nobody: a FIFO or a device is refused."""
    try:
        # Not to become its terminal, nor to wait for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Trouble(f"cannot read {path}: {error.strerror}") from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Trouble(f"cannot read {path}: it is no ordinary file")
        with open(handle, "rb", closefd=False) as file:
            data = file.read(LIMIT + 1)
        if len(data) > LIMIT:
            raise Trouble(f"cannot read {path}: it has more than {LIMIT >> 20} MiB")
        return data.decode(), status
    except UnicodeDecodeError as error:
        raise Trouble(f"cannot read {path}: it is not UTF-8: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise Trouble(f"cannot read {path}: {error.strerror}") from error
    finally:
        os.close(handle)


def read(path):
    """None where there is no such file."""
    found = read_with_status(path)
    return found and found[0]


def write(path, text, like=None, hide_from_others=False):
    """The file is the old one or all of the new one at any time; a link stays, and what it leads to, which must be there, is
    written. Owner, mode and extended attributes stay; those of a new file are like those of the file `like`, or root's with
    0644. `hide_from_others`: the mode then lets nobody else read it."""
    target, temporary = Path(os.path.realpath(path)), None
    try:
        refuse_link_to_nothing(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        model = next((file for file in (target, like) if file and file.exists()), None)
        status = model and model.stat()
        mode = stat.S_IMODE(status.st_mode) if model else 0o644
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".new-")
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            if model:
                os.fchown(handle, status.st_uid, status.st_gid)
                copy_attributes(model, handle)
            # Last: the mode's bits are a part of an access control list.
            os.fchmod(handle, mode & ~stat.S_IRWXO if hide_from_others else mode)
            os.fsync(handle)
        os.replace(temporary, target)
        temporary = None
        synchronise(target.parent)
    except OSError as error:
        raise Trouble(f"cannot write {path}: {error}") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def refuse_link_to_nothing(path):
    if os.path.islink(path) and not os.path.exists(path):
        raise Trouble(f"cannot write {path}: it is a link to {os.path.realpath(path)}, which is not there")


def copy_attributes(model, handle):
    """Extended ones: SELinux's label, access control lists, and what users put there; the list that the folder gives new
    files is not the model's."""
    wanted, given = attributes_of(model), attributes_of(handle)
    for name in {ACCESS_LIST} & (given.keys() - wanted.keys()):
        os.removexattr(handle, name)
    for name, value in wanted.items():
        # To set the label anew that SELinux gave it is not allowed everywhere.
        if name not in OF_CONTENT and given.get(name) != value:
            os.setxattr(handle, name, value)


def attributes_of(file):
    try:
        return {name: os.getxattr(file, name) for name in os.listxattr(file)}
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return {}


def synchronise(folder):
    """What was renamed in it outlives a loss of power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def difference(path, before, after, context=3):
    """As diff -u prints it; empty where there is none."""
    lines = difflib.unified_diff((before or "").splitlines(True), after.splitlines(True), str(path), str(path), n=context)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
