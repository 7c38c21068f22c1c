"""ADD and DEL against the real tables: what stands there, to the byte."""

import json

import pytest
from harness.texts import (CBR0, CBR0_6, DEFAULT_4, DEFAULT_6, EMPTY, HOOK, LOCAL, RANDOM, YIELD, chain, default_table,
                           entry, table)

DUAL = ("10.244.1.5/24", "fd00:10:244:1::5/64")


def chains_of(node, family=4):
    """The names of our chains by (network, subnet), as the main chain tells them."""
    found = {}
    for rule in node.rules(family):
        if rule.startswith("-A IP-MASQ -s "):
            words = rule.split()
            found[(words[8].rstrip('"'), words[3])] = words[-1]
    return found


def test_one_pod(node):
    node.add()
    assert node.save() == default_table()


def test_nothing_is_left_after_the_last_pod(node):
    node.add("pod-1")
    node.add("pod-2", ips=["10.244.1.6/24"])
    node.delete("pod-1")
    assert node.save() == default_table()
    node.delete("pod-2")
    assert node.save() == EMPTY
    assert list(node.files()) == ["lock"]


def test_the_other_family_is_not_touched(node):
    node.add()
    assert node.run("cat", "/proc/net/ip6_tables_names") == ""


def test_dual_stack(node):
    node.add(ips=DUAL)
    assert node.save(4) == default_table()
    assert node.save(6) == table(
        ["IP-MASQ", CBR0_6],
        [HOOK, *YIELD, LOCAL, entry("fd00:10:244:1::/64", "cbr0", CBR0_6),
         *chain("fd00:10:244:1::/64", CBR0_6, *DEFAULT_6)])
    node.delete(ips=DUAL)
    assert (node.save(4), node.save(6)) == (EMPTY, EMPTY)


def test_several_addresses_and_subnets(node):
    node.add(ips=["10.244.1.5/24", "10.244.2.5/24", "10.9.9.9/32"])
    names = chains_of(node)
    assert list(names) == [("cbr0", "10.9.9.9/32"), ("cbr0", "10.244.1.0/24"), ("cbr0", "10.244.2.0/24")]
    node.add("pod-2", ips=["10.244.2.6/24"])
    node.delete("pod-1")
    assert list(chains_of(node)) == [("cbr0", "10.244.2.0/24")]


def test_destinations_stand_longest_prefix_first(node):
    (node.folder / "subnet.env").write_text("FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\n")
    node.add(nonMasqueradeCIDRs=["10.0.0.0/8", "192.0.2.0/25"], masqueradeCIDRs=["10.1.2.0/24", "10.244.9.0/24"])
    assert node.save() == table(
        ["IP-MASQ", CBR0],
        [HOOK, *YIELD, LOCAL, entry("10.244.1.0/24", "cbr0", CBR0),
         *chain("10.244.1.0/24", CBR0, "192.0.2.0/25", ("10.1.2.0/24", RANDOM), ("10.244.9.0/24", RANDOM),
                "10.244.0.0/16", "169.254.0.0/16", "10.0.0.0/8", "224.0.0.0/4")])


