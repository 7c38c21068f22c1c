"""Two networks that hand out addresses of one pod subnet: each pod's packets follow its own network's lists, whoever came first,
whatever was refused, and where that cannot be, it is said."""

import json
import re
import subprocess

import pytest
from harness.doctor import LOOPBACK
from harness.network import Outside, Pod, Witness, ask, connect, give, make_bridge
from harness.node import BINARY, Namespace

KEPT_BY_OLD, KEPT_BY_NEW = "10.9.9.9", "203.0.113.9"
REDIRECTED = "203.0.113.77"
SUBNET, GATEWAY = "10.244.1.0/24", "10.244.1.1"
LISTS = {"old": ["10.9.9.9/32"], "new": ["203.0.113.0/24"]}
SAME_BACKEND = 'the same "backend" for both networks, or neither: "auto" keeps all networks of a node together; then ip-masq sync'


class Site:
    """A node with pods .5 and .6, and the world outside. Networks: old, and new, which by name comes first."""

    def __init__(self, node):
        self.node = node
        self.conf = node.folder / "conf"
        self.conf.mkdir()
        (self.conf / "200-loopback.conflist").write_text(json.dumps(LOOPBACK))
        make_bridge(node, f"{GATEWAY}/24")
        self.outside = Outside(node, [KEPT_BY_OLD, KEPT_BY_NEW], [SUBNET])
        self.pods = {last: Pod(node, f"pod-{last}", f"10.244.1.{last}/24") for last in (5, 6)}
        for pod in self.pods.values():
            pod.route_through(GATEWAY)

    def keys(self, network, last, **keys):
        return {"name": network, "ips": (f"10.244.1.{last}/24",), "nonMasqueradeCIDRs": LISTS[network], "version": "1.1.0", **keys}

    def add(self, network, last, container=None, **keys):
        """(status, what it says)"""
        reply = self.node.call("ADD", container or f"{network}-{last}", self.node.netconf(**self.keys(network, last, **keys)))
        return reply.status, reply.errors

    def delete(self, network, last):
        self.node.delete(f"{network}-{last}", **self.keys(network, last))

    def check(self, network, last, **keys):
        return self.node.check(f"{network}-{last}", **self.keys(network, last, **keys))

    def follows(self, last):
        """The network whose lists decide over the packets of a pod, by what hosts outside see."""
        seen = ask(self.pods[last].namespace, f"tcp:{KEPT_BY_OLD}", f"tcp:{KEPT_BY_NEW}")
        own, node = f"10.244.1.{last}", Outside.NODE[4]
        return {(own, node): "old", (node, own): "new"}.get(tuple(seen.values()), seen)

    def is_well(self):
        """That the tools say so."""
        assert self.node.tool_status("sync", "--state-dir", self.node.state) == (0, "all rules are as they should be\n", "")
        assert self.node.doctor("--conf-dir", self.conf) == (0, "nothing found that hides pods or could undo an exemption\n")
        return True

    def explain(self, last, destination):
        return self.node.tool("explain", f"10.244.1.{last}", destination)

    def close(self):
        for pod in self.pods.values():
            pod.close()
        self.outside.close()


@pytest.fixture
def site(node):
    made = Site(node)
    yield made
    made.close()


@pytest.mark.parametrize("first, second", [("old", "new"), ("new", "old")])
def test_each_pod_follows_its_own_network(site, first, second):
    assert site.add(first, 5) == site.add(second, 6) == (0, "")
    assert (site.follows(5), site.follows(6)) == (first, second)
    assert site.check(first, 5) is site.check(second, 6) is None
    assert site.is_well()
    kept = {"old": KEPT_BY_OLD, "new": KEPT_BY_NEW}[second]
    assert site.explain(6, kept) == (f"10.244.1.6 -> {kept}: kept\n  nonMasqueradeCIDRs: {LISTS[second][0]}\n"
                                     f"  network {second} ({site.node.backend}), pod subnet 10.244.1.6/32\n")
    site.delete(first, 5)
    assert site.follows(6) == second
    assert site.add(first, 5) == (0, "")
    assert (site.follows(5), site.follows(6)) == (first, second)
    assert site.is_well()
    site.delete(second, 6)
    site.delete(first, 5)
    assert site.node.save() == site.node.expected()


