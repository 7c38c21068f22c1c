"""Other kernels than the machine's: Debian's, in a virtual machine without any network, with our harness in it.

scripts/install-kernels fetches kernels and programs. A guest starts from an archive in memory, runs one Python program as its
last process and is gone with it; what the program writes to /dev/ttyS1 is what the guest says."""

import json
import lzma
import os
import re
import stat
import subprocess
from pathlib import Path

from harness.node import ROOT, STATIC

KERNELS = ROOT / "build/kernels"
PROGRAMS = KERNELS / "programs"
LIBRARIES = [PROGRAMS / "lib/x86_64-linux-gnu", PROGRAMS / "usr/lib/x86_64-linux-gnu"]
LOADER = [LIBRARIES[0] / "ld-linux-x86-64.so.2", "--inhibit-cache", "--library-path", ":".join(map(str, LIBRARIES))]
PATIENCE = 240  # seconds: ten times what a guest takes

# What a guest has, beside the C library's loader and the libraries that these name.
GUEST_PROGRAMS = ["bin/busybox", "bin/ip", "sbin/ipvsadm", "usr/bin/python3.11", "usr/sbin/conntrack", "usr/sbin/ipset", "usr/sbin/nft",
                  "usr/sbin/xtables-legacy-multi", "usr/sbin/xtables-nft-multi"]
GUEST_FILES = ["usr/lib/x86_64-linux-gnu/xtables/*.so", "usr/lib/python3.11/*.py", "usr/lib/python3.11/lib-dynload/_ctypes*",
               *(f"usr/lib/python3.11/{package}/*.py" for package in ("collections", "ctypes", "encodings", "importlib", "json", "re", "urllib"))]
APPLETS = ["cat", "insmod", "kill", "mkdir", "mount", "reboot", "rmmod", "sh", "sleep", "sysctl"]
INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin IP_MASQ_BINARY=/opt/ip-masq
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t devtmpfs devtmpfs /dev && mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /tmp
python3.11 -S -E /test/guest.py >/dev/ttyS1
reboot -f
"""


def archive(files):
    """An initramfs (cpio, "newc", as the kernel's Documentation/driver-api/early-userspace/buffer-format says) of {path: bytes,
    or the text that a symbolic link holds}. All files can be run."""
    parts = []

    def put(name, mode, content):
        numbers = [len(parts) + 1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08X" % number for number in numbers) + name.encode() + b"\0"
        parts.append(b"".join(part + b"\0" * (-len(part) % 4) for part in (head, content)))

    folders = {str(parent) for path in files for parent in Path(path).parents if str(parent) != "."}
    for folder in sorted(folders | {"dev", "proc", "run", "sys", "tmp"}):
        put(folder, stat.S_IFDIR | 0o755, b"")
    for path, content in files.items():
        if isinstance(content, str):
            put(path, stat.S_IFLNK | 0o777, content.encode())
        else:
            put(path, stat.S_IFREG | 0o755, content)
    put("TRAILER!!!", 0, b"")
    return b"".join(parts)


def programs():
    """The guest's programs, with the libraries that they need."""
    files = {path: PROGRAMS / path for path in GUEST_PROGRAMS}
    for pattern in GUEST_FILES:
        files |= {str(path.relative_to(PROGRAMS)): path for path in PROGRAMS.glob(pattern)}
    for path in [path for path in files if not path.endswith(".py") and path != "bin/busybox"]:
        needs = subprocess.run([*LOADER, "--list", PROGRAMS / path], capture_output=True, text=True, check=True).stdout
        for library in re.findall(rf"{re.escape(str(PROGRAMS))}/(\S+)", needs):
            files[library] = PROGRAMS / library
    files = {path: source.read_bytes() for path, source in files.items()}
    files["lib64/ld-linux-x86-64.so.2"] = "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    files["var/run"] = "/run"
    files |= {f"bin/{applet}": "busybox" for applet in APPLETS}
    for kind in ("legacy", "nft"):
        for name in ("iptables", "iptables-restore", "iptables-save"):
            for program in (name, name.replace("ip", "ip6", 1)):
                files[f"usr/sbin/{program.replace('tables', f'tables-{kind}')}"] = f"xtables-{kind}-multi"
    return files


class Kernel:
    """That of a Debian suite."""

    def __init__(self, suite):
        self.folder = KERNELS / suite
        self.image = next(self.folder.glob("boot/vmlinuz-*"))
        self.modules = {path.name.split(".")[0].replace("-", "_"): path for path in self.folder.rglob("*.ko*")}

    def module(self, name):
        packed = self.modules[name].read_bytes()
        return lzma.decompress(packed) if self.modules[name].suffix == ".xz" else packed

    def with_needed(self, name):
        """This module and all that it needs, each after what it needs. Nothing for one that is no module here: it is part of the
        kernel, or of another module."""
        if name not in self.modules:
            return []
        needs = re.search(rb"\0depends=([^\0]*)\0", self.module(name))[1].decode().replace("-", "_")
        found = [other for needed in filter(None, needs.split(",")) for other in self.with_needed(needed)]
        return list(dict.fromkeys([*found, name]))


def run_guest(kernel, program, modules, folder):
    """What `program`, a Python file, writes in a guest where the test harness can be imported, ip-masq is the static one, and
    /modules has `modules` and what they need: NAME.ko, and "needed", which has for each the names of what is to be loaded, in
    order. And what the kernel said."""
    needed = {name: kernel.with_needed(name) for name in modules}
    files = programs() | {f"modules/{name}.ko": kernel.module(name) for names in needed.values() for name in names}
    files["modules/needed"] = json.dumps(needed).encode()
    files |= {"init": INIT.encode(), "opt/ip-masq": STATIC.read_bytes(), "test/guest.py": Path(program).read_bytes()}
    files |= {f"test/harness/{path.name}": path.read_bytes() for path in (ROOT / "test/harness").glob("*.py")}
    initramfs, said, console = folder / "initramfs", folder / "said", folder / "console"
    initramfs.write_bytes(archive(files))
    data = PROGRAMS / "usr/share"
    subprocess.run(
        [*LOADER, PROGRAMS / "usr/bin/qemu-system-x86_64", "-L", data / "seabios", "-L", data / "qemu",
         "-accel", "tcg", "-cpu", "max", "-m", "768", "-nic", "none", "-nodefaults", "-display", "none", "-no-reboot",
         "-serial", f"file:{console}", "-serial", f"file:{said}", "-kernel", kernel.image, "-initrd", initramfs,
         "-append", "console=ttyS0 quiet panic=-1 mitigations=off"],
        env={**os.environ, "QEMU_MODULE_DIR": str(LIBRARIES[1] / "qemu")}, timeout=PATIENCE, check=True)
    initramfs.unlink()
    return said.read_text(), console.read_text(errors="replace")
