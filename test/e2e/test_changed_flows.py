"""Connections that live while the lists change, as outside hosts see them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from harness.agents import Agent
from harness.held import Held, Seen
from harness.network import Outside, Pod, ask, make_bridge

STREAM = Path(__file__).parents[1] / "harness/stream.py"
POD = {4: "10.244.1.5", 6: "fd00:10:244:1::5"}
NODE = Outside.NODE
FIRST, SECOND = {4: "10.9.9.9", 6: "fd00:9::9"}, {4: "203.0.113.9", 6: "2001:db8:9::9"}
HOSTS = [*FIRST.values(), *SECOND.values()]
# Whom the pod's own address is for, before and after.
LISTS = {"nonMasqueradeCIDRs": ["10.0.0.0/8", "fd00::/8"]}
OTHER_LISTS = {"nonMasqueradeCIDRs": ["203.0.113.0/24", "2001:db8:9::/48"]}
BEFORE, AFTER = [POD[4], POD[6], NODE[4], NODE[6]], [NODE[4], NODE[6], POD[4], POD[6]]


class Site:
    def __init__(self, node):
        self.node = node
        make_bridge(node, "10.244.1.1/24", "fd00:10:244:1::1/64")
        self.outside = Outside(node, HOSTS, ["10.244.1.0/24", "fd00:10:244:1::/64"])
        self.pod = Pod(node, "pod-1", f"{POD[4]}/24", f"{POD[6]}/64")
        self.pod.route_through("10.244.1.1", "fd00:10:244:1::1")
        self.ips = self.pod.addresses
        self.file = node.folder / "config"
        self.held, self.streams = [], []

    def add(self, **keys):
        self.node.add(ips=self.ips, configFile=str(self.file), **keys)

    def lists(self, **keys):
        """In force from now on; what sync says."""
        self.file.write_text(json.dumps(keys))
        return self.node.tool("sync")

    def hold(self, protocol, hosts=HOSTS):
        """Connections that have been answered, or of TCP been opened."""
        self.held.append(Held(self.pod.namespace, *(f"{protocol}{host}" for host in hosts)))
        if protocol:
            sources(self.held[-1])
        return self.held[-1]

    def stream(self, namespace, *argv):
        process = subprocess.Popen(namespace.inside(sys.executable, STREAM, *argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.streams.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    def entries(self):
        """The connections by their numbers, so that one that was opened anew is another one."""
        lines = [line for family in ("ipv4", "ipv6")
                 for line in self.node.run("conntrack", "-L", "-o", "id", "-f", family).splitlines()]
        return {line.rsplit("id=", 1)[1]: line.split()[0] for line in lines}

    def close(self):
        for held in self.held:
            held.end()
        for process in self.streams:
            process.kill()
            process.communicate()
        self.pod.close()
        self.outside.close()


@pytest.fixture
def site(node):
    made = Site(node)
    yield made
    made.close()


def sources(held):
    """Which source each host sees of the next packet, or the error that there was."""
    assert set(held.all("data")) <= {"done"}
    return held.all("wait")


def ended(number):
    return f"network cbr0: ended {number} connections, which follow the lists by that"


def test_udp_follows_and_tcp_lives_on(site):
    site.add(**LISTS)
    udp, tcp = site.hold("udp:"), site.hold("")
    assert sources(udp) == BEFORE
    assert ended(4) in site.lists(**OTHER_LISTS)
    assert sources(udp) == AFTER
    assert sources(tcp) == BEFORE
    assert ask(site.pod.namespace, *(f"tcp:{host}" for host in HOSTS)) == {f"tcp:{host}": source for host, source in zip(HOSTS, AFTER)}


def test_tcp_is_reset_with_all(site):
    site.add(**LISTS, changedFlows="all")
    tcp = site.hold("")
    site.lists(**OTHER_LISTS)
    assert tcp.all("data") == ["done"] * 4
    assert set(tcp.all("wait")) == {"[Errno 104] Connection reset by peer"}


def test_no_packet_of_an_ended_connection_leaves_with_the_address_that_is_hidden(site):
    """Though connection tracking takes up none in the middle."""
    site.node.sysctl(net__netfilter__nf_conntrack_tcp_loose=0)
    site.add(**LISTS, changedFlows="all")
    tcp = site.hold("", FIRST.values())
    site.lists(**OTHER_LISTS)
    seen = Seen(site.outside.namespace)
    assert tcp.all("data") == ["done"] * 2
    ask(site.pod.namespace, *(f"udp:{host}" for host in FIRST.values()))
    told = seen.end()
    assert [told[host] for host in FIRST.values()] == [[NODE[4]], [NODE[6]]]


@pytest.mark.parametrize("family", [4, 6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_host_that_sends_all_the_time(site, protocol, family):
    """As a download does: the next packet is most often the other side's."""
    host = FIRST[family]
    site.add(**LISTS, changedFlows="all")
    server = site.stream(site.outside.namespace, "serve", host)
    sender = site.stream(site.pod.namespace, "send", protocol, host)
    assert ended(1) in site.lists(**OTHER_LISTS)
    seen = Seen(site.outside.namespace)
    print("", file=sender.stdin, flush=True)
    said = sender.stdout.readline().strip()
    assert seen.end().get(host, []) in ([], [NODE[family]])
    assert said == ("done" if protocol == "udp" else "[Errno 104] Connection reset by peer")
    assert server.poll() is None