def redirect_into_subnet(node, pod):
    """As portmap does it."""
    if node.backend == "nftables":
        node.nft("-f", "-", input=f"""table ip theirs {{
            chain pre {{ type nat hook prerouting priority dstnat; ip daddr {REDIRECTED} dnat to {pod}; }}
            chain post {{ type nat hook postrouting priority srcnat; ip saddr {SUBNET} ip daddr {SUBNET} ct status dnat masquerade; }}
        }}""")
    else:
        node.iptables("-A", "PREROUTING", "-d", REDIRECTED, "-j", "DNAT", "--to-destination", pod)
        node.iptables("-A", "POSTROUTING", "-s", SUBNET, "-d", SUBNET, "-m", "conntrack", "--ctstate", "DNAT", "-j", "MASQUERADE")


def test_redirections_into_the_subnet_are_left_to_others(site):
    """Also of pods that lead by their own address, and when nobody else is left there."""
    redirect_into_subnet(site.node, "10.244.1.5")
    assert site.add("old", 5) == site.add("new", 6) == (0, "")
    question = f"tcp:{REDIRECTED}"
    witness = Witness(site.pods[5].namespace, ["10.244.1.5"])
    assert ask(site.pods[6].namespace, question) == {question: GATEWAY}
    site.delete("old", 5)
    assert ask(site.pods[6].namespace, question) == {question: GATEWAY}
    witness.close()


def test_what_is_lost_of_the_first_network_costs_its_pods_nothing(site):
    assert site.add("old", 5) == (0, "")
    site.node.record("old-5", "old").write_text("{broken")
    assert site.add("new", 6) == (0, "")
    assert (site.follows(5), site.follows(6)) == ("old", "new")
    for path in ("pods", "subnets", "network.json"):
        subprocess.run(["rm", "-r", site.node.state / "old" / path], check=True)
    assert site.add("new", 7) == (0, "")
    assert (site.follows(5), site.follows(6)) == ("old", "new")


@pytest.mark.parametrize("mender", ["sync", "ADD of the one", "ADD of the other"])
def test_two_that_did_not_know_of_each_other(site, mender):
    """Records of one come back after the other came: the next call puts them apart."""
    node = site.node
    assert site.add("old", 5) == (0, "")
    (node.state / "old").rename(node.folder / "lost")
    if node.backend == "nftables":
        node.nft("flush", "ruleset")
    else:
        node.restore("*nat\nCOMMIT\n")
    assert site.add("new", 6) == (0, "")
    (node.folder / "lost").rename(node.state / "old")
    assert site.check("old", 5)[0] == 102
    if mender == "sync":
        assert node.tool_status("sync", "--state-dir", node.state)[0] == 0
    elif mender == "ADD of the one":
        assert site.add("old", 7) == (0, "")
    else:
        assert site.add("new", 7)[0] == site.add("old", 8)[0] == 0
    assert (site.follows(5), site.follows(6)) == ("old", "new")
    assert site.check("old", 5) is site.check("new", 6) is None
    assert site.is_well()


def points(site, environment, conf, call):
    """How often a call of the plugin makes this system call."""
    log = site.node.folder / "trace"
    subprocess.run(site.node.inside("strace", "-f", "-o", log, "-e", f"trace={call}", BINARY), input=conf, capture_output=True,
                   text=True, env=environment, check=True)
    return len(re.findall(rf" {call}\(", log.read_text()))


REFUSALS = [("iptables", "setsockopt", "ENOMEM"), ("iptables", "rename", "ENOSPC"), ("nftables", "rename", "ENOSPC"),
            ("nftables", "sendmsg", "ENOBUFS")]


@pytest.mark.parametrize("backend, call, error", REFUSALS)
def test_whatever_is_refused_to_the_second_the_first_keeps_its_place(site, call, error):
    node = site.node
    conf = json.dumps(node.netconf(**site.keys("new", 6)))
    environment = node.environment("ADD", "new-6", ASAN_OPTIONS="detect_leaks=0")  # which cannot be traced
    assert site.add("old", 5) == (0, "")
    before = node.save(), node.files()
    count = points(site, environment, conf, call)
    assert site.follows(6) == "new"
    for when in range(count, 0, -2):
        site.delete("new", 6)
        assert (node.save(), node.files()) == before
        done = subprocess.run(node.inside("strace", "-f", "-o", "/dev/null", "-e", f"inject={call}:error={error}:when={when}", BINARY),
                              input=conf, capture_output=True, text=True, env=environment)
        if done.returncode:
            assert (node.save(), node.files()) == before, (when, done)
        assert node.check("old-5", **site.keys("old", 5)) is None, (when, done)
        assert site.follows(5) == "old", (when, done)
        assert done.returncode or done.stderr or site.follows(6) == "new", (when, done)


