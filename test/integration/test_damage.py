"""Each kind of damage is reported by CHECK, and mended by the next ADD and by sync."""

import json
import os
import re
import shutil
import subprocess

import pytest
from harness.node import BINARY
from harness.texts import CBR0, HOOK, Subnet, iptables_chain_name, nftables_chain_name

SOURCE = "10.244.1.0/24"

CHAIN = iptables_chain_name(CBR0)

# How, and the start of what CHECK says of it.
IPTABLES = {
    "exemption deleted": (lambda node: node.iptables("-D", CHAIN, "-d", "10.0.0.0/8", "-j", "ACCEPT"),
                          f"missing: -A {CHAIN} -d 10.0.0.0/8 -j ACCEPT"),
    "catch-all deleted": (lambda node: node.iptables("-D", CHAIN, "-j", "MASQUERADE", "--random-fully"),
                          f"missing: -A {CHAIN} -j MASQUERADE --random-fully"),
    "yield mark deleted": (lambda node: node.iptables("-D", "IP-MASQ-PODS", "1"),
                           'missing: -A IP-MASQ-PODS -m mark --mark 0x4000/0x4000 -m comment --comment "ip-masq: left to kube-proxy" -j RETURN'),
    "rule changed": (lambda node: node.iptables("-R", CHAIN, "4", "-d", "10.0.0.0/9", "-j", "ACCEPT"),
                     f"missing: -A {CHAIN} -d 10.0.0.0/8 -j ACCEPT"),
    "rule narrowed": (lambda node: node.iptables("-R", CHAIN, "4", "-d", "10.0.0.0/8", "-o", "eth7", "-j", "ACCEPT"),
                      f"missing: -A {CHAIN} -d 10.0.0.0/8 -j ACCEPT"),
    "target changed": (lambda node: node.iptables("-R", CHAIN, "4", "-d", "10.0.0.0/8", "-j", "RETURN"),
                       f"missing: -A {CHAIN} -d 10.0.0.0/8 -j ACCEPT"),
    "masquerade changed": (lambda node: node.iptables("-R", CHAIN, "6", "-j", "MASQUERADE"),
                           f"missing: -A {CHAIN} -j MASQUERADE --random-fully"),
    "rule doubled": (lambda node: node.iptables("-I", CHAIN, "1", "-d", "10.0.0.0/8", "-j", "ACCEPT"),
                     f"not wanted: -A {CHAIN} -d 10.0.0.0/8 -j ACCEPT"),
    "foreign rule in our chain": (lambda node: node.iptables("-I", CHAIN, "-p", "icmp", "-j", "MASQUERADE"),
                                  f"not wanted: -A {CHAIN} -p 1 -j MASQUERADE"),
    "rule moved": (lambda node: (node.iptables("-D", CHAIN, "6"),
                                 node.iptables("-I", CHAIN, "-j", "MASQUERADE", "--random-fully")),
                   f"out of place: -A {CHAIN} -j MASQUERADE --random-fully"),
    "chain flushed": (lambda node: node.iptables("-F", CHAIN), f"missing: -A {CHAIN} -d 169.254.0.0/16 -j ACCEPT"),
    "main chain flushed": (lambda node: node.iptables("-F", "IP-MASQ-PODS"), "missing: -A IP-MASQ-PODS -m mark"),
    "chain gone": (lambda node: (node.iptables("-F", "IP-MASQ-PODS"), node.iptables("-F", CHAIN), node.iptables("-X", CHAIN)),
                   f"missing: -N {CHAIN}"),
    "table flushed": (lambda node: (node.iptables("-F"), node.iptables("-X")), f"missing: -N {CHAIN}"),
    "jump removed": (lambda node: node.iptables("-D", "POSTROUTING", "1"), f"missing: {HOOK}"),
    "jump changed": (lambda node: node.iptables("-R", "POSTROUTING", "1", "-s", SOURCE, "-j", "IP-MASQ-PODS"), f"missing: {HOOK}"),
    "jump doubled": (lambda node: node.iptables("-A", "POSTROUTING", "-m", "comment", "--comment", "ip-masq: pod egress",
                                                "-j", "IP-MASQ-PODS"), f"not wanted: {HOOK}"),
    "jump no longer first": (lambda node: (node.iptables("-D", "POSTROUTING", "1"),
                                           node.iptables("-A", "POSTROUTING", "-s", "192.0.2.1", "-j", "RETURN"),
                                           node.iptables("-A", "POSTROUTING", "-m", "comment", "--comment",
                                                         "ip-masq: pod egress", "-j", "IP-MASQ-PODS")),
                             f"out of place: {HOOK}"),
    "chain of ours that nobody needs": (lambda node: node.iptables("-N", "IP-MASQ-0123456789ab"), "not wanted: -N IP-MASQ-0123456789ab"),
}