def test_what_others_translate_from_now_on_lives_on(site):
    """Beside flannel's rule, which gives it the source that it has."""
    site.node.nft("-f", "-", input='table ip theirs { chain post { type nat hook postrouting priority srcnat; oifname "uplink0" masquerade; }\n}')
    site.add(**LISTS, changedFlows="all")
    tcp = site.hold("", [SECOND[4]])
    assert "ended" not in site.lists(**LISTS, catchAll=False)
    assert sources(tcp) == [NODE[4]]


def test_what_others_have_translated(site):
    site.node.run("ip", "address", "add", "198.18.0.77/24", "dev", "uplink0")
    site.node.nft("-f", "-", input='table ip theirs { chain post { type nat hook postrouting priority srcnat; oifname "uplink0" snat to 198.18.0.77; }\n}')
    site.add(**LISTS, catchAll=False)
    udp = site.hold("udp:", [SECOND[4]])
    assert sources(udp) == ["198.18.0.77"]
    assert ended(1) in site.lists(**LISTS, catchAll=True)
    assert sources(udp) == [NODE[4]]


def test_a_source_that_is_the_interface_s_own(site):
    """By snatTo, and then without it."""
    site.add(**LISTS, changedFlows="all", snatTo=[NODE[4]])
    tcp = site.hold("", [SECOND[4]])
    assert "ended" not in site.lists(**LISTS, snatTo=[])
    assert sources(tcp) == [NODE[4]]


def test_an_address_of_the_node_by_a_route(site):
    site.node.run("ip", "route", "add", "local", "100.77.0.0/16", "dev", "lo")
    site.add(**LISTS)
    site.held.append(Held(site.pod.namespace, "udp:100.77.0.1"))
    site.held[-1].all("data")
    before = site.entries()
    assert "ended" not in site.lists(nonMasqueradeCIDRs=["100.77.0.0/16"])
    assert before.items() <= site.entries().items()


def test_none_is_ended_where_they_are_to_be_kept(site):
    site.add(**LISTS, changedFlows="keep")
    udp = site.hold("udp:")
    before = site.entries()
    assert "ended" not in site.lists(**OTHER_LISTS)
    assert sources(udp) == BEFORE
    assert before.items() <= site.entries().items()