@pytest.mark.parametrize("backend, other", [("iptables", "nftables"), ("nftables", "iptables")], indirect=["backend"])
def test_in_two_back_ends(site, other):
    """Who comes first is never hurt. Where nftables decides over the one who comes, ADD, CHECK, explain and doctor say so."""
    backend = site.node.backend
    assert site.add("old", 5) == (0, "")
    added = site.add("new", 6, backend=other)
    assert (site.follows(5), site.check("old", 5)) == ("old", None)
    if backend == "iptables":
        assert (added, site.follows(6), site.check("new", 6)) == ((0, ""), "new", None)
        assert site.is_well()
        return
    met = "packets of 10.244.1.6 meet rules of network old first, 10.244.1.0/24 in nftables"
    assert added == site.add("new", 6, backend=other) == (0, f"ip-masq: {met}: {SAME_BACKEND}\n")
    assert site.follows(6) == "old"
    assert site.check("new", 6) == (102, met)
    old_chain = re.search("chain (old-.*) {", site.node.save()).group(1)
    assert site.explain(6, KEPT_BY_OLD) == (
        f"10.244.1.6 -> {KEPT_BY_OLD}: kept\n  catchAll\n  network new (iptables), pod subnet 10.244.1.6/32\n"
        f"  not in force: the lists say masqueraded, the rule that stands is {old_chain}: ip daddr @{old_chain}-kept counter snat ip "
        f"to ip saddr: of another network, which is in nftables: {SAME_BACKEND}\n")
    status, text = site.node.doctor("--conf-dir", site.conf)
    assert (status, "pod-subnet-of-two-networks" in text) == (1, True)
    # What is advised helps.
    assert site.add("new", 6) == (0, "")
    assert (site.follows(5), site.follows(6)) == ("old", "new")
    assert site.is_well()


def test_who_comes_last_has_the_address(site):
    """A pod ended and no DEL told of it; the other network hands out its address again."""
    assert site.add("old", 6) == (0, "")
    assert site.add("new", 5, "ended") == (0, "")
    assert site.add("old", 5) == (0, "ip-masq: 10.244.1.5 is recorded of ended (eth0) in network new as well, which has ended or "
                                     "has an address that is not its own: from now on it follows the rules of network old\n")
    assert (site.follows(5), site.follows(6)) == ("old", "old")
    assert site.check("old", 5) is None
    assert site.is_well()
    assert site.add("new", 5) == (0, "")
    assert (site.follows(5), site.follows(6)) == ("new", "old")
    assert site.check("old", 5) == (102, f"packets of 10.244.1.5 meet rules of network new first, 10.244.1.5/32 in {site.node.backend}")
    assert site.is_well()


def lose_records(site, network):
    subprocess.run(["rm", "-r", site.node.state / network], check=True)


TAKEN_OVER = ("ip-masq: rules of network new stood for 10.244.1.5, of whose pod nothing is recorded: from now on it follows the rules "
              "of network old\n")


def test_who_comes_last_has_the_address_that_no_record_tells_of(site):
    """A pod ended, its records are lost, its rules stand."""
    assert site.add("old", 6) == site.add("new", 5, "ended") == (0, "")
    lose_records(site, "new")
    assert site.add("old", 5) == (0, TAKEN_OVER)
    assert (site.follows(5), site.follows(6)) == ("old", "old")
    assert site.check("old", 5) is None
    assert site.is_well()
    site.delete("old", 5)
    site.delete("old", 6)
    assert site.node.save() == site.node.expected()


