"""The last step to pods, and their first: what breaks it is found, and mended by what doctor prints, as outside hosts see."""

import json

import pytest
from harness.doctor import ALL, ELSEWHERE, NONE, carry_out, findings, heard, weights
from harness.host import ROOT
from harness.network import Outside, ask

POD = "10.22.0.2"
BOTH = f"{POD}/32, fd00:22::2/128"


def veth_of(host):
    return next(word.split("@")[0] for word in host.run("ip", "-br", "link", "show", "type", "veth").split() if word.startswith("veth"))


# What is done, and what is said of it; {veth}: the pod's on this node.
BROKEN = {
    "the bridge made anew": (["ip link del cni0", "ip link add cni0 type bridge", "ip link set cni0 up", "ip address add 10.22.0.1/24 dev cni0"],
                             f"{BOTH}: its interface {{veth}} is no port of cni0"),
    "no port": (["ip link set {veth} nomaster"], f"{BOTH}: its interface {{veth}} is no port of cni0"),
    "another bridge": (["ip link add br9 type bridge", "ip link set {veth} master br9"], f"{BOTH}: its interface {{veth}} is no port of cni0"),
    "down": (["ip link set {veth} down"], f"{BOTH}: its interface {{veth}} is down"),
    "no gateway": (["ip address del 10.22.0.1/24 dev cni0", "ip route add 10.22.0.0/24 dev cni0"],
                   f"{POD}/32: its gateway 10.22.0.1 is no address of this node"),
    "another gateway": (["ip address add 10.23.0.1/16 dev cni0", "ip address del 10.22.0.1/24 dev cni0"],
                        f"{POD}/32: its gateway 10.22.0.1 is no address of this node"),
    "no address": (["ip address flush dev cni0"], f"{POD}/32: its gateway 10.22.0.1 is no address of this node"),
}


@pytest.mark.parametrize("commands, why", BROKEN.values(), ids=BROKEN)
def test_a_pod_that_is_cut_off(world, pod, commands, why):
    assert heard(world, pod) == ALL and weights(world) == {}
    veth = veth_of(world)
    for command in commands:
        world.run(*command.format(veth=veth).split())
    pod.run("ip", "neighbour", "flush", "all")
    assert heard(world, pod) == NONE
    found = findings(world)["pods-cut-off"]
    why = why.format(veth=veth)
    assert (found["weight"], [line for line in found["where"] if line.startswith(POD)]) == ("hurts", [why])
    explained = json.loads(world.tool("explain", POD, ELSEWHERE, "-o", "json"))
    assert f"the pod is cut off: {why.split(': ')[1]}" in explained["warnings"]
    carry_out(world, found)
    pod.run("ip", "neighbour", "flush", "all")
    assert heard(world, pod) == ALL and "pods-cut-off" not in weights(world)


def test_a_bridge_that_is_down(world, pod):
    """Up again, it has lost its address of IPv6."""
    world.run("ip", "link", "set", "cni0", "down")
    assert heard(world, pod) == NONE
    found = findings(world)["pods-cut-off"]
    assert (found["where"], found["fix"]) == ([f"{BOTH}: its bridge cni0 is down"], ["ip link set cni0 up"])
    carry_out(world, found)
    assert heard(world, pod) == ALL
    carry_out(world, findings(world)["pods-cut-off"])
    assert "pods-cut-off" not in weights(world)


def test_a_bridge_that_is_gone(world, pod):
    veth = veth_of(world)
    world.run("ip", "link", "del", "cni0")
    assert heard(world, pod) == NONE
    assert f"{BOTH}: its interface {veth} is no port of cni0" in findings(world)["pods-cut-off"]["where"]


def test_an_interface_that_is_gone(world, pod):
    veth = veth_of(world)
    world.run("ip", "link", "del", veth)
    assert heard(world, pod) == NONE
    assert f"{BOTH}: its interface {veth} is gone" in findings(world)["pods-cut-off"]["where"]


