"""The plugin under strace: which system calls it makes, and each of them refused, or its last."""

import ctypes
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.node import BINARY, Node, Reply, uncounted
from harness.texts import in_order

CLONE_NEWNET = 0x40000000
PATIENCE = 20  # seconds: a call that takes longer hangs

SANITIZED = b"__asan_init" in BINARY.read_bytes() if BINARY.exists() else False

# main's first deed; what comes before it is the dynamic loader's.
START = re.compile(r"^\d+ +rt_sigaction\(SIGPIPE, ")

# What a call can fail with on a node that is short of something, or goes wrong. Memory is what the allocator asks for.
MEMORY = {"brk": [], "mmap": ["ENOMEM"], "mremap": ["ENOMEM"], "munmap": ["ENOMEM"]}
ERRORS = {
    **MEMORY,
    "openat": ["EMFILE", "EIO", "EPERM"],
    "read": ["EIO", "EINTR"], "pread64": ["EIO", "EINTR"], "readv": ["EIO", "EINTR"],
    "write": ["ENOSPC", "EIO", "EINTR"], "writev": ["ENOSPC", "EIO", "EINTR"],
    "fsync": ["EIO", "EINTR"], "fdatasync": ["EIO", "EINTR"], "ftruncate": ["EIO"],
    "newfstatat": ["EIO", "EPERM"], "fstat": ["EIO"], "statx": ["EIO", "EPERM"], "access": ["EIO"], "readlink": ["EIO"],
    "getdents64": ["EIO", "ENOMEM"],
    "mkdir": ["ENOSPC", "EPERM"], "mkdirat": ["ENOSPC", "EPERM"],
    "rename": ["EIO", "ENOSPC"], "renameat": ["EIO", "ENOSPC"], "renameat2": ["EIO", "ENOSPC"], "link": ["ENOSPC"], "linkat": ["ENOSPC"],
    "unlink": ["EIO", "EPERM"], "unlinkat": ["EIO", "EPERM"], "rmdir": ["EIO", "EPERM"],
    "flock": ["EINTR", "EAGAIN", "ENOLCK"],
    "socket": ["EMFILE", "ENOBUFS", "EPERM"], "bind": ["ENOMEM"], "connect": ["EPERM"], "getsockname": ["ENOBUFS"],
    "getsockopt": ["ENOMEM", "EPERM", "EAGAIN"], "setsockopt": ["ENOMEM", "EPERM", "EAGAIN"],
    "sendto": ["ENOBUFS", "ENOMEM", "EPERM", "EINTR"], "sendmsg": ["ENOBUFS", "ENOMEM", "EPERM", "EINTR"],
    "recvfrom": ["ENOBUFS", "ENOMEM", "EINTR"], "recvmsg": ["ENOBUFS", "ENOMEM", "EINTR"],
    "poll": ["EINTR", "ENOMEM"], "ppoll": ["EINTR", "ENOMEM"],
    "clock_nanosleep": ["EINTR"], "nanosleep": ["EINTR"], "timer_create": ["EAGAIN"],
}
# Not refused: close() closes whatever it answers, which strace cannot do; the rest cannot fail as they are used.
NEVER_REFUSED = {"close", "exit_group", "fcntl", "futex", "getpid", "gettid", "getuid", "geteuid", "lseek", "rt_sigaction",
                 "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "umask", "uname", "prlimit64", "sched_yield", "timer_settime",
                 "timer_delete", "setitimer", "madvise", "mprotect", "getrandom", "restart_syscall", "exit"}

# Those that a program repeats when they answer EINTR; flock() has a caller that waits for it, and the tables'
# EAGAIN says that somebody else has changed them.
REPEATED = {("EINTR", name) for name in ERRORS} | {("EAGAIN", "flock")}