def test_rules_that_no_record_tells_of_hurt_where_they_decide_over_another_networks_pod(site):
    node = site.node
    assert site.add("old", 5) == site.add("new", 5) == (0, "")
    lose_records(site, "new")
    assert site.follows(5) == "new"
    assert site.check("old", 5) == (102, f"packets of 10.244.1.5 meet rules of network new first, 10.244.1.5/32 in {node.backend}")
    status, text = node.doctor("--conf-dir", site.conf)
    assert (status, text) == (1, """\
pods are hurt: 1 found that hurt, 0 held by our rules, 0 to note
rules-without-record: the lists of a network that is not recorded here decide over what these pods send
  found: 10.244.1.5/32, network new: decides over 10.244.1.5 of network old
  fix:   # an ADD takes the address over: start the pods anew that are named; where the runtime knows the others' pods:
  fix:   ip-masq adopt
""")
    assert "no record needs it: an ADD of the pod that lives takes the address over" in site.explain(5, KEPT_BY_OLD)
    assert node.tool_status("sync", "--state-dir", node.state)[0] == 0
    assert site.follows(5) == "new"  # whose pod may live
    assert site.add("old", 5) == (0, TAKEN_OVER)
    assert (site.follows(5), site.check("old", 5)) == ("old", None)
    assert site.is_well()


def test_a_narrower_pod_subnet_that_no_record_tells_of(site):
    """Its pods may live: the one who comes leads by its own address."""
    assert site.add("new", 6, podSubnets=[SUBNET]) == site.add("old", 7, podSubnets=["10.244.0.0/16"]) == (0, "")
    lose_records(site, "new")
    assert site.add("old", 5, podSubnets=["10.244.0.0/16"]) == (0, "")
    assert (site.follows(5), site.follows(6)) == ("old", "new")
    assert site.check("old", 5) is None


IN_THE_WAY = [("nftables", "10.244.1.5 : accept"), ("nftables", "10.244.1.5 : return"), ("nftables", "* : accept"),
              ("nftables", "10.244.1.5 : goto CHAIN"), ("iptables", "RETURN")]


@pytest.mark.parametrize("backend, verdict", IN_THE_WAY)
def test_what_somebody_put_before_the_pods_rules(site, verdict):
    """CHECK sees it, and an ADD of the same container mends it, whatever leads the pod's packets there."""
    node = site.node
    assert site.add("old", 5) == site.add("new", 6) == (0, "")
    before = node.save()
    if node.backend == "nftables":
        chain = re.search("10.244.1.6 : goto (.*) ", before).group(1)
        node.nft("add", "element", "inet", "ip-masq", "pods", "{ %s }" % verdict.replace("CHAIN", chain))
    else:
        node.iptables("-I", "IP-MASQ-PODS", "-s", "10.244.1.5", "-j", verdict)
    assert (site.follows(5), site.follows(6)) != ("old", "new")
    assert site.check("old", 5)[0] == 102
    status, _ = site.add("old", 5)
    assert (status, site.follows(5), site.follows(6)) == (0, "old", "new")
    assert site.check("old", 5) is site.check("new", 6) is None
    assert node.save() == before


@pytest.mark.parametrize("text, problem", [(None, "its configuration is not recorded"),
                                           ("{", "RECORD is damaged: it is not JSON: it goes wrong at byte 2")])
def test_nobody_elses_lists_are_told_of_a_pod_whose_networks_record_is_damaged(site, text, problem):
    node = site.node
    assert site.add("old", 6) == site.add("new", 5) == (0, "")
    record = node.state / "new" / "network.json"
    record.unlink()
    if text:
        record.write_text(text)
    told = site.explain(5, KEPT_BY_OLD)
    chain = re.search(r"(new-\w*|IP-MASQ-\w*)", told).group(1)
    rule = {"nftables": f"{chain}: counter masquerade fully-random", "iptables": f"-A {chain} -j MASQUERADE --random-fully"}[node.backend]
    assert told == (f"10.244.1.5 -> {KEPT_BY_OLD}: masqueraded\n  unknown: the record of network new is damaged, or lost\n"
                    f"  network new, pod subnet 10.244.1.5/32\n  the rule that stands is {rule}\n"
                    f"  {problem.replace('RECORD', str(record))}\n  an ADD of one of its pods records it anew\n")
    assert site.add("new", 5) == (0, "")
    assert f"{KEPT_BY_OLD}: masqueraded\n  catchAll\n" in site.explain(5, KEPT_BY_OLD)


