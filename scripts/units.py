"""What systemd makes of the units on this machine: which files say it, and what of their lines is in force."""

import glob
import os
import re
from pathlib import Path

from files import read

# The first that has a file of a name hides those of the others.
OURS = Path("/etc/systemd/system")
FOLDERS = [OURS, Path("/run/systemd/system"), Path("/usr/local/lib/systemd/system"), Path("/usr/lib/systemd/system"), Path("/lib/systemd/system")]


def is_ours(path):
    """The administrator's to edit: not a link to what somebody else brought."""
    return OURS in Path(os.path.realpath(path)).parents


def names_like(pattern):
    """Of services, by their own file or by a drop-in, such as "flanneld.service"."""
    return sorted({path.name.removesuffix(".d") for folder in FOLDERS for path in (*folder.glob(pattern), *folder.glob(f"{pattern}.d"))})


def files_of(name):
    """[path], in the order in which systemd reads them; those that another one hides are left out. None of a masked unit."""
    unit = next((folder / name for folder in FOLDERS if os.path.lexists(folder / name)), None)
    if unit and os.path.realpath(unit) == os.devnull:
        return []
    drop_ins = {}
    for drop_in_folder in drop_in_folders(name):
        for folder in FOLDERS:
            for path in (folder / drop_in_folder).glob("*.conf"):
                drop_ins.setdefault(path.name, path)
    paths = (unit, *(drop_ins[each] for each in sorted(drop_ins)))
    return [path for path in paths if path and os.path.realpath(path) != os.devnull]


def drop_in_folders(name):
    """Of "kube-flannel.service": its own, that of all "kube-", and that of all services; the first hides what the next one has
    by the same name."""
    stem, kind = name.rsplit(".", 1)
    beginnings = [stem[:found.end()] for found in re.finditer("-", stem) if found.end() < len(stem)]
    return [f"{each}.d" for each in (name, *(f"{each}.{kind}" for each in reversed(beginnings)), kind)]


def settings(text):
    """[(key, value)] of section Service; a line that goes on is one."""
    found, section = [], None
    text = re.sub(r"^[ \t]*[#;].*\n?", "", text, flags=re.MULTILINE)  # also between the lines of one that goes on
    for line in re.sub(r"\\\n", " ", text).split("\n"):
        if header := re.fullmatch(r"\s*\[(.*)\]\s*", line):
            section = header[1]
        elif section == "Service" and "=" in line:
            key, value = line.split("=", 1)
            found.append((key.strip(), value.strip()))
    return found


def in_force(name, key, but=None):
    """[(path, value)] of a list such as ExecStart, which an empty value empties; without the drop-in that is called `but`."""
    values = []
    for path in files_of(name):
        if path.name == but:
            continue
        for each, value in settings(read(path) or ""):
            if each == key:
                values = [*values, (path, value)] if value else []
    return values


def environment_files(name):
    """That there are."""
    named = (re.sub("^-", "", value).strip("\"'") for _, value in in_force(name, "EnvironmentFile"))
    return [Path(path) for pattern in named for path in sorted(glob.glob(pattern)) if os.path.isabs(path)]
