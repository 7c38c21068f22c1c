"""backend "auto": the back end whose exemptions hold on the node, and the way from one to the other."""

import json
import os
import random
import shutil
import subprocess

import pytest
from harness.node import BINARY, Node
from harness.texts import CBR0, Subnet, expected, in_order, nftables_drops_text

NAT_CHAINS = {
    "iptables-nft": lambda node: node.run("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-s", "172.17.0.0/16", "-j", "MASQUERADE"),
    "ip6tables-nft": lambda node: node.run("ip6tables-nft", "-t", "nat", "-A", "POSTROUTING", "-s", "fd17::/16", "-j", "MASQUERADE"),
    "inet": lambda node: node.nft("-f", "-", input="table inet theirs { chain c { type nat hook postrouting priority 300; }; }"),
    "name of ours": lambda node: node.nft("-f", "-", input="table ip ip-masq { chain c { type nat hook postrouting priority 100; }; }"),
}
OTHER_CHAINS = """
table inet theirs {
  chain pre { type nat hook prerouting priority dstnat; }
  chain out { type nat hook output priority -100; }
  chain post { type filter hook postrouting priority 100; }
  chain plain { masquerade; }
}
"""
NOTHING = expected("iptables")


@pytest.fixture
def node(tmp_path):
    made = Node(tmp_path, "auto")
    yield made
    made.close()


def ours_in_nft(node):
    listing = node.nft("-s", "list", "ruleset")
    return in_order(node.nft("-s", "list", "table", "inet", "ip-masq")) if "table inet ip-masq" in listing else ""


def legacy_tables(node):
    return node.run("cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names")


def backends(node):
    return {network["name"]: network["backend"] for network in json.loads(node.tool("show", "-o", "json"))["networks"]}


@pytest.mark.parametrize("others", ["", OTHER_CHAINS], ids=["nothing else", "chains of other kinds"])
def test_iptables_where_nobody_translates_in_nftables(node, others):
    node.nft("-f", "-", input=others)
    node.add()
    assert (node.iptables_save(), ours_in_nft(node)) == (expected("iptables", CBR0), nftables_drops_text([CBR0]))
    assert node.check() is None
    node.delete()
    assert (node.iptables_save(), ours_in_nft(node)) == (NOTHING, "")


@pytest.mark.parametrize("kind", NAT_CHAINS)
def test_nftables_where_somebody_does(node, kind):
    NAT_CHAINS[kind](node)
    before = node.nft("list", "ruleset")
    node.add()
    assert ours_in_nft(node) == expected("nftables", CBR0)
    assert legacy_tables(node) == "", "looking at a legacy table makes it"
    assert node.check() is None
    node.delete()
    assert node.nft("list", "ruleset") == before


@pytest.mark.parametrize("error", ["ENOENT", "ENOPROTOOPT"])
def test_nftables_where_the_kernel_has_no_legacy_table(node, error):
    argv = ["strace", "-f", "-o", "/dev/null", "-e", f"inject=getsockopt:error={error}", BINARY]
    environment = node.environment("ADD", "pod-1", ASAN_OPTIONS="detect_leaks=0")  # which cannot be traced
    subprocess.run(node.inside(*argv), input=json.dumps(node.netconf()), text=True, env=environment, check=True, capture_output=True)
    assert ours_in_nft(node) == expected("nftables", CBR0)
    asked = node.netconf(name="other", backend="iptables")
    reply = subprocess.run(node.inside(*argv), input=json.dumps(asked), text=True, env=environment, capture_output=True)
    answer = json.loads(reply.stdout)
    assert (answer["code"], answer["details"]) == (
        100, 'load the kernel modules ip_tables and iptable_nat, or set "backend": "nftables"')


def test_a_legacy_table_that_somebody_makes_at_the_same_time(node):
    """The kernel says EEXIST to the one of two that came second: the table is there when it asks again."""
    argv = ["strace", "-f", "-o", "/dev/null", "-e", "inject=getsockopt:error=EEXIST:when=1", BINARY]
    environment = node.environment("ADD", "pod-1", ASAN_OPTIONS="detect_leaks=0")
    asked = node.netconf(backend="iptables")
    reply = subprocess.run(node.inside(*argv), input=json.dumps(asked), text=True, env=environment, capture_output=True)
    assert reply.returncode == 0, reply.stdout
    assert node.check(backend="iptables") is None
    node.delete(backend="iptables")


