"""Others' rules that make another fate of a pod's connection than ours say: an outside host sees it, and doctor names the rule;
rules that do nothing to pods' packets are no finding."""

import json

import pytest
from harness import healthy
from harness.network import Outside, Pod, Witness, ask, give, make_bridge
from harness.node import Node

POD, NODE = "10.244.1.5", Outside.NODE[4]
KEPT, MASQUERADED = "10.9.9.9", "203.0.113.9"
NAMES = ["pods-not-tracked", "yield-mark-set", "destination-redirected", "source-rewritten"]


class Site:
    """A node with a pod whose rules are right, and a host outside."""

    def __init__(self, node):
        self.node = node
        make_bridge(node, "10.244.1.1/24")
        self.outside = Outside(node, [KEPT, MASQUERADED], ["10.244.1.0/24"])
        self.pod = Pod(node, "pod-1", f"{POD}/24")
        self.pod.route_through("10.244.1.1")
        node.add("pod-1", ips=self.pod.addresses)

    def seen(self):
        """Sources at the host that sees pods, and at the one that sees the node."""
        seen = ask(self.pod.namespace, f"tcp:{KEPT}", f"tcp:{MASQUERADED}")
        return seen[f"tcp:{KEPT}"], seen[f"tcp:{MASQUERADED}"]

    def close(self):
        self.pod.close()
        self.outside.close()


def findings(node):
    """{name: rules}, of those that this is about."""
    found = json.loads(node.tool("doctor", "-o", "json", check=False))["findings"]
    return {each["name"]: each["where"] for each in found if each["name"] in NAMES}


def fixes(node, name):
    found = json.loads(node.tool("doctor", "-o", "json", check=False))["findings"]
    return [fix for each in found if each["name"] == name for fix in each["fix"]]


def put(node, program, text):
    if program == "nft":
        node.nft("-f", "-", input=text)
    else:
        node.restore_beside(text, program=program)


@pytest.fixture
def site(node):
    made = Site(node)
    yield made
    made.close()


def table(chain, *rules):
    return "\n".join(["table inet theirs {", f"chain base {{ type {chain};", *rules, "}", "}", ""])


