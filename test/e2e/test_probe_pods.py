"""ip-masq probe, asked from inside pods: what this node drops on its way is told from what a host does not answer."""

import json

import pytest
from harness.host import ROOT
from harness.network import Outside, Witness
from harness.node import Namespace

KNOWN, UNKNOWN, ELSEWHERE = {4: "10.9.9.9", 6: "fd00:9::9"}, {4: "10.8.8.8", 6: "fd00:8::8"}, {4: "203.0.113.9", 6: "2001:db8:9::9"}
SUBNET = {4: "10.22.0.0/24", 6: "fd00:22::/64"}
NODE = Outside.NODE
GATEWAY = {4: "10.22.0.1", 6: "fd00:22::1"}
LEFT = ("this node tracks nothing of it: a FORWARD chain drops what pods send, the node does not forward, or a rule of NOTRACK "
        "lets it out untranslated; ip-masq doctor says which")


@pytest.fixture
def site(host, backend):
    """A node with a pod, and three hosts: one that sees pods, one without a route back to them, the rest of the world."""
    conf = json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text())
    conf["plugins"][-1]["backend"] = backend
    host.conf = conf
    host.use_conflist(conf)
    host.pod = Namespace("pod")
    outside = [Outside(host, ELSEWHERE.values(), [], 0), Outside(host, KNOWN.values(), SUBNET.values(), 1),
               Outside(host, UNKNOWN.values(), [], 2)]
    host.world, host.known = outside[0].namespace, outside[1].namespace
    addresses = json.loads(host.cnitool("add", "bridge-net", host.pod))["ips"]
    host.address = {6 if ":" in each["address"] else 4: each["address"].split("/")[0] for each in addresses}
    yield host
    for each in outside:
        each.close()
    host.pod.close()


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def family(request):
    return request.param


def probe(site, *argv, command=()):
    """(exit status, what it says)"""
    output = site.run(*command, "sh", "-c", '"$@"; echo $?', "sh", site.bin / "ip-masq", "probe", *argv)
    said, status = output[:-1].rsplit("\n", 1) if "\n" in output[:-1] else ("", output[:-1])
    return int(status), said + "\n"


def said_of(family, host, verdict, todo=None, port=""):
    return f"{SUBNET[family]} -> {host}{port}: {verdict}\n" + (f"  {todo}\n" if todo else "")


def test_answers(site, family):
    assert probe(site, KNOWN[family]) == (0, said_of(family, KNOWN[family], f"kept, seen as {site.address[family]}, answered"))
    assert probe(site, ELSEWHERE[family], "--port", "7007") == (0, said_of(
        family, ELSEWHERE[family], f"masqueraded, seen as {NODE[family]}, answered", port=" port 7007"))
    assert probe(site, KNOWN[family], "--port", "7008") == (0, said_of(family, KNOWN[family], "kept, refused", port=" port 7008"))


def test_the_json(site, family):
    status, said = probe(site, KNOWN[family], "-o", "json")
    assert (status, json.loads(said)["probes"]) == (0, [{
        "podSubnet": SUBNET[family], "source": site.address[family], "askedFrom": "pod", "pod": "cnitool-" + said.split("cnitool-")[1].split('"')[0],
        "fate": "kept", "answer": "answered", "seen": site.address[family]}])


@pytest.mark.parametrize("port", [[], ["--port", "7007"]], ids=["ICMP", "TCP"])
def test_no_route_back(site, family, port):
    host = UNKNOWN[family]
    assert probe(site, host, *port) == (1, said_of(
        family, host, f"kept, seen as {site.address[family]}, no answer",
        f"{host} answers this node but not its pods: it, or a router before it, has no route back to {SUBNET[family]} by this "
        f"node. Add that route there, or masquerade {host} (masqueradeCIDRs)", " port 7007" if port else ""))


FORWARD = {
    "ufw": ["iptables-nft -P FORWARD DROP", "ip6tables-nft -P FORWARD DROP"],
    "docker": ["iptables-legacy -P FORWARD DROP", "ip6tables-legacy -P FORWARD DROP"],
    "nft": ["nft add table inet guard", "nft add chain inet guard f { type filter hook forward priority 0; policy drop; }"],
    "no forwarding": ["sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0"]}


