"""Nobody else's rule, chain, policy or counter changes."""

import json
import re
import subprocess

import pytest
from harness.kube_rules import kube_rules, kube_rules_nft
from harness.node import BINARY
from harness.texts import CBR0, iptables_chain_name

FOREIGN = """*nat
:PREROUTING ACCEPT [11:1100]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [7:700]
:POSTROUTING ACCEPT [5:500]
:CNI-0123456789abcdef - [0:0]
:DOCKER - [0:0]
:IP-MASQ - [0:0]
:IP-MASQ-AGENT - [0:0]
:ZZ-LAST - [0:0]
:empty - [0:0]
[3:300] -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
[4:400] -A PREROUTING -p tcp -m set --match-set allowed src -m tcp --dport 8080 -j DNAT --to-destination 10.9.9.9:80
[1:100] -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
[3:180] -A POSTROUTING -m comment --comment "ip-masq-agent told --masq-chain=IP-MASQ" -m addrtype ! --dst-type LOCAL -j IP-MASQ
[9:900] -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
[8:800] -A POSTROUTING -m comment --comment "it's \\"quoted\\" and \\\\ slashed" -j ZZ-LAST
[2:200] -A POSTROUTING -m comment --comment "ip-masq-agent: ensure nat POSTROUTING directs all non-LOCAL destination traffic to our custom IP-MASQ-AGENT chain" -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT
[6:600] -A CNI-0123456789abcdef -d 10.88.0.0/16 -j ACCEPT
[6:660] -A CNI-0123456789abcdef ! -d 224.0.0.0/4 -j MASQUERADE
[2:120] -A IP-MASQ -p tcp -j MASQUERADE --to-ports 32768-65535 --random-fully
[5:550] -A IP-MASQ-AGENT -d 10.0.0.0/8 -j RETURN
[5:555] -A IP-MASQ-AGENT -j MASQUERADE --random-fully
[1:111] -A ZZ-LAST -m statistic --mode random --probability 0.33332999982 -j RETURN
[1:222] -A ZZ-LAST -m statistic --mode nth --every 3 --packet 0 -j RETURN
[1:333] -A ZZ-LAST -p udp -m multiport --dports 53,123 -g CNI-0123456789abcdef
[1:444] -A ZZ-LAST -m mark ! --mark 0x4000/0x4000 -j RETURN
[1:555] -A ZZ-LAST -j MARK --set-xmark 0x0/0x4000
COMMIT
"""


FOREIGN_NFT = """table ip nat {
	chain DOCKER {
		iifname "docker0" counter packets 0 bytes 0 return
	}

	chain POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 172.17.0.0/16 oifname != "docker0" counter packets 9 bytes 900 masquerade
		meta mark & 0x00004000 != 0x00004000 return
		counter packets 1 bytes 40 masquerade fully-random
	}
}
table ip6 kube-proxy {
	comment "rules for kube-proxy"
	map service-ips {
		type ipv6_addr . inet_proto . inet_service : verdict
		comment "ClusterIP, ExternalIP and LoadBalancer IP traffic"
		elements = { fd00:96::a . tcp . 443 : goto service-1 }
	}

	chain service-1 {
		meta l4proto tcp dnat to [fd00:10:244:1::9]:6443
	}

	chain nat-prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		ip6 daddr . meta l4proto . th dport vmap @service-ips
	}
}
table inet firewall {
	counter seen {
		packets 7 bytes 420
	}

	set allowed {
		type ipv4_addr
		flags interval,timeout
		elements = { 192.0.2.0/24, 198.51.100.1 }
	}

	chain input {
		type filter hook input priority filter + 10; policy accept;
		ct state vmap { invalid : drop, established : accept, related : accept }
		ip saddr @allowed counter name "seen" accept
		tcp dport { 22, 80-90 } limit rate 10/second accept
		log prefix "in: " comment "the rest"
	}

	chain ip-masq {
		type nat hook postrouting priority srcnat - 1; policy accept;
	}
}
"""


def counted(node):
    """All that stands in the back end, with its counters, comments aside."""
    if node.backend == "nftables":
        return node.nft("list", "ruleset")
    save = node.run("iptables-legacy-save", "-c", "-t", "nat", env={"PATH": "/usr/sbin:/usr/bin", **node.env})
    return "".join(line + "\n" for line in save.splitlines() if not line.startswith("#"))


def put(node, text):
    if node.backend == "nftables":
        node.nft("-f", "-", input=text)
    else:
        node.run("iptables-legacy-restore", "--counters", input=text, env={"PATH": "/usr/sbin:/usr/bin", **node.env})


@pytest.fixture
def foreign(node):
    """What somebody else put there: of every kind, ours in name only among them."""
    node.run("ipset", "create", "allowed", "hash:ip")
    text = FOREIGN_NFT if node.backend == "nftables" else FOREIGN
    put(node, text)
    stands = counted(node)
    assert len(stands.splitlines()) == len(text.splitlines())
    return stands