def test_those_whose_source_stays_are_left_alone(site):
    """Also those that somebody redirected, those with the node itself and those of others."""
    site.node.nft("-f", "-", input="""table inet theirs { chain pre { type nat hook prerouting priority dstnat;
ip daddr 192.0.2.1 dnat ip to 10.9.9.9
ip6 daddr 2001:db8:aa::1 dnat ip6 to fd00:9::9
ip daddr 198.18.0.1 udp dport 7008 dnat ip to 10.244.1.5:7007
}
}""")
    site.add(**LISTS)
    redirected = site.hold("udp:", ["192.0.2.1", "2001:db8:aa::1"])
    stays = site.hold("udp:", FIRST.values())
    changes = site.hold("udp:", SECOND.values())
    ask(site.outside.namespace, f"udp:{POD[4]}")
    site.held.append(Held(site.pod.namespace, "udp:10.244.1.1"))
    site.held[-1].all("data")
    before = site.entries()
    lists = {"nonMasqueradeCIDRs": [*LISTS["nonMasqueradeCIDRs"], *OTHER_LISTS["nonMasqueradeCIDRs"], "192.0.2.0/24"]}
    assert ended(2) in site.lists(**lists)
    gone = {number: protocol for number, protocol in before.items() if number not in site.entries()}
    assert list(gone.values()) == ["udp", "udp"]
    assert sources(redirected) == [POD[4], POD[6]] and sources(stays) == [POD[4], POD[6]] and sources(changes) == [POD[4], POD[6]]
    assert "ended" not in site.lists(**lists, resyncInterval="1h")


def test_another_source_to_translate_to(site):
    for address in ("198.18.0.77/24", "198.18.0.78/24"):
        site.node.run("ip", "address", "add", address, "dev", "uplink0")
    site.add(**LISTS, snatTo=["198.18.0.77"])
    udp = site.hold("udp:", [FIRST[4], SECOND[4]])
    assert sources(udp) == [POD[4], "198.18.0.77"]
    site.lists(snatTo=["198.18.0.77-198.18.0.78"])
    assert sources(udp) == [POD[4], "198.18.0.77"]
    assert ended(1) in site.lists(snatTo=["198.18.0.78"])
    assert sources(udp) == [POD[4], "198.18.0.78"]
    assert ended(1) in site.lists(snatTo=[])
    assert sources(udp) == [POD[4], NODE[4]]


def test_an_add_follows(site):
    site.add(**LISTS)
    udp = site.hold("udp:")
    site.node.add("pod-2", ips=["10.244.1.6/24"], **OTHER_LISTS)
    assert sources(udp) == AFTER


def test_an_agent_follows(site, daemons):
    site.file.write_text(json.dumps(LISTS))
    site.add(resyncInterval="24h")
    udp = site.hold("udp:")
    daemons.append(Agent(site.node))
    daemons[0].until_it_runs()
    site.file.write_text(json.dumps({**OTHER_LISTS, "resyncInterval": "24h"}))
    daemons[0].until_it_says(f"{ended(4)} (")
    assert sources(udp) == AFTER


@pytest.mark.parametrize("follow", [lambda site: site.node.tool("sync"), lambda site: site.add(**OTHER_LISTS)], ids=["sync", "ADD"])
def test_a_call_that_was_killed_before_is_made_good(site, follow):
    """Its rules were in place."""
    site.add(**LISTS, changedFlows="keep")
    udp = site.hold("udp:")
    record = site.node.state / "cbr0/network.json"
    before = json.loads(record.read_text())
    site.add(**OTHER_LISTS, changedFlows="keep")
    text = json.loads(record.read_text())
    text["netconf"].pop("changedFlows")
    record.write_text(json.dumps({**text, "changedFrom": {key: before[key] for key in ("netconf", "clusterNetworks")}}))
    assert sources(udp) == BEFORE
    follow(site)
    assert sources(udp) == AFTER
    assert "changedFrom" not in json.loads(record.read_text())
