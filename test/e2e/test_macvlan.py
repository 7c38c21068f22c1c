"""Pods that are on the node's own LAN: the LAN is no pod subnet. ipvlan, which not every kernel has: kernels/test_kernels.py."""

import json

import pytest
from harness.lan import STORY, Lan
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
