"""The shipped conflists, through cnitool, with the real plugins."""

import json
from contextlib import nullcontext

import pytest
from harness.host import ROOT
from harness.network import Outside, ask
from harness.node import Namespace

SUBNET_ENV = """FLANNEL_NETWORK=10.244.0.0/16
FLANNEL_IPV6_NETWORK=fd00:10:244::/48
FLANNEL_SUBNET=10.244.1.1/24
FLANNEL_IPV6_SUBNET=fd00:10:244:1::1/64
FLANNEL_MTU=1450
FLANNEL_IPMASQ=false
"""

NETWORKS = {"10-flannel-ip-masq.conflist": ("cbr0", "10.244.1.0/24", "fd00:10:244:1::/64"),
            "10-bridge-ip-masq.conflist": ("bridge-net", "10.22.0.0/24", "fd00:22::/64")}


@pytest.fixture(params=NETWORKS)
def site(request, host, backend):
    """A host with one of the shipped conflists, the world outside, and two namespaces for pods; where nftables is meant,
    somebody translates there."""
    network, *subnets = NETWORKS[request.param]
    host.write("/run/flannel/subnet.env", SUBNET_ENV)
    if backend == "nftables":
        host.run("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-s", "10.0.0.0/8", "-j", "MASQUERADE")
    host.backend = backend
    host.use_conflist(request.param)
    host.network = network
    host.conflist = request.param
    outside = Outside(host, ["10.9.9.9", "203.0.113.9", "fd00:9::9", "2001:db8:9::9"], subnets)
    host.pods = [Namespace("pod-a"), Namespace("pod-b")]
    yield host
    for pod in host.pods:
        pod.close()
    outside.close()


def everything(site):
    """Both back ends' tables, without counters; portmap's own chains, which it leaves behind, aside."""
    saved = "".join(site.save(family) for family in (4, 6)) + site.run("nft", "-s", "list", "ruleset")
    return [line for line in saved.splitlines() if "CNI-HOSTPORT" not in line and "CNI-DN" not in line]


def address_of(result, family):
    return next(ip["address"].split("/")[0] for ip in result["ips"] if (":" in ip["address"]) == (family == 6))


def test_add_check_del(site):
    before = everything(site)
    pod = site.pods[0]
    result = json.loads(site.cnitool("add", site.network, pod))
    assert ask(pod, "tcp:10.9.9.9", "tcp:203.0.113.9", "tcp:fd00:9::9", "tcp:2001:db8:9::9") == {
        "tcp:10.9.9.9": address_of(result, 4), "tcp:203.0.113.9": Outside.NODE[4],
        "tcp:fd00:9::9": address_of(result, 6), "tcp:2001:db8:9::9": Outside.NODE[6]}
    site.cnitool("check", site.network, pod)
    second = json.loads(site.cnitool("add", site.network, site.pods[1]))
    assert address_of(second, 4) != address_of(result, 4)
    site.cnitool("del", site.network, pod)
    site.cnitool("check", site.network, site.pods[1])
    site.cnitool("del", site.network, site.pods[1])
    assert everything(site) == before
    assert site.run("find", "/run/cni/ip-masq", "-type", "f") == "/run/cni/ip-masq/lock\n"


def test_the_result_of_the_plugin_before_comes_out_unchanged(site):
    without = json.loads((ROOT / "conf" / site.conflist).read_text())
    with_us = json.loads(site.cnitool("add", site.network, site.pods[0]))
    site.cnitool("del", site.network, site.pods[0])
    without["plugins"].pop()
    site.use_conflist(without)
    alone = json.loads(site.cnitool("add", site.network, site.pods[0]))

    def comparable(result):
        """Without what differs from one ADD to the next."""
        text = json.dumps(result)
        for ip, placeholder in zip(result["ips"], ("ADDRESS4", "ADDRESS6")):
            text = text.replace(ip["address"], placeholder)
        for interface in result["interfaces"]:
            text = text.replace(interface["name"], "INTERFACE").replace(interface["mac"], "MAC")
        return text

    assert comparable(with_us) == comparable(alone)


def test_check_finds_damage(site):
    site.cnitool("add", site.network, site.pods[0])
    if site.backend == "nftables":
        site.run("nft", "flush", "chain", "inet", "ip-masq", "postrouting")
        said = "nft: missing: chain postrouting: "
    else:
        site.run("iptables-legacy", "-t", "nat", "-D", "POSTROUTING", "1")
        said = "iptables: missing: -A POSTROUTING"
    with pytest.raises(AssertionError, match=f"the rules are not as they should be: {said}"):
        site.cnitool("check", site.network, site.pods[0])


def test_gc_and_status(site):
    site.cnitool("status", site.network)
    site.cnitool("add", site.network, site.pods[0])
    # It names no attachment to any plugin (of 1.1.0: flannel's speaks 0.4.0), after a DEL of each that libcni knows.
    named = "neither cni.dev/valid-attachments nor cni.dev/attachments is there"
    with nullcontext() if site.network == "cbr0" else pytest.raises(AssertionError, match=named):
        site.cnitool("gc", site.network)
    assert site.run("find", "/run/cni/ip-masq", "-type", "f") == "/run/cni/ip-masq/lock\n"
    assert "IP-MASQ" not in site.save()
    assert "table inet ip-masq" not in site.run("nft", "list", "ruleset")


def test_status_says_what_is_missing(host):
    conflist = json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text())
    conflist["plugins"][-1]["snatTo"] = ["nowhere"]
    host.use_conflist(conflist)
    with pytest.raises(AssertionError, match='snatTo is "nowhere": expected an address'):
        host.cnitool("status", "bridge-net")