@pytest.mark.parametrize("setting", ["all", "cni0"])
def test_ipv6_that_is_switched_off(host, pod, setting):
    """By a hardening script: IPv6 of the pods is dead, IPv4 goes on."""
    host.use_conflist(json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text()))
    host.sysctl(net__ipv6__conf__default__accept_dad=0)
    host.cnitool("add", "bridge-net", pod)
    outside = Outside(host, ["fd99::9", ELSEWHERE], ["fd00:22::/64", "10.22.0.0/16"])
    try:
        heard = lambda: [bool(seen) for seen in ask(pod, "tcp:fd99::9", f"tcp:{ELSEWHERE}").values()]  # noqa: E731
        assert heard() == [True, True]
        host.run("sysctl", "-qw", f"net.ipv6.conf.{setting}.disable_ipv6=1")
        assert heard() == [False, True]
        found = findings(host)["pods-cut-off"]
        assert found["where"] == ["fd00:22::2/128: its gateway fd00:22::1 is no address of this node, since IPv6 is off on cni0"]
        carry_out(host, found)
        if setting == "cni0":
            assert heard() == [True, True]
        assert "pods-cut-off" not in weights(host)
    finally:
        outside.close()


def test_a_pod_with_a_veth_of_its_own(host, pod):
    """The ptp plugin's, which is a port of nothing."""
    host.use_conflist({"cniVersion": "1.0.0", "name": "bridge-net", "plugins": [
        {"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.22.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}}, {"type": "ip-masq"}]})
    host.cnitool("add", "bridge-net", pod)
    outside = Outside(host, [ELSEWHERE], ["10.22.0.0/16"])
    try:
        assert weights(host) == {}
        host.run("ip", "link", "set", veth_of(host), "down")
        assert findings(host)["pods-cut-off"]["where"] == [f"{POD}/32: its interface {veth_of(host)} is down"]
    finally:
        outside.close()


def bridged(host, pod, **keys):
    host.use_conflist({"cniVersion": "1.0.0", "name": "bridge-net", "plugins": [
        {"type": "bridge", "bridge": "cni0", **keys,
         "ipam": {"type": "host-local", "subnet": "10.22.0.0/24", "routes": [{"dst": "0.0.0.0/0", "gw": "10.22.0.1"}]}}, {"type": "ip-masq"}]})
    host.cnitool("add", "bridge-net", pod)


@pytest.mark.parametrize("port", [["type", "vxlan", "id", "9", "dstport", "4789", "remote", "198.18.0.9"], ["type", "veth", "peer", "name", "router0"]])
def test_a_gateway_behind_another_port(host, pod, port):
    """A router on the bridge of a network that this node is no gateway of."""
    bridged(host, pod)
    host.run("ip", "route", "add", "10.22.0.0/24", "dev", "cni0")
    assert "pods-cut-off" in weights(host)
    host.run("ip", "link", "add", "port0", *port)
    host.run("ip", "link", "set", "port0", "master", "cni0", "up")
    assert "pods-cut-off" not in weights(host)


ANSWERED = {
    "proxy ARP": ["ip link set cni0 up", "ip route add 10.22.0.2/32 dev cni0", "sysctl -qw net.ipv4.conf.cni0.proxy_arp=1 net.ipv4.neigh.cni0.proxy_delay=0"],
    "a local route": ["ip address add 10.22.0.250/24 dev cni0", "ip route add local 10.22.0.1 dev cni0"],
}


@pytest.mark.parametrize("commands", ANSWERED.values(), ids=ANSWERED)
def test_a_gateway_that_is_answered_for(host, pod, commands):
    """Without an address of its own."""
    bridged(host, pod)
    outside = Outside(host, [ELSEWHERE], ["10.22.0.0/16"])
    try:
        for command in commands:
            host.run(*command.split())
        assert ask(pod, f"tcp:{ELSEWHERE}") == {f"tcp:{ELSEWHERE}": Outside.NODE[4]}
        assert weights(host) == {}
    finally:
        outside.close()