# What another process can see once it is done, as what is in none of these lists; openat, where it makes or empties a file;
# what is sent to netlink, where it is no question; setsockopt, where it is a table's.
CHANGES = {"write", "writev", "pwrite64", "ftruncate", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "link", "linkat", "symlink",
           "symlinkat", "unlink", "unlinkat", "rmdir", "chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "lchown", "utimensat",
           "fsetxattr", "setxattr", "lsetxattr", "sendto", "sendmsg", "setsockopt", "clone", "clone3", "execve", "kill", "tgkill", "mount"}


@dataclass(frozen=True)
class SystemCall:
    """One of a run. `number`: of its name, as strace counts. `stack`: by which way through the program it came to it."""

    name: str
    number: int
    text: str
    stack: tuple = field(default=(), compare=False)

    @property
    def errors(self):
        if self.name in NEVER_REFUSED or (SANITIZED and self.name in MEMORY):
            return []
        if self.name == "brk":
            return ["unchanged"]  # how the kernel refuses
        if self.name in ("setsockopt", "getsockopt") and "SOL_SOCKET" in self.text:
            return ["ENOMEM"]
        return ERRORS.get(self.name, ["ENOMEM", "EIO"])

    @property
    def writes_answer(self):
        """To stdout or stderr."""
        return re.match(r"writev?\([12],", self.text) is not None

    @property
    def changes_anything(self):
        if self.name == "openat":
            return re.search(r"O_CREAT|O_TMPFILE|O_TRUNC", self.text) is not None
        if self.name in ("sendto", "sendmsg"):
            return re.search(r"nlmsg_type=[\w<|]*(RTM|MSG|CTNL)_[A-Z_]*GET", self.text) is None
        if self.name == "setsockopt":
            return re.search(r"IP6?T_SO_SET", self.text) is not None
        return self.name in CHANGES or self.name not in ERRORS.keys() | NEVER_REFUSED

    def must_be_repeated(self, error):
        if self.name in ("getsockopt", "setsockopt"):
            return error == "EAGAIN" and re.search(r"GET_ENTRIES|SET_REPLACE", self.text) is not None
        return (error, self.name) in REPEATED


@dataclass(frozen=True)
class Point:
    """`error`: what the call is refused with; None where the process is killed there."""

    call: SystemCall
    error: str = None

    @property
    def injection(self):
        if self.error is None:
            what = "signal=KILL"
        else:
            what = "retval=0" if self.error == "unchanged" else f"error={self.error}"
        return f"inject={self.call.name}:{what}:when={self.call.number}"

    def __str__(self):
        return f"{self.error or 'killed'} at {self.call.name} {self.call.number}: {self.call.text[:110]}"


def calls_after_start(log):
    """Those that a log of strace -f lists from main on; of those that have one number the first, also where it was
    before main: strace counts for each thread by itself, and each that comes to the number meets an injection."""
    numbers, calls, stacks, listed, has_started = {}, [], [], set(), False
    unfinished, stack = {}, []  # a call's stack stands where strace saw its end
    for line in log.splitlines():
        if line.startswith(" > "):
            stack.append(line)
        elif resumed := re.match(r"(\d+) +<\.\.\. ", line):
            stack = unfinished.pop(resumed[1])
        elif found := re.match(r"(\d+) +((\w+)\(.*)", line):
            thread, text, name = found.groups()
            number = numbers[thread, name] = numbers.get((thread, name), 0) + 1
            has_started = has_started or START.match(line) is not None
            stack = []
            if text.endswith("<unfinished ...>"):
                unfinished[thread] = stack
            if has_started and (name, number) not in listed:
                calls.append(SystemCall(name, number, text))
                stacks.append(stack)
            listed.add((name, number))
    assert calls, f"main's first system call is not there:\n{log}"
    return [replace(call, stack=tuple(stack)) for call, stack in zip(calls, stacks)]


def points_of(calls, known=frozenset()):
    """Every refusal of every call, and every state in which a process can end; under the sanitizers the refusals alone, since
    the rest takes long. `known`: places whose refusals are known from another run."""
    if SANITIZED:
        return [Point(call, error) for call in without_looks_at_memory(calls) for error in call.errors]
    refused = [call for call, place in without_repetitions(calls) if place not in known]
    return [Point(call, error) for call in refused for error in call.errors] + [Point(call) for call in after_changes(calls)]