@pytest.mark.parametrize("keys, expected", [
    ({"exemption": "return"}, chain("10.244.1.0/24", CBR0, *DEFAULT_4, keep="RETURN")),
    ({"catchAll": False}, chain("10.244.1.0/24", CBR0, *DEFAULT_4, catch_all=None)),
    ({"randomFully": False}, chain("10.244.1.0/24", CBR0, *DEFAULT_4, catch_all="MASQUERADE")),
    ({"snatTo": ["203.0.113.7"]},
     chain("10.244.1.0/24", CBR0, *DEFAULT_4, catch_all="SNAT --to-source 203.0.113.7 --random-fully")),
    ({"masqLinkLocal": True},
     chain("10.244.1.0/24", CBR0, ("169.254.0.0/16", RANDOM), *DEFAULT_4[1:])),
    ({"nonMasqueradeCIDRs": []},
     chain("10.244.1.0/24", CBR0, "10.244.1.0/24", "169.254.0.0/16", "224.0.0.0/4")),
    ({"nonMasqueradeReserved": True},
     chain("10.244.1.0/24", CBR0, "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.51.100.0/24",
           "203.0.113.0/24", "169.254.0.0/16", "192.168.0.0/16", "198.18.0.0/15", "172.16.0.0/12", "100.64.0.0/10",
           "10.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4")),
    ({"toPorts": "1024-1123,2000-2299"},
     [rule for rule in chain("10.244.1.0/24", CBR0, *DEFAULT_4, catch_all=None)]
     + [f"-A {CBR0} -p {protocol}{rest}" for protocol in ("tcp", "udp", "sctp") for rest in (
         " -m statistic --mode random --probability 0.25000000000 -j MASQUERADE --to-ports 1024-1123 --random-fully",
         " -j MASQUERADE --to-ports 2000-2299 --random-fully")]
     + [f"-A {CBR0} -j {RANDOM}"]),
    ({"toPorts": "5000", "snatTo": ["203.0.113.7"], "randomFully": False},
     [rule for rule in chain("10.244.1.0/24", CBR0, *DEFAULT_4, catch_all=None)]
     + [f"-A {CBR0} -p {protocol} -j SNAT --to-source 203.0.113.7:5000" for protocol in ("tcp", "udp", "sctp")]
     + [f"-A {CBR0} -j SNAT --to-source 203.0.113.7"]),
], ids=lambda value: next(iter(value)) if isinstance(value, dict) else "")
def test_keys(node, keys, expected):
    node.add(**keys)
    assert [rule for rule in node.rules() if rule.startswith(f"-A {CBR0} ")] == expected


def test_what_iptables_save_prints_restores_to_the_same(node):
    keys = {"toPorts": "1024-29999,32768-65535", "snatTo": ["203.0.113.7", "2001:db8::7"], "yieldMarks": ["0x7", "0x10/0xf0"],
            "masqueradeCIDRs": ["10.1.2.0/24", "fd01::/32"]}
    node.add(ips=DUAL, **keys)
    for family in (4, 6):
        before = node.save(family)
        node.restore(before, family)
        assert node.save(family) == before
    assert node.check(ips=DUAL, **keys) is None


def test_networks_with_overlapping_subnets(node):
    node.add("pod-1", name="b", ips=["10.244.1.5/24"])
    node.add("pod-2", name="a", ips=["10.244.1.6/24"])
    node.add("pod-3", name="c", ips=["10.244.7.7/16"])
    assert list(chains_of(node)) == [("a", "10.244.1.0/24"), ("b", "10.244.1.0/24"), ("c", "10.244.0.0/16")]
    assert len(set(chains_of(node).values())) == 3
    node.delete("pod-2", name="a")
    assert list(chains_of(node)) == [("b", "10.244.1.0/24"), ("c", "10.244.0.0/16")]


def test_pod_subnets_override_prev_result(node):
    node.add(podSubnets=["10.244.0.0/16"])
    assert list(chains_of(node)) == [("cbr0", "10.244.0.0/16")]


def test_a_changed_netconf_changes_the_rules_of_running_pods(node):
    node.add("pod-1")
    node.add("pod-2", ips=["10.244.1.6/24"], nonMasqueradeCIDRs=["10.0.0.0/8"])
    assert [rule for rule in node.rules() if rule.startswith(f"-A {CBR0} ")] == chain(
        "10.244.1.0/24", CBR0, "169.254.0.0/16", "10.0.0.0/8", "224.0.0.0/4")


