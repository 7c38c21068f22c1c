"""Two networks that hand out addresses of one pod subnet: each pod's packets follow its own network's lists, whoever came first,
whatever was refused, and where that cannot be, it is said."""

import json
import re
import subprocess

import pytest
from harness.network import Outside, Witness, ask
from harness.node import BINARY
from harness.one_subnet import GATEWAY, KEPT_BY_NEW, KEPT_BY_OLD, LISTS, REDIRECTED, SUBNET, Site, redirect_into_subnet

SAME_BACKEND = 'the same "backend" for both networks, or neither: "auto" keeps all networks of a node together; then ip-masq sync'


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
    assert site.check("new", 5, "ended") == (
        102, f"packets of 10.244.1.5 meet rules of network old first, 10.244.1.0/24 in {site.node.backend}")
    assert site.is_well("10.244.1.5: ended (eth0) of network new, old-5 (eth0) of network old")
    assert site.add("new", 5) == (0, "")
    assert (site.follows(5), site.follows(6)) == ("new", "old")
    assert site.check("old", 5) == (102, f"packets of 10.244.1.5 meet rules of network new first, 10.244.1.5/32 in {site.node.backend}")
    assert site.is_well("10.244.1.5: ended (eth0) of network new, new-5 (eth0) of network new, old-5 (eth0) of network old")


def test_one_address_in_two_lans_that_do_not_pass_the_node(site):
    """Both pods live, whoever was added last; no rule is asked about either."""
    lan = {"ips": ("192.168.7.5/24",)}
    assert site.add("old", 5, **lan) == site.add("new", 5, **lan) == (0, "")
    assert site.check("old", 5, **lan) is site.check("new", 5, **lan) is None
    assert site.add("old", 5, **lan)[0] == 0
    assert site.check("old", 5, **lan) is site.check("new", 5, **lan) is None
    assert site.is_well("192.168.7.5: new-5 (eth0) of network new, old-5 (eth0) of network old")
    said = json.loads(site.node.doctor("-o", "json", "--conf-dir", site.conf)[1])
    assert [(each["name"], each["weight"]) for each in said["findings"]] == [("pod-address-of-two-networks", "note")]


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


@pytest.mark.parametrize("backend", ["nftables"], indirect=True)
def test_rules_in_the_other_back_end_that_no_record_tells_of(site):
    """No sync brings the lists in force against them."""
    assert site.add("old", 5) == (0, "")
    assert site.add("new", 6, backend="iptables")[0] == 0
    lose_records(site, "old")
    assert site.explain(6, KEPT_BY_OLD).endswith(f": of another network, which is in nftables: {SAME_BACKEND}\n")
    site.node.tool("sync")
    assert site.follows(6) == "old"


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
