"""Every system call of install and uninstall fails once, is once the last one, and once the one beside which somebody else
writes: no byte of anybody is lost, no file is half there, a runtime always finds a network, and the next call ends well."""

import itertools
import os
import queue
import re
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.daemons import wait_until
from harness.node import BINARY, put_plugins
from harness.system_calls import Ground, points_of

FLANNEL = '{"cniVersion": "0.3.1", "name": "cbr0", "plugins": [{"type": "flannel", "delegate": {"mtu": 1e3}}]}\n'
KEYED = FLANNEL.replace("}}]", '}}, {"type": "ip-masq", "catchAll": false}]')
SINGLE = '{"cniVersion": "0.4.0", "name": "cbr0", "type": "flannel"}\n'
OTHER = '{"cniVersion": "0.4.0", "name": "lo", "type": "loopback"}\n'

# (files, calls before, the call)
CASES = {
    "install": ({"10-flannel.conflist": FLANNEL, "99-lo.conf": OTHER}, [], "install"),
    "install over a single plugin": ({"10-flannel.conf": SINGLE}, [], "install"),
    "install after a rewrite": ({"10-flannel.conflist": KEYED}, ["install", {"10-flannel.conflist": FLANNEL}], "install"),
    "uninstall": ({"10-flannel.conflist": FLANNEL, "99-lo.conf": OTHER}, ["install"], "uninstall"),
    "uninstall of a single plugin": ({"10-flannel.conf": SINGLE}, ["install"], "uninstall"),
}


def fewer(calls):
    """Without the middle of a run of the same ones, as a program is read and written block by block."""
    for _, run in itertools.groupby(calls, key=lambda call: call.name in ("read", "write")):
        run = list(run)
        yield from run if len(run) < 12 else run[:6] + run[-4:]


class Folder:
    def __init__(self, path, files, before):
        self.path, self.files, self.before = path, files, before
        self.net_d, self.bin = path / "net.d", path / "bin"
        self.kept = path.parent / f"{path.name}-kept"

    def argv(self, verb):
        options = ["--bin-dir", self.bin] if verb == "install" else []
        return [BINARY, verb, "--conf-dir", self.net_d, *options]

    def prepare(self, ground):
        self.net_d.mkdir(parents=True)
        put_plugins(self.bin, *self.files.values())
        for step in [self.files, *self.before]:
            if isinstance(step, str):
                reply = ground.plain(self.argv(step), os.environ, "")
                assert reply.status == 0, reply
            else:
                for name, text in step.items():
                    (self.net_d / name).write_text(text)
        shutil.copytree(self.path, self.kept)

    def start_afresh(self):
        shutil.rmtree(self.path)
        shutil.copytree(self.kept, self.path)

    def look(self):
        """{name: bytes}, without what one that was cut short had not finished."""
        return {path.name: path.read_bytes() for folder in (self.net_d, self.bin) for path in folder.iterdir()
                if not path.name.startswith(".ip-masq-new-")}

    def is_tidy(self):
        return not any(self.net_d.glob(".ip-masq-new-*"))


def wrong_with(state, before, after):
    for name, data in state.items():
        if data not in (before.get(name), after.get(name)):
            yield f"{name} is neither as before nor as after"
    for name, data in before.items():
        if data not in state.values() and name not in after:
            continue  # install's own, which uninstall takes away
        if data not in state.values() and after[name] != state.get(name):
            yield f"what {name} said is nowhere"
    if not {"10-flannel.conflist", "10-flannel.conf"} & set(state):
        yield "a runtime finds no network"


def judge(folder, ground, point, reply, states, verb):
    before, after = states
    state = folder.look()
    yield from wrong_with(state, before, after)
    if reply.status is None:
        yield "hangs"
    elif point.error is not None:
        if reply.status == 0 and state != after:
            yield "says that all is done, and it is not"
        if reply.status not in (0, 1) or re.search(r"Sanitizer|runtime error|terminate called", reply.errors):
            yield f"crashed: {reply.errors[-300:]}"
        if reply.status == 1 and not point.call.writes_answer and not reply.errors.startswith("ip-masq: "):
            yield f"does not say why: {reply.errors!r}"
    again = ground.plain(folder.argv(verb), os.environ, "")
    if again.status != 0 or folder.look() != after or not folder.is_tidy():
        yield f"the next call does not end well: {again}"


def disturb_each(path, case, points, states, found):
    files, before, verb = case
    ground = Ground(path / "ground", "nftables")
    folder = Folder(path / "node", files, before)
    folder.prepare(ground)
    while True:
        try:
            point = points.get_nowait()
        except queue.Empty:
            return
        reply = ground.disturb(point, folder.argv(verb), dict(os.environ), "")
        if reply is not None:
            found.extend((wrong, str(point)) for wrong in judge(folder, ground, point, reply, states, verb))
        folder.start_afresh()


