"""ip-masq probe: an operator sees before users do that a network has no route back to the pods."""

import json

import pytest
from harness.network import Outside, make_bridge

SUBNETS = {4: "10.244.1.0/24", 6: "fd00:10:244:1::/64"}
GATEWAY = {4: "10.244.1.1", 6: "fd00:10:244:1::1"}
WITH_ROUTE = {4: "10.9.9.9", 6: "fd00:9::9"}
WITHOUT_ROUTE = {4: "10.8.8.8", 6: "fd00:8::8"}
ELSEWHERE = {4: "203.0.113.9", 6: "2001:db8:9::9"}
WITHOUT_ROUTE_NOR_LIST = "198.18.1.254"  # the far host at its uplink, which knows the node there alone
SERVED, UNSERVED = 7007, 7008
NOTE = ("asked from this node, not from a pod's network namespace, so FORWARD was not crossed: no network namespace of a pod there is known "
        "(/var/lib/cni/results or /var/lib/cni/cache/results)")


@pytest.fixture
def site(node):
    """A node with a pod, one host that knows the way to the pods, and one that does not."""
    make_bridge(node, "10.244.1.0/32", name="flannel.1")
    make_bridge(node, "10.244.1.1/24", "fd00:10:244:1::1/64")
    near = Outside(node, [*WITH_ROUTE.values(), *ELSEWHERE.values()], SUBNETS.values())
    far = Outside(node, WITHOUT_ROUTE.values(), [], 1)
    node.add(ips=["10.244.1.5/24", "fd00:10:244:1::5/64"])
    node.near = near.namespace
    yield node
    near.close()
    far.close()


def probe(node, *argv):
    """(exit status, the one probe made)"""
    status, output, errors = node.tool_status("probe", *map(str, argv), "-o", "json", "--state-dir", node.state)
    assert errors == ""
    answer = json.loads(output)
    assert answer["host"] == argv[0]
    (made,) = answer["probes"]
    assert made.pop("askedFrom") == "node"
    assert made.pop("note") == NOTE
    return status, made


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def family(request):
    return request.param


@pytest.fixture(params=[[], ["--port", SERVED]], ids=["ICMP", "TCP"])
def how(request):
    return request.param


def test_a_host_with_the_route(site, family, how):
    assert probe(site, WITH_ROUTE[family], *how) == (0, {
        "podSubnet": SUBNETS[family], "source": GATEWAY[family], "fate": "kept", "answer": "answered", "seen": GATEWAY[family]})


def test_a_host_that_sees_the_node(site, family, how):
    assert probe(site, ELSEWHERE[family], *how) == (0, {
        "podSubnet": SUBNETS[family], "source": GATEWAY[family], "fate": "masqueraded", "answer": "answered",
        "seen": Outside.NODE[family]})


def test_a_host_that_refuses(site, family):
    assert probe(site, WITH_ROUTE[family], "--port", UNSERVED) == (0, {
        "podSubnet": SUBNETS[family], "source": GATEWAY[family], "fate": "kept", "answer": "refused"})


def test_a_host_without_the_route(site, family, how):
    host = WITHOUT_ROUTE[family]
    assert probe(site, host, *how) == (1, {
        "podSubnet": SUBNETS[family], "source": GATEWAY[family], "fate": "kept", "answer": "no answer", "seen": GATEWAY[family],
        "todo": f"{host} answers this node but not its pods: it, or a router before it, has no route back to {SUBNETS[family]} "
                f"by this node. Add that route there, or masquerade {host} (masqueradeCIDRs)"})


def test_masquerading_it_helps(site, family, how):
    host = WITHOUT_ROUTE[family]
    site.add(ips=["10.244.1.5/24", "fd00:10:244:1::5/64"], masqueradeCIDRs=[f"{host}/{32 if family == 4 else 128}"])
    status, made = probe(site, host, *how)
    assert (status, made["fate"], made["answer"]) == (0, "masqueraded", "answered")


def test_a_host_that_is_down(site, family):
    host = {4: "198.18.0.99", 6: "2001:db8:18::99"}[family]
    status, made = probe(site, host, "--port", SERVED)
    assert status == 1
    assert made["answer"] in ("no answer", "unreachable")
    assert made["todo"]


