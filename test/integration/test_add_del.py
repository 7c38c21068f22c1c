"""ADD and DEL against the real kernel: what stands there, to the byte."""

import json
import re

import pytest
from harness.texts import CBR0, CBR0_6, DEFAULT, HOOK, Subnet, in_order, iptables_chain_name, nftables_chain_name, nftables_drops_text

DUAL = ("10.244.1.5/24", "fd00:10:244:1::5/64")


def test_one_pod(node):
    node.add()
    assert node.save() == node.expected(CBR0)


def test_the_names_of_chains_never_change():
    """Or an upgrade would leave rules behind."""
    assert (CBR0.suffix, CBR0_6.suffix, Subnet("10.0.0.0/8", "k8s-pod-network").suffix) == (
        "9bd1a990da1f", "9bd1a990da1f", "a5338bba487e")


def test_nothing_is_left_after_the_last_pod(node):
    before = node.save()
    node.add("pod-1")
    node.add("pod-2", ips=["10.244.1.6/24"])
    node.delete("pod-1")
    assert node.save() == node.expected(CBR0)
    node.delete("pod-2")
    assert node.save() == before == node.expected()
    assert list(node.files()) == ["lock"]


def test_what_is_not_needed_is_not_touched(node):
    node.add()
    assert node.run("cat", "/proc/net/ip6_tables_names") == ""
    if node.backend == "nftables":
        assert node.run("cat", "/proc/net/ip_tables_names") == ""
    else:
        assert in_order(node.nft("-s", "list", "ruleset")) == nftables_drops_text([CBR0])


def test_dual_stack(node):
    node.add(ips=DUAL)
    for family in (4, 6):
        assert node.save(family) == node.expected(CBR0, CBR0_6, family=family)
    node.delete(ips=DUAL)
    assert (node.save(4), node.save(6)) == (node.expected(), node.expected(family=6))


def test_several_addresses_and_subnets(node):
    node.add(ips=["10.244.1.5/24", "10.244.2.5/24", "10.9.9.9/32"])
    subnets = [Subnet("10.9.9.9/32"), CBR0, Subnet("10.244.2.0/24")]
    assert node.save() == node.expected(*subnets)
    node.add("pod-2", ips=["10.244.2.6/24"])
    node.delete("pod-1")
    assert node.save() == node.expected(Subnet("10.244.2.0/24"))


def test_the_longest_prefix_decides(node):
    (node.folder / "subnet.env").write_text("FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\n")
    node.add(nonMasqueradeCIDRs=["10.0.0.0/8", "192.0.2.0/25"], masqueradeCIDRs=["10.1.2.0/24", "10.244.9.0/24"])
    assert node.save() == node.expected(CBR0.but(
        kept=("10.0.0.0/8", "192.0.2.0/25", "10.244.0.0/16", "169.254.0.0/16", "224.0.0.0/4"),
        masqueraded=("10.1.2.0/24", "10.244.9.0/24")))