# name: program, what is put, what is seen at KEPT and at MASQUERADED, the finding, its rule without the handle
CASES = {
    "notrack, legacy": (
        "iptables-legacy", "*raw\n-A PREROUTING -s 10.244.0.0/16 -j CT --notrack\nCOMMIT\n", (POD, POD),
        "pods-not-tracked", "iptables-legacy -t raw -A PREROUTING -s 10.244.0.0/16 -j CT --notrack"),
    "notrack, iptables-nft": (
        "iptables-nft", "*raw\n-A PREROUTING -s 10.244.0.0/16 -j CT --notrack\nCOMMIT\n", (POD, POD),
        "pods-not-tracked", "nft ip raw PREROUTING handle N: -s 10.244.0.0/16 -j CT --notrack"),
    "notrack, nft": (
        "nft", table("filter hook prerouting priority raw", "ip saddr { 10.244.0.0/16, 192.0.2.0/24 } notrack"), (POD, POD),
        "pods-not-tracked", "nft inet theirs base handle N: -s @__set0 notrack"),
    "yield mark, legacy": (
        "iptables-legacy", "*mangle\n:OTHER - [0:0]\n-A FORWARD -s 10.244.1.0/24 -j OTHER\n-A OTHER -j MARK --set-xmark 0x4000/0x4000\nCOMMIT\n",
        (POD, POD), "yield-mark-set", "iptables-legacy -t mangle -A OTHER -j MARK --set-xmark 0x4000/0x4000"),
    "yield mark, nft": (
        "nft", table("filter hook prerouting priority mangle", "ip saddr 10.244.1.5 meta mark set meta mark | 0x2000"), (POD, POD),
        "yield-mark-set", "nft inet theirs base handle N: -s 10.244.1.5/32 --set-xmark 0x2000/0x2000"),
    "yield mark of a whole mark, nft": (
        "nft", table("filter hook forward priority mangle", 'iifname "cni*" meta mark set 0x4001'), (POD, POD),
        "yield-mark-set", "nft inet theirs base handle N: -i cni+ --set-xmark 0x4001/0xffffffff"),
    "redirected, legacy": (
        "iptables-legacy", f"*nat\n-A PREROUTING -s 10.244.1.0/24 -p tcp --dport 7007 -j DNAT --to-destination {MASQUERADED}\nCOMMIT\n",
        (NODE, NODE), "destination-redirected",
        f"iptables-legacy -t nat -A PREROUTING -s 10.244.1.0/24 -p 6 -m tcp ... -j DNAT --to-destination {MASQUERADED}"),
    "redirected, nft": (
        "nft", table("nat hook prerouting priority dstnat", f"tcp dport 7007 dnat ip to {KEPT}"), (POD, POD),
        "destination-redirected", f"nft inet theirs base handle N: -p 6 -m cmp ... -j DNAT --to-destination {KEPT}"),
    "to a program of the node, nft": (
        "nft", table("nat hook prerouting priority dstnat", "ip saddr 10.244.1.0/24 tcp dport 7007 redirect to :9"), (None, None),
        "destination-redirected", "nft inet theirs base handle N: -s 10.244.1.0/24 -p 6 -m cmp ... -j REDIRECT"),
    "source rewritten, nft": (
        "nft", table("filter hook postrouting priority srcnat + 50", 'oifname "uplink0" ip saddr set 198.18.0.77'), (None, None),
        "source-rewritten", "nft inet theirs base handle N: -o uplink0 saddr set"),
    "source rewritten, nft on a device": (
        "nft", "table netdev theirs {\nchain base { type filter hook ingress device cni0 priority 0;\nip saddr 10.244.1.5 ip saddr set 192.0.2.7\n}\n}\n",
        (None, None), "source-rewritten", "nft netdev theirs base handle N: -s 10.244.1.5/32 saddr set"),
}


# What a map has for the pod, of which it is known whether that is a yield mark; and what nobody can know.
MAPS = {
    "the pod's is one": (f"meta mark set ip saddr map {{ {POD} : 0x4000, 10.244.2.1 : 0x100 }}", (POD, POD), "yield-mark-set", "hurts"),
    "all others' is one": (f"meta mark set ip saddr map {{ {POD} : 0x100, 10.244.2.1 : 0x4000 }}", (POD, NODE), None, None),
    "the pod has none": ("meta mark set ip saddr map { 10.244.2.1 : 0x4000 } meta mark set 0x4000", (POD, NODE), None, None),
    "its network's is one": ("meta mark set ip saddr map { 10.244.1.0/24 : 0x4000 }", (POD, POD), "yield-mark-set", "hurts"),
    "in turn, none of them one": ("meta mark set numgen inc mod 2 map { 0 : 0x100, 1 : 0x200 }", (POD, NODE), None, None),
    "a number": ("meta mark set numgen inc mod 2 offset 256", (POD, NODE), "rules-not-understood", "note"),
}


@pytest.mark.parametrize("case", MAPS)
def test_marks_out_of_maps(site, case):
    rule, seen, name, weight = MAPS[case]
    put(site.node, "nft", table("filter hook prerouting priority mangle", rule))
    assert site.seen() == seen
    conf_dir = site.node.folder / "lists"
    conf_dir.mkdir()
    found = json.loads(site.node.tool("doctor", "-o", "json", "--conf-dir", conf_dir, check=False))["findings"]
    told = {each["name"]: each for each in found if each["name"] in [*NAMES, "rules-not-understood"]}
    assert {name: each["weight"] for name, each in told.items()} == ({name: weight} if name else {})
    for each in told.values():
        assert all(line.startswith("#") for line in each["fix"]), "others need the rest of it"
    if weight == "hurts":
        explained = [json.loads(site.node.tool("explain", POD, to, "-o", "json")) for to in (KEPT, MASQUERADED)]
        assert [each["fate"] for each in explained] == ["left alone", "left alone"]


