"""The disk is full, the lock is held, the rights are missing: clear errors, nothing half done."""

import fcntl
import json
import re
import subprocess
from pathlib import Path

import pytest
from harness.kube_rules import kube_rules_nft
from harness.node import BINARY
from harness.texts import CBR0


@pytest.fixture
def small_disk(node):
    """A state directory on a file system of one page; yields a function that remounts it."""
    node.state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k,nr_inodes=16,mode=0700", "state", str(node.state)], check=True)
    yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", str(node.state)], check=True)
    subprocess.run(["umount", str(node.state)], check=True)


def fill(folder):
    with pytest.raises(OSError):
        with open(folder / "filler", "wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)


def test_disk_full(node, small_disk):
    node.add("pod-1")
    fill(node.state)
    before = node.files()
    code, message = node.call("ADD", "pod-2", node.netconf(ips=["10.244.1.6/24"])).error
    assert (code, message) == (5, f"cannot write {node.state}/cbr0/pods/pod-2:eth0: No space left on device")
    code, message = node.call("ADD", "pod-3", node.netconf(name="new", ips=["10.3.0.6/24"])).error
    assert (code, message) == (5, f"cannot write {node.state}/new/network.json: No space left on device")
    assert (node.save(), node.files()) == (node.expected(CBR0), before)
    assert node.call("STATUS", None, node.netconf(version="1.1.0")).error == (
        50, f"cannot write {node.state}: No space left on device")
    node.delete("pod-1")  # a DEL writes nothing
    assert node.save() == node.expected()
    assert not (node.state / "new").exists()


def test_disk_read_only(node, small_disk):
    node.add("pod-1")
    small_disk("ro")
    before = node.files()
    code, message = node.call("ADD", "pod-2", node.netconf(ips=["10.244.1.6/24"])).error
    assert code == 5
    assert message.endswith("Read-only file system")
    assert node.call("ADD", "pod-3", node.netconf(ips=["10.3.0.6/24"])).error[0] == 5
    assert (node.save(), node.files()) == (node.expected(CBR0), before)
    assert node.call("DEL", "pod-1").error == (5, f"cannot remove {node.state}/cbr0/subnets/10.244.1.0_24/pod-1:eth0: Read-only file system")
    small_disk("rw")
    node.delete("pod-1")
    assert node.save() == node.expected()


def test_state_directory_cannot_be_made(node):
    node.state.write_text("a file")
    assert node.call("ADD").error == (5, f"stateDir {node.state} is no folder")
    assert node.run("cat", "/proc/net/ip_tables_names") == ""


@pytest.mark.parametrize("mode, owner", [("755", 0), ("775", 0), ("1777", 0), ("755", 65534)])
@pytest.mark.parametrize("command", ["agent", "sync", "show"])
def test_a_folder_that_is_not_ours_stays_as_it_is(node, command, mode, owner):
    """/etc as a state directory, in a mount namespace: what others can write to, or own, is refused, and nothing is written."""
    script = (f"mount -t tmpfs -o mode={mode},uid={owner} tmpfs /etc; echo theirs >/etc/file; status=0; "
              'timeout 60 "$@" --state-dir /etc >&2 || status=$?; stat -c "%a %u" /etc; stat -c "%a %u %s" /etc/file; echo $status; ls -A /etc')
    done = subprocess.run(node.inside("unshare", "-m", "sh", "-c", script, "sh", BINARY, command), capture_output=True, text=True)
    folder, file, status, *names = done.stdout.splitlines()
    assert (folder, file, names) == (f"{mode} {owner}", "644 0 7", ["file"])
    is_believed = (mode, owner) == ("755", 0)
    is_refused = not is_believed or command == "agent"
    assert ("nothing in it can be believed" in done.stderr, status) == (not is_believed, "1" if is_refused else "0"), done.stderr
    assert ("nothing was written there" in done.stderr) == (is_believed and is_refused)


@pytest.mark.parametrize("command", ["ADD", "DEL"])
def test_state_lock_held(node, command):
    node.add("pod-1")
    with open(node.state / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        reply = node.call(command, "pod-1", node.netconf(lockTimeout="100ms"))
        assert reply.error == (11, f"the lock {node.state}/lock is still held by another process")
        status = node.call("STATUS", None, node.netconf(version="1.1.0", lockTimeout="100ms"))
        assert status.error == (50, f"the lock {node.state}/lock is still held by another process")
    assert node.save() == node.expected(CBR0)


@pytest.mark.parametrize("backend", ["iptables"], indirect=True)
def test_xtables_lock_held(node):
    lock_file = node.env["XTABLES_LOCKFILE"]
    node.add("pod-1")
    with open(lock_file) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # What needs no commit does not wait.
        node.add("pod-2", ips=["10.244.1.6/24"], lockTimeout="0s")
        node.delete("pod-2", lockTimeout="0s")
        conf = node.netconf(ips=["10.3.0.6/24"], name="new", lockTimeout="100ms")
        assert node.call("ADD", "pod-3", conf).error == (11, f"the lock {lock_file} is still held by another process")
        last = node.call("DEL", "pod-1", node.netconf(lockTimeout="100ms"))
        assert last.error == (11, f"the lock {lock_file} is still held by another process")
    assert node.save() == node.expected(CBR0)
    assert node.recorded() == ["cbr0/pod-1"]
    node.delete("pod-1")
    assert node.save() == node.expected()


def test_a_lock_that_is_let_go_is_taken(node):
    node.add("pod-1")
    lock = open(node.state / "lock")
    fcntl.flock(lock, fcntl.LOCK_EX)
    process = node.start("DEL", "pod-1")
    while not re.search(rf"-> FLOCK +ADVISORY +WRITE {process.pid} ", Path("/proc/locks").read_text()):
        assert process.poll() is None
    lock.close()
    assert process.wait() == 0
    assert node.save() == node.expected()


@pytest.mark.parametrize("backend, capability, message, details", [
    ("iptables", "cap_net_admin", "nftables cannot be read (Operation not permitted)",  # it looks there as well
     "run as root, or with the capability NET_ADMIN in the node's network namespace"),
    ("iptables", "cap_net_raw", "the nat table of iptables cannot be read (Operation not permitted)",
     "run as root, or with the capabilities NET_ADMIN and NET_RAW in the node's network namespace"),
    ("nftables", "cap_net_admin", "nftables cannot be read (Operation not permitted)",
     "run as root, or with the capability NET_ADMIN in the node's network namespace"),
], indirect=["backend"])
def test_without_the_right_to_change_rules(node, capability, message, details):
    argv = ["capsh", f"--drop={capability}", "--", "-c", f"exec {BINARY}"]

    def call(command, version="1.0.0"):
        return json.loads(subprocess.run(node.inside(*argv), env=node.environment(command, "pod-1"), capture_output=True,
                                         input=json.dumps(node.netconf(version=version)), text=True).stdout)

    assert call("ADD") == {"cniVersion": "1.0.0", "code": 103, "msg": message, "details": details}
    assert list(node.files()) == ["lock"]
    assert call("STATUS", "1.1.0")["code"] == 50
    node.add()
    assert call("CHECK")["code"] == 103
    assert call("DEL")["code"] == 103
    assert node.save() == node.expected(CBR0)


def test_the_result_cannot_be_written(node):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(node.inside(BINARY), env=node.environment("ADD", "pod-1"), stdout=full,
                              stderr=subprocess.PIPE, input=json.dumps(node.netconf()).encode())
    assert done.returncode == 1
    assert done.stderr == b"ip-masq: cannot write the result to stdout: No space left on device\n"
    node.delete()
    assert node.save() == node.expected()


RIVALS = {
    "iptables": "while :; do iptables-legacy -t nat -A OUTPUT -d 192.0.2.1 -j RETURN; iptables-legacy -t nat -D OUTPUT -d 192.0.2.1 -j RETURN; done",
    "nftables": "nft add table ip rival; while :; do nft add chain ip rival c; nft delete chain ip rival c; done"}


@pytest.fixture
def rival(node):
    """Another program that changes the same tables all the time, with a lock of its own or, as is usual with nftables,
    none: the kernel refuses stale commits, and interrupts looks."""
    process = subprocess.Popen(node.inside("sh", "-c", RIVALS[node.backend]), env={"PATH": "/usr/sbin:/usr/bin",
                               "XTABLES_LOCKFILE": str(node.folder / "another.lock")},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


def test_somebody_commits_without_the_lock(node, rival):
    for number in range(100):
        node.add(f"pod-{number}", ips=[f"10.{number}.0.5/24"])
        node.delete(f"pod-{number}", ips=[f"10.{number}.0.5/24"])
    rival.kill()
    rival.wait()
    # A rival that commits what it read earlier can bring rules of a pod back that is gone: they count as those of a pod
    # whose record was lost, until GC knows better.
    node.do("GC", None, node.netconf(version="1.1.0", ips=None, **{"cni.dev/valid-attachments": []}))
    assert list(node.files()) == ["lock"]
    assert "ip-masq" not in node.save() and "IP-MASQ" not in node.save()


def test_a_look_that_somebody_interrupts_is_taken_again(node, rival):
    """Rules of more subnets than the kernel hands over at once."""
    ips = [f"10.{number}.0.5/24" for number in range(60)]
    node.add(ips=ips)
    for _ in range(60):
        assert node.check(ips=ips) is None


@pytest.mark.parametrize("backend", ["nftables"], indirect=True)
def test_ten_thousand_foreign_rules_and_somebody_who_commits_all_the_time(node):
    node.nft("-f", "-", input=kube_rules_nft(10_000))
    before = node.nft("list", "table", "ip", "kube-proxy")
    rival = subprocess.Popen(node.inside("sh", "-c", RIVALS["nftables"]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for number in range(40):
            node.add(f"pod-{number}", ips=[f"10.{number}.0.5/24"])
            assert node.check(f"pod-{number}", ips=[f"10.{number}.0.5/24"]) is None
            node.delete(f"pod-{number}", ips=[f"10.{number}.0.5/24"])
        assert rival.poll() is None
    finally:
        rival.kill()
        rival.wait()
    assert node.nft("list", "table", "ip", "kube-proxy") == before
    assert "table inet ip-masq" not in node.nft("list", "ruleset")
