"""What drops packets that conntrack calls invalid: in nftables, whichever back end does NAT."""

import json
import select
import subprocess
from itertools import count

import pytest
from harness.node import Node
from harness.texts import CBR0, CBR0_6, Subnet, expected, in_order, nftables_drops_text

DUAL = ("10.244.1.5/24", "fd00:10:244:1::5/64")
OTHER = Subnet("10.3.0.0/24", "other")


@pytest.fixture
def node(tmp_path):
    made = Node(tmp_path, "iptables")
    yield made
    made.close()


def nft(node):
    return in_order(node.nft("-s", "list", "ruleset"))


def both(node):
    return node.iptables_save(), nft(node)


def uninstall_rules(node):
    folders = [node.folder / "bin", node.folder / "net.d"]
    for folder in folders:
        folder.mkdir()
    node.tool("uninstall", "--rules", "--bin-dir", folders[0], "--conf-dir", folders[1])


def right(*subnets):
    return expected("iptables", *subnets), nftables_drops_text(subnets)


@pytest.mark.parametrize("keys, changes", [
    ({}, {}), ({"dropInvalid": False}, {"drop_invalid": False}), ({"catchAll": False}, {"catch_all": False}),
    ({"catchAll": False, "masqueradeCIDRs": ["10.1.2.0/24", "192.0.2.7/32"]}, {"catch_all": False, "masqueraded": ("10.1.2.0/24", "192.0.2.7/32")}),
    ({"masqueradeCIDRs": ["10.1.2.0/24"]}, {"masqueraded": ("10.1.2.0/24",)}), ({"snatTo": ["203.0.113.7"]}, {"to": "203.0.113.7"}),
], ids=lambda value: " ".join(value)[:60])
def test_beside_iptables(node, keys, changes):
    node.add(**keys)
    assert both(node) == right(CBR0.but(**changes))
    assert node.check(**keys) is None
    assert node.tool("sync") == "all rules are as they should be\n"
    node.add("pod-2", ips=["10.244.1.6/24"], **keys)
    node.delete("pod-1", **keys)
    assert both(node) == right(CBR0.but(**changes))
    node.delete("pod-2", **keys)
    assert both(node) == right()


def test_a_changed_key_reaches_running_pods(node):
    node.add("pod-1")
    node.add("pod-2", ips=["10.244.1.6/24"], dropInvalid=False)
    assert both(node) == right(CBR0.but(drop_invalid=False))
    node.add("pod-2", ips=["10.244.1.6/24"])
    assert both(node) == right(CBR0)


def test_what_is_saved_restores_to_the_same(node):
    node.add(ips=DUAL, masqueradeCIDRs=["10.1.2.0/24", "fd01::/32"])
    node.add("pod-2", ips=["10.9.0.7/32"], name="7th", catchAll=False, masqueradeCIDRs=["192.0.2.0/24"])
    before = node.nft("list", "ruleset")
    node.nft("-f", "-", input="flush ruleset\n" + before)
    assert node.nft("list", "ruleset") == before
    assert node.check(ips=DUAL, masqueradeCIDRs=["10.1.2.0/24", "fd01::/32"]) is None


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_a_network_that_drops_nothing_within_one_that_does(node, backend):
    """Each pod by its own network's key."""
    node.backend = backend
    other = Subnet("10.244.1.6/32", "other", drop_invalid=False, shared="10.244.1.0/24")
    node.add("pod-1")
    node.add("pod-2", ips=["10.244.1.6/24"], name="other", dropInvalid=False)
    subnets = [CBR0, other]
    assert nft(node) == (nftables_drops_text(subnets) if backend == "iptables" else expected("nftables", *subnets))
    assert node.tool("sync") == "all rules are as they should be\n"
    node.delete("pod-1")
    assert nft(node) == ("" if backend == "iptables" else expected("nftables", other))


