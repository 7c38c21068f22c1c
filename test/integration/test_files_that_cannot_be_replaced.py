"""install and uninstall where the kernel lets nobody, or not them, put another file in the place of one: why is told, with what to do,
and nothing is left of the try."""

import os
import re
import subprocess

import pytest
from harness.node import BINARY, put_plugins

FLANNEL = '{"cniVersion": "0.3.1", "name": "cbr0", "plugins": [{"type": "flannel", "delegate": {"ipMasq": false}}]}\n'
SINGLE = '{"cniVersion": "0.4.0", "name": "cbr0", "type": "flannel"}\n'


class Place:
    def __init__(self, path):
        self.net_d, self.bin = path / "net.d", path / "bin"
        self.net_d.mkdir()
        put_plugins(self.bin, FLANNEL)

    def put(self, name, text):
        path = self.net_d / name
        path.write_text(text)
        return path

    def call(self, verb, *options, before=()):
        """(exit status, stdout, stderr)"""
        environment = {**os.environ, **({"ASAN_OPTIONS": "detect_leaks=0"} if before else {})}  # which cannot be traced
        done = subprocess.run([*before, BINARY, verb, "--conf-dir", self.net_d, "--bin-dir", self.bin, *options], capture_output=True, text=True,
                              env=environment)
        return done.returncode, done.stdout, done.stderr

    def look(self):
        return {path.relative_to(self.net_d.parent): path.read_bytes() for folder in (self.net_d, self.bin) for path in folder.iterdir()}


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def chattr():
    """chattr(option, path), taken back at the end."""
    taken = []

    def change(option, path):
        subprocess.run(["chattr", option, path], check=True)
        taken.append(("-" + option[1:], path))

    yield change
    for option, path in taken:
        if path.exists():
            subprocess.run(["chattr", option, path], check=True)


WORDS = {"+i": "is immutable (chattr +i)", "+a": "is append-only (chattr +a)"}


def meant(option, path):
    return f'"chattr -{option[1:]} {path}" takes that off; who put it on meant that nobody writes there'


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["act", "dry run"])
@pytest.mark.parametrize("of", ["list", "folder"])
@pytest.mark.parametrize("option", WORDS)
@pytest.mark.parametrize("name, text", [("10-flannel.conflist", FLANNEL), ("10-flannel.conf", SINGLE)], ids=["list", "single"])
def test_a_list_that_is_not_to_be_written(place, chattr, name, text, option, of, dry):
    path = place.put(name, text)
    held = path if of == "list" else place.net_d
    chattr(option, held)
    before = place.look()
    assert place.call("install", *dry) == (1, "", (
        f"ip-masq: nobody can write another {path}: {held} {WORDS[option]}; nothing was changed\n  {meant(option, held)}\n"))
    assert place.look() == before
    subprocess.run(["chattr", f"-{option[1:]}", held], check=True)
    assert place.call("install")[0] == 0


@pytest.mark.parametrize("option", WORDS)
def test_a_list_that_keeps_its_entry(place, chattr, option):
    """uninstall goes on with the others, and its backup stays beside it."""
    path, other = place.put("10-flannel.conflist", FLANNEL), place.put("20-flannel.conflist", FLANNEL.replace("cbr0", "cbr1"))
    assert place.call("install")[0] == 0
    other.write_text(FLANNEL.replace("}}]", '}}, {"type": "ip-masq"}]'))
    before = place.look()
    chattr(option, path)
    status, output, errors = place.call("uninstall")
    assert (status, output) == (1, f"took the entry out of {other}\n")
    assert errors == f"ip-masq: an entry may be left: {path} was left: {path} {WORDS[option]}; {meant(option, path)}\n"
    assert {key: data for key, data in place.look().items() if key.name != other.name} == {
        key: data for key, data in before.items() if key.name != other.name}
    subprocess.run(["chattr", f"-{option[1:]}", path], check=True)
    assert place.call("uninstall")[0] == 0
    assert path.read_text() == FLANNEL