def undisturbed(path, case):
    """((before, after), points)"""
    files, before, verb = case
    ground = Ground(path / "ground", "nftables")
    folder = Folder(path / "node", files, before)
    folder.prepare(ground)
    was = folder.look()
    reply, calls = ground.record(folder.argv(verb), dict(os.environ), "")
    assert reply.status == 0, reply
    return (was, folder.look()), points_of(list(fewer(calls)))


@pytest.mark.parametrize("name", CASES)
def test_install_and_every_system_call(tmp_path, name):
    case = CASES[name]
    workers = len(os.sched_getaffinity(0))
    for number in range(workers + 1):
        (tmp_path / str(number)).mkdir()
    with ThreadPoolExecutor(1) as pool:
        states, all_points = pool.submit(undisturbed, tmp_path / str(workers), case).result()
    points, found = queue.Queue(), []
    for point in all_points:
        points.put(point)
    with ThreadPoolExecutor(workers) as pool:
        for worker in [pool.submit(disturb_each, tmp_path / str(number), case, points, states, found) for number in range(workers)]:
            worker.result()
    assert not found, "\n".join(f"{wrong}\n    {point}" for wrong, point in found[:40])


# Calls at which the files, or what is known of them, change.
TURNS = ("flock", "read", "fcntl", "fsync", "rename", "renameat2", "link", "unlink", "close")
WRITTEN = '"mtu": 1400'


def by_rename(path, text):
    new = path.with_suffix(".tmp")
    new.write_text(text)
    new.rename(path)


def in_place(path, text):
    path.write_text(text)


class Hesitating:
    """Opens the file, and writes later."""

    def __init__(self, path, text):
        self.file, self.text = open(path, "r+" if path.exists() else "w", encoding="utf-8"), text

    def go_on(self):
        time.sleep(0.005)  # that is the moment
        self.file.truncate(0)
        self.file.write(self.text)
        self.file.close()


WRITERS = {"by rename": by_rename, "in place": in_place, "who hesitates": Hesitating}


def write_beside(ground, call, argv, write):
    """The call's status, where `write` came just after that system call; it has all been written at the end."""
    ground.log.write_text("")
    command = ["strace", "-f", "-o", ground.log, "-e", f"trace={call.name}", "-e", f"inject={call.name}:signal=STOP:when={call.number}", *argv]
    with subprocess.Popen(ground.inside(*command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        wait_until(lambda: "stopped by SIGSTOP" in ground.log.read_text(), process, " ".join(map(str, argv)), 0.002)
        writer = write()
        os.kill(int(ground.log.read_text().split(None, 1)[0]), signal.SIGCONT)
        if writer is not None:
            writer.go_on()
        return process.communicate(timeout=60)[0], process.returncode


def lost_beside(path, case, calls, writer, found):
    files, before, verb = case
    ground = Ground(path / "ground", "nftables")
    folder = Folder(path / "node", files, before)
    folder.prepare(ground)
    name = next(name for name in ("10-flannel.conflist", "10-flannel.conf") if (folder.net_d / name).exists())
    text = files.get(name, (folder.net_d / name).read_text()).replace('"flannel"', f'"flannel", {WRITTEN}')
    for call in calls:
        output, status = write_beside(ground, call, folder.argv(verb), lambda: writer(folder.net_d / name, text))
        again = ground.plain(folder.argv(verb), os.environ, "")
        state = {path.name: path.read_text() for path in folder.net_d.iterdir()}
        loaded = [text for path, text in state.items() if path.startswith("10-") and path.endswith((".conf", ".conflist"))]
        if verb == "uninstall" and files.get("10-flannel.conf") in loaded and len(loaded) == 2:
            loaded.remove(files["10-flannel.conf"])  # put back, and a list written anew after that
        is_good = len(loaded) == 1 and WRITTEN in loaded[0] and ("ip-masq" in loaded[0]) == (verb == "install") and folder.is_tidy()
        if status not in (0, 1) or again.status != 0 or not is_good:
            found.append(f"{call.name} {call.number} {call.text[:100]}: {status} {output} {again}\n    {state}")
        folder.start_afresh()


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("name", CASES)
def test_somebody_else_writes_meanwhile(tmp_path, name, writer):
    case, found = CASES[name], []
    for part in ("before", "beside"):
        (tmp_path / part).mkdir()

    def run():
        _, points = undisturbed(tmp_path / "before", case)
        calls = dict.fromkeys(point.call for point in points if point.call.name in TURNS)
        lost_beside(tmp_path / "beside", case, calls, writer, found)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()
    assert not found, "\n".join(found[:10])