@pytest.mark.parametrize("port", [[], ["--port", "7007"]], ids=["ICMP", "TCP"])
@pytest.mark.parametrize("how", FORWARD)
def test_what_this_node_does_not_forward(site, family, how, port):
    for command in FORWARD[how]:
        site.run(*command.split(maxsplit=5 if "chain" in command else -1))
    assert probe(site, KNOWN[family], *port) == (1, said_of(
        family, KNOWN[family], "not tracked, no answer", LEFT, " port 7007" if port else ""))


def test_what_a_rule_of_this_node_refuses(site, family):
    """A port unreachable, by which TCP is told what a host's own refusal tells."""
    site.run("iptables-legacy" if family == 4 else "ip6tables-legacy", "-A", "FORWARD", "-i", "cni0", "-j", "REJECT")
    assert probe(site, KNOWN[family], "--port", "7007") == (1, said_of(
        family, KNOWN[family], f"not tracked, unreachable (refused by ICMP, says {GATEWAY[family]})", LEFT, " port 7007"))


@pytest.mark.parametrize("error", {4: ["icmp-port-unreachable", "icmp-admin-prohibited", "icmp-host-prohibited"],
                                   6: ["icmp6-port-unreachable", "icmp6-adm-prohibited"]}.items(), ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("port", [[], ["--port", "7007"]], ids=["ICMP", "TCP"])
def test_what_the_host_itself_refuses(site, error, port):
    """firewalld's: the way there and back is right."""
    family, errors = error
    program = "iptables-legacy" if family == 4 else "ip6tables-legacy"
    protocol = ["-p", "tcp"] if port else ["-p", "icmp"] if family == 4 else ["-p", "ipv6-icmp", "--icmpv6-type", "echo-request"]
    for each in errors:
        site.known.run(program, "-I", "INPUT", *protocol, "-j", "REJECT", "--reject-with", each)
        assert probe(site, KNOWN[family], *port) == (0, said_of(
            family, KNOWN[family], f"kept, seen as {site.address[family]}, refused (by ICMP: a firewall of its own)", port=" port 7007" if port else ""))


PROXY = ("this node tracks no such connection: a rule of NOTRACK keeps it from being translated (ip-masq doctor says which), or a "
         "proxy in the pod answered instead of {} (then ask without --port)")


def test_what_this_node_does_not_track(site, family):
    program = "iptables-legacy" if family == 4 else "ip6tables-legacy"
    site.run(program, "-t", "raw", "-A", "PREROUTING", "-i", "cni0", "-j", "CT", "--notrack")
    assert probe(site, KNOWN[family]) == (1, said_of(family, KNOWN[family], "not tracked, answered", PROXY.format(KNOWN[family])))
    assert probe(site, ELSEWHERE[family]) == (1, said_of(family, ELSEWHERE[family], "not tracked, no answer", LEFT))


def test_a_proxy_in_the_pod(site, family):
    """A service mesh's: whatever the pod connects to, the proxy accepts."""
    address = "127.0.0.1" if family == 4 else "::1"
    site.pod.run("iptables-legacy" if family == 4 else "ip6tables-legacy", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-j", "REDIRECT",
                 "--to-ports", "7007")
    proxy = Witness(site.pod, [address])
    try:
        assert probe(site, UNKNOWN[family], "--port", "7007") == (1, said_of(
            family, UNKNOWN[family], "not tracked, answered", PROXY.format(UNKNOWN[family]), " port 7007"))
    finally:
        proxy.close()


@pytest.mark.parametrize("port", [[], ["--port", "7007"]], ids=["ICMP", "TCP"])
def test_answers_that_this_node_drops(site, family, port):
    program = "iptables-legacy" if family == 4 else "ip6tables-legacy"
    site.run(program, "-P", "FORWARD", "DROP")
    site.run(program, "-A", "FORWARD", "-i", "cni0", "-j", "ACCEPT")
    host = KNOWN[family]
    assert probe(site, host, *port) == (1, said_of(
        family, host, f"kept, seen as {site.address[family]}, no answer",
        f"the answer of {host} came back to this node, which dropped it on its way to the pod: a FORWARD chain lets no answers "
        "through; ip-masq doctor says which", " port 7007" if port else ""))


def test_answers_that_strict_reverse_path_filters_drop(site):
    """The host's answers to pods come back by a link of their own."""
    site.known.run("ip", "link", "add", "other", "type", "veth", "peer", "name", "back0")
    site.known.run("ip", "link", "set", "back0", "netns", str(site.holder.pid))
    site.run("ip", "link", "set", "back0", "up")
    site.run("ip", "address", "add", "198.18.77.1/24", "dev", "back0")
    site.known.run("ip", "address", "add", "198.18.77.2/24", "dev", "other")
    site.known.run("ip", "link", "set", "other", "up")
    site.known.run("ip", "route", "replace", SUBNET[4], "via", "198.18.77.1")
    assert probe(site, KNOWN[4]) == (0, said_of(4, KNOWN[4], f"kept, seen as {site.address[4]}, answered"))
    site.sysctl(net__ipv4__conf__back0__rp_filter=1)
    assert probe(site, KNOWN[4]) == (1, said_of(
        4, KNOWN[4], f"kept, seen as {site.address[4]}, no answer",
        f"the answer of {KNOWN[4]} came back by another interface than the one that leads there, and this node's strict rp_filter "
        "dropped it: sysctl -w net.ipv4.conf.all.rp_filter=2"))
    site.run("sysctl", "-w", "net.ipv4.conf.all.rp_filter=2")
    assert probe(site, KNOWN[4])[0] == 0


def test_an_address_that_the_host_drops_where_snat_to_is_not_set(site):
    """The node itself speaks from another address than the one that masquerading takes."""
    site.run("ip", "address", "add", "198.18.0.77/24", "dev", "uplink0")
    site.run("ip", "route", "add", "198.18.0.254", "dev", "uplink0", "src", "198.18.0.77")
    site.world.run("nft", "-f", "-", input="table ip drops { chain c { type filter hook input priority 0; ip saddr 198.18.0.1 drop; }; }")
    assert probe(site, "198.18.0.254") == (1, said_of(
        4, "198.18.0.254", "masqueraded, seen as 198.18.0.1, no answer",
        "198.18.0.254 answers this node's own address but not 198.18.0.1: it, or a router before it, has no route back to that "
        "address by this node, or drops what comes from there"))


def test_pods_with_an_address_of_their_own(site, backend):
    """ptp: no gateway of the subnet is on the node."""
    conf = {"cniVersion": "1.0.0", "name": "lone", "plugins": [
        {"type": "ptp", "ipMasq": False, "ipam": {"type": "host-local", "subnet": "10.23.0.0/24", "routes": [{"dst": "0.0.0.0/0"}]}},
        {"type": "ip-masq", "podSubnets": ["10.23.0.2/32"], "backend": backend}]}
    site.write("/etc/cni/net.d/20-lone.conflist", json.dumps(conf))
    site.known.run("ip", "route", "add", "10.23.0.0/24", "via", "198.18.1.1")
    pod = Namespace("lone")
    try:
        site.cnitool("add", "lone", pod)
        assert probe(site, KNOWN[4]) == (0, (
            "10.23.0.2/32 -> 10.9.9.9: kept, seen as 10.23.0.2, answered\n"
            f"10.22.0.0/24 -> 10.9.9.9: kept, seen as {site.address[4]}, answered\n"))
        site.run("sysctl", "-qw", "net.ipv4.conf.cni0.forwarding=0")
        assert probe(site, KNOWN[4]) == (1, (
            "10.23.0.2/32 -> 10.9.9.9: kept, seen as 10.23.0.2, answered\n"
            f"10.22.0.0/24 -> 10.9.9.9: not tracked, no answer\n  {LEFT}\n"))
    finally:
        pod.close()


def test_without_the_right_to_enter_a_pod(site, family):
    gateway = {4: "10.22.0.1", 6: "fd00:22::1"}[family]
    assert probe(site, KNOWN[family], command=["capsh", "--drop=cap_sys_admin", "--shell=/usr/bin/env", "--"]) == (0, (
        f"{SUBNET[family]} -> {KNOWN[family]}: kept, seen as {gateway}, answered\n"
        f"  asked from this node, not from a pod's network namespace, so FORWARD was not crossed: cannot enter the network namespace {site.pod.path}: "
        "Operation not permitted (CAP_SYS_ADMIN is needed)\n"))