def without_ours(text):
    text = re.sub(r"^table inet ip-masq \{$.*?^\}$\n", "", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(line + "\n" for line in text.splitlines()
                   if not re.search(r"IP-MASQ-(PODS|[0-9a-f]{12})", line))


def test_every_kind_of_rule_and_its_counters(node, foreign):
    node.add("pod-1", ips=["10.244.1.5/24", "10.244.2.5/24"])
    assert counted(node) != foreign
    assert without_ours(counted(node)) == foreign
    node.add("pod-2", ips=["10.244.1.6/24"], catchAll=False)
    node.delete("pod-1")
    assert without_ours(counted(node)) == foreign
    node.delete("pod-2")
    assert counted(node) == foreign


def test_ten_thousand_rules_of_others(node):
    put(node, kube_rules_nft(10_000) if node.backend == "nftables" else kube_rules(10_000))
    before = counted(node)
    assert len(before.splitlines()) > 10_000
    node.add("pod-1")
    assert without_ours(counted(node)) == before
    node.add("pod-2", ips=["10.244.1.6/24"])
    node.delete("pod-1")
    node.delete("pod-2")
    assert counted(node) == before


def test_a_call_that_finds_all_right_only_reads(node, foreign):
    node.add("pod-1")
    trace = node.folder / "trace"
    for command, container, ips in [("ADD", "pod-2", ["10.244.1.6/24"]), ("CHECK", "pod-1", ["10.244.1.5/24"]),
                                    ("DEL", "pod-2", ["10.244.1.6/24"])]:
        strace = ["strace", "-f", "-o", trace, "-e", "trace=setsockopt,sendmsg,execve,openat", BINARY]
        environment = node.environment(command, container, ASAN_OPTIONS="detect_leaks=0")  # which cannot be traced
        subprocess.run(node.inside(*strace), input=json.dumps(node.netconf(ips=ips)), text=True, env=environment,
                       check=True, capture_output=True)
        calls = trace.read_text()
        assert "IPT_SO_SET_REPLACE" not in calls and "NFNL_MSG_BATCH_BEGIN" not in calls, "it commits"
        assert calls.count("execve(") == 1, "it starts another program"
        assert "xtables.lock" not in calls, "it takes a lock for a look"


READS = [("ADD", "pod-1", 2), ("ADD", "pod-2", 1), ("CHECK", "pod-1", 1), ("sync", "", 1), ("DEL", "pod-1", 0), ("DEL", "pod-2", 2)]


@pytest.mark.parametrize("backend", ["iptables"], indirect=True)
def test_the_table_is_read_once_and_by_libiptc_where_it_changes(node):
    """What a read costs is what all have in the table."""
    put(node, kube_rules(10))
    trace = node.folder / "trace"
    strace = ["strace", "-f", "-o", trace, "-e", "trace=getsockopt", BINARY]
    read = []
    for command, container, _ in READS:
        is_verb = command != "sync"
        arguments = [] if is_verb else [command, "--state-dir", node.state]
        environment = node.environment(command if is_verb else None, container, ASAN_OPTIONS="detect_leaks=0")
        netconf = node.netconf(ips=[f"10.244.1.{container[-1:]}/24"])
        subprocess.run(node.inside(*strace, *arguments), input=json.dumps(netconf), text=True, env=environment, check=True, capture_output=True)
        read.append((command, container, trace.read_text().count("GET_ENTRIES")))
    assert read == READS


def test_counters_of_our_rules_outlive_a_change_of_the_list(node):
    networks = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
    node.add("pod-1", nonMasqueradeCIDRs=networks)
    if node.backend == "nftables":
        put(node, "delete table inet ip-masq\n" + counted(node).replace("packets 0 bytes 0", "packets 42 bytes 4200"))
    else:
        put(node, counted(node).replace("[0:0] -A IP-MASQ-", "[42:4200] -A IP-MASQ-"))
    node.add("pod-1", nonMasqueradeCIDRs=[*networks, "203.0.113.0/24"])
    if node.backend == "nftables":
        rules = re.findall(r"^.*counter.*$", counted(node), re.MULTILINE)
        assert [rule for rule in rules if "packets 42 bytes 4200" not in rule] == []
        assert "203.0.113.0/24" in counted(node)
        node.add("pod-1", nonMasqueradeCIDRs=[*networks, "203.0.113.0/24"], yieldMarks=["0x7"])
        rules = re.findall(r"^\s+(.*counter.*)$", counted(node), re.MULTILINE)
        assert [rule for rule in rules if "packets 42 bytes 4200" not in rule] == [
            "meta mark 0x00000007 counter packets 0 bytes 0 return"]
    else:
        after = [line for line in counted(node).splitlines() if "-A IP-MASQ-" in line]
        assert [line for line in after if not line.startswith("[42:4200]")] == [
            f"[0:0] -A {iptables_chain_name(CBR0)} -d 203.0.113.0/24 -j ACCEPT"]