TABLE = ("inet", "ip-masq")
NFT_CHAIN = nftables_chain_name(CBR0)
KEPT_RULE = f"ip daddr @{NFT_CHAIN}-kept counter snat ip to ip saddr"


def handle(node, text):
    """The handle of the rule with this text."""
    listing = node.nft("-s", "-a", "list", "table", *TABLE)
    return re.search(rf"^\s*{re.escape(text)} # handle (\d+)$", listing, re.MULTILINE)[1]


def remade(node, old, new):
    """Our table, loaded anew with something changed."""
    listing = node.nft("list", "table", *TABLE)
    assert old in listing
    node.nft("-f", "-", input="delete table inet ip-masq\n" + listing.replace(old, new))


NFTABLES = {
    "element deleted": (lambda node: node.nft("delete", "element", *TABLE, f"{NFT_CHAIN}-kept", "{ 10.0.0.0/8 }"),
                        f"missing: set {NFT_CHAIN}-kept: 10.0.0.0/8"),
    "element added": (lambda node: node.nft("add", "element", *TABLE, f"{NFT_CHAIN}-kept", "{ 203.0.113.0/24 }"),
                      f"not wanted: set {NFT_CHAIN}-kept: 203.0.113.0/24"),
    "element narrowed": (lambda node: (node.nft("delete", "element", *TABLE, f"{NFT_CHAIN}-kept", "{ 10.0.0.0/8 }"),
                                       node.nft("add", "element", *TABLE, f"{NFT_CHAIN}-kept", "{ 10.0.0.0/9 }")),
                         f"missing: set {NFT_CHAIN}-kept: 10.0.0.0/8"),
    "set flushed": (lambda node: node.nft("flush", "set", *TABLE, f"{NFT_CHAIN}-kept"),
                    f"missing: set {NFT_CHAIN}-kept: 10.0.0.0/8"),
    "pod subnet deleted": (lambda node: node.nft("flush", "map", *TABLE, "pod-subnets"),
                           f"missing: set pod-subnets: {SOURCE} : goto {NFT_CHAIN}"),
    "pod subnet led astray": (lambda node: remade(node, f"{SOURCE} : goto {NFT_CHAIN} }}", f"{SOURCE} : drop }}"),
                              f"missing: set pod-subnets: {SOURCE} : goto {NFT_CHAIN}"),
    "exemption deleted": (lambda node: node.nft("delete", "rule", *TABLE, NFT_CHAIN, "handle", handle(node, KEPT_RULE)),
                          f"missing: chain {NFT_CHAIN}: {KEPT_RULE}"),
    "catch-all deleted": (lambda node: node.nft("delete", "rule", *TABLE, NFT_CHAIN, "handle", handle(node, "counter masquerade fully-random")),
                          f"missing: chain {NFT_CHAIN}: counter masquerade fully-random"),
    "yield mark deleted": (lambda node: node.nft("delete", "rule", *TABLE, "postrouting", "handle",
                                                 handle(node, "meta mark & 0x00004000 == 0x00004000 counter return")),
                           "missing: chain postrouting: meta mark & 0x00004000 == 0x00004000 counter return"),
    "target changed": (lambda node: remade(node, "snat ip to ip saddr", "return"), f"missing: chain {NFT_CHAIN}: {KEPT_RULE}"),
    "masquerade changed": (lambda node: remade(node, "masquerade fully-random", "masquerade"),
                           f"missing: chain {NFT_CHAIN}: counter masquerade fully-random"),
    "counter taken out": (lambda node: remade(node, "counter packets 0 bytes 0 masquerade", "masquerade"),
                          f"missing: chain {NFT_CHAIN}: counter masquerade fully-random"),
    "rule narrowed": (lambda node: remade(node, f"@{NFT_CHAIN}-kept", f"@{NFT_CHAIN}-kept oifname eth7"),
                      f"missing: chain {NFT_CHAIN}: {KEPT_RULE}"),
    "rule inverted": (lambda node: remade(node, f"@{NFT_CHAIN}-kept", f"!= @{NFT_CHAIN}-kept"),
                      f"missing: chain {NFT_CHAIN}: {KEPT_RULE}"),
    "rule doubled": (lambda node: node.nft("insert", "rule", *TABLE, NFT_CHAIN, KEPT_RULE), f"not wanted: chain {NFT_CHAIN}: {KEPT_RULE}"),
    "foreign rule in our chain": (lambda node: node.nft("insert", "rule", *TABLE, NFT_CHAIN, "meta l4proto icmp counter masquerade"),
                                  f"not wanted: chain {NFT_CHAIN}: counter masquerade (cmp)"),
    "rule moved": (lambda node: (node.nft("delete", "rule", *TABLE, NFT_CHAIN, "handle", handle(node, "counter masquerade fully-random")),
                                 node.nft("insert", "rule", *TABLE, NFT_CHAIN, "counter masquerade fully-random")),
                   f"out of place: chain {NFT_CHAIN}: counter masquerade fully-random"),
    "chain flushed": (lambda node: node.nft("flush", "chain", *TABLE, NFT_CHAIN),
                      f"missing: chain {NFT_CHAIN}: ip saddr {SOURCE} ip daddr {SOURCE} ct status dnat counter return"),
    "base chain flushed": (lambda node: node.nft("flush", "chain", *TABLE, "postrouting"), "missing: chain postrouting: meta mark"),
    "base chain gone": (lambda node: node.nft("delete", "chain", *TABLE, "postrouting"), "missing: chain postrouting"),
    "table gone": (lambda node: node.nft("delete", "table", *TABLE), "missing: table inet ip-masq"),
    "ruleset flushed": (lambda node: node.nft("flush", "ruleset"), "missing: table inet ip-masq"),
    "table asleep": (lambda node: node.nft("add", "table", *TABLE, "{ flags dormant; }"),
                     "damaged: table inet ip-masq: is dormant, or somebody's own"),
    "priority changed": (lambda node: remade(node, "priority srcnat - 5", "priority srcnat + 5"),
                         "damaged: table inet ip-masq: chain postrouting has another type, hook, priority or policy"),
    "policy changed": (lambda node: remade(node, "srcnat - 5; policy accept", "srcnat - 5; policy drop"),
                       "damaged: table inet ip-masq: chain postrouting has another type, hook, priority or policy"),
    "base chain that is none": (lambda node: remade(node, "type nat hook postrouting priority srcnat - 5; policy accept;", ""),
                                "damaged: table inet ip-masq: chain postrouting is no base chain"),
    "policy of forward changed": (lambda node: remade(node, "105; policy accept", "105; policy drop"),
                                  "damaged: table inet ip-masq: chain forward has another type, hook, priority or policy"),
    "priority of forward changed": (lambda node: remade(node, "priority 105", "priority filter"),
                                    "damaged: table inet ip-masq: chain forward has another type, hook, priority or policy"),
    "forward flushed": (lambda node: node.nft("flush", "chain", *TABLE, "forward"),
                        "missing: chain forward: ct state invalid counter ip saddr vmap @invalid-pod-subnets"),
    "drop deleted": (lambda node: node.nft("delete", "rule", *TABLE, f"{NFT_CHAIN}-invalid", "handle", handle(node, "counter drop")),
                     f"missing: chain {NFT_CHAIN}-invalid: counter drop"),
    "another state": (lambda node: remade(node, "ct state invalid", "ct state new"),
                      "missing: chain forward: ct state invalid counter ip saddr vmap @invalid-pod-subnets"),
    "pod subnet of invalid packets deleted": (lambda node: node.nft("flush", "map", *TABLE, "invalid-pod-subnets"),
                                              f"missing: set invalid-pod-subnets: {SOURCE} : goto {NFT_CHAIN}-invalid"),
    "set of another type": (lambda node: remade(node, "flags interval\n\t\telements = { 10.0.0.0/8, 169.254.0.0/16,\n\t\t\t     172.16.0.0/12, "
                                                "192.168.0.0/16,\n\t\t\t     224.0.0.0/4 }", "elements = { 10.0.0.1 }"),
                            f"damaged: table inet ip-masq: set {NFT_CHAIN}-kept is of another type"),
    "foreign chain": (lambda node: node.nft("add", "chain", *TABLE, "stray"), "not wanted: chain stray"),
    "foreign chain that leads into ours": (lambda node: (node.nft("add", "chain", *TABLE, "stray"),
                                                         node.nft("add", "rule", *TABLE, "stray", "goto", NFT_CHAIN)),
                                           "not wanted: chain stray"),
    "foreign set": (lambda node: node.nft("add", "set", *TABLE, "stray", "{ type ipv4_addr; }"), "not wanted: set stray"),
    "foreign object": (lambda node: node.nft("add", "counter", *TABLE, "stray"),
                       "damaged: table inet ip-masq: holds more than chains and sets"),
}

