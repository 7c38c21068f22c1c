"""What stands at interfaces beside netfilter: nobody can tell what it does, but that it is there is told."""

import json
import sys

import pytest
from harness.doctor import ALL, ELSEWHERE, NONE, findings, heard, weights
from harness.host import ROOT
from harness.network import Outside, ask

POD = "10.22.0.2"
EVERYTHING = ["u32", "match", "u32", "0", "0"]


def explained(host):
    return json.loads(host.tool("explain", POD, ELSEWHERE, "-o", "json")).get("warnings", [])


@pytest.mark.parametrize("device, at", [("cni0", "ingress"), ("uplink0", "egress"), ("uplink0", "ingress")])
def test_a_filter(world, pod, device, at):
    world.run("tc", "qdisc", "add", "dev", device, "clsact")
    world.run("ip", "link", "add", "aside", "type", "bridge")
    assert weights(world) == {} and explained(world) == []
    world.run("tc", "filter", "add", "dev", device, at, "pref", "7", *EVERYTHING, "action", "mirred", "egress", "redirect", "dev", "aside")
    assert heard(world, pod) != ALL
    shown = f"tc filter show dev {device} {at} pref 7: u32"
    found = findings(world)
    assert {name: (each["weight"], each["where"]) for name, each in found.items()} == {"rules-not-understood": ("note", [shown])}
    # The answers are not asked about there.
    assert explained(world) == ([] if (device, at) == ("uplink0", "ingress") else [f"it may be that a rule does to it what is not known here: {shown}"])
    world.run("tc", "filter", "del", "dev", device, at, "pref", "7")
    assert heard(world, pod) == ALL and weights(world) == {}


@pytest.mark.parametrize("does", [["action", "mirred", "egress", "mirror", "dev", "aside"], ["flowid", "1:1"]], ids=["a copy", "a class"])
def test_a_filter_that_lets_pass(world, pod, does):
    world.run("ip", "link", "add", "aside", "type", "bridge")
    world.run("ip", "link", "set", "aside", "up")
    world.run("tc", "qdisc", "add", "dev", "uplink0", "ingress")
    world.run("tc", "filter", "add", "dev", "uplink0", "ingress", *EVERYTHING, *does)
    assert heard(world, pod) == ALL
    assert weights(world) == {} and explained(world) == []


def test_the_bandwidth_plugin(host, pod):
    plugins = json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text())
    rate = {"ingressRate": 10_000_000, "ingressBurst": 10_000_000, "egressRate": 10_000_000, "egressBurst": 10_000_000}
    plugins["plugins"].append({"type": "bandwidth", **rate})
    host.use_conflist(plugins)
    host.cnitool("add", "bridge-net", pod)
    outside = Outside(host, [ELSEWHERE], ["10.22.0.0/16"])
    try:
        assert ask(pod, f"tcp:{ELSEWHERE}") == {f"tcp:{ELSEWHERE}": Outside.NODE[4]}
        assert weights(host) == {} and explained(host) == []
    finally:
        outside.close()


def test_a_limit_of_a_pod_s_rate(world, pod):
    """As the bandwidth plugin sets it: through an ifb, which hands on what it gets."""
    veth = next(word.split("@")[0] for word in world.run("ip", "-br", "link", "show", "master", "cni0").split() if word.startswith("veth"))
    world.run("ip", "link", "add", "bwp0", "type", "ifb")
    world.run("ip", "link", "set", "bwp0", "up")
    world.run("tc", "qdisc", "add", "dev", veth, "ingress")
    world.run("tc", "filter", "add", "dev", veth, "parent", "ffff:", *EVERYTHING, "action", "mirred", "egress", "redirect", "dev", "bwp0")
    assert heard(world, pod) == ALL
    assert weights(world) == {} and explained(world) == []
    world.run("tc", "filter", "replace", "dev", veth, "parent", "ffff:", *EVERYTHING, "action", "mirred", "egress", "redirect", "dev", "lo")
    assert heard(world, pod) == NONE
    assert list(weights(world)) == ["rules-not-understood"]


# Loads a program that drops all, and gives it a name in the file system of such. linux/bpf.h
LOAD_XDP = """import ctypes, platform, struct
libc = ctypes.CDLL(None, use_errno=True)
def bpf(command, attributes):
    number = libc.syscall({"x86_64": 321, "aarch64": 280}[platform.machine()], command, ctypes.create_string_buffer(attributes, 128), 128)
    if number < 0: raise OSError(ctypes.get_errno(), f"bpf {command}")
    return number
drop_and_exit = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xb7, 0, 0, 1, 0x95, 0, 0, 0))
licence, path = ctypes.create_string_buffer(b"GPL"), ctypes.create_string_buffer(b"/sys/fs/bpf/drop")
program = bpf(5, struct.pack("<IIQQ", 6, 2, ctypes.addressof(drop_and_exit), ctypes.addressof(licence)))
bpf(6, struct.pack("<QI", ctypes.addressof(path), program))
"""


@pytest.mark.parametrize("attached", ["xdp", "xdpgeneric"])
def test_an_xdp_program(world, pod, attached):
    world.run("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
    world.run(sys.executable, "-c", LOAD_XDP)
    world.run("ip", "link", "set", "uplink0", attached, "pinned", "/sys/fs/bpf/drop")
    assert heard(world, pod) != ALL
    found = findings(world)
    assert {name: (each["weight"], each["where"]) for name, each in found.items()} == {
        "rules-not-understood": ("note", [f"ip link show dev uplink0: {attached}"])}
    world.run(*found["rules-not-understood"]["fix"][-1].removeprefix("# ").split())
    assert weights(world) == {}