REST = ("169.254.0.0/16", "224.0.0.0/4")
RESERVED = ("100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "240.0.0.0/4")


@pytest.mark.parametrize("keys, changes", [
    ({"exemption": "return"}, {"exemption": "return"}),
    ({"catchAll": False}, {"catch_all": False}),
    ({"catchAll": False, "masqueradeCIDRs": ["10.1.2.0/24", "192.0.2.7/32"]},
     {"catch_all": False, "masqueraded": ("10.1.2.0/24", "192.0.2.7/32")}),
    ({"randomFully": False}, {"random_fully": False}),
    ({"dropInvalid": False}, {"drop_invalid": False}),
    ({"snatTo": ["203.0.113.7"]}, {"to": "203.0.113.7"}),
    ({"snatTo": ["203.0.113.8-203.0.113.15"]}, {"to": "203.0.113.8-203.0.113.15"}),
    ({"snatTo": ["203.0.113.8-203.0.113.14", {"address": "203.0.113.7", "interface": "eth1"}, {"address": "203.0.113.8-203.0.113.9", "interface": "eth0"}],
      "masqueradeCIDRs": ["10.1.2.0/24"]},
     {"to": "203.0.113.8-203.0.113.14", "by_interface": (("eth0", "203.0.113.8-203.0.113.9"), ("eth1", "203.0.113.7")),
      "masqueraded": ("10.1.2.0/24",)}),
    ({"snatTo": [{"address": "203.0.113.8-203.0.113.15", "interface": "e.1-x@"}], "toPorts": "1000-1999,3000-3009", "randomFully": False, "catchAll": False,
      "masqueradeCIDRs": ["10.1.2.0/24"]},
     {"by_interface": (("e.1-x@", "203.0.113.8-203.0.113.15"),), "ports": ("1000-1999", "3000-3009"), "random_fully": False, "catch_all": False,
      "masqueraded": ("10.1.2.0/24",)}),
    ({"masqLinkLocal": True}, {"kept": DEFAULT[4][1:], "masqueraded": ("169.254.0.0/16",)}),
    ({"nonMasqueradeCIDRs": []}, {"kept": ("10.244.1.0/24", *REST)}),
    ({"nonMasqueradeCIDRs": ["0.0.0.0/0"]}, {"kept": ("0.0.0.0/0", *REST)}),
    ({"nonMasqueradeReserved": True}, {"kept": (*DEFAULT[4], *RESERVED)}),
    ({"nonMasqueradeCIDRs": [f"{number}.0.0.0/8" for number in range(0, 126, 2)]},
     {"kept": (*(f"{number}.0.0.0/8" for number in range(0, 126, 2)), *REST)}),
    ({"toPorts": "1024-1123,2000-2299"}, {"ports": ("1024-1123", "2000-2299")}),
    ({"toPorts": "1024-1123,2000-2299,40000-40004", "masqueradeCIDRs": ["10.1.2.0/24"], "catchAll": False},
     {"ports": ("1024-1123", "2000-2299", "40000-40004"), "masqueraded": ("10.1.2.0/24",), "catch_all": False}),
    ({"toPorts": "5000-5009", "snatTo": ["203.0.113.7"], "randomFully": False},
     {"ports": ("5000-5009",), "to": "203.0.113.7", "random_fully": False}),
], ids=lambda value: " ".join(value)[:60])
def test_keys(node, keys, changes):
    node.add(**keys)
    assert node.save() == node.expected(CBR0.but(**changes))
    assert node.check(**keys) is None
    node.delete(**keys)
    assert node.save() == node.expected()


@pytest.mark.parametrize("keys, changes", [
    ({"nonMasqueradeCIDRs": ["::/0"]}, {"kept": ("::/0", "fe80::/10", "ff00::/8")}),
    ({"snatTo": ["2001:db8::7"], "toPorts": "1024-29999"}, {"to": "2001:db8::7", "ports": ("1024-29999",)}),
    ({"snatTo": ["2001:db8::8-2001:db8::f", {"address": "2001:db8::1-2001:db8::3", "interface": "eth1"}], "toPorts": "1024-29999"},
     {"to": "2001:db8::8-2001:db8::f", "by_interface": (("eth1", "2001:db8::1-2001:db8::3"),), "ports": ("1024-29999",)}),
    ({"masqLinkLocalIPv6": True}, {"kept": DEFAULT[6][1:], "masqueraded": ("fe80::/10",)}),
], ids=lambda value: " ".join(value)[:60])
def test_keys_of_ipv6(node, keys, changes):
    ips = ["fd00:10:244:1::5/64"]
    node.add(ips=ips, **keys)
    assert node.save(6) == node.expected(CBR0_6.but(**changes), family=6)
    assert node.check(ips=ips, **keys) is None


@pytest.mark.parametrize("snat_to", [
    ["203.0.113.7", "2001:db8::7"],
    ["203.0.113.8-203.0.113.15", "2001:db8::8-2001:db8::9", {"address": "203.0.113.7-203.0.113.9", "interface": "eth1"},
     {"address": "2001:db8::-2001:db8::ffff:ffff:ffff:ffff", "interface": "e.1-x@"}],
], ids=["addresses", "ranges by interface"])
def test_what_is_saved_restores_to_the_same(node, snat_to):
    keys = {"toPorts": "1024-29999,32768-65535", "snatTo": snat_to, "yieldMarks": ["0x7", "0x10/0xf0"],
            "masqueradeCIDRs": ["10.1.2.0/24", "fd01::/32"]}
    node.add(ips=DUAL, **keys)
    node.add(ips=["10.5.0.7/16"], **keys, name="7th")
    if node.backend == "nftables":
        before = node.nft("list", "ruleset")
        node.nft("-f", "-", input="flush ruleset\n" + before)
        assert node.nft("list", "ruleset") == before
    else:
        for family in (4, 6):
            before = node.save(family)
            node.restore(before, family)
            assert node.save(family) == before
    assert node.check(ips=DUAL, **keys) is None


def test_networks_with_overlapping_subnets(node):
    """A pod subnet stays with the network that has it; pods of others there lead to their own by their own addresses."""
    node.add("pod-1", name="b", ips=["10.244.1.5/24"])
    node.add("pod-2", name="a", ips=["10.244.1.6/24"])
    node.add("pod-3", name="c", ips=["10.244.7.7/16"])
    b, c = Subnet("10.244.1.0/24", "b"), Subnet("10.244.0.0/16", "c")
    own_a = Subnet("10.244.1.6/32", "a", shared="10.244.1.0/24")
    assert node.save() == node.expected(own_a, b, c)
    node.delete("pod-1", name="b")
    assert node.save() == node.expected(own_a, c)
    node.add("pod-4", name="c", ips=["10.244.1.7/16"])  # who comes later changes nothing of the others
    assert node.save() == node.expected(own_a, c)
    node.add("pod-5", name="b", ips=["10.244.1.8/24"])
    own_b = Subnet("10.244.1.8/32", "b", shared="10.244.1.0/24")
    assert node.save() == node.expected(own_a, own_b, c)
    for pod, name in (("pod-5", "b"), ("pod-2", "a"), ("pod-3", "c"), ("pod-4", "c")):
        node.delete(pod, name=name)
    assert node.save() == node.expected()


def test_pod_subnets_override_prev_result(node):
    node.add(podSubnets=["10.244.0.0/16"])
    assert node.save() == node.expected(Subnet("10.244.0.0/16"))


def test_a_changed_netconf_changes_the_rules_of_running_pods(node):
    node.add("pod-1")
    node.add("pod-2", ips=["10.244.1.6/24"], nonMasqueradeCIDRs=["10.0.0.0/8"])
    assert node.save() == node.expected(CBR0.but(kept=("10.0.0.0/8", *REST)))


def test_the_jump_stays_above_rules_that_others_insert(node):
    if node.backend == "nftables":
        return  # its chain has a priority instead
    node.add("pod-1")
    node.iptables("-I", "POSTROUTING", "-s", "10.244.0.0/16", "-j", "MASQUERADE")
    node.add("pod-2", ips=["10.244.1.6/24"])
    assert node.rules()[:2] == [HOOK, "-A POSTROUTING -s 10.244.0.0/16 -j MASQUERADE"]


def test_many_subnets_and_long_lists(node):
    """More than one message or page holds."""
    keys = {"nonMasqueradeCIDRs": [f"{number // 256}.{number % 256}.0.0/17" for number in range(256, 456)], "cidrLimit": 200}
    ips = [f"10.244.{number}.5/24" for number in range(30)]
    node.add(ips=ips, **keys)
    kept = (*keys["nonMasqueradeCIDRs"], *REST)
    kept += tuple(f"10.244.{number}.0/24" for number in range(30))
    subnets = [Subnet(f"10.244.{number}.0/24", kept=kept) for number in range(30)]
    assert node.save() == node.expected(*subnets)
    assert node.check(ips=ips, **keys) is None
    node.delete(ips=ips, **keys)
    assert node.save() == node.expected()


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


def chains_of(node, *names):
    """Each rule of these chains of our table, as "CHAIN: RULE"."""
    listing = in_order(node.nft("-s", "list", "ruleset"))
    chains = dict(re.findall(r"^chain (\S+) \{\n(.*?)^\}", listing, re.MULTILINE | re.DOTALL))
    return [f"{name}: {line}" for name in names for line in chains[name].splitlines() if "counter" in line]


def test_show_tells_networks_attachments_and_counters(node):
    node.add("pod-1")
    node.call("ADD", "pod-2", node.netconf(ips=["10.244.1.6/24"]),
              CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-1")
    shown = json.loads(node.tool("show", "-o", "json"))
    assert shown["networks"] == [{
        "name": "cbr0", "backend": node.backend, "podSubnets": ["10.244.1.0/24"],
        "attachments": [{"containerID": "pod-1", "ifname": "eth0", "addresses": ["10.244.1.5/24"]},
                        {"containerID": "pod-2", "ifname": "eth0", "addresses": ["10.244.1.6/24"], "pod": "default/web-1"}]}]
    if node.backend == "nftables":
        rules = [("nft", rule) for rule in chains_of(node, "postrouting", nftables_chain_name(CBR0))]
    else:
        rules = [("iptables", rule) for rule in sorted(node.rules(), key=lambda rule: rule.split()[1] == iptables_chain_name(CBR0))]
    rules += [("nft", rule) for rule in chains_of(node, "forward", nftables_chain_name(CBR0) + "-invalid")]
    assert [(rule["program"], rule["rule"]) for rule in shown["rules"]] == rules
    assert {(rule["packets"], rule["bytes"]) for rule in shown["rules"]} == {(0, 0)}
    assert node.tool("show") == (f"network cbr0 ({node.backend})\n"
                                 "  pod subnet 10.244.1.0/24\n"
                                 "  attachment pod-1 eth0: 10.244.1.5/24\n"
                                 "  attachment pod-2 eth0: 10.244.1.6/24 (default/web-1)\n"
                                 + "".join(f"0\t0\t{program} {rule}\n" for program, rule in rules))


def test_explain_names_the_key(node):
    node.add(masqueradeCIDRs=["10.1.2.0/24"])
    assert node.tool("explain", "10.244.1.5", "10.1.2.3") == (
        "10.244.1.5 -> 10.1.2.3: masqueraded\n  masqueradeCIDRs: 10.1.2.0/24\n"
        f"  network cbr0 ({node.backend}), pod subnet 10.244.1.0/24\n")
    assert json.loads(node.tool("explain", "10.244.1.5", "10.9.9.9", "-o", "json")) == {
        "source": "10.244.1.5", "destination": "10.9.9.9", "fate": "kept", "why": "nonMasqueradeCIDRs (default)",
        "prefix": "10.0.0.0/8", "network": "cbr0", "podSubnet": "10.244.1.0/24", "backend": node.backend}
    assert node.tool("explain", "10.244.1.5", "127.0.0.1") == (
        "10.244.1.5 -> 127.0.0.1: left alone\n  127.0.0.1 is an address of this node\n")
    assert node.tool("explain", "10.244.1.5", "255.255.255.255") == (
        "10.244.1.5 -> 255.255.255.255: left alone\n  no router forwards to 255.255.255.255\n")


@pytest.mark.parametrize("argv, status, error", [
    (["explain", "10.1.1.1"], 2, "ip-masq: explain takes 2 arguments, not 1; see ip-masq --help\n"),
    (["explain", "10.1.1.1", "x"], 1, 'ip-masq: DST is "x": expected an address such as 10.244.1.5 or fd00::5\n'),
    (["explain", "10.1.1.1", "fd00::1"], 1, "ip-masq: SRC and DST are of different families: 10.1.1.1, fd00::1\n"),
    (["show", "-o", "xml"], 2, 'ip-masq: --output is "xml": expected text or json; see ip-masq --help\n'),
    (["agent", "--listen", "9464"], 2,
     'ip-masq: --listen is "9464": expected an address and a port such as 127.0.0.1:9464 or [::1]:9464; see ip-masq --help\n'),
    (["frob"], 2, 'ip-masq: there is no command "frob"; see ip-masq --help\n'),
    (["sync", "--dry-run"], 2, "ip-masq: sync has no option --dry-run; see ip-masq --help\n"),
    (["uninstall", "--wait"], 2, "ip-masq: uninstall has no option --wait; see ip-masq --help\n"),
    ([], 2, "ip-masq: no command; see ip-masq --help\n"),
])
def test_wrong_usage_is_told(node, argv, status, error):
    assert node.tool_status(*argv) == (status, "", error)


def test_the_tool_on_a_node_without_state(node):
    assert node.tool("show") == f"nothing is recorded in {node.state}\n"
    assert node.tool("sync") == f"nothing is recorded in {node.state}\n"
    assert not node.state.exists()
    assert node.run("cat", "/proc/net/ip_tables_names") == ""