def places_of(calls):
    """Of each call its name, the way through the program to it, and whether anybody could see a change of it before."""
    places, has_changed = [], False
    for call in calls:
        assert call.stack or call.name in NEVER_REFUSED, f"by which way it came there is not known: {call.text}"
        places.append((call.name, call.stack, has_changed))
        has_changed = has_changed or call.changes_anything
    return places


def without_repetitions(calls):
    """(call, place): of those that a loop makes, with nothing changed between, the first and the last."""
    places, last, changes = places_of(calls), {}, [0]
    for call, place in zip(calls, places):
        last[place, changes[-1]] = call
        changes.append(changes[-1] + call.changes_anything)
    seen = set()
    for call, place, changed in zip(calls, places, changes):
        if (place, changed) not in seen or last[place, changed] is call:
            yield call, place
        seen.add((place, changed))


def after_changes(calls):
    """The first one, and each that follows one that changed something: whoever is killed at any other leaves the same."""
    has_changed = True
    for call in calls:
        if has_changed:
            yield call
        has_changed = call.changes_anything


def without_looks_at_memory(calls):
    """The sanitizers ask whether memory can be read by writing it into a pipe: pipe2, write, close, close."""
    closes_left = 0
    for call in calls:
        if call.name == "pipe2":
            closes_left = 2
        if closes_left == 0:
            yield call
        elif call.name == "close":
            closes_left -= 1


@dataclass(frozen=True)
class State:
    """What stands on a node: both back ends without counters, and what is under the state directory but the locks.
    `legacy`: the families whose legacy nat table there is; `is_new`: there is no state directory."""

    nft: str = ""
    iptables: str = ""
    ip6tables: str = ""
    files: tuple = ()
    legacy: frozenset = field(default=frozenset(), compare=False)
    is_new: bool = field(default=True, compare=False)

    @property
    def rules(self):
        return self.nft, self.iptables, self.ip6tables

    def difference(self, other):
        """In what it differs from another, in few words."""
        words = [name for name in ("nft", "iptables", "ip6tables") if getattr(self, name) != getattr(other, name)]
        mine, others = dict(self.files), dict(other.files)
        return " ".join(words + [path for path in sorted({*mine, *others}) if mine.get(path) != others.get(path)])


EMPTY_TABLE = re.compile(r"\*nat\n(:[A-Z]+ ACCEPT \[0:0\]\n)+COMMIT\n")
TABLE = {4: ("iptables-legacy", "ip_tables_names"), 6: ("ip6tables-legacy", "ip6_tables_names")}
HERE = "/proc/thread-self/net"


def nftables_generation():
    """Which commit was the last one in this network namespace. linux/netfilter/nf_tables.h: NFT_MSG_GETGEN, NFTA_GEN_ID"""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netlink:
        netlink.send(struct.pack("=IHHIIBBH", 20, 10 << 8 | 16, 1, 0, 0, 0, 0, 0))
        answer = netlink.recv(4096)
    assert struct.unpack_from("=H", answer, 4) == (10 << 8 | 15,), answer
    return struct.unpack_from(">I", answer, 24)[0]


