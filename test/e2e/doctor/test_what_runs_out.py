"""What runs out, and what cannot be looked at."""

import json
import subprocess

from harness.doctor import ELSEWHERE, EXEMPT, carry_out, configure, findings, weights
from harness.network import Outside, give


def test_source_ports_that_are_used_up(world, pod):
    configure(world, pod, toPorts="2000-2002")
    world.run("conntrack", "-F")
    code = ("import socket, sys; ss=[socket.create_connection(('%s', 7007), 5) for _ in range(3)]; print('up', flush=True); sys.stdin.read()" % ELSEWHERE)
    holder = subprocess.Popen(pod.inside("python3", "-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "up\n"
        found = findings(world)
        assert found["source-ports-used-up"]["weight"] == "hurts"
        assert found["source-ports-used-up"]["where"][0] == (
            f"tcp from {Outside.NODE[4]} to {ELSEWHERE} port 7007: 3 of 3 source ports are in use, network bridge-net")
        assert world.seen()[1] is None
        assert any("insert_failed" in line for line in findings(world)["source-ports-used-up"]["where"])
    finally:
        holder.communicate("")
    world.run("conntrack", "-F")
    assert weights(world) == {"connections-not-inserted": "note"}


def test_forty_interfaces_are_one_line(world):
    world.run("sh", "-ec", "for i in $(seq 40); do ip link add veth-a$i type veth peer name veth-b$i; done; sysctl -qw net.ipv4.conf.all.rp_filter=1")
    found = findings(world)
    assert found["rp-filter-strict"]["weight"] == "note"
    (where,) = found["rp-filter-strict"]["where"]
    assert where.startswith("rp_filter = 1 of ") and where.endswith(" and others")
    assert len(world.tool("doctor").splitlines()) == 4
    carry_out(world, found["rp-filter-strict"])
    assert findings(world) == {}


def test_packets_that_a_strict_interface_has_dropped(world):
    """From an address that the node reaches by another of its uplinks."""
    world.sysctl(net__ipv4__conf__all__rp_filter=1)
    assert weights(world) == {"rp-filter-strict": "note"}
    elsewhere = world.outside[0].namespace
    give(elsewhere, "lo", f"{EXEMPT}/32")
    elsewhere.run("python3", "-c", "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('%s', 0)); s.sendto(b'x', ('%s', 7007))"
                  % (EXEMPT, Outside.NODE[4]))
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"rp-filter-strict": "hurts"}
    assert found["rp-filter-strict"]["where"][1].endswith(" packets were dropped so since the start (IPReversePathFilter)")


# ---- what cannot be looked at

def test_what_cannot_be_looked_at_is_said(site):
    argv = ["strace", "-f", "-o", "/dev/null", "-e", "inject=socket:error=EMFILE", site.bin / "ip-masq", "doctor"]
    done = subprocess.run(site.inside(*argv), capture_output=True, text=True, env={**site.env, "ASAN_OPTIONS": "detect_leaks=0"})
    assert (done.returncode, done.stderr) == (3, "")
    first, *rest = done.stdout.splitlines()
    assert first.startswith("nothing found that hides pods or could undo an exemption; could not look at ")
    assert rest and all(line.startswith("could not look: ") and "Too many open files" in line for line in rest)


def test_a_conflist_that_cannot_be_read(site):
    argv = ["strace", "-f", "-o", "/dev/null", "-P", "/etc/cni/net.d/10-test.conflist", "-e", "inject=openat:error=EIO",
            site.bin / "ip-masq", "doctor", "-o", "json", "--conf-dir", "/etc/cni/net.d"]
    done = subprocess.run(site.inside(*argv), capture_output=True, text=True, env={**site.env, "ASAN_OPTIONS": "detect_leaks=0"})
    said = json.loads(done.stdout)
    assert (done.returncode, said["node"], said["findings"]) == (3, "not known", [])
    assert said["notLooked"] == ["cannot read /etc/cni/net.d/10-test.conflist: cannot open it: Input/output error"]
