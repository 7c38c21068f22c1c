"""Each kind of damage is reported by CHECK, and mended by the next ADD and by sync."""

import shutil

import pytest
from harness.texts import CBR0, HOOK, default_table

SOURCE = "10.244.1.0/24"

# How, and the start of what CHECK says of it.
DAMAGE = {
    "exemption deleted": (lambda node: node.iptables("-D", CBR0, "-d", "10.0.0.0/8", "-j", "ACCEPT"),
                          f"missing: -A {CBR0} -d 10.0.0.0/8 -j ACCEPT"),
    "catch-all deleted": (lambda node: node.iptables("-D", CBR0, "-j", "MASQUERADE", "--random-fully"),
                          f"missing: -A {CBR0} -j MASQUERADE --random-fully"),
    "yield mark deleted": (lambda node: node.iptables("-D", "IP-MASQ", "1"),
                           'missing: -A IP-MASQ -m mark --mark 0x4000/0x4000 -m comment --comment "ip-masq: left to kube-proxy" -j RETURN'),
    "rule changed": (lambda node: node.iptables("-R", CBR0, "5", "-d", "10.0.0.0/9", "-j", "ACCEPT"),
                     f"missing: -A {CBR0} -d 10.0.0.0/8 -j ACCEPT"),
    "rule narrowed": (lambda node: node.iptables("-R", CBR0, "5", "-d", "10.0.0.0/8", "-o", "eth7", "-j", "ACCEPT"),
                      f"missing: -A {CBR0} -d 10.0.0.0/8 -j ACCEPT"),
    "target changed": (lambda node: node.iptables("-R", CBR0, "5", "-d", "10.0.0.0/8", "-j", "RETURN"),
                       f"missing: -A {CBR0} -d 10.0.0.0/8 -j ACCEPT"),
    "masquerade changed": (lambda node: node.iptables("-R", CBR0, "7", "-j", "MASQUERADE"),
                           f"missing: -A {CBR0} -j MASQUERADE --random-fully"),
    "rule doubled": (lambda node: node.iptables("-I", CBR0, "1", "-d", "10.0.0.0/8", "-j", "ACCEPT"),
                     f"not wanted: -A {CBR0} -d 10.0.0.0/8 -j ACCEPT"),
    "foreign rule in our chain": (lambda node: node.iptables("-I", CBR0, "-p", "icmp", "-j", "MASQUERADE"),
                                  f"not wanted: -A {CBR0} -p 1 -j MASQUERADE"),
    "rule moved": (lambda node: (node.iptables("-D", CBR0, "7"),
                                 node.iptables("-I", CBR0, "-j", "MASQUERADE", "--random-fully")),
                   f"out of place: -A {CBR0} -j MASQUERADE --random-fully"),
    "chain flushed": (lambda node: node.iptables("-F", CBR0), f"missing: -A {CBR0} -d {SOURCE} -m conntrack"),
    "main chain flushed": (lambda node: node.iptables("-F", "IP-MASQ"), "missing: -A IP-MASQ -m mark"),
    "chain gone": (lambda node: (node.iptables("-F", "IP-MASQ"), node.iptables("-F", CBR0), node.iptables("-X", CBR0)),
                   f"missing: -N {CBR0}"),
    "table flushed": (lambda node: (node.iptables("-F"), node.iptables("-X")), "missing: -N IP-MASQ"),
    "jump removed": (lambda node: node.iptables("-D", "POSTROUTING", "1"), f"missing: {HOOK}"),
    "jump changed": (lambda node: node.iptables("-R", "POSTROUTING", "1", "-s", SOURCE, "-j", "IP-MASQ"), f"missing: {HOOK}"),
    "jump doubled": (lambda node: node.iptables("-A", "POSTROUTING", "-m", "comment", "--comment", "ip-masq: pod egress",
                                                "-j", "IP-MASQ"), f"not wanted: {HOOK}"),
    "jump no longer first": (lambda node: (node.iptables("-D", "POSTROUTING", "1"),
                                           node.iptables("-A", "POSTROUTING", "-s", "192.0.2.1", "-j", "RETURN"),
                                           node.iptables("-A", "POSTROUTING", "-m", "comment", "--comment",
                                                         "ip-masq: pod egress", "-j", "IP-MASQ")),
                             f"out of place: {HOOK}"),
    "jump in another chain": (lambda node: (node.iptables("-N", "STRAY"), node.iptables("-A", "STRAY", "-j", "IP-MASQ")),
                              "not wanted: -A STRAY -j IP-MASQ"),
    "chain of ours that nobody needs": (lambda node: node.iptables("-N", "IP-MASQ-0123456789ab"), "not wanted: -N IP-MASQ-0123456789ab"),
}


