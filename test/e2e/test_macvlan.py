"""Pods that are on the node's own LAN: the LAN is no pod subnet. ipvlan, which not every kernel has: kernels/test_kernels.py."""

import json

import pytest
from harness.lan import STORY, Lan
from harness.network import Outside, ask, connect, give, make_bridge
from harness.node import Namespace
from harness.texts import CBR0


@pytest.mark.parametrize("kind", ["macvlan", "moved device"])
def test_the_lan_is_left_alone(tmp_path, backend, kind):
    lan = Lan(tmp_path, backend, kind)
    try:
        assert lan.story() == STORY
    finally:
        lan.close()


def test_probe_does_not_ask_where_nothing_passes_this_node(tmp_path, backend):
    lan = Lan(tmp_path, backend, "macvlan")
    try:
        lan.node.do("ADD", "pod-1", lan.netconf())
        assert lan.node.tool_status("probe", "203.0.113.9", "--state-dir", lan.node.state) == (1, (
            "192.168.50.30/32 -> 203.0.113.9: not asked (pod pod-1 is on the LAN of an uplink: its packets do not pass this node)\n"
            "  probe from inside a pod of it, or start one: this node has no address of its own in 192.168.50.30/32\n"), "")
    finally:
        lan.close()


def test_a_bridge_that_holds_an_uplink_is_the_lan(node):
    outside, host = Outside(node, ["203.0.113.9"], ["192.168.50.0/24"]), Namespace("host")
    try:
        connect(node, "lan0", host, "eth0")
        node.run("ip", "link", "add", "up0", "link", "lan0", "type", "macvlan", "mode", "passthru")
        make_bridge(node, "192.168.50.1/24", name="br0")
        node.run("ip", "link", "set", "up0", "up", "master", "br0")
        give(host, "eth0", "192.168.50.20/24")
        host.run("ip", "route", "add", "default", "via", "192.168.50.1")
        assert ask(host, "tcp:203.0.113.9") == {"tcp:203.0.113.9": "192.168.50.20"}
        conf = node.netconf(version="1.1.0", ips=["192.168.50.30/24"])
        conf["prevResult"]["interfaces"] = [{"name": "br0"}, {"name": "v-pod-1"}, {"name": "eth0", "sandbox": "/var/run/netns/pod"}]
        conf["prevResult"]["ips"][0] |= {"interface": 2, "gateway": "192.168.50.1"}
        node.do("ADD", netconf=conf)
        assert ask(host, "tcp:203.0.113.9") == {"tcp:203.0.113.9": "192.168.50.20"}
        assert json.loads(node.tool("show", "-o", "json"))["networks"][0]["podSubnets"] == ["192.168.50.30/32"]
        assert "pass this node" not in node.tool("show")  # its way out of the LAN is this node
        assert node.call("CHECK", netconf=conf).status == 0
    finally:
        host.close()
        outside.close()


def test_an_address_of_the_node_itself_stands_for_no_network(node):
    give(node, "lo", "198.18.0.1/24")
    node.add(ips=["198.18.0.1/24"])
    assert json.loads(node.tool("show", "-o", "json"))["networks"][0]["podSubnets"] == ["198.18.0.1/32"]


INTERFACES = [{"name": "cni0"}, {"name": "v-pod-1"}, {"name": "eth0", "sandbox": "/var/run/netns/pod"}]
OF_THE_POD = {"interface": 2, "address": "10.244.1.5/24"}
OF_THE_BRIDGE = {"interface": 0, "address": "192.168.50.1/24"}


def netconf(node, interfaces, *ips):
    conf = node.netconf(version="1.1.0")
    conf["prevResult"] |= {"interfaces": interfaces, "ips": list(ips)}
    return conf


@pytest.mark.parametrize("interfaces", [INTERFACES, [{"name": "cni0", "sandbox": ""}, *INTERFACES[1:]]], ids=["none", "empty"])
def test_an_address_of_an_interface_without_sandbox_is_no_pods(node, interfaces):
    node.do("ADD", netconf=netconf(node, interfaces, OF_THE_BRIDGE, OF_THE_POD))
    assert node.save() == node.expected(CBR0)
    shown = json.loads(node.tool("show", "-o", "json"))["networks"][0]
    assert (shown["podSubnets"], shown["attachments"][0]["addresses"]) == (["10.244.1.0/24"], ["10.244.1.5/24"])


def test_a_pod_needs_an_address_of_its_own(node):
    before = node.save()
    code, message = node.call("ADD", netconf=netconf(node, INTERFACES, OF_THE_BRIDGE)).error
    assert (code, message.split(":")[0].split(" ")[0]) == (7, "prevResult.ips")
    assert node.save() == before
