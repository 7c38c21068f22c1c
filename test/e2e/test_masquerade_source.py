"""The address that the kernel masquerades pods as, which explain says, and outside hosts see."""

import json

import pytest
from harness.network import Outside
from test_sources import POD, Site, family

NODE = Outside.NODE
HOSTS = ["203.0.113.9", "2001:db8:9::9"]
KEPT = ["10.9.9.9", "fd00:9::9"]

# What is done to the node's uplink, and the address, none where explain does not know it, for each of HOSTS.
UPLINKS = {
    "one address": ([], NODE[4], NODE[6]),
    "a second address of the same network": (["address add 198.18.0.7/24 dev uplink0"], NODE[4], NODE[6]),
    "another network's address, first": (
        ["address del 198.18.0.1/24 dev uplink0", "address add 192.0.2.1/24 dev uplink0", "address add 198.18.0.1/24 dev uplink0",
         "route add default via 198.18.0.254"], NODE[4], NODE[6]),
    "no address of the gateway's network": (
        ["address del 198.18.0.1/24 dev uplink0", "address add 198.18.0.1/32 dev uplink0", "address add 192.0.2.1/32 dev uplink0",
         "route add 198.18.0.254 dev uplink0", "route add default via 198.18.0.254"], NODE[4], NODE[6]),
    "a route with another source": (
        ["address add 198.18.0.7/32 dev lo", "address add 2001:db8:18::7/128 dev lo", "route replace default via 198.18.0.254 src 198.18.0.7",
         "-6 route replace default via 2001:db8:18::254 src 2001:db8:18::7"], NODE[4], NODE[6]),
    "a gateway of its own for some hosts": (
        ["address add 192.0.2.1/24 dev uplink0", "route add 203.0.113.9 via 192.0.2.254"], "192.0.2.1", NODE[6]),
    "a mark's own gateway, which packets have not": (
        ["address add 192.0.2.1/24 dev uplink0", "route add default via 192.0.2.254 table 7", "rule add fwmark 7 lookup 7"], NODE[4], NODE[6]),
    "a local network's address beside a global one": (["-6 address add fd77::1/64 dev uplink0 nodad"], NODE[4], NODE[6]),
    "an address that is deprecated": (
        ["-6 address add 2001:db8:18::8/64 dev uplink0 nodad preferred_lft 0"], NODE[4], NODE[6]),
    "two addresses, and a route that names one": (
        ["-6 address add 2001:db8:18::8/64 dev uplink0 nodad", "-6 route replace default via 2001:db8:18::254 src 2001:db8:18::1"], NODE[4], None),
    "two next hops of one interface": (
        ["address add 192.0.2.1/24 dev uplink0", "route add 203.0.113.9 nexthop via 198.18.0.254 nexthop via 192.0.2.254"], None, NODE[6]),
    "an object of next hops": (
        ["nexthop add id 7 via 198.18.0.254 dev uplink0", "route add 203.0.113.9 nhid 7"], NODE[4], NODE[6]),
    "no address of the uplink's own": (["address del 198.18.0.1/24 dev uplink0", "route add 198.18.0.254 dev uplink0",
                                        "route add default via 198.18.0.254 onlink dev uplink0"], None, NODE[6]),
}


@pytest.fixture
def site(node):
    made = Site(node)
    made.outside.namespace.run("ip", "address", "add", "192.0.2.254/24", "dev", "to-node")
    yield made
    made.close()


def explained(site, destination):
    return json.loads(site.node.tool("explain", POD[family(destination)], destination, "-o", "json"))


@pytest.mark.parametrize("what", UPLINKS)
def test_it_is_what_hosts_see(site, what):
    commands, *told = UPLINKS[what]
    for command in commands:
        site.node.run("ip", *command.split())
    site.add()
    assert [explained(site, host).get("as") for host in HOSTS] == told
    for question, seen in site.seen(HOSTS).items():
        address = told[family(question.split(":", 1)[1]) == 6]
        assert address is None or seen == address, question
    assert [explained(site, host).get("as") for host in KEPT] == [None, None]


def test_text(site):
    site.add()
    assert site.node.tool("explain", POD[4], HOSTS[0]).splitlines()[:3] == [
        f"{POD[4]} -> {HOSTS[0]}: masqueraded", "  catchAll", f"  as {NODE[4]}"]


def test_others_rules_take_the_word_back(site):
    """Who gives it another source first, or leads it elsewhere."""
    site.add()
    site.node.run("iptables-nft", "-t", "nat", "-A", "PREROUTING", "-d", HOSTS[0], "-j", "DNAT", "--to-destination", "10.9.9.9")
    answer = explained(site, HOSTS[0])
    assert answer["warnings"] and "as" not in answer
    site.node.run("iptables-nft", "-t", "nat", "-F", "PREROUTING")
    assert explained(site, HOSTS[0])["as"] == NODE[4]


def test_what_is_not_in_force_is_not_told(site):
    file = site.node.folder / "no-config"
    site.node.run("ip", "address", "add", "198.18.0.77/24", "dev", "uplink0")
    site.add()
    for keys, wanted, key in [("snatTo: ['198.18.0.77']\n", "198.18.0.77", "snatTo"), ("{}\n", "the address of the way out", "as")]:
        before = site.seen(HOSTS[:1], ["udp"])
        file.write_text(keys)
        answer = explained(site, HOSTS[0])
        assert "as" not in answer and "snatTo" not in answer
        assert answer["fate"] == "masqueraded"
        assert any(line.startswith(f"not in force: the lists say masqueraded as {wanted}, the rule that stands is ") for line in answer["warnings"])
        assert site.seen(HOSTS[:1], ["udp"]) == before
        site.node.tool("sync")
        answer = explained(site, HOSTS[0])
        assert "warnings" not in answer
        assert site.seen(HOSTS[:1], ["udp"]) == {f"udp:{HOSTS[0]}": answer[key]}