def assert_right(node):
    """Our rules are right; what the damage left of others' stands beside them."""
    for rule in [rule for rule in node.rules() if "192.0.2.1" in rule]:
        assert node.rules()[0] == HOOK
        node.iptables(*rule.replace("-A", "-D", 1).split())
    if ":STRAY " in node.save():
        node.iptables("-X", "STRAY")
    assert node.save() == default_table()
    assert node.check() is None


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("mend", ["ADD", "sync"])
def test_damaged_rules(node, kind, mend):
    blow, said = DAMAGE[kind]
    node.add()
    blow(node)
    damaged = node.save()
    code, message = node.check()
    assert code == 102
    assert message.startswith("the rules are not as they should be: iptables: " + said)
    assert node.save() == damaged, "CHECK changed something"
    if mend == "ADD":
        node.add("pod-2", ips=["10.244.1.6/24"])
    else:
        assert f"iptables: {said}" in node.tool("sync")
        assert node.tool("sync") == "all rules are as they should be\n"
    assert_right(node)


@pytest.mark.parametrize("kind", ["chain flushed", "jump removed", "table flushed"])
def test_damage_of_the_other_family(node, kind):
    ips = ("10.244.1.5/24", "fd00:10:244:1::5/64")
    node.add(ips=ips)
    before = node.save(6)
    node.iptables("-F", "POSTROUTING" if kind == "jump removed" else "IP-MASQ", family=6)
    assert node.check(ips=ips)[1].startswith("the rules are not as they should be: ip6tables: missing: ")
    node.tool("sync")
    assert node.save(6) == before


@pytest.mark.parametrize("text", ["", '{"containerID":"pod-1","ifname":"eth0","addr', "null", "[1]",
                                  '{"containerID":"pod-2","ifname":"eth0","addresses":[],"podSubnets":[]}'])
def test_damaged_attachment_file(node, text):
    node.add()
    path = node.state / "cbr0" / "pod-1:eth0"
    path.write_text(text)
    assert node.check() == (102, "the attachment of pod-1 (eth0) to cbr0 is not recorded")

    # Its subnet is unknown: the network's rules stay, whatever else comes and goes.
    status, _, errors = node.tool_status("sync", "--state-dir", node.state)
    assert status == 1
    assert errors.startswith(f"ip-masq: rules of network cbr0 may be incomplete: {path} is damaged: ")
    node.add("pod-2", ips=["10.244.2.6/24"])
    node.delete("pod-2", ips=["10.244.2.6/24"])
    node.delete("pod-3", name="other")
    assert path.exists()
    assert f"-A {CBR0} -d 10.0.0.0/8 -j ACCEPT" in node.rules()

    node.add()
    assert_right(node)


def test_del_removes_a_damaged_attachment(node):
    node.add()
    (node.state / "cbr0" / "pod-1:eth0").write_text("{")
    node.delete()
    assert node.rules() == []
    assert list(node.files()) == ["lock"]


def test_damaged_network_file(node):
    node.add()
    (node.state / "cbr0" / "network.json").write_text('{"catch')
    assert node.check() == (102, "network cbr0: its recorded configuration is missing or damaged")
    status, _, errors = node.tool_status("sync", "--state-dir", node.state)
    assert (status, errors) == (
        1, "ip-masq: rules of network cbr0 may be incomplete: its recorded configuration is missing or damaged\n")
    assert node.save() == default_table()
    node.add("pod-2", ips=["10.244.1.6/24"])
    assert_right(node)


def test_state_directory_gone(node):
    node.add()
    shutil.rmtree(node.state)
    assert node.check() == (102, f"nothing is recorded: there is no {node.state}")
    assert node.tool("sync") == f"nothing is recorded in {node.state}\n"
    assert node.save() == default_table(), "the rules of pods that may live are gone"
    node.add()
    assert_right(node)