def test_a_host_that_drops(site, family):
    """And nothing on the way says so."""
    site.near.run("nft", "-f", "-", input=f"table inet drops {{ chain c {{ type filter hook prerouting priority 0; "
                                          f"{'ip' if family == 4 else 'ip6'} daddr {WITH_ROUTE[family]} drop; }}; }}")
    status, made = probe(site, WITH_ROUTE[family])
    assert (status, made["answer"]) == (1, "no answer")
    assert made["todo"] == (f"{WITH_ROUTE[family]} does not answer this node's own address either: it is down, or drops what it is "
                            "asked; try --port with one that it serves")


def test_an_address_to_translate_to_that_nobody_knows(site):
    site.add(ips=["10.244.1.5/24", "fd00:10:244:1::5/64"], snatTo=["192.0.2.77"])
    assert probe(site, WITHOUT_ROUTE_NOR_LIST) == (1, {
        "podSubnet": SUBNETS[4], "source": GATEWAY[4], "fate": "masqueraded", "answer": "no answer", "seen": "192.0.2.77",
        "todo": f"{WITHOUT_ROUTE_NOR_LIST} answers this node's own address but not 192.0.2.77: it, or a router before it, has no "
                "route back to that address by this node (snatTo)"})


def test_the_text_and_the_choice_of_a_subnet(site):
    assert site.tool("probe", "10.9.9.9", "--from", "10.244.1.0/24") == (
        f"10.244.1.0/24 -> 10.9.9.9: kept, seen as 10.244.1.1, answered\n  {NOTE}\n")
    assert site.tool("probe", "203.0.113.9", "--port", "7007") == (
        f"10.244.1.0/24 -> 203.0.113.9 port 7007: masqueraded, seen as 198.18.0.1, answered\n  {NOTE}\n")


@pytest.mark.parametrize("argv, status, error", [
    (["x"], 1, 'ip-masq: HOST is "x": expected an address such as 10.244.1.5 or fd00::5\n'),
    ([], 2, "ip-masq: probe takes 1 arguments, not 0; see ip-masq --help\n"),
    (["10.9.9.9", "--port", "0"], 2, 'ip-masq: --port is "0": expected 1 to 65535; see ip-masq --help\n'),
    (["10.9.9.9", "--port", "1-2"], 2, 'ip-masq: --port is "1-2": expected 1 to 65535; see ip-masq --help\n'),
    (["10.9.9.9", "--from", "pods"], 2,
     'ip-masq: --from is "pods": expected a pod subnet such as 10.244.1.0/24; see ip-masq --help\n'),
    (["10.9.9.9", "--from", "10.3.0.0/24"], 1,
     "ip-masq: no recorded network has the pod subnet 10.3.0.0/24\n"
     "  ip-masq show lists them; the first pod's ADD records one\n"),
])
def test_what_cannot_be_probed(node, argv, status, error):
    node.add(ips=["10.77.0.5/16"])
    assert node.tool_status("probe", *argv, "--state-dir", node.state) == (status, "", error)


def test_why_no_pod_subnet_is_known(node):
    hint = "  ip-masq show lists them; the first pod's ADD records one\n"
    missing = "ip-masq: no pod subnet of 10.9.9.9's family is recorded"
    probe = ["probe", "10.9.9.9", "--state-dir", node.state]
    assert node.tool_status(*probe) == (1, "", f"{missing}\n{hint}")
    node.add()
    (node.state / "cbr0/network.json").unlink()
    assert node.tool_status(*probe) == (1, "", f"{missing}; network cbr0: its configuration is not recorded\n{hint}")


def test_a_subnet_without_a_gateway_keeps_no_other_from_being_asked(site):
    site.add("pod-2", name="other", ips=["10.77.0.5/16"])
    site.add("pod-3", name="lone", ips=["10.78.0.5/32"])
    unknown = "not asked (no network namespace of a pod there is known (/var/lib/cni/results or /var/lib/cni/cache/results))"
    assert site.tool_status("probe", "10.9.9.9", "--state-dir", site.state) == (1, (
        f"10.78.0.5/32 -> 10.9.9.9: {unknown}\n"
        "  probe from inside a pod of it, or start one: this node has no address of its own in 10.78.0.5/32\n"
        f"10.244.1.0/24 -> 10.9.9.9: kept, seen as 10.244.1.1, answered\n  {NOTE}\n"
        f"10.77.0.0/16 -> 10.9.9.9: {unknown}\n"
        "  probe from inside a pod of it, or start one: this node has no address of its own in 10.77.0.0/16\n"), "")