DAMAGE = {"iptables": IPTABLES, "nftables": NFTABLES}
EACH = [(backend, kind) for backend, kinds in DAMAGE.items() for kind in kinds]
PROGRAM = {"iptables": "iptables", "nftables": "nft"}


def assert_right(node):
    """Our rules are right; what the damage left of others' stands beside them."""
    if node.backend == "iptables":
        for rule in [rule for rule in node.rules() if "192.0.2.1" in rule or rule == f"-A POSTROUTING -s {SOURCE} -j IP-MASQ-PODS"]:
            assert node.rules()[0] == HOOK
            node.iptables(*rule.replace("-A", "-D", 1).split())
    assert node.save() == node.expected(CBR0)
    assert node.check() is None


@pytest.mark.parametrize("backend, kind", EACH, indirect=["backend"])
@pytest.mark.parametrize("mend", ["ADD", "sync"])
def test_damaged_rules(node, kind, mend):
    blow, said = DAMAGE[node.backend][kind]
    node.add()
    blow(node)
    damaged = node.save()
    code, message = node.check()
    assert code == 102
    assert message.startswith(f"the rules are not as they should be: {PROGRAM[node.backend]}: {said}")
    assert node.save() == damaged, "CHECK changed something"
    if mend == "ADD":
        node.add("pod-2", ips=["10.244.1.6/24"])
    else:
        assert f"{PROGRAM[node.backend]}: {said}" in node.tool("sync")
        assert node.tool("sync") == "all rules are as they should be\n"
    assert_right(node)