@pytest.mark.parametrize("there", ["iptables", "nftables"])
@pytest.mark.parametrize("comes", ["iptables", "nftables"])
def test_who_comes_and_drops_leaves_others_right(node, there, comes):
    node.add("pod-1", backend=there, dropInvalid=False)
    node.add("pod-2", ips=["10.3.0.5/24"], name="other", backend=comes)
    assert node.check("pod-1", backend=there, dropInvalid=False) is None
    assert node.check("pod-2", ips=["10.3.0.5/24"], name="other", backend=comes) is None
    assert node.tool("sync") == "all rules are as they should be\n"
    node.delete("pod-2", ips=["10.3.0.5/24"], name="other", backend=comes)
    assert node.check("pod-1", backend=there, dropInvalid=False) is None
    assert node.tool("sync") == "all rules are as they should be\n"


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_pods_with_addresses_of_their_own(node, backend):
    node.backend = backend
    pods = {f"pod-{number}": f"10.9.0.{number}" for number in range(1, 8)}
    for number, (pod, address) in enumerate(pods.items(), 1):
        name = "other" if number % 2 else "cbr0"
        node.add(pod, ips=[f"{address}/32"], name=name)
    subnets = [Subnet(f"{address}/32", "other" if number % 2 else "cbr0") for number, address in enumerate(pods.values(), 1)]
    for number in (7, 2, 1, 4):
        assert nft(node) == (nftables_drops_text(subnets) if backend == "iptables" else expected("nftables", *subnets))
        node.delete(f"pod-{number}", name="other" if number % 2 else "cbr0")
        subnets = [each for each in subnets if each.prefix != f"10.9.0.{number}/32"]
    node.delete("pod-6")
    subnets.pop()
    assert nft(node) == (nftables_drops_text(subnets) if backend == "iptables" else expected("nftables", *subnets))


@pytest.mark.parametrize("mender", ["ADD", "sync", "GC"])
@pytest.mark.parametrize("damage", [["flush", "ruleset"], ["flush", "chain", "inet", "ip-masq", "forward"],
                                    ["flush", "map", "inet", "ip-masq", "invalid-pod-subnets"], ["add", "chain", "inet", "ip-masq", "stray"]], ids=" ".join)
def test_damage_is_told_and_mended(node, damage, mender):
    node.add()
    node.nft(*damage)
    code, message = node.check()
    assert (code, message.startswith("the rules are not as they should be: nft: ")) == (102, True)
    if mender == "ADD":
        node.add("pod-2", ips=["10.244.1.6/24"])
    elif mender == "sync":
        node.tool("sync")
    else:
        node.do("GC", None, node.netconf(version="1.1.0", ips=None, **{"cni.dev/valid-attachments": [{"containerID": "pod-1", "ifname": "eth0"}]}))
    assert both(node) == right(CBR0)
    assert node.check() is None


def test_one_batch_an_add_and_none_where_all_is_right(node):
    with subprocess.Popen(node.inside("nft", "monitor"), stdout=subprocess.PIPE, text=True) as monitor:
        try:
            for number in count():  # until the monitor hears
                node.nft("add", "table", "ip", f"before-{number}")
                if select.select([monitor.stdout], [], [], 0.05)[0]:
                    break
            node.nft("add", "table", "ip", "begin")
            assert "add table ip begin\n" in iter(monitor.stdout.readline, "")
            for number in (1, 2, 3):
                node.add(f"pod-{number}", ips=[f"10.244.1.{number}/24"])
            node.nft("add", "table", "ip", "end")
            heard = list(iter(monitor.stdout.readline, "add table ip end\n"))
        finally:
            monitor.kill()
    assert sum(line.startswith("# new generation") for line in heard) == 2, "that of the table before as well"


@pytest.mark.parametrize("lost", [False, True], ids=["recorded", "records lost"])
def test_uninstall_takes_all_along(node, lost):
    node.add(ips=DUAL)
    node.add("pod-2", ips=["10.3.0.5/24"], name="other", backend="nftables")
    if lost:
        for path in sorted(node.state.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    uninstall_rules(node)
    assert (both(node), node.iptables_save(6)) == (right(), expected("iptables", family=6))


def test_what_is_left_of_it_alone_goes_with_uninstall(node):
    node.add()
    node.iptables("-F")
    node.iptables("-X")
    assert json.loads(node.tool("show", "-o", "json"))["rules"][0]["rule"] == "forward: ct state invalid counter ip saddr vmap @invalid-pod-subnets"
    uninstall_rules(node)
    assert both(node) == right()


def test_it_pins_no_back_end(node):
    node.backend = "auto"
    node.add("pod-1")
    node.add("pod-2", ips=["10.3.0.5/24"], name="other")
    assert [network["backend"] for network in json.loads(node.tool("show", "-o", "json"))["networks"]] == ["iptables", "iptables"]
    assert nft(node) == nftables_drops_text([CBR0, OTHER])


def test_a_move_there_and_back(node):
    for backend in ("nftables", "iptables", "nftables"):
        node.add(backend=backend, ips=DUAL)
        subnets = [CBR0, CBR0_6]
        assert nft(node) == (nftables_drops_text(subnets) if backend == "iptables" else expected("nftables", *subnets))
    node.delete(backend="nftables")
    assert nft(node) == ""