def test_nftables_stays_until_the_last_attachment_is_gone(node):
    NAT_CHAINS["inet"](node)
    node.add("pod-1")
    node.nft("delete", "table", "inet", "theirs")
    node.add("pod-2", ips=["10.244.1.6/24"])
    node.add("pod-3", name="other", ips=["10.3.0.5/24"])
    assert ours_in_nft(node) == expected("nftables", CBR0, Subnet("10.3.0.0/24", "other"))
    node.delete("pod-1")
    node.delete("pod-2")
    node.delete("pod-3", name="other")
    assert node.nft("list", "ruleset") == ""
    node.add()
    assert backends(node) == {"cbr0": "iptables"}


@pytest.mark.parametrize("mover", ["ADD of the same network", "ADD of another network", "sync", "GC"])
def test_the_rules_move_when_the_answer_changes(node, mover):
    node.add("pod-1")
    assert backends(node) == {"cbr0": "iptables"}
    NAT_CHAINS["iptables-nft"](node)
    assert node.check("pod-1") is None  # they are what was asked for
    subnets = [CBR0]
    if mover == "sync":
        node.tool("sync")
    elif mover == "GC":
        valid = [{"containerID": "pod-1", "ifname": "eth0"}]
        node.do("GC", None, node.netconf(version="1.1.0", ips=None, **{"cni.dev/valid-attachments": valid}))
    elif mover == "ADD of another network":
        node.add("pod-2", name="other", ips=["10.3.0.5/24"])
        subnets.append(Subnet("10.3.0.0/24", "other"))
    else:
        node.add("pod-2", ips=["10.244.1.6/24"])
    assert (node.iptables_save(), ours_in_nft(node)) == (NOTHING, expected("nftables", *subnets))
    assert set(backends(node).values()) == {"nftables"}
    assert node.check("pod-1") is None


def test_a_changed_netconf_moves_the_rules(node):
    node.add(backend="nftables")
    assert (node.iptables_save(), ours_in_nft(node)) == (NOTHING, expected("nftables", CBR0))
    node.add(backend="iptables")
    assert (node.iptables_save(), ours_in_nft(node)) == (expected("iptables", CBR0), nftables_drops_text([CBR0]))
    node.delete()
    assert (node.iptables_save(), ours_in_nft(node)) == (NOTHING, "")


def test_networks_on_different_back_ends(node):
    other = Subnet("10.3.0.0/24", "other")
    node.add("pod-1", backend="iptables")
    node.add("pod-2", name="other", ips=["10.3.0.5/24"], backend="nftables")
    assert (node.iptables_save(), ours_in_nft(node)) == (expected("iptables", CBR0), expected("nftables", other, beside=[CBR0]))
    for verb in (lambda: node.tool("sync"), lambda: node.add("pod-1", backend="iptables"),
                 lambda: node.add("pod-3", name="other", ips=["10.3.0.6/24"], backend="nftables")):
        verb()
        assert ours_in_nft(node) == expected("nftables", other, beside=[CBR0])
    assert node.check("pod-1", backend="iptables") is None
    assert node.check("pod-2", name="other", ips=["10.3.0.5/24"], backend="nftables") is None
    node.delete("pod-3", name="other", backend="nftables")
    node.delete("pod-1", backend="iptables")
    assert (node.iptables_save(), ours_in_nft(node)) == (NOTHING, expected("nftables", other))


def test_iptables_that_nftables_would_undo(node):
    NAT_CHAINS["iptables-nft"](node)
    conf = node.netconf(version="1.1.0", backend="iptables")
    assert node.call("ADD", "pod-1", conf).status == 0
    assert node.iptables_save() == expected("iptables", CBR0)
    reply = node.call("STATUS", None, conf)
    assert (reply.status, reply.output, reply.errors) == (
        0, "", 'ip-masq: backend is "iptables", but nftables has a nat chain on postrouting here: a masquerade rule there '
               'undoes exemptions; set "backend": "auto"\n')
    assert node.call("STATUS", None, node.netconf(version="1.1.0")).errors == ""
    warning = reply.errors.removeprefix("ip-masq: ")
    assert node.tool("explain", "10.244.1.5", "10.9.9.9").endswith(f"  {warning}")
    assert json.loads(node.tool("explain", "10.244.1.5", "10.9.9.9", "-o", "json"))["warnings"] == [warning.strip()]
    assert warning not in node.tool("explain", "10.244.1.5", "203.0.113.9")