@pytest.mark.parametrize("backend", ["iptables"], indirect=True)
@pytest.mark.parametrize("kind", ["chain flushed", "jump removed", "table flushed"])
def test_damage_of_the_other_family(node, kind):
    ips = ("10.244.1.5/24", "fd00:10:244:1::5/64")
    node.add(ips=ips)
    before = node.save(6)
    node.iptables("-F", "POSTROUTING" if kind == "jump removed" else "IP-MASQ-PODS", family=6)
    assert node.check(ips=ips)[1].startswith("the rules are not as they should be: ip6tables: missing: ")
    node.tool("sync")
    assert node.save(6) == before


@pytest.mark.parametrize("backend", ["iptables"], indirect=True)
def test_a_rule_of_somebody_else_that_leads_into_our_chain_is_theirs(node):
    stray = "-A STRAY -s 192.0.2.1/32 -j IP-MASQ-PODS"
    node.add()
    node.iptables("-N", "STRAY")
    node.iptables(*stray.split())
    assert node.check() is None
    assert node.tool("sync") == "all rules are as they should be\n"
    node.add("pod-2", ips=["10.244.1.6/24"], catchAll=False)
    node.delete("pod-1")
    node.delete("pod-2")
    assert node.rules() == [stray]
    assert ":IP-MASQ-PODS " in node.save(), "a chain that somebody's rule leads to cannot go"
    node.add()
    node.iptables("-F", "STRAY")
    node.delete()
    node.iptables("-X", "STRAY")
    assert node.save() == node.expected()


@pytest.mark.parametrize("text", ["", '{"containerID":"pod-1","ifname":"eth0","addr', "null", "[1]",
                                  '{"containerID":"pod-2","ifname":"eth0","addresses":[],"podSubnets":[]}'])
