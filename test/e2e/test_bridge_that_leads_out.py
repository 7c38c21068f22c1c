"""Pods on a bridge that others are on as well, and that comes to lead out: the LAN's hosts are no pods, and pods are as they were."""

import json
import re

import pytest
from harness.network import Outside, Witness, ask, connect, give
from harness.node import Namespace
from harness.one_subnet import GATEWAY, KEPT_BY_NEW, KEPT_BY_OLD, REDIRECTED, Site, redirect_into_subnet


@pytest.fixture
def site(node):
    made = Site(node)
    yield made
    made.close()


class Lan:
    """A host on the pods' bridge that is no pod, behind this node."""

    def __init__(self, node):
        self.node = node
        self.namespace = Namespace("lan")
        connect(node, "eth9", self.namespace, "eth0")
        give(self.namespace, "eth0", "10.244.1.77/24")
        self.namespace.run("ip", "route", "add", "default", "via", GATEWAY)

    def seen(self):
        return ask(self.namespace, f"tcp:{KEPT_BY_OLD}")[f"tcp:{KEPT_BY_OLD}"]


@pytest.fixture
def lan(site):
    made = Lan(site.node)
    yield made
    made.namespace.close()


def add_on_bridge(node, last):
    conf = node.netconf(ips=(f"10.244.1.{last}/24",), nonMasqueradeCIDRs=[], version="1.0.0")
    conf["prevResult"]["interfaces"] = [{"name": "cni0"}, {"name": "eth0", "sandbox": "/var/run/netns/pod"}]
    conf["prevResult"]["ips"][0]["interface"] = 1
    node.do("ADD", f"pod-{last}", conf)


def is_lan_left_alone(site, lan, *pods):
    """Its hosts are no pods any more, and pods are as they were."""
    node = site.node
    assert lan.seen() == "10.244.1.77"
    assert ask(site.pods[5].namespace, f"tcp:{KEPT_BY_OLD}") == {f"tcp:{KEPT_BY_OLD}": Outside.NODE[4]}
    shown = json.loads(node.tool("show", "-o", "json"))["networks"][0]
    assert shown["podSubnets"] == [f"10.244.1.{last}/32" for last in pods]
    assert node.tool_status("sync", "--state-dir", node.state) == (0, "all rules are as they should be\n", "")
    return True


def test_a_bridge_that_becomes_the_way_out(site, lan):
    """The next ADD sees it."""
    node = site.node
    add_on_bridge(node, 5)
    node.run("ip", "link", "set", "eth9", "master", "cni0")
    assert lan.seen() == Outside.NODE[4]
    for address in (KEPT_BY_OLD, KEPT_BY_NEW):
        node.run("ip", "route", "add", f"{address}/32", "via", "198.18.0.254")
    node.run("ip", "route", "replace", "default", "via", "10.244.1.77", "dev", "cni0")
    add_on_bridge(node, 6)
    assert is_lan_left_alone(site, lan, 5, 6)


def test_a_bridge_that_gets_an_uplink_as_a_port(site, lan):
    """What an ADD does not ask about pods that it knows, sync does."""
    node = site.node
    add_on_bridge(node, 5)
    node.run("ip", "link", "add", "up0", "link", "eth9", "type", "macvlan", "mode", "passthru")
    node.run("ip", "link", "set", "up0", "master", "cni0")
    node.run("ip", "link", "set", "up0", "up")
    assert lan.seen() == Outside.NODE[4]
    status, output, errors = node.tool_status("sync", "--state-dir", node.state)
    assert (status, errors) == (0, ""), output
    assert is_lan_left_alone(site, lan, 5)


@pytest.mark.parametrize("seen_by", ["sync", "ADD"])
def test_redirections_on_a_bridge_that_leads_out_are_left_to_others(site, lan, seen_by):
    """Pods there lead by their own addresses, and see one another as before."""
    node = site.node
    redirect_into_subnet(node, "10.244.1.5")
    if seen_by == "sync":
        add_on_bridge(node, 5)
        add_on_bridge(node, 6)
    node.run("ip", "link", "add", "up0", "link", "eth9", "type", "macvlan", "mode", "passthru")
    node.run("ip", "link", "set", "up0", "master", "cni0")
    node.run("ip", "link", "set", "up0", "up")
    if seen_by == "sync":
        assert node.tool_status("sync", "--state-dir", node.state)[0] == 0
    else:
        add_on_bridge(node, 5)
        add_on_bridge(node, 6)
    assert is_lan_left_alone(site, lan, 5, 6)
    question = f"tcp:{REDIRECTED}"
    witness = Witness(site.pods[5].namespace, ["10.244.1.5"])
    assert ask(site.pods[6].namespace, question) == {question: GATEWAY}
    witness.close()
    assert "  the pod subnet itself, always: 10.244.1.0/24\n" in site.explain(6, "10.244.1.5")


@pytest.mark.parametrize("backend", ["nftables"], indirect=True)
@pytest.mark.parametrize("mended_by", ["sync", "ADD"])
def test_a_lan_stays_one_where_a_set_was_emptied(site, lan, mended_by):
    """Of what its pods have each by its own address, nothing makes pods of all that is there."""
    node = site.node
    node.run("ip", "link", "add", "up0", "link", "eth9", "type", "macvlan", "mode", "passthru")
    node.run("ip", "link", "set", "up0", "master", "cni0")
    node.run("ip", "link", "set", "up0", "up")
    add_on_bridge(node, 5)
    add_on_bridge(node, 6)
    before = node.save()
    (emptied,) = re.findall(r"set (\S+-self)", before)
    node.nft("flush", "set", "inet", "ip-masq", emptied)
    if mended_by == "sync":
        assert node.tool_status("sync", "--state-dir", node.state) == (
            0, "".join(f"nft: missing: set {emptied}: 10.244.1.{last} . 10.244.1.{last}\n" for last in (5, 6)), "")
    else:
        add_on_bridge(node, 5)
        add_on_bridge(node, 6)
    assert node.save() == before
    assert is_lan_left_alone(site, lan, 5, 6)