@pytest.mark.parametrize("option", WORDS)
def test_a_program_that_is_not_to_be_written(place, chattr, option):
    """Where a list waits for it nothing is put into that either."""
    path = place.put("10-flannel.conflist", FLANNEL)
    program = place.bin / "ip-masq"
    program.write_text("#!/bin/sh\n# ip-masq's, of long ago\n")
    chattr(option, place.bin)
    before = place.look()
    assert place.call("install") == (1, "", f"ip-masq: cannot replace {program}: {place.bin} {WORDS[option]}\n  {meant(option, place.bin)}\n")
    assert place.look() == before and path.read_text() == FLANNEL


def test_a_folder_where_files_can_be_made_and_not_renamed(place):
    """A sticky one of somebody else's, for a container without CAP_FOWNER."""
    path = place.put("10-flannel.conflist", FLANNEL)
    os.chown(path, 1234, 1234)
    os.chown(place.net_d, 4321, 4321)
    place.net_d.chmod(0o1777)
    before = place.look()
    without = ("setpriv", "--bounding-set=-fowner", "--inh-caps=-all")
    assert place.call("install", before=without) == (1, "", (
        f"ip-masq: nobody can write another {path}: {place.net_d} is sticky (chmod +t), and neither it nor the file belongs to user 0; nothing was changed\n"
        "  run it as the owner of the file, or with the capability CAP_FOWNER\n"))
    assert place.look() == before
    assert place.call("install")[0] == 0


def test_a_folder_that_is_mounted_read_only(place):
    path = place.put("10-flannel.conflist", FLANNEL)
    subprocess.run(["mount", "--bind", "-o", "ro", place.net_d, place.net_d], check=True)
    try:
        status, output, errors = place.call("install")
        assert {file.name for file in place.net_d.iterdir()} == {path.name}
    finally:
        subprocess.run(["umount", place.net_d], check=True)
    assert (status, output) == (1, f"put {place.bin}/ip-masq\n")
    assert re.fullmatch(rf'ip-masq: cannot create {place.net_d}/\.ip-masq-new-\d+: Read-only file system\n  "findmnt -T {place.net_d}" tells what is mounted '
                        "read-only there\n", errors)
    assert path.read_text() == FLANNEL


@pytest.mark.parametrize("name, text", [("10-flannel.conflist", FLANNEL), ("10-flannel.conf", SINGLE)], ids=["list", "single"])
@pytest.mark.parametrize("error, words, fix", [
    ("EDQUOT", "Disk quota exceeded", 'the quota of user 0 or of the project is used up there: "repquota -a" tells'),
    ("ENOSPC", "No space left on device", '"df -h {folder}" tells of the room there, "df -i {folder}" of how many files there may be'),
    ("EPERM", "Operation not permitted", "")])
def test_what_was_made_for_a_step_that_fails_goes_again(place, name, text, error, words, fix):
    """The backup was written, and then the list could not be."""
    path = place.put(name, text)
    place.call("install")
    place.call("uninstall")
    assert path.read_text() == text
    before = place.look()
    status, _, errors = place.call("install", before=("strace", "-f", "-o", "/dev/null", "-e", f"inject=renameat2:error={error}:when=2"))
    assert status == 1 and errors.startswith("ip-masq: cannot ") and f": {words}\n" in errors
    assert errors.endswith(f"  {fix.format(folder=place.net_d)}\n" if fix else f": {words}\n")
    assert place.look() == before
    assert place.call("install")[0] == 0


def test_no_room_in_either_way(place):
    """The quota of bytes is used up once the text goes to the disk, as NFS tells it."""
    path = place.put("10-flannel.conflist", FLANNEL)
    place.call("install")
    place.call("uninstall")
    status, _, errors = place.call("install", before=("strace", "-f", "-o", "/dev/null", "-e", "inject=fsync:error=EDQUOT:when=1"))
    assert (status, errors) == (1, f"ip-masq: cannot bring {path}.before-ip-masq to the disk: Disk quota exceeded\n  the quota of user 0 or of the project is used up "
                                   'there: "repquota -a" tells\n')
    assert [file.name for file in place.net_d.iterdir()] == [path.name]