def test_damaged_attachment_file(node, text):
    node.add()
    path = node.record()
    path.write_text(text)
    assert node.check() == (102, "the attachment of pod-1 (eth0) to cbr0 is not recorded")

    # Its rules stay, whatever else comes and goes.
    status, _, errors = node.tool_status("sync", "--state-dir", node.state)
    assert status == 1
    assert errors.startswith(f"ip-masq: record-damaged: network cbr0: {path} is damaged: ")
    node.add("pod-2", ips=["10.244.2.6/24"])
    node.delete("pod-2", ips=["10.244.2.6/24"])
    node.delete("pod-3", name="other")
    assert path.exists()
    assert node.save() == node.expected(CBR0)

    node.add()
    assert_right(node)


@pytest.mark.parametrize("name", ["pods/pod-1:eth0", "network.json"])
def test_what_cannot_be_read_is_not_called_damaged(node, name):
    """No descriptor left, a disk that does not answer: nothing is lost."""
    node.add()
    before = node.save()
    path = node.state / "cbr0" / name
    argv = ["strace", "-f", "-o", "/dev/null", "-P", path, "-e", "inject=openat:error=EIO", BINARY]
    env = {**os.environ, **node.env, "ASAN_OPTIONS": "detect_leaks=0"}
    def tool(*words):
        done = subprocess.run(node.inside(*argv, *words, "--state-dir", node.state), capture_output=True, text=True, env=env)
        return done.returncode, done.stdout, done.stderr
    said = f"cannot open {path}: Input/output error"
    assert tool("sync") == (1, "", f"ip-masq: network cbr0: {said}\n")
    assert f"  problem: {said}\n" in tool("show")[1]
    status, output, _ = tool("doctor", "--conf-dir", node.folder, "-o", "json")
    assert said in json.loads(output)["notLooked"]
    assert "record-damaged" not in output
    assert node.save() == before
    assert node.tool("sync") == "all rules are as they should be\n"


@pytest.mark.parametrize("comment", [b"\x1b[31mX", b"\xc2\x9bX", b"a\xff\xfeb"])
@pytest.mark.parametrize("backend", ["iptables"])
def test_show_prints_what_a_terminal_can_show(node, comment):
    node.add()
    rule = [b"-A", b"IP-MASQ-PODS", b"-p", b"tcp", b"--dport", b"9", b"-m", b"comment", b"--comment", comment, b"-j", b"RETURN"]
    subprocess.run([*node.inside("iptables-legacy", "-w", "-t", "nat"), *rule], check=True, env={**os.environ, **node.env})
    shown = subprocess.run(node.inside(BINARY, "show", "--state-dir", node.state), capture_output=True, env={**os.environ, **node.env})
    assert shown.returncode == 0 and shown.stdout.decode().replace("\n", "").replace("\t", "").isprintable()
    status, output, _ = node.tool_status("show", "--state-dir", node.state, "-o", "json")
    assert status == 0 and all(rule["rule"].isprintable() for rule in json.loads(output)["rules"])


def test_del_removes_a_damaged_attachment(node):
    node.add()
    node.record().write_text("{")
    node.delete()
    assert node.save() == node.expected()
    assert list(node.files()) == ["lock"]


def test_damaged_network_file(node):
    node.add()
    (node.state / "cbr0" / "network.json").write_text('{"catch')
    path = node.state / "cbr0" / "network.json"
    assert node.check() == (102, f"network cbr0: {path} is damaged: it is not JSON: it goes wrong at byte 8")
    status, _, errors = node.tool_status("sync", "--state-dir", node.state)
    assert (status, errors) == (
        1, f"ip-masq: record-damaged: network cbr0: {path} is damaged: it is not JSON: it goes wrong at byte 8\n")
    assert node.save() == node.expected(CBR0)
    node.add("pod-2", ips=["10.244.1.6/24"])
    assert_right(node)


def test_state_directory_gone(node):
    node.add()
    shutil.rmtree(node.state)
    assert node.check() == (102, f"nothing is recorded: there is no {node.state}")
    assert node.tool("sync") == (f"nothing is recorded in {node.state}\n"
                                 "left alone: rules of 10.244.1.0/24, network cbr0, of which nothing is recorded here\n")
    assert node.save() == node.expected(CBR0), "the rules of pods that may live are gone"
    node.add()
    assert_right(node)