def without_handle(text):
    words = text.split(" ")
    if "handle" in words:
        words[words.index("handle") + 1] = "N:"
    return " ".join(words)


@pytest.mark.parametrize("case", CASES)
def test_what_contradicts_our_rules_is_seen_and_named(site, case):
    program, text, seen, name, rule = CASES[case]
    assert site.seen() == (POD, NODE)
    assert findings(site.node) == {}
    put(site.node, program, text)
    assert site.seen() == seen
    found = findings(site.node)
    assert list(found) == [name]
    assert [without_handle(each) for each in found[name]] == [rule]
    for fix in fixes(site.node, name):
        site.node.run("sh", "-ec", fix, env={**site.node.env, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    assert findings(site.node) == {}
    site.node.run("conntrack", "-F")
    assert site.seen() == (POD, NODE)


# What looks alike and does nothing to pods' connections.
HARMLESS = {
    "a chain that nothing leads to": ("iptables-legacy", "*raw\n:NOBODY - [0:0]\n-A NOBODY -j CT --notrack\nCOMMIT\n"),
    "other sources": ("iptables-legacy", "*raw\n-A PREROUTING -s 192.0.2.0/24 -j CT --notrack\n-A PREROUTING ! -s 10.0.0.0/8 -i cni0 -j CT --notrack\nCOMMIT\n"),
    "behind a rule that ends": ("iptables-legacy", "*mangle\n-A PREROUTING -s 10.244.0.0/16 -j RETURN\n-A PREROUTING -j MARK --set-xmark 0x4000/0x4000\nCOMMIT\n"),
    "packets of the node itself": ("iptables-legacy", "*raw\n-A OUTPUT -j CT --notrack\n-A PREROUTING -i lo -j CT --notrack\nCOMMIT\n"),
    "a mark that nobody sets": ("iptables-legacy", "*raw\n-A PREROUTING -m mark --mark 0x200/0xf00 -j CT --notrack\nCOMMIT\n"),
    "a mark that is taken away": ("iptables-legacy", "*mangle\n-A PREROUTING -j MARK --set-xmark 0x4000/0x4000\n-A FORWARD -j MARK --set-xmark 0x0/0x4000\nCOMMIT\n"),
    "other bits": ("nft", table("filter hook prerouting priority mangle", "meta mark set meta mark | 0x1")),
    "notrack too late": ("nft", table("filter hook prerouting priority mangle", "notrack")),
    "a set without the pod": ("nft", table("filter hook prerouting priority raw", "ip saddr { 10.244.2.0/24, 240.0.0.0/4 } notrack")),
    "a map that leads elsewhere": ("nft", "table ip theirs {\nchain loose { notrack\n}\nchain base { type filter hook prerouting priority raw;\n"
                                          "ip saddr vmap { 10.244.2.1 : jump loose, 10.244.1.5 : accept }\n}\n}\n"),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_does_nothing_to_pods_is_no_finding(site, case):
    put(site.node, *HARMLESS[case])
    assert site.seen() == (POD, NODE)
    assert findings(site.node) == {}


class Anywhere(Site):
    """The same, where something stands before the first ADD, or comes after it."""

    def __init__(self, node, text, is_first):
        if is_first:
            put(node, "nft", text)
        super().__init__(node)
        if not is_first and text:
            put(node, "nft", text)

    def explained(self):
        """As seen(), by explain: None where it says that it may be otherwise."""
        answers = [json.loads(self.node.tool("explain", POD, to, "-o", "json")) for to in (KEPT, MASQUERADED)]
        may_be_otherwise = [any(each.startswith("it may be that") for each in answer.get("warnings", [])) for answer in answers]
        return [None if may_be else NODE if answer["fate"] == "masqueraded" else POD for answer, may_be in zip(answers, may_be_otherwise)]


# Where in the order of hooks others stand, whether they are switched on, and by which device: name: text, and whether doctor is to
# name anything. NAT chains are asked together where iptables' nat table is, whatever their own priority.
PLACES = {
    "a mark between our priority and NAT's": (table("filter hook postrouting priority 98", 'iifname "cni0" meta mark set 0x4000'), True),
    "a mark beside NAT": (table("filter hook postrouting priority 100", 'iifname "cni0" meta mark set 0x4000'), True),
    "a mark behind NAT": (table("filter hook postrouting priority 101", 'iifname "cni0" meta mark set 0x4000'), False),
    "a mark for a nat chain of a lower priority": (
        "table inet theirs {\nchain late { type filter hook postrouting priority 50;\nmeta mark set 0x10\n}\n"
        "chain nat { type nat hook postrouting priority 0;\nmeta mark 0x10 masquerade\n}\n}\n", False),
    "a mark that is taken away before a nat chain of a lower priority": (
        'table inet theirs {\nchain early { type filter hook forward priority 0;\niifname "cni0" meta mark set 0x10\n}\n'
        "chain late { type filter hook postrouting priority 50;\nmeta mark set 0\n}\n"
        "chain nat { type nat hook postrouting priority 0;\nmeta mark 0x10 masquerade\n}\n}\n", False),
    "a dormant nat chain": ("table ip theirs {\nflags dormant\nchain nat { type nat hook postrouting priority 0;\nmasquerade\n}\n}\n", False),
    "a dormant mark": ("table ip theirs {\nflags dormant\nchain early { type filter hook forward priority 0;\nmeta mark set 0x4000\n}\n}\n", False),
    "a dormant notrack": ("table ip theirs {\nflags dormant\nchain early { type filter hook prerouting priority raw;\nnotrack\n}\n}\n", False),
    "notrack at the uplink": ("table netdev theirs {\nchain in { type filter hook ingress device uplink0 priority 0;\nnotrack\n}\n}\n", False),
    "notrack at the pod's port": ("table netdev theirs {\nchain in { type filter hook ingress device v-pod-1 priority 0;\nnotrack\n}\n}\n", True),
    "a mark before a match": (table("filter hook prerouting priority mangle", "ip saddr 10.244.0.0/16 meta mark set 0x4000 ip daddr 192.0.2.1 counter"), True),
    "a mark before a match of it": (
        table("filter hook prerouting priority mangle", "meta mark set 0x4 meta mark 0x4 meta mark set 0x4000 meta mark 0 accept", "meta mark set 0"), False),
    "a mark by way of the connection's": (table("filter hook prerouting priority mangle", "ct mark set 0x4000 meta mark set ct mark"), True),
    "notrack before a match": (table("filter hook prerouting priority raw", "ip saddr 10.244.0.0/16 notrack ip daddr 192.0.2.1 counter"), True),
    "a set asked after a set of pairs": (
        table("filter hook prerouting priority mangle", f"ip saddr . ip daddr {{ {POD} . {MASQUERADED}, 10.244.1.6 . {MASQUERADED} }} "
                                                        "ip daddr != { 10.9.9.10, 10.9.9.11 } meta mark set 0x4000"), True),
    "a mark at ports of the bridge": ('table bridge theirs {\nchain base { type filter hook prerouting priority 0;\niifname "v-*" meta mark set 0x4000\n}\n}\n', True),
    "a mark at ports of others": ('table bridge theirs {\nchain base { type filter hook prerouting priority 0;\niifname "w-*" meta mark set 0x4000\n}\n}\n', None),
    "a mark at the pod's port": (
        'table netdev theirs {\nchain in { type filter hook ingress device v-pod-1 priority 0;\niifname "v-pod-1" meta mark set 0x4000\n}\n}\n', True),
    "a mark by the bridge's name at the pod's port": (
        'table netdev theirs {\nchain in { type filter hook ingress device v-pod-1 priority 0;\niif "cni0" meta mark set 0x4000\n}\n}\n', None),
    "redirected to what is kept": (table("nat hook prerouting priority dstnat", f"ip daddr {MASQUERADED} dnat ip to {KEPT}"), False),
    "redirected by two at one priority": (
        f"table ip theirs {{\nchain one {{ type nat hook prerouting priority -90;\ndnat to {KEPT}\n}}\n"
        f"chain two {{ type nat hook prerouting priority -90;\ndnat to {MASQUERADED}\n}}\n}}\n", True),
    "somebody's chain in our table": ("table inet ip-masq {\nchain theirs { type filter hook prerouting priority raw;\nnotrack\n}\n}\n", True),
    "notrack at the bridge": ("table netdev theirs {\nchain in { type filter hook ingress device cni0 priority 0;\nnotrack\n}\n}\n", None),
}


@pytest.mark.parametrize("place, is_first", [
    pytest.param(place, is_first, id=f"{place}, {'before' if is_first else 'after'}")
    for place, (text, _) in PLACES.items() for is_first in (True, False) if not (is_first and (" device " in text or " ip-masq " in text))])
def test_others_are_met_where_the_kernel_meets_them(node, place, is_first):
    text, is_named = PLACES[place]
    site = Anywhere(node, text, is_first)
    try:
        for said, seen in zip(site.explained(), site.seen()):
            assert said in (None, seen) or seen is None  # an answer that is not tracked does not come back
        if is_named is not None:
            assert bool(findings(node)) == is_named
    finally:
        site.close()


@pytest.mark.parametrize("change, rule", [
    ("--mark-set 0x4000 --mark-target CONTINUE", "-i v-pod-1 -j mark --set-xmark 0x4000/0xffffffff"),
    ("--mark-or 0x4000", "-i v-pod-1 -j ACCEPT --set-xmark 0x4000/0x4000"),
])
def test_marks_of_ebtables(node, change, rule):
    site = Anywhere(node, "", is_first=False)
    try:
        node.run("ebtables-nft", "-t", "nat", "-A", "PREROUTING", "-i", "v-pod-1", "-j", "mark", *change.split(" "))
        assert site.seen() == (POD, POD)
        assert site.explained() == [POD, POD]
        assert [without_handle(each) for each in findings(node)["yield-mark-set"]] == [f"nft bridge nat PREROUTING handle N: {rule}"]
    finally:
        site.close()


@pytest.mark.parametrize("program", ["ip6tables-legacy", "ip6tables-nft"])
def test_prefixes_that_are_rewritten_without_nat(node, program):
    node.add("pod-1", ips=["fd00:244:1::5/64"])
    node.run(program, "-t", "mangle", "-A", "POSTROUTING", "-s", "fd00:244:1::/64", "-j", "SNPT", "--src-pfx", "fd00:244:1::/64", "--dst-pfx", "2001:db8:77::/64")
    where = "nft ip6 mangle POSTROUTING handle N:" if program == "ip6tables-nft" else "ip6tables-legacy -t mangle -A POSTROUTING"
    found = findings(node)["source-rewritten"]
    assert [without_handle(each) for each in found] == [f"{where} -s fd00:244:1::/64 -j SNPT"]


def test_yield_marks_are_those_that_stand(node):
    site = Anywhere(node, table("filter hook prerouting priority mangle", "meta mark set 0x100"), is_first=False)
    try:
        assert site.explained() == list(site.seen()) == [POD, NODE]
        if node.backend == "nftables":
            node.nft("insert rule inet ip-masq postrouting meta mark & 0x100 == 0x100 counter return")
        else:
            node.run("iptables-legacy", "-w", "-t", "nat", "-I", "IP-MASQ-PODS", "-m", "mark", "--mark", "0x100/0x100", "-j", "RETURN",
                     env=node.env | {"PATH": "/usr/sbin:/usr/bin"})
        assert site.explained() == list(site.seen()) == [POD, POD]
    finally:
        site.close()


# Where routes are chosen by sources: another uplink than the destination's own.
@pytest.mark.parametrize("rule, seen", [
    ('type nat hook postrouting priority 50;\noifname "uplink1" masquerade', ("198.18.1.1", "198.18.1.1")),
    ('type nat hook postrouting priority 50;\noifname "uplink0" masquerade', (POD, "198.18.1.1")),
    ('type filter hook postrouting priority mangle;\noifname "uplink1" meta mark set 0x4000', (POD, POD)),
])
def test_uplinks_are_those_that_pods_leave_by(node, rule, seen):
    site = Anywhere(node, "", is_first=False)
    other = Outside(node, [], ["10.244.0.0/16"], number=1)
    give(other.namespace, "lo", f"{KEPT}/32", f"{MASQUERADED}/32")
    witness = Witness(other.namespace, [KEPT, MASQUERADED])
    try:
        node.sysctl(net__ipv4__conf__all__rp_filter=0)
        node.run("ip", "route", "add", "default", "via", "198.18.1.254", "table", "100")
        node.run("ip", "rule", "add", "from", "10.244.1.0/24", "iif", "cni0", "lookup", "100")
        put(node, "nft", f"table inet theirs {{\nchain base {{ {rule}\n}}\n}}\n")
        assert site.seen() == seen
        assert site.explained() == [POD if each == POD else NODE for each in seen]
        # By what is not known of packets.
        node.run("ip", "rule", "add", "from", "10.244.1.0/24", "ipproto", "udp", "lookup", "main")
        assert None in site.explained()
    finally:
        witness.close()
        other.close()
        site.close()


def test_check_where_auto_would_be_in_the_other_back_end_by_now(tmp_path):
    node = Node(tmp_path, "auto")
    site = Site(node)
    try:
        before = site.seen()
        node.run("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-s", "172.17.0.0/16", "-j", "MASQUERADE")
        assert (node.check("pod-1"), site.seen()) == (None, before)
        node.run("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-s", "10.244.0.0/16", "-j", "MASQUERADE")
        assert site.seen() == (NODE, NODE)
        code, said = node.check("pod-1")
        assert (code, without_handle(said)) == (102, (
            "the rules stand in iptables, where nft ip nat POSTROUTING handle N: -s 10.244.0.0/16 -j MASQUERADE undoes them; "
            '"auto" is nftables here now'))
        node.tool("sync")
        assert (node.check("pod-1"), site.seen()) == (None, before)
    finally:
        site.close()
        node.close()


DROPPED = "it, or the answer to it, is dropped on this node: "
UDP_OF_ALL = DROPPED + "iptables-legacy -t filter -A FORWARD -p 17 -j DROP (UDP alone)"
RULE_OF_POLICY = "this node does not forward it to {}: ip rule 9: from 10.244.1.0/24 prohibit"
NO_ANSWERS = f"this node does not forward answers to {POD}: "
LED_BACK = (f"this node leads answers to {POD} on to uplink0, not to cni0: ip route: 0.0.0.0/0 dev uplink0 table 77 "
            "(ip rule 9: from all iif uplink0 lookup 77)")


@pytest.mark.parametrize("change, kept, masqueraded", [
    (["ip", "route", "add", "blackhole", KEPT], [f"this node does not forward it to {KEPT}: ip route: blackhole {KEPT}/32"], []),
    (["ip", "rule", "add", "from", "10.244.1.0/24", "priority", "9", "prohibit"], [RULE_OF_POLICY.format(KEPT)],
     [RULE_OF_POLICY.format(MASQUERADED)]),
    (["ip", "rule", "add", "from", KEPT, "priority", "9", "prohibit"], [NO_ANSWERS + f"ip rule 9: from {KEPT}/32 prohibit"], []),
    (["ip", "route", "add", "blackhole", POD], *2 * [[NO_ANSWERS + f"ip route: blackhole {POD}/32"]]),
    (["sh", "-c", "ip rule add iif uplink0 priority 9 lookup 77 && ip route add default via 198.18.0.254 table 77"], *2 * [[LED_BACK]]),
    (["ip", "route", "del", "default"], [f"this node has no way to {KEPT}: no route leads there"],
     [f"this node has no way to {MASQUERADED}: no route leads there"]),
    (["nft", f"table inet theirs {{ chain base {{ type filter hook forward priority 0; ip daddr {KEPT} drop; }}; }}"],
     [DROPPED + f"nft inet theirs base handle N: -d {KEPT}/32 -j DROP"], []),
    (["nft", "table inet theirs { chain base { type filter hook forward priority 0; policy drop; iifname cni0 accept; }; }"],
     [DROPPED + "nft chain inet theirs base: policy drop"], [DROPPED + "nft chain inet theirs base: policy drop"]),
    (["iptables-legacy", "-A", "FORWARD", "-p", "udp", "-j", "DROP"], [UDP_OF_ALL], [UDP_OF_ALL]),
    (["iptables-legacy", "-t", "raw", "-A", "PREROUTING", "-i", "uplink0", "-j", "CT", "--notrack"], [],
     [DROPPED + "iptables-legacy -t raw -A PREROUTING -i uplink0 -j CT --notrack"]),
    (["iptables-legacy", "-t", "raw", "-A", "PREROUTING", "-i", "uplink0", "-j", "CT", "--zone-reply", "7"], [],
     [DROPPED + "iptables-legacy -t raw -A PREROUTING -i uplink0 -j CT --zone-reply 7"]),
    (["nft", "table inet theirs { chain base { type filter hook prerouting priority raw; iifname cni0 ct zone set 7; }; }"], [],
     [DROPPED + "nft inet theirs base handle N: -i cni0 zone set 7"]),
])
def test_explain_says_what_never_arrives(node, change, kept, masqueraded):
    site = Site(node)
    try:
        node.run("ip", "rule", "add", "priority", "5", "fwmark", "0x80000/0xff0000", "lookup", "main")  # as many VPNs have
        told = {destination: node.tool("explain", POD, destination).splitlines() for destination in (KEPT, MASQUERADED)}
        node.run(*change)
        for destination, more in ((KEPT, kept), (MASQUERADED, masqueraded)):
            now = [without_handle(line) for line in node.tool("explain", POD, destination).splitlines()]
            is_led = not any("no route leads there" in line or "does not forward it" in line for line in more)
            before = [line for line in told[destination] if is_led or not line.startswith("  as ")]
            assert now == [*before, *(f"  {line}" for line in more)]
            seen = ask(site.pod.namespace, f"udp:{destination}")[f"udp:{destination}"]
            assert (seen is None) == bool(more)
    finally:
        site.close()


@pytest.mark.parametrize("program", ["iptables-legacy", "iptables-nft"])
@pytest.mark.parametrize("name", healthy.IPTABLES)
def test_healthy_nodes(node, name, program):
    node.add("pod-1")
    healthy.put(node, name, program)
    assert findings(node) == {}


@pytest.mark.parametrize("name", healthy.NFT)
def test_healthy_nodes_with_nft(node, name):
    node.add("pod-1")
    healthy.put(node, name, "nft")
    assert findings(node) == {}


def test_names_and_comments_of_others_are_shown_as_they_can_be(node):
    node.add("pod-1")
    comment = b"\xff\x1b[31mred\x07 caf\xc3\xa9 'q'"
    node.run("iptables-legacy", "-w", "-t", "raw", "-A", "PREROUTING", "-m", "comment", "--comment", comment.decode("utf-8", "surrogateescape"),
             "-j", "CT", "--notrack", env=node.env | {"PATH": "/usr/sbin:/usr/bin"})
    shown = node.tool("doctor", check=False)
    assert r"--comment '\xff\x1b[31mred\x07 café '\''q'\''' -j CT --notrack" in shown
    assert "iptables-legacy -t raw -D PREROUTING 1\n" in shown
    assert findings(node)["pods-not-tracked"]