class Lan:
    """A host on the pods' bridge that is no pod, behind this node."""

    def __init__(self, node):
        self.node = node
        self.namespace = Namespace("lan")
        connect(node, "eth9", self.namespace, "eth0")
        give(self.namespace, "eth0", "10.244.1.77/24")
        self.namespace.run("ip", "route", "add", "default", "via", GATEWAY)

    def seen(self):
        return ask(self.namespace, f"tcp:{KEPT_BY_OLD}")[f"tcp:{KEPT_BY_OLD}"]


@pytest.fixture
def lan(site):
    made = Lan(site.node)
    yield made
    made.namespace.close()


def add_on_bridge(node, last):
    conf = node.netconf(ips=(f"10.244.1.{last}/24",), nonMasqueradeCIDRs=[], version="1.0.0")
    conf["prevResult"]["interfaces"] = [{"name": "cni0"}, {"name": "eth0", "sandbox": "/var/run/netns/pod"}]
    conf["prevResult"]["ips"][0]["interface"] = 1
    node.do("ADD", f"pod-{last}", conf)


def is_lan_left_alone(site, lan, *pods):
    """Its hosts are no pods any more, and pods are as they were."""
    node = site.node
    assert lan.seen() == "10.244.1.77"
    assert ask(site.pods[5].namespace, f"tcp:{KEPT_BY_OLD}") == {f"tcp:{KEPT_BY_OLD}": Outside.NODE[4]}
    shown = json.loads(node.tool("show", "-o", "json"))["networks"][0]
    assert shown["podSubnets"] == [f"10.244.1.{last}/32" for last in pods]
    assert node.tool_status("sync", "--state-dir", node.state) == (0, "all rules are as they should be\n", "")
    return True


def test_a_bridge_that_becomes_the_way_out(site, lan):
    """The next ADD sees it."""
    node = site.node
    add_on_bridge(node, 5)
    node.run("ip", "link", "set", "eth9", "master", "cni0")
    assert lan.seen() == Outside.NODE[4]
    for address in (KEPT_BY_OLD, KEPT_BY_NEW):
        node.run("ip", "route", "add", f"{address}/32", "via", "198.18.0.254")
    node.run("ip", "route", "replace", "default", "via", "10.244.1.77", "dev", "cni0")
    add_on_bridge(node, 6)
    assert is_lan_left_alone(site, lan, 5, 6)


def test_a_bridge_that_gets_an_uplink_as_a_port(site, lan):
    """What an ADD does not ask about pods that it knows, sync does."""
    node = site.node
    add_on_bridge(node, 5)
    node.run("ip", "link", "add", "up0", "link", "eth9", "type", "macvlan", "mode", "passthru")
    node.run("ip", "link", "set", "up0", "master", "cni0")
    node.run("ip", "link", "set", "up0", "up")
    assert lan.seen() == Outside.NODE[4]
    status, output, errors = node.tool_status("sync", "--state-dir", node.state)
    assert (status, errors) == (0, ""), output
    assert is_lan_left_alone(site, lan, 5)


@pytest.mark.parametrize("seen_by", ["sync", "ADD"])
def test_redirections_on_a_bridge_that_leads_out_are_left_to_others(site, lan, seen_by):
    """Pods there lead by their own addresses, and see one another as before."""
    node = site.node
    redirect_into_subnet(node, "10.244.1.5")
    if seen_by == "sync":
        add_on_bridge(node, 5)
        add_on_bridge(node, 6)
    node.run("ip", "link", "add", "up0", "link", "eth9", "type", "macvlan", "mode", "passthru")
    node.run("ip", "link", "set", "up0", "master", "cni0")
    node.run("ip", "link", "set", "up0", "up")
    if seen_by == "sync":
        assert node.tool_status("sync", "--state-dir", node.state)[0] == 0
    else:
        add_on_bridge(node, 5)
        add_on_bridge(node, 6)
    assert is_lan_left_alone(site, lan, 5, 6)
    question = f"tcp:{REDIRECTED}"
    witness = Witness(site.pods[5].namespace, ["10.244.1.5"])
    assert ask(site.pods[6].namespace, question) == {question: GATEWAY}
    witness.close()
    assert "  the pod subnet itself, always: 10.244.1.0/24\n" in site.explain(6, "10.244.1.5")