def test_the_jump_stays_above_rules_that_others_insert(node):
    node.add("pod-1")
    node.iptables("-I", "POSTROUTING", "-s", "10.244.0.0/16", "-j", "MASQUERADE")
    node.add("pod-2", ips=["10.244.1.6/24"])
    assert node.rules()[:2] == [HOOK, "-A POSTROUTING -s 10.244.0.0/16 -j MASQUERADE"]


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_prev_result_comes_out_unchanged_in_every_version(node, version):
    conf = node.netconf(version=version, ips=DUAL)
    conf["prevResult"] = {
        "unknown": {"z": 1, "a": [3, 1, 2]}, **conf["prevResult"],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.1.1"}, {"dst": "10.0.0.0/8"}],
        "interfaces": [{"name": "cni0", "mac": "aa:bb"}, {"name": "eth0", "sandbox": "/var/run/netns/x"}],
        "dns": {"nameservers": ["10.96.0.10"]}}
    conf["prevResult"]["cniVersion"] = "0.3.0"
    answer = node.do("ADD", "pod-1", conf)
    assert json.dumps(json.loads(answer)) == json.dumps({**conf["prevResult"], "cniVersion": version})


def test_show_tells_networks_attachments_and_counters(node):
    node.add("pod-1")
    node.call("ADD", "pod-2", node.netconf(ips=["10.244.1.6/24"]),
              CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1")
    shown = json.loads(node.tool("show", "-o", "json"))
    assert shown["networks"] == [{
        "name": "cbr0", "backend": "iptables", "podSubnets": ["10.244.1.0/24"],
        "attachments": [{"containerID": "pod-1", "ifname": "eth0", "addresses": ["10.244.1.5/24"]},
                        {"containerID": "pod-2", "ifname": "eth0", "addresses": ["10.244.1.6/24"], "pod": "default/web-1"}]}]
    assert [rule["rule"] for rule in shown["rules"]] == node.rules()
    assert {rule["packets"] for rule in shown["rules"]} == {0}
    text = node.tool("show")
    assert text.startswith("network cbr0 (iptables)\n"
                           "  pod subnet 10.244.1.0/24\n"
                           "  attachment pod-1 eth0: 10.244.1.5/24\n"
                           "  attachment pod-2 eth0: 10.244.1.6/24 (default/web-1)\n"
                           f"0\t0\tiptables {HOOK}\n")


def test_explain_names_the_key(node):
    node.add(masqueradeCIDRs=["10.1.2.0/24"])
    assert node.tool("explain", "10.244.1.5", "10.1.2.3") == (
        "10.244.1.5 -> 10.1.2.3: masqueraded\n  masqueradeCIDRs: 10.1.2.0/24\n  network cbr0, pod subnet 10.244.1.0/24\n")
    assert json.loads(node.tool("explain", "10.244.1.5", "10.9.9.9", "-o", "json")) == {
        "source": "10.244.1.5", "destination": "10.9.9.9", "fate": "kept", "why": "nonMasqueradeCIDRs (default)",
        "prefix": "10.0.0.0/8", "network": "cbr0", "podSubnet": "10.244.1.0/24"}
    assert node.tool("explain", "10.244.1.5", "127.0.0.1") == (
        "10.244.1.5 -> 127.0.0.1: left alone\n  127.0.0.1 is an address of this node\n")


@pytest.mark.parametrize("argv, status, error", [
    (["explain", "10.1.1.1"], 2, "ip-masq: explain takes 2 arguments, not 1; see ip-masq --help\n"),
    (["explain", "10.1.1.1", "x"], 1, 'ip-masq: DST is "x": expected an address such as 10.244.1.5 or fd00::5\n'),
    (["explain", "10.1.1.1", "fd00::1"], 1, "ip-masq: SRC and DST are of different families: 10.1.1.1, fd00::1\n"),
    (["show", "-o", "xml"], 2, 'ip-masq: --output is "xml": expected text or json; see ip-masq --help\n'),
    (["frob"], 2, 'ip-masq: there is no command "frob"; see ip-masq --help\n'),
    ([], 2, "ip-masq: no command; see ip-masq --help\n"),
])
def test_wrong_usage_is_told(node, argv, status, error):
    assert node.tool_status(*argv) == (status, "", error)


def test_the_tool_on_a_node_without_state(node):
    assert node.tool("show") == f"nothing is recorded in {node.state}\n"
    assert node.tool("sync") == f"nothing is recorded in {node.state}\n"
    assert not node.state.exists()
    assert node.run("cat", "/proc/net/ip_tables_names") == ""
