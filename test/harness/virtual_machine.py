"""Other kernels than the machine's, and another processor's: Debian's, in a virtual machine without any network, with our harness in it.

scripts/install-kernels fetches kernels and programs. A guest starts from an archive in memory, runs one Python program as its
last process and is gone with it; what the program writes to a serial port of its own is what the guest says."""

import dataclasses
import json
import lzma
import os
import re
import stat
import subprocess
import time
from pathlib import Path

from harness.node import ROOT, STATIC

KERNELS = ROOT / "build/kernels"
HERE = KERNELS / "programs-amd64"  # QEMU, which runs here, and the programs of guests of this processor
LIBRARIES = [HERE / "lib/x86_64-linux-gnu", HERE / "usr/lib/x86_64-linux-gnu"]
QEMU = [LIBRARIES[0] / "ld-linux-x86-64.so.2", "--inhibit-cache", "--library-path", ":".join(map(str, LIBRARIES))]
PATIENCE = 400  # seconds without a word of the guest: many times what its longest case takes


@dataclasses.dataclass(frozen=True)
class Machine:
    """A guest's processor, and what stands around it."""

    programs: Path  # Debian's, unpacked
    triplet: str
    loader: str     # of dynamic programs, where they look for it
    ip_masq: Path
    emulator: str
    options: list
    port: list      # the option that gives a guest what it says as a serial port
    said: str       # that port
    console: str    # the kernel's

    @property
    def libraries(self):
        return [self.programs / "lib" / self.triplet, self.programs / "usr/lib" / self.triplet]


AMD64 = Machine(HERE, "x86_64-linux-gnu", "lib64/ld-linux-x86-64.so.2", STATIC, "qemu-system-x86_64", ["-cpu", "max"],
                ["-serial", "chardev:said"], "ttyS1", "ttyS0")
ARM64 = Machine(KERNELS / "programs-arm64", "aarch64-linux-gnu", "lib/ld-linux-aarch64.so.1",
                ROOT / "build/static-arm64/plugin/ip-masq", "qemu-system-aarch64", ["-M", "virt", "-cpu", "cortex-a57"],
                ["-device", "pci-serial,chardev=said"], "ttyS0", "ttyAMA0")

# What a guest has, beside the C library's loader and the libraries that these name.
GUEST_PROGRAMS = ["bin/busybox", "bin/ip", "sbin/ipvsadm", "usr/bin/python3.11", "usr/sbin/conntrack", "usr/sbin/ipset", "usr/sbin/nft",
                  "usr/sbin/xtables-legacy-multi", "usr/sbin/xtables-nft-multi"]
GUEST_FILES = ["usr/lib/*-linux-gnu/xtables/*.so", "usr/lib/python3.11/*.py", "usr/lib/python3.11/lib-dynload/_ctypes*",
               *(f"usr/lib/python3.11/{package}/*.py" for package in ("collections", "ctypes", "encodings", "importlib", "json", "re", "urllib"))]
APPLETS = ["cat", "insmod", "kill", "mkdir", "mount", "reboot", "rmmod", "sh", "sleep", "sysctl"]
INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin IP_MASQ_BINARY=/opt/ip-masq
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t devtmpfs devtmpfs /dev && mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /tmp
python3.11 -S -E /test/guest.py >/dev/{said}
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


def libraries_of(machine, program):
    """The libraries that a program, or a library, names."""
    dynamic = subprocess.run(["readelf", "-d", program], capture_output=True, text=True, check=True).stdout
    for name in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic):
        found = [folder / name for folder in machine.libraries if (folder / name).exists()]
        assert found, f"{program} needs {name}, which is not there"
        yield from found[:1]


def programs(machine):
    """The guest's programs, with the libraries that they need."""
    files = {path: machine.programs / path for path in GUEST_PROGRAMS}
    for pattern in GUEST_FILES:
        files |= {str(path.relative_to(machine.programs)): path for path in machine.programs.glob(pattern)}
    left = [path for name, path in files.items() if not name.endswith(".py") and name != "bin/busybox"]
    while left:
        path = left.pop()
        for library in libraries_of(machine, path):
            if files.setdefault(str(library.relative_to(machine.programs)), library) is library:
                left.append(library)
    files = {path: source.read_bytes() for path, source in files.items()}
    files[machine.loader] = f"/lib/{machine.triplet}/{Path(machine.loader).name}"
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


def end_of(guest, files):
    """Waits for its end, for as long as it goes on writing to `files`."""
    heard, deadline = None, 0
    while guest.poll() is None:
        sizes = [path.stat().st_size for path in files if path.exists()]
        if sizes != heard:
            heard, deadline = sizes, time.monotonic() + PATIENCE
        assert time.monotonic() < deadline, f"the guest has said nothing for {PATIENCE} s: {files[1].read_text(errors='replace')}"
        time.sleep(0.2)
    assert guest.returncode == 0, files[1].read_text(errors="replace")


def run_guest(machine, kernel, program, modules, folder, more=None):
    """What `program`, a Python file, writes in a guest where the test harness can be imported, ip-masq is the static one, and
    /modules has `modules` and what they need: NAME.ko, and "needed", which has for each the names of what is to be loaded, in
    order. And what the kernel said. `more`: {path: bytes} of what else is there."""
    needed = {name: kernel.with_needed(name) for name in modules}
    files = programs(machine) | {f"modules/{name}.ko": kernel.module(name) for names in needed.values() for name in names}
    files["modules/needed"] = json.dumps(needed).encode()
    files |= {"init": INIT.format(said=machine.said).encode(), "opt/ip-masq": machine.ip_masq.read_bytes(),
              "test/guest.py": Path(program).read_bytes()}
    files |= {f"test/harness/{path.name}": path.read_bytes() for path in (ROOT / "test/harness").glob("*.py")} | (more or {})
    initramfs, said, console = folder / "initramfs", folder / "said", folder / "console"
    initramfs.write_bytes(archive(files))
    data = HERE / "usr/share"
    guest = subprocess.Popen(
        [*QEMU, HERE / "usr/bin" / machine.emulator, "-L", data / "seabios", "-L", data / "qemu", "-accel", "tcg", *machine.options,
         "-m", "768", "-nic", "none", "-nodefaults", "-display", "none", "-no-reboot",
         "-serial", f"file:{console}", "-chardev", f"file,id=said,path={said}", *machine.port,
         "-kernel", kernel.image, "-initrd", initramfs, "-append", f"console={machine.console} quiet panic=-1 mitigations=off"],
        env={**os.environ, "QEMU_MODULE_DIR": str(LIBRARIES[1] / "qemu")})
    try:
        end_of(guest, (said, console))
    finally:
        guest.kill()
        guest.wait()
    initramfs.unlink()
    return said.read_text(), console.read_text(errors="replace")