def test_rules_of_the_other_back_end_are_found_when_the_state_was_lost(node):
    node.add()
    shutil.rmtree(node.state)
    NAT_CHAINS["inet"](node)
    node.add()
    assert (node.iptables_save(), ours_in_nft(node)) == (NOTHING, expected("nftables", CBR0))


def test_a_move_that_is_killed_is_finished_by_the_next_call(node):
    dice = random.Random(11)
    killed = 0
    for number in range(80):
        node.add("pod-1", backend="iptables")
        process = node.start("ADD", "pod-1", node.netconf(backend="nftables"))
        try:
            process.wait(dice.uniform(0, 0.006))
        except subprocess.TimeoutExpired:
            process.kill()
            killed += process.wait() < 0
        process.stdout.close()
        process.stderr.close()
        if number % 2:
            node.add("pod-2", ips=["10.244.1.6/24"], backend="nftables")
            node.delete("pod-2")
        else:
            node.add("pod-1", backend="nftables")
        assert (node.iptables_save(), ours_in_nft(node)) == (NOTHING, expected("nftables", CBR0))
    assert killed > 10
    node.delete("pod-1")
    assert (node.iptables_save(), node.nft("list", "ruleset")) == (NOTHING, "")


def restored(node, backend, text):
    """An old dump of our rules comes back, by nftables.service or netfilter-persistent."""
    if backend == "nftables":
        node.nft("-f", "-", input="delete table inet ip-masq\n" + text)
    else:
        node.restore_beside(text)


@pytest.mark.parametrize("verb", ["sync", "ADD", "GC"])
@pytest.mark.parametrize("on, other", [("iptables", "nftables"), ("nftables", "iptables")])
def test_old_rules_of_ours_that_somebody_restored_in_the_other_back_end(tmp_path, on, other, verb):
    node = Node(tmp_path, other)
    try:
        node.add(nonMasqueradeCIDRs=["203.0.113.0/24"])
        dump = node.nft("list", "table", "inet", "ip-masq") if other == "nftables" else node.run("iptables-legacy-save", "-t", "nat", env={**os.environ, **node.env})
        node.delete()
        node.backend = on
        node.add()
        right = node.iptables_save(), ours_in_nft(node)
        restored(node, other, dump)
        as_well = f"rules of network cbr0 stand in {other} as well, though it is on {on}"
        old_lists = "the rules are not as they should be: nft: missing: set cbr0-9bd1a990da1f-kept: 10.0.0.0/8 (and 4 more)"
        assert node.check() == (102, old_lists if on == "iptables" else as_well)
        if verb == "sync":
            assert "all rules are as they should be" not in node.tool("sync")
        elif verb == "GC":
            node.do("GC", None, node.netconf(version="1.1.0", ips=None, **{"cni.dev/valid-attachments": [{"containerID": "pod-1", "ifname": "eth0"}]}))
        elif on == "iptables":
            node.add("pod-2", ips=["10.244.1.6/24"])
        else:  # ours come first: what changes something mends it
            node.add("pod-2", ips=["10.244.1.6/24"], nonMasqueradeCIDRs=["10.0.0.0/8"])
            node.add("pod-2", ips=["10.244.1.6/24"])
        assert (node.iptables_save(), ours_in_nft(node)) == right
        assert node.check() is None
    finally:
        node.close()


@pytest.mark.parametrize("keys", [{"catchAll": False}, {"exemption": "return"}])
def test_old_rules_in_iptables_are_asked_about_what_ours_in_nftables_let_go(tmp_path, keys):
    node = Node(tmp_path, "iptables")
    try:
        node.add()
        dump = node.run("iptables-legacy-save", "-t", "nat", env={**os.environ, **node.env})
        node.delete()
        node.backend = "nftables"
        node.add(**keys)
        restored(node, "iptables", dump)
        node.add("pod-2", ips=["10.244.1.6/24"], **keys)
        assert node.iptables_save() == NOTHING
        assert node.check(**keys) is None
    finally:
        node.close()