class Ground(Node):
    """A node whose network namespace is that of the thread that made it, for as long as the thread lives: it starts
    afresh in no time."""

    def __init__(self, folder, backend):  # pylint: disable=super-init-not-called
        self.backend = backend
        self.folder = Path(folder)
        self.folder.mkdir()
        self.state = self.folder / "state"
        self.env = {"XTABLES_LOCKFILE": str(self.folder / "xtables.lock")}
        self.log = self.folder / "strace"
        self.seen = None
        self.pid = "no process"  # of the one disturbed last, whose files may carry it in their names
        self.nft_text = None  # and the generation of nftables in which it was so
        self.start_afresh()

    def inside(self, *argv):
        return [str(arg) for arg in argv]

    def start_afresh(self):
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        shutil.rmtree(self.state, ignore_errors=True)
        self.nft_text = None

    def close(self):
        """The namespace goes with the thread."""

    # -- what stands there

    def is_at(self, state):
        """Whether the last look showed just that, and nothing has been called since."""
        seen = self.seen
        return seen is not None and seen == state and (seen.legacy, seen.is_new) == (state.legacy, state.is_new)

    def look(self):
        tables = {family: self.table(family) for family in TABLE}
        self.seen = State(self.ruleset(), *(tables[family] or "" for family in (4, 6)), self.tree(),
                     frozenset(family for family, text in tables.items() if text is not None), not self.state.exists())
        return self.seen

    def ruleset(self):
        """Of nftables; asked for anew where something has been committed since."""
        generation = nftables_generation()
        if self.nft_text is None or self.nft_text[0] != generation:
            self.nft_text = generation, in_order(self.nft("-s", "list", "ruleset"))
        return self.nft_text[1]

    def table(self, family):
        """None where there is none: looking at it would make it."""
        program, names = TABLE[family]
        if "nat" not in Path(HERE, names).read_text().split():
            return None
        text = uncounted(self.run(f"{program}-save", "-t", "nat", env={**os.environ, **self.env}))
        return "" if EMPTY_TABLE.fullmatch(text) else text

    def tree(self):
        found = []
        for path in sorted(self.state.rglob("*")):
            name = str(path.relative_to(self.state))
            if name in ("lock", ".agent"):
                continue
            text = "a folder" if path.is_dir() else path.read_text().replace(str(self.folder), "FOLDER")
            found.append((name.replace(self.pid, "PID"), f"{path.stat().st_mode & 0o7777:o} {text}"))
        return tuple(found)

    def put(self, state):
        """All of it, on ground that nobody has touched."""
        self.start_afresh()
        if state.nft:
            self.nft("-f", "-", input=state.nft)
        for family in state.legacy:
            text = (state.iptables if family == 4 else state.ip6tables) or "*nat\nCOMMIT\n"
            self.run(f"{TABLE[family][0]}-restore", "-w", input=text, env={**os.environ, **self.env})
        if not state.is_new:
            self.state.mkdir(mode=0o700)
            (self.state / "lock").touch(mode=0o600)  # which the first call of all makes
        for name, text in state.files:
            mode, text = text.split(" ", 1)
            path = self.state / name
            if text == "a folder":
                path.mkdir()
            else:
                path.write_text(text.replace("FOLDER", str(self.folder)))
            path.chmod(int(mode, 8))

    # -- the plugin, and under strace

    def plain(self, argv, env, text):
        self.seen = None
        done = subprocess.run(self.inside(*argv), env=env, input=text, capture_output=True, text=True, timeout=PATIENCE)
        return Reply(done.returncode, done.stdout, done.stderr)

    def traced(self, argv, env, text, *options):
        """(reply, what strace wrote)"""
        command = ["strace", "-f", "-o", self.log, *options, *argv]
        with subprocess.Popen(self.inside(*command), env={**env, "ASAN_OPTIONS": "detect_leaks=0"}, stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
            try:
                output, errors = process.communicate(text, timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, errors = process.communicate()
                return Reply(None, output, errors), self.log.read_text()
        return Reply(process.returncode, output, errors), self.log.read_text()

    def record(self, argv, env, text):
        """(reply, its system calls from main on)"""
        reply, log = self.traced(argv, env, text, *([] if SANITIZED else ["--stack-traces"]))
        return reply, calls_after_start(log.replace(f"{self.folder}/", ""))

    def disturb(self, point, argv, env, text):
        """The reply; None where it never came to the point."""
        # Stopping at that call alone is quicker, but there strace cannot send a signal.
        quickly = ["--seccomp-bpf"] if point.error else []
        reply, log = self.traced(argv, env, text, *quickly, "-e", f"trace={point.call.name}", "-e", point.injection)
        was_met = "killed by SIGKILL" in log if point.error is None else "(INJECTED)" in log
        self.pid = log.split(None, 1)[0] if log else "no process"
        return reply if was_met or reply.status is None else None
