"""ip-masq doctor: each state that hides pods, made for real, is found and named, and gone after its fix."""

import json
import re
import shutil
import subprocess

import pytest
from harness.daemons import Dockerd, Etcd, Flanneld
from harness.host import ROOT
from harness.masquerades import flannel, ip_masq_agent, put
from harness.network import Outside, ask, give
from harness.node import BINARY, Namespace

CLEAN = "nothing found that hides pods or could undo an exemption\n"
FLANNEL_NETWORK = {"Network": "10.244.0.0/16", "Backend": {"Type": "host-gw"}}
SUBNET_ENV = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ={}\n"


def doctor(host, *argv):
    """(exit status, what it says in JSON)"""
    done = subprocess.run(host.inside("env", f"PATH={host.env['PATH']}", host.bin / "ip-masq", "doctor", "-o", "json", *argv),
                          capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


def findings(host, *argv):
    """{name: finding}; the exit status says whether any hurts, the first line of the text how the node is."""
    status, said = doctor(host, *argv)
    found = said["findings"]
    assert said["notLooked"] == []
    assert status == (1 if any(each["weight"] == "hurts" for each in found) else 0), found
    assert host.tool("doctor", *argv, check=False).splitlines()[0] == said["summary"]
    assert all(each["fix"] and each["does"] and each["where"] for each in found)
    return {each["name"]: each for each in found}


def weights(host):
    return {name: each["weight"] for name, each in findings(host).items()}


def carry_out(host, *found):
    """Every line of a fix, pasted as it stands."""
    for finding in found:
        for line in finding["fix"]:
            host.run("sh", "-ec", line, env={**host.env, "PATH": f"{host.bin}:{host.env['PATH']}"})


@pytest.fixture
def pod():
    made = Namespace("pod")
    yield made
    made.close()


@pytest.fixture
def host(host):
    """As a node that is to have pods."""
    host.sysctl(net__ipv4__ip_forward=1)
    return host


@pytest.fixture
def site(host, pod):
    """A host with a pod of the shipped conflist, whose rules are right."""
    host.use_conflist("10-bridge-ip-masq.conflist")
    host.cnitool("add", "bridge-net", pod)
    return host


def test_a_clean_node(host):
    assert host.tool("doctor") == CLEAN
    assert host.run("cat", "/proc/net/ip_tables_names") == "", "looking at a legacy table makes it"


def test_a_node_with_pods(site):
    assert site.tool("doctor") == CLEAN
    assert findings(site) == {}


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_docker(host, daemons, kind):
    host.use_iptables(kind)
    daemons.append(Dockerd(host))
    found = findings(host)
    assert list(found) == ["docker-masquerade"]
    finding = found["docker-masquerade"]
    rule = "-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"
    assert len(finding["where"]) == 1 and finding["where"][0].endswith(rule)
    assert finding["fix"][0].startswith("# scripts/snat-off docker")
    carry_out(host, finding)
    assert findings(host) == {}
    daemons.pop().end()
    host.write("/etc/docker/daemon.json", '{"ip-masq": false}')
    daemons.append(Dockerd(host))
    assert findings(host) == {}
    host.run("iptables", "-t", "nat", "-A", "POSTROUTING", *rule.split(), env=host.env)
    finding = findings(host)["docker-masquerade"]
    assert finding["where"][1:] == ['/etc/docker/daemon.json has "ip-masq": false: the rules were left behind']
    assert len(finding["fix"]) == 1
    carry_out(host, finding)
    assert findings(host) == {}


def test_networks_that_users_of_docker_made(host, daemons):
    """daemon.json does not decide for them; a rule of one that is gone can go."""
    host.write("/etc/docker/daemon.json", '{"ip-masq": false}')
    daemons.append(Dockerd(host))
    network = host.run("docker", "-H", daemons[0].socket, "network", "create", "--subnet", "10.244.0.0/16", "mynet")[:12]
    rule = f"-s 10.244.0.0/16 ! -o br-{network} -j MASQUERADE"
    of_others = ["-s 192.168.50.0/24 ! -o br-lan -j MASQUERADE", "-s 10.0.0.0/8 ! -o docker0 -j MASQUERADE",
                 "-s 172.17.0.0/16 ! -o docker0 -m comment --comment mine -j MASQUERADE"]
    for each in of_others:
        host.run("iptables-legacy", "-t", "nat", "-A", "POSTROUTING", *each.split())
    finding = findings(host)["docker-masquerade"]
    assert finding["where"] == [f"iptables-legacy -t nat -A POSTROUTING {rule}"]
    assert finding["fix"] == [f"# daemon.json does not decide for the network of br-{network}: make it anew with what docker network inspect "
                              f"{network} shows, and -o com.docker.network.bridge.enable_ip_masquerade=false"]
    host.run("docker", "-H", daemons[0].socket, "network", "rm", "mynet")
    assert "docker-masquerade" not in findings(host)
    host.run("iptables-legacy", "-t", "nat", "-A", "POSTROUTING", *rule.split())
    finding = findings(host)["docker-masquerade"]
    assert finding["where"] == [f"iptables-legacy -t nat -A POSTROUTING {rule}",
                                '/etc/docker/daemon.json has "ip-masq": false: the rules were left behind']
    carry_out(host, finding)
    assert "docker-masquerade" not in findings(host)


def test_flanneld_in_nftables(host):
    """Left behind by one that was killed."""
    host.run("nft", "table ip flannel-ipv4 { chain postrtg { type nat hook postrouting priority srcnat; "
             "ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 counter masquerade; }; }")
    finding = findings(host)["flannel-masquerade"]
    assert finding["fix"] == ["nft flush chain ip flannel-ipv4 postrtg && nft delete chain ip flannel-ipv4 postrtg"]
    carry_out(host, finding)
    assert findings(host) == {}


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_flanneld(host, daemons, kind):
    host.use_iptables(kind)
    outside = Outside(host, ["10.9.9.9"], ["10.244.0.0/16"])
    try:
        daemons.append(Etcd(host, FLANNEL_NETWORK))
        daemons.append(Flanneld(host, "-ip-masq"))
        finding = findings(host)["flannel-masquerade"]
        assert finding["where"][-1] == "FLANNEL_IPMASQ=true in /run/flannel/subnet.env"
        assert any("-s 10.244.0.0/16 ! -d 224.0.0.0/4" in place for place in finding["where"])
        assert finding["fix"][0].startswith("# scripts/snat-off flannel")
        daemons.pop().end()
        daemons.append(Flanneld(host))
        assert findings(host) == {}
        daemons.pop().end()
        for program in ("iptables", "ip6tables"):
            host.run(program, "-t", "nat", "-X", "FLANNEL-POSTRTG", check=False, env=host.env)
        put(host, flannel, places=[f"iptables-{kind}"])  # as an older flanneld leaves them behind
        finding = findings(host)["flannel-masquerade"]
        carry_out(host, finding)
        assert findings(host) == {}
        assert "FLANNEL" not in host.run("iptables", "-t", "nat", "-S", env=host.env)
    finally:
        outside.close()


def test_the_trap_of_flannels_plugin(host, pod):
    """FLANNEL_IPMASQ=false, and a conflist that does not say ipMasq."""
    conf = json.loads((ROOT / "conf/10-flannel-ip-masq.conflist").read_text())
    del conf["plugins"][0]["delegate"]["ipMasq"]
    host.use_conflist(conf)
    host.write("/run/flannel/subnet.env", SUBNET_ENV.format("true"))
    assert list(findings(host)) == ["flannel-masquerade"]
    host.write("/run/flannel/subnet.env", SUBNET_ENV.format("false"))
    found = findings(host)
    assert list(found) == ["flannel-turns-bridge-masquerade-on"]
    assert found["flannel-turns-bridge-masquerade-on"]["where"] == [
        "/etc/cni/net.d/10-test.conflist: the flannel plugin's delegate does not say ipMasq",
        "FLANNEL_IPMASQ=false in /run/flannel/subnet.env"]
    host.cnitool("add", "cbr0", pod)
    assert list(findings(host)) == ["flannel-turns-bridge-masquerade-on", "bridge-masquerade"]
    host.cnitool("del", "cbr0", pod)
    host.use_conflist("10-flannel-ip-masq.conflist")
    host.cnitool("add", "cbr0", pod)
    assert findings(host) == {}


@pytest.mark.parametrize("plugin", ["bridge", "ptp"])
@pytest.mark.parametrize("kind, backend", [("legacy", "iptables"), ("nft", "iptables"), ("legacy", "nftables")])
def test_the_plugins_own_rules(host, pod, plugin, kind, backend):
    host.use_iptables(kind)
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.22.0.0/24"}], [{"subnet": "fd00:22::/64"}]]}
    extra = {"bridge": "cni0", "isGateway": True} if plugin == "bridge" else {}
    host.use_conflist({"cniVersion": "1.0.0", "name": "plain", "plugins": [
        {"type": plugin, "ipMasq": True, "ipMasqBackend": backend, "ipam": ipam, **extra}]})
    result = json.loads(host.cnitool("add", "plain", pod))
    found = findings(host)
    assert list(found) == ["bridge-masquerade"]
    places = found["bridge-masquerade"]["where"]
    for ip in result["ips"]:
        address = ip["address"].split("/")[0]
        assert any(f"-s {address}/" in place for place in places)
    assert found["bridge-masquerade"]["fix"] == [
        '# set "ipMasq": false in the conflist of network plain; rules of running pods go with them']

    # A cache that was lost tells of nobody's end.
    host.run("mv", "/var/lib/cni/results", "/var/lib/cni/moved")
    assert findings(host) == found
    host.run("mv", "/var/lib/cni/moved", "/var/lib/cni/results")

    # The pod goes, and nobody calls DEL; the runtime has others.
    pod.close()
    host.run("sh", "-c", "rm -r /var/lib/cni/results/*")
    host.write("/var/lib/cni/results/other-abc-eth0", json.dumps({"kind": "cniCacheV1", "networkName": "other", "containerId": "abc", "ifName": "eth0"}))
    found = findings(host)
    assert list(found) == ["bridge-masquerade-leftover"]
    assert found["bridge-masquerade-leftover"]["where"] == places
    carry_out(host, found["bridge-masquerade-leftover"])
    assert findings(host) == {}
    left = host.run("nft", "list", "ruleset") + host.save() + host.save(6)
    assert "10.22.0" not in left and "CNI-" not in left


@pytest.mark.parametrize("place", ["iptables-legacy", "iptables-nft"])
def test_ip_masq_agent(host, place):
    put(host, ip_masq_agent, places=[place])
    program = host.folder / "ip-masq-agent"
    shutil.copy("/usr/bin/sleep", program)
    agent = subprocess.Popen(host.inside(program, "infinity"))
    try:
        while "ip-masq-agent" not in host.run("sh", "-c", f"cat /proc/{agent.pid}/comm"):
            pass
        found = findings(host)
        assert list(found) == ["ip-masq-agent-running"]
        assert found["ip-masq-agent-running"]["where"][-1] == "a process ip-masq-agent runs"
    finally:
        agent.kill()
        agent.wait()
    found = findings(host)
    assert list(found) == ["ip-masq-agent-leftover"]
    carry_out(host, found["ip-masq-agent-leftover"])
    assert findings(host) == {}
    assert "IP-MASQ-AGENT" not in host.run("iptables-nft-save") + host.save() + host.save(6) + host.run("ip6tables-nft-save")


@pytest.mark.parametrize("place", ["iptables-legacy", "iptables-nft", "nft"])
def test_kube_proxys_masquerade_all(host, place):
    if place == "nft":
        host.run("nft", "-f", "-", input="""table ip kube-proxy {
            chain mark-for-masquerade { meta mark set mark or 0x4000; }
            chain service-ULMVA6XW-ns1/svc1/tcp/p80 {
              ip daddr 10.96.0.10 tcp dport 80 jump mark-for-masquerade
            }
            chain service-ULMVA6XW-ns1/svc2/tcp/p80 {
              ip daddr 10.96.0.11 tcp dport 80 ip saddr != 10.244.0.0/16 jump mark-for-masquerade
            }
        }""")
        where = "nft ip kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80 handle"
    else:
        host.restore_beside("""*nat
:KUBE-MARK-MASQ - [0:0]
:KUBE-SVC-AAAA - [0:0]
:KUBE-SVC-BBBB - [0:0]
-A KUBE-SVC-AAAA -d 10.96.0.10/32 -p tcp -m comment --comment "a cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-BBBB ! -s 10.244.0.0/16 -d 10.96.0.11/32 -p tcp -m comment --comment "b cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
COMMIT
""", program=place)
        where = "KUBE-SVC-AAAA"
    found = findings(host)
    assert list(found) == ["kube-proxy-masquerade-all"]
    first, count = found["kube-proxy-masquerade-all"]["where"]
    assert where in first
    assert count == "1 such rules in all"


def test_our_rules_restored_to_the_other_tables(site):
    """As where somebody moves a node from one iptables to the other by its own means."""
    site.use_iptables("nft")
    site.restore_beside(site.run("iptables-legacy-save", "-t", "nat"), program="iptables-nft")
    found = findings(site)
    [where] = found["rules-of-ours-copied"]["where"]
    assert re.sub(r"\d+", "N", where) == "nft ip nat POSTROUTING handle N: -m comment --comment 'ip-masq: pod egress' -j IP-MASQ-PODS"
    assert found["rules-of-ours-copied"]["weight"] == "held"
    carry_out(site, found["rules-of-ours-copied"])
    assert ":IP-MASQ" not in site.run("iptables-nft-save")
    assert "rules-of-ours-copied" not in findings(site)


# ---- what hurts, and what is held

EXEMPT, ELSEWHERE = "10.9.9.9", "203.0.113.9"


@pytest.fixture
def world(site, pod):
    """Two outside hosts that see what the site's pod sends, one in a listed network."""
    outside = [Outside(site, [ELSEWHERE], ["10.22.0.0/16"], 0), Outside(site, [EXEMPT], ["10.22.0.0/16"], 1)]
    site.outside = outside
    site.seen = lambda: tuple(ask(pod, f"tcp:{EXEMPT}", f"tcp:{ELSEWHERE}").values())
    site.right = site.seen()
    assert site.right[0].startswith("10.22.0.") and site.right[1] == Outside.NODE[4]
    yield site
    for each in outside:
        each.close()


def flanneld_masquerades(subnet):
    return ["-N FLANNEL-POSTRTG", "-A POSTROUTING -j FLANNEL-POSTRTG", f"-A FLANNEL-POSTRTG -s {subnet} ! -d 224.0.0.0/4 -j MASQUERADE"]


def restore(host, program, table, *rules):
    host.restore_beside("\n".join([f"*{table}", *rules, "COMMIT", ""]), program=program)


def test_flanneld_that_masquerades_is_held_until_its_rule_comes_first(world):
    restore(world, "iptables-legacy", "nat", *flanneld_masquerades("10.22.0.0/16"))
    world.write("/run/flannel/subnet.env", SUBNET_ENV.format("true").replace("10.244.0.0", "10.22.0.0").replace("10.244.1", "10.22.0"))
    world.run(world.bin / "ip-masq", "sync")
    status, said = doctor(world)
    assert (status, said["node"]) == (0, "well")
    assert said["summary"] == "no pod is hurt: 0 found that hurt, 1 held by our rules, 0 to note"
    assert weights(world) == {"flannel-masquerade": "held"}
    assert world.seen() == world.right
    world.run("iptables-legacy", "-t", "nat", "-I", "POSTROUTING", "-j", "FLANNEL-POSTRTG")
    assert world.seen()[0] != world.right[0]
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"jump-not-first": "hurts", "flannel-masquerade": "hurts"}
    assert found["jump-not-first"]["where"][1] == "above it: iptables-legacy -t nat -A POSTROUTING -j FLANNEL-POSTRTG"
    carry_out(world, found["jump-not-first"])
    assert world.seen() == world.right
    assert weights(world) == {"flannel-masquerade": "held"}


def test_nftables_chains_hurt_where_they_decide(world):
    world.run("nft", "-f", "-", input="table ip theirs { chain post { type nat hook postrouting priority srcnat; }; }")
    assert weights(world) == {"undone-by-nftables": "note"}
    world.run("nft", "add", "rule", "ip", "theirs", "post", "masquerade")
    assert world.seen()[0] != world.right[0]
    found = findings(world)
    assert found["undone-by-nftables"]["weight"] == "hurts"
    carry_out(world, found["undone-by-nftables"])
    assert world.seen() == world.right


def test_docker_is_no_matter_of_pods(site):
    restore(site, "iptables-legacy", "nat", "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE")
    assert weights(site) == {"docker-masquerade": "note"}
    restore(site, "iptables-legacy", "nat", "-A POSTROUTING -s 10.22.0.0/16 ! -o docker0 -j MASQUERADE")
    assert weights(site) == {"docker-masquerade": "held"}


# ---- what the runtime loads

PLAIN = {"cniVersion": "1.0.0", "name": "plain", "plugins": [{"type": "bridge", "bridge": "cni0", "ipam": {"type": "host-local"}}]}


def conflist(**entry):
    return {**PLAIN, "plugins": [*PLAIN["plugins"], {"type": "ip-masq", **entry}]}


def test_another_list_is_what_the_runtime_loads(site):
    site.write("/etc/cni/net.d/05-other.conflist", json.dumps(PLAIN))
    found = findings(site)
    assert list(found) == ["entry-missing"]
    assert found["entry-missing"]["where"] == [
        "/etc/cni/net.d/05-other.conflist is what the runtime loads, and has no entry of ip-masq",
        "/etc/cni/net.d/10-test.conflist has one, and comes later"]
    carry_out(site, found["entry-missing"])
    assert findings(site) == {}


def test_a_list_in_a_conf_is_not_loaded(host):
    host.write("/etc/cni/net.d/10-mine.conf", json.dumps(conflist()))
    host.write("/etc/cni/net.d/20-other.conflist", json.dumps(PLAIN))
    found = findings(host)
    assert {name: each["weight"] for name, each in found.items()} == {"entry-missing": "hurts"}
    assert found["entry-missing"]["where"][1].startswith("/etc/cni/net.d/10-mine.conf has one, and is not loaded: it is a list: ")
    carry_out(host, found["entry-missing"])
    assert "entry-missing" not in findings(host)


def test_flannels_list_without_our_entry(host):
    conf = json.loads((ROOT / "conf/10-flannel-ip-masq.conflist").read_text())
    conf["plugins"] = [plugin for plugin in conf["plugins"] if plugin["type"] != "ip-masq"]
    host.use_conflist(conf)
    found = findings(host)
    assert {name: each["weight"] for name, each in found.items()} == {"entry-missing": "note"}
    carry_out(host, found["entry-missing"])
    assert findings(host) == {}


def test_lists_that_others_than_the_runtime_of_pods_read(site):
    site.write("/etc/cni/net.d/01-podman.conflist", json.dumps({**PLAIN, "name": "podman"}))
    assert findings(site) == {}
    for keys in [{"type": "multus", "delegates": [conflist()]},
                 {"type": "multus-shim", "clusterNetwork": "/host/etc/cni/net.d/10-test.conflist"}]:
        site.write("/etc/cni/net.d/00-multus.conf", json.dumps({"cniVersion": "1.0.0", "name": "multus-cni-network", **keys}))
        assert findings(site) == {}
    site.write("/etc/cni/net.d/00-multus.conf", json.dumps({"cniVersion": "1.0.0", "name": "multus", "type": "multus", "delegates": [PLAIN]}))
    found = findings(site)
    assert list(found) == ["entry-missing"]
    assert found["entry-missing"]["where"] == [
        f'the list "{PLAIN["name"]}" that multus keeps in /etc/cni/net.d/00-multus.conf is what pods get, and has no entry of ip-masq',
        "/etc/cni/net.d/10-test.conflist has one"]


def test_pods_whose_end_nobody_told_of(site, pod):
    """The entry went before them, and with it their DEL."""
    site.tool("uninstall")
    assert findings(site)["entry-missing"]["does"].startswith("new pods of this node are not recorded: ")
    site.cnitool("del", "bridge-net", pod)
    found = findings(site)
    assert {name: each["weight"] for name, each in found.items()} == {"records-of-ended-pods": "hurts"}
    carry_out(site, *found.values())
    assert findings(site) == {} and json.loads(site.tool("show", "-o", "json"))["networks"] == []


@pytest.mark.parametrize("conf, reason", [
    ({**conflist(), "cniVersion": "0.2.0"}, '"cniVersion" is "0.2.0": ip-masq speaks 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0'),
    ({**conflist(), "plugins": [{"type": "ip-masq"}, *PLAIN["plugins"]]}, 'the entry of ip-masq comes before "bridge": '),
    (conflist(nonMasqueradeCIDRs="10.0.0.0/8"), "nonMasqueradeCIDRs"),
], ids=["version", "order", "key"])
def test_entries_that_every_add_refuses(host, conf, reason):
    host.use_conflist(conf)
    found = findings(host)
    assert {name: each["weight"] for name, each in found.items()} == {"entry-refused": "hurts"}
    (where,) = found["entry-refused"]["where"]
    assert where.startswith("/etc/cni/net.d/10-test.conflist: ") and reason in where
    carry_out(host, found["entry-refused"])
    host.use_conflist(conflist())
    assert findings(host) == {}


def test_a_file_that_is_no_network_comes_first(host):
    host.use_conflist(conflist())
    host.write("/etc/cni/net.d/01-odd.conf", "{")
    assert weights(host) == {"file-in-the-way": "note"}


def test_the_program_is_missing(host):
    host.use_conflist(conflist())
    host.run("rm", "/opt/cni/bin/ip-masq")
    status, said = json.loads(host.run("sh", "-c", f"{BINARY} doctor -o json; echo", check=False)), None
    found = {each["name"]: each for each in status["findings"]}
    assert list(found) == ["program-missing"]
    host.run("sh", "-ec", found["program-missing"]["fix"][0].replace("ip-masq", str(BINARY), 1))
    assert findings(host) == {}
    assert list(findings(host, "--bin-dir", "/nowhere")) == []


def test_folders_of_plugins_that_others_use(host):
    """The runtime of k3s looks in a folder of its own; Debian's has plugins of the same names."""
    host.use_conflist(conflist())
    other, program = "/usr/lib/cni", "/usr/lib/cni/ip-masq"
    host.run("sh", "-ec", f"cp /opt/cni/bin/bridge {other}")
    found = findings(host)
    assert {name: each["weight"] for name, each in found.items()} == {"program-missing": "note"}
    assert found["program-missing"]["where"] == [f"no program {program}, which /etc/cni/net.d/10-test.conflist asks for"]
    host.run("sh", "-ec", "rm /opt/cni/bin/bridge")  # ours alone is there
    assert weights(host) == {"program-missing": "hurts"}


def test_a_folder_of_conflists_that_is_not_there(site):
    status, said = doctor(site, "--conf-dir", "/etc/cni/nett.d")
    assert (status, said["node"]) == (3, "not known")
    assert any("/etc/cni/nett.d" in line for line in said["notLooked"])


# ---- what is configured

def test_a_broken_file_and_a_misspelt_key_before_the_first_pod(host):
    host.use_conflist(conflist(nonMasqueradeCIDR=["10.0.0.0/8"]))
    host.write("/etc/config/ip-masq-agent", "nonMasqueradeCIDRs: [10.0.0.0/33]\n")
    found = findings(host)
    assert list(found) == ["config-wrong", "key-misspelt"]
    assert found["config-wrong"]["where"][0].startswith("plain: /etc/config/ip-masq-agent, line 1: ")
    assert found["config-wrong"]["does"] == "nothing good is known of it: an ADD fails, and no pod of these networks starts"
    assert 'did you mean "nonMasqueradeCIDRs"?' in found["key-misspelt"]["where"][0]
    host.run("rm", "/etc/config/ip-masq-agent")
    host.use_conflist(conflist())
    assert findings(host) == {}


def test_no_forwarding_before_the_first_pod(host):
    host.sysctl(net__ipv4__ip_forward=0)
    assert weights(host) == {"ip-forward-off": "note"}
    host.use_conflist(conflist())
    assert weights(host) == {"ip-forward-off": "hurts"}


def configure(site, pod, **entry):
    """The site's pod again, under other keys."""
    site.cnitool("del", "bridge-net", pod)
    conf = json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text())
    conf["plugins"][-1].update(entry)
    site.use_conflist(conf)
    site.cnitool("add", "bridge-net", pod)


@pytest.mark.parametrize("lists", [["0.0.0.0/0"], ["0.0.0.0/1", "128.0.0.0/1"], ["10.0.0.0/8", "0.0.0.0/0"]])
def test_everything_is_exempt(world, pod, lists):
    configure(world, pod, nonMasqueradeCIDRs=lists)
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"everything-exempt": "hurts"}
    assert found["everything-exempt"]["where"][0].startswith("0.0.0.0/0 keeps the addresses of pods of network bridge-net")


def test_snat_to_an_address_that_nobody_has(world, pod):
    configure(world, pod, snatTo=["198.18.0.77"])
    assert weights(world) == {"snat-to-elsewhere": "hurts"}
    assert world.seen()[1] is None
    world.run("ip", "address", "add", "198.18.0.77/24", "dev", "uplink0")
    assert findings(world) == {}
    assert world.seen()[1] == "198.18.0.77"


def test_snat_to_an_address_of_another_uplink(world, pod):
    configure(world, pod, snatTo=["198.18.1.1"])
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"snat-to-other-uplink": "note"}
    assert found["snat-to-other-uplink"]["where"] == [
        "198.18.1.1, snatTo of network bridge-net, is on uplink1; the default route leads out by uplink0"]


def test_pods_outside_flannels_network(host, pod):
    host.use_conflist("10-flannel-ip-masq.conflist")
    host.write("/run/flannel/subnet.env", SUBNET_ENV.format("false"))
    host.cnitool("add", "cbr0", pod)
    assert findings(host) == {}
    host.write("/run/flannel/subnet.env", SUBNET_ENV.format("false").replace("10.244", "10.245"))
    host.run(host.bin / "ip-masq", "sync")
    found = findings(host)
    assert found["pods-outside-flannel-network"]["where"] == [
        "10.244.1.0/24 of network cbr0 lies outside flannel's networks (/run/flannel/subnet.env)"]


# ---- where records are

def test_a_state_folder_that_cannot_be_written_to(host):
    host.run("mount", "-o", "remount,ro", "/run/cni")
    found = findings(host)
    assert {name: each["weight"] for name, each in found.items()} == {"state-dir-unusable": "hurts"}
    host.run("mount", "-o", "remount,rw", "/run/cni")
    assert findings(host) == {}


def test_a_state_folder_of_somebody_else(site):
    site.run("chown", "nobody", "/run/cni/ip-masq")
    found = findings(site)
    assert {name: each["weight"] for name, each in found.items()} == {"state-dir-unusable": "hurts"}  # what could not be read is not lost
    assert "/run/cni/ip-masq" in found["state-dir-unusable"]["where"][0]
    site.run("chown", "root", "/run/cni/ip-masq")
    assert findings(site) == {}


# ---- what passes the node

DROPPING = {
    "docker": ("iptables-legacy", ["-P FORWARD DROP", "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                                   "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT"]),
    "ufw": ("iptables-nft", ["-P FORWARD DROP", "-N ufw-before-forward", "-A FORWARD -j ufw-before-forward",
                             "-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                             "-A ufw-before-forward -p icmp -m icmp --icmp-type 8 -j ACCEPT"]),
    "a rule": ("iptables-legacy", ["-A FORWARD -i cni0 -j REJECT"]),
    "no answers": ("iptables-legacy", ["-P FORWARD DROP", "-A FORWARD -i cni0 -j ACCEPT"]),
}


def put_rules(host, program, table, rules):
    for rule in rules:
        host.run(program, "-t", table, *rule.split())


@pytest.mark.parametrize("name", DROPPING)
def test_forward_drops_pods(world, name):
    put_rules(world, DROPPING[name][0], "filter", DROPPING[name][1])
    assert world.seen() == (None, None)
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"forward-drops-pods": "hurts"}
    carry_out(world, found["forward-drops-pods"])
    assert findings(world) == {}
    assert world.seen() == world.right


@pytest.mark.parametrize("state", ["ct state established,related accept", "ct state vmap { established : accept, related : accept, invalid : drop }"])
def test_an_nft_forward_chain_with_policy_drop(world, state):
    world.run("nft", "-f", "-", input="table inet my-filter { chain input-filter { type filter hook forward priority filter; policy drop; %s; }; }" % state)
    assert world.seen() == (None, None)
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"forward-drops-pods": "hurts"}
    assert found["forward-drops-pods"]["where"] == ["nft chain inet my-filter input-filter: policy drop"]
    carry_out(world, found["forward-drops-pods"])
    assert findings(world) == {}
    assert world.seen() == world.right


@pytest.mark.parametrize("rules", [
    ["-P FORWARD DROP", "-A FORWARD -s 10.22.0.0/16 -j ACCEPT", "-A FORWARD -d 10.22.0.0/16 -j ACCEPT"],  # flanneld's
    ["-P FORWARD DROP", "-A FORWARD -i cni0 -j ACCEPT", "-A FORWARD -m state --state ESTABLISHED,RELATED -j ACCEPT"],
    ["-A FORWARD -m conntrack --ctstate INVALID -j DROP", "-A FORWARD -i uplink+ -s 10.22.0.0/24 -j DROP"]])
def test_forward_chains_that_let_pods_through(world, rules):
    put_rules(world, "iptables-legacy", "filter", rules)
    assert world.seen() == world.right
    assert findings(world) == {}


def put_chain(host, family, hook, *rules):
    host.run("nft", "-f", "-", input="table %s theirs { chain base { type filter hook %s; %s; }; }" % (family, hook, "; ".join(rules)))


def heard(host, pod):
    """Whether the listed host and the other one answer, by TCP and by UDP."""
    return tuple(bool(seen) for seen in ask(pod, *(f"{protocol}:{to}" for protocol in ("tcp", "udp") for to in (EXEMPT, ELSEWHERE))).values())


ALL, TCP_DEAD, UDP_DEAD, NONE = (True,) * 4, (False, False, True, True), (True, True, False, False), (False,) * 4

# Where and how packets of pods, or the answers, are dropped: what still answers, and what doctor names.
DROPPING_NFT = {
    "new connections": ("inet", "forward priority 0", ["iifname cni0 ct state new drop"], NONE),
    "what is not established": ("inet", "forward priority 0", ["ct state established accept", "ct state new,invalid drop"], NONE),
    "a map of states": ("inet", "forward priority 0", ["ct state vmap { established : accept, new : drop }"], NONE),
    "a set of states": ("inet", "forward priority 0", ["ct state { new, untracked } drop"], NONE),
    "answers by their state": ("inet", "forward priority 0", ["ct state established drop"], NONE),
    "what is not new": ("inet", "forward priority 0; policy drop", ["ct state new accept"], NONE),
    "UDP": ("inet", "forward priority 0", ["meta l4proto udp drop"], UDP_DEAD),
    "UDP by its header": ("ip", "forward priority 0", ["ip protocol udp reject"], UDP_DEAD),
    "TCP that begins": ("inet", "forward priority 0", ["tcp flags & (syn | ack) == syn drop"], TCP_DEAD),
    "prerouting": ("inet", "prerouting priority -150", ["iifname cni0 drop"], NONE),
    "both protocols, answers, prerouting": ("inet", "prerouting priority 0", ["iifname { uplink0, uplink1 } meta l4proto { tcp, udp } drop"], NONE),
    "invalid before tracking": ("inet", "prerouting priority -300", ["iifname cni0 ct state invalid drop"], NONE),
    "postrouting": ("inet", "postrouting priority 0", ["ip saddr 10.22.0.0/16 drop"], NONE),
    "behind NAT": ("inet", "postrouting priority 300", ["oifname { uplink0, uplink1 } ip saddr 198.18.0.0/15 drop"], (True, False, True, False)),
    "what leaves untranslated": ("inet", "postrouting priority 300", ["oifname uplink1 ip saddr 10.22.0.0/16 drop"], (False, True, False, True)),
    "ingress of the bridge": ("netdev", "ingress device cni0 priority 0", ["drop"], NONE),
    "the bridge family": ("bridge", "input priority 0", ["ip saddr 10.22.0.0/16 drop"], NONE),
    "what is not the uplink's": ("inet", "forward priority 0", ["oifname uplink0 ip saddr != 198.18.0.0/24 drop"], (True, False, True, False)),
    "a chain further on": ("inet", "forward priority 0", ["iifname vmap { cni0 : drop }"], NONE),
}


@pytest.mark.parametrize("name", DROPPING_NFT)
def test_drops_wherever_packets_pass(world, pod, name):
    family, hook, rules, answered = DROPPING_NFT[name]
    put_chain(world, family, hook, *rules)
    assert heard(world, pod) == answered
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"forward-drops-pods": "hurts"}
    alone = {UDP_DEAD: " (UDP alone)", TCP_DEAD: " (TCP alone)"}.get(answered, "")
    assert all(line.endswith(alone) and "alone" not in line.removesuffix(alone) for line in found["forward-drops-pods"]["where"])
    carry_out(world, found["forward-drops-pods"])
    assert findings(world) == {}
    assert heard(world, pod) == ALL


@pytest.mark.parametrize("program", ["iptables-legacy", "iptables-nft"])
@pytest.mark.parametrize("table, rule, answered", [
    ("filter", "-A FORWARD -m conntrack --ctstate NEW -j DROP", NONE), ("filter", "-A FORWARD -m state ! --state RELATED,ESTABLISHED -j REJECT", NONE),
    ("filter", "-A FORWARD -p udp -m udp -j DROP", UDP_DEAD), ("filter", "-A FORWARD -p tcp --syn -j DROP", TCP_DEAD),
    ("raw", "-A PREROUTING -i cni0 -j DROP", NONE), ("raw", "-A PREROUTING -i uplink+ -j DROP", NONE),
    ("mangle", "-A FORWARD -i cni0 -j DROP", NONE), ("mangle", "-A POSTROUTING -s 10.22.0.0/16 -j DROP", NONE), ("mangle", "-P PREROUTING DROP", NONE)])
def test_drops_of_iptables_wherever_packets_pass(world, pod, program, table, rule, answered):
    put_rules(world, program, table, [rule])
    assert heard(world, pod) == answered
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"forward-drops-pods": "hurts"}
    carry_out(world, found["forward-drops-pods"])
    assert findings(world) == {}
    assert heard(world, pod) == ALL


FIREWALL = "ct state vmap { established : accept, related : accept, invalid : drop }"


@pytest.mark.parametrize("family, hook, rules", [
    ("inet", "forward priority 0; policy drop", ["ct state established,related accept", "iifname cni0 ct state new accept"]),
    ("inet", "forward priority 0; policy drop", ["ct state vmap { established : accept, related : accept, new : accept }"]),
    ("inet", "forward priority 0; policy drop", [FIREWALL, "iifname { cni0, docker0 } accept"]),
    ("inet", "forward priority 0; policy drop", [FIREWALL, "iifname cni0 meta l4proto { tcp, udp } accept"]),
    ("inet", "forward priority 0; policy drop", [FIREWALL, "iifname vmap { cni0 : accept, docker0 : drop }"]),
    ("ip", "forward priority 0; policy drop", ["ct state != new accept", "ip saddr 10.22.0.0/16 counter accept"]),
    ("inet", "forward priority 0", ["ct state invalid drop", "tcp flags & (fin | syn | rst | ack) != syn ct state new drop"]),
    ("inet", "prerouting priority 0", ["ct state invalid drop", "fib saddr . iif oif missing drop"]),
    ("inet", "prerouting priority -300", ["ct state new drop"]),  # nothing is new before it is tracked
    ("netdev", "ingress device uplink0 priority 0", ["ip saddr 10.22.0.0/24 drop"]),
    ("bridge", "forward priority 0", ["drop"]),
    ("inet", "forward priority 0", ["ip protocol icmp drop"])])
def test_firewalls_that_let_pods_through(world, pod, family, hook, rules):
    put_chain(world, family, hook, *rules)
    assert heard(world, pod) == ALL
    assert findings(world) == {}


@pytest.mark.parametrize("rule", ["limit rate over 1/hour burst 1 packets drop", "tcp dport 25 drop", "ip daddr 203.0.113.77 drop", "meta length 1-9999 drop"])
def test_what_may_be_dropped_is_a_note(world, rule):
    put_chain(world, "inet", "forward priority 0", f"iifname cni0 {rule}")
    assert weights(world) == {"forward-drops-pods": "note"}
    for line in findings(world)["forward-drops-pods"]["fix"]:
        assert line.startswith("# ")


def test_what_may_be_dropped_hides_no_drop_of_all(world, pod):
    put_chain(world, "inet", "forward priority 0; policy drop", "iifname cni0 tcp dport 25 drop")
    assert heard(world, pod) == NONE
    hurting, note = doctor(world)[1]["findings"]
    assert (hurting["name"], hurting["weight"], hurting["where"]) == ("forward-drops-pods", "hurts", ["nft chain inet theirs base: policy drop"])
    assert (note["name"], note["weight"]) == ("forward-drops-pods", "note")


@pytest.mark.parametrize("interface, answered", [("cni0", NONE), ("uplink0", (True, False, True, False))])
def test_an_interface_that_does_not_forward(world, pod, interface, answered):
    world.run("sysctl", "-qw", f"net.ipv4.conf.{interface}.forwarding=0")
    assert heard(world, pod) == answered
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"interface-forwarding-off": "hurts"}
    assert found["interface-forwarding-off"]["where"] == [f"net/ipv4/conf/{interface}/forwarding = 0"]
    carry_out(world, found["interface-forwarding-off"])
    assert findings(world) == {}
    assert heard(world, pod) == ALL


# Rules and routes that lead what pods send nowhere: what still answers, and what doctor says.
NO_WAY = {
    "a rule for the pods": (["rule", "add", "from", "10.22.0.0/16", "prohibit"], NONE,
                            "from 10.22.0.0/24 to where no route of its own leads: ip rule 59: from 10.22.0.0/16 prohibit"),
    "a rule of one interface": (["rule", "add", "iif", "cni0", "priority", "50", "blackhole"], NONE,
                                "from 10.22.0.0/24 to where no route of its own leads: ip rule 50: from all iif cni0 blackhole"),
    "a route inside a list": (["route", "add", "blackhole", f"{EXEMPT}/32", "table", "100"], (False, True, False, True),
                              f"from 10.22.0.0/24 to {EXEMPT}/32: ip route: blackhole {EXEMPT}/32 table 100"),
    "unreachable": (["route", "add", "unreachable", f"{EXEMPT}/32", "table", "100"], (False, True, False, True),
                    f"from 10.22.0.0/24 to {EXEMPT}/32: ip route: unreachable {EXEMPT}/32 table 100"),
    "prohibit": (["route", "add", "prohibit", f"{EXEMPT}/32", "table", "100"], (False, True, False, True),
                 f"from 10.22.0.0/24 to {EXEMPT}/32: ip route: prohibit {EXEMPT}/32 table 100"),
}


@pytest.mark.parametrize("name", NO_WAY)
def test_no_way(world, pod, name):
    command, answered, where = NO_WAY[name]
    world.run("ip", "rule", "add", "priority", "60", "lookup", "100")
    world.run("ip", *command)
    assert heard(world, pod) == answered
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"pods-have-no-way": "hurts"}
    assert found["pods-have-no-way"]["where"] == [where]
    intro, fix = found["pods-have-no-way"]["fix"]
    assert fix.startswith("# ")
    world.run(*fix[2:].split())
    assert findings(world) == {}
    assert heard(world, pod) == ALL


def test_no_default_route_is_a_note_where_others_lead_on(world, pod):
    world.run("ip", "route", "del", "default")
    assert heard(world, pod) == (True, False, True, False)
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"pods-have-no-way": "note"}
    assert found["pods-have-no-way"]["where"] == ["from 10.22.0.0/24 to where no route of its own leads: no route leads there"]


def test_no_route_to_what_a_list_names(world, pod):
    configure(world, pod, nonMasqueradeCIDRs=["10.9.0.0/16", "172.31.0.0/16"])
    assert findings(world) == {}
    world.run("ip", "route", "del", "default")
    hurting, note = doctor(world)[1]["findings"]
    assert (hurting["weight"], hurting["where"], hurting["fix"][1:]) == (
        "hurts", ["from 10.22.0.0/24 to 172.31.0.0/16: no route leads there"], ["# ip route add 172.31.0.0/16 via ROUTER"])
    assert (note["weight"], note["fix"][1:]) == ("note", ["# ip route add default via ROUTER"])


@pytest.mark.parametrize("route", [["blackhole", "10.22.0.0/16"], ["unreachable", "203.0.113.77"]])
def test_routes_that_refuse_what_pods_do_not_miss(world, route):
    world.run("ip", "route", "add", *route)
    assert findings(world) == {}


# Answers to masqueraded pods that conntrack does not find again.
@pytest.mark.parametrize("program, rule", [
    ("nft", "iifname cni0 ct zone set 7"), ("nft", "iifname { uplink0, uplink1 } ct zone set 7"), ("nft", "iifname { uplink0, uplink1 } notrack"),
    ("iptables-legacy", "-i cni0 -j CT --zone 7"), ("iptables-legacy", "-i uplink+ -j CT --notrack"),
    ("iptables-nft", "-i cni0 -j CT --zone 7"), ("iptables-nft", "-i uplink+ -j NOTRACK")])
def test_answers_that_are_not_found_again(world, pod, program, rule):
    if program == "nft":
        put_chain(world, "inet", "prerouting priority raw", rule)
    else:
        put_rules(world, program, "raw", [f"-A PREROUTING {rule}"])
    assert heard(world, pod) == (True, False, True, False)
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"forward-drops-pods": "hurts"}
    carry_out(world, found["forward-drops-pods"])
    assert findings(world) == {}
    assert heard(world, pod) == ALL


@pytest.mark.parametrize("rules", [
    ["iifname { cni0, uplink0, uplink1 } ct zone set 7"], ["iifname cni0 ct original zone set 7"], ["iifname cni0 ct zone set 0"],
    ["iifname cni0 ct zone set 7", "iifname { uplink0, uplink1 } ct zone set 7"]])
def test_zones_that_both_ways_share(world, pod, rules):
    put_chain(world, "inet", "prerouting priority raw", *rules)
    assert heard(world, pod) == ALL
    assert findings(world) == {}


def test_a_forward_chain_that_lets_some_through(world):
    put_rules(world, "iptables-legacy", "filter", ["-P FORWARD DROP", "-A FORWARD -i cni0 -d 10.0.0.0/8 -j ACCEPT",
                                                   "-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT"])
    assert weights(world) == {"forward-drops-pods": "note"}
    assert world.seen() == (world.right[0], None)


# ---- what runs out

def test_source_ports_that_are_used_up(world, pod):
    configure(world, pod, toPorts="2000-2002")
    world.run("conntrack", "-F")
    code = ("import socket, sys; ss=[socket.create_connection(('%s', 7007), 5) for _ in range(3)]; print('up', flush=True); sys.stdin.read()" % ELSEWHERE)
    holder = subprocess.Popen(pod.inside("python3", "-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "up\n"
        found = findings(world)
        assert found["source-ports-used-up"]["weight"] == "hurts"
        assert found["source-ports-used-up"]["where"][0] == (
            f"tcp from {Outside.NODE[4]} to {ELSEWHERE} port 7007: 3 of 3 source ports are in use, network bridge-net")
        assert world.seen()[1] is None
        assert any("insert_failed" in line for line in findings(world)["source-ports-used-up"]["where"])
    finally:
        holder.communicate("")
    world.run("conntrack", "-F")
    assert weights(world) == {"connections-not-inserted": "note"}


def test_forty_interfaces_are_one_line(site):
    site.run("sh", "-ec", "for i in $(seq 40); do ip link add veth-a$i type veth peer name veth-b$i; done; sysctl -qw net.ipv4.conf.all.rp_filter=1")
    found = findings(site)
    assert found["rp-filter-strict"]["weight"] == "note"
    (where,) = found["rp-filter-strict"]["where"]
    assert where.startswith("rp_filter = 1 of ") and where.endswith(" and others")
    assert len(site.tool("doctor").splitlines()) == 4
    carry_out(site, found["rp-filter-strict"])
    assert findings(site) == {}


def test_packets_that_a_strict_interface_has_dropped(world):
    """From an address that the node reaches by another of its uplinks."""
    world.sysctl(net__ipv4__conf__all__rp_filter=1)
    assert weights(world) == {"rp-filter-strict": "note"}
    elsewhere = world.outside[0].namespace
    give(elsewhere, "lo", f"{EXEMPT}/32")
    elsewhere.run("python3", "-c", "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('%s', 0)); s.sendto(b'x', ('%s', 7007))"
                  % (EXEMPT, Outside.NODE[4]))
    found = findings(world)
    assert {name: each["weight"] for name, each in found.items()} == {"rp-filter-strict": "hurts"}
    assert found["rp-filter-strict"]["where"][1].endswith(" packets were dropped so since the start (IPReversePathFilter)")


# ---- what cannot be looked at

def test_what_cannot_be_looked_at_is_said(site):
    argv = ["strace", "-f", "-o", "/dev/null", "-e", "inject=socket:error=EMFILE", site.bin / "ip-masq", "doctor"]
    done = subprocess.run(site.inside(*argv), capture_output=True, text=True, env={**site.env, "ASAN_OPTIONS": "detect_leaks=0"})
    assert (done.returncode, done.stderr) == (3, "")
    first, *rest = done.stdout.splitlines()
    assert first.startswith("nothing found that hides pods or could undo an exemption; could not look at ")
    assert rest and all(line.startswith("could not look: ") and "Too many open files" in line for line in rest)


def test_a_conflist_that_cannot_be_read(site):
    argv = ["strace", "-f", "-o", "/dev/null", "-P", "/etc/cni/net.d/10-test.conflist", "-e", "inject=openat:error=EIO",
            site.bin / "ip-masq", "doctor", "-o", "json"]
    done = subprocess.run(site.inside(*argv), capture_output=True, text=True, env={**site.env, "ASAN_OPTIONS": "detect_leaks=0"})
    said = json.loads(done.stdout)
    assert (done.returncode, said["node"], said["findings"]) == (3, "not known", [])
    assert said["notLooked"] == ["cannot read /etc/cni/net.d/10-test.conflist: cannot open it: Input/output error"]


# ---- ours

def test_the_jump_that_is_not_first(site):
    site.run("iptables-legacy", "-t", "nat", "-I", "POSTROUTING", "-s", "192.0.2.0/24", "-j", "RETURN")
    found = findings(site)
    assert list(found) == ["jump-not-first"]
    carry_out(site, found["jump-not-first"])
    assert findings(site) == {}


def test_damaged_rules(site):
    site.run("iptables-legacy", "-t", "nat", "-F", "IP-MASQ-PODS")
    found = findings(site)
    assert list(found) == ["rules-not-right"]
    assert found["rules-not-right"]["where"][0].startswith("iptables: missing: -A IP-MASQ-PODS -m mark")
    carry_out(site, found["rules-not-right"])
    assert findings(site) == {}


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_rules_that_nothing_needs(host, kind):
    if kind == "nft":
        host.run("nft", "-f", "-", input="table inet ip-masq { chain postrouting { type nat hook postrouting priority srcnat - 5; }; }")
    else:
        restore(host, "iptables-legacy", "nat", ":IP-MASQ-PODS -", '-A POSTROUTING -m comment --comment "ip-masq: pod egress" -j IP-MASQ-PODS')
    found = findings(host)
    assert {name: each["weight"] for name, each in found.items()} == {"rules-left-behind": "note"}
    carry_out(host, found["rules-left-behind"])
    assert findings(host) == {}
    assert "ip-masq" not in host.run("nft", "list", "ruleset") and "ip-masq" not in host.run("iptables-legacy-save")


def test_a_damaged_record(site):
    site.write("/run/cni/ip-masq/bridge-net/gone:eth0", "{")
    found = findings(site)
    assert list(found) == ["record-damaged"]
    assert found["record-damaged"]["where"][0].startswith("bridge-net: /run/cni/ip-masq/bridge-net/gone:eth0 is damaged: ")


def test_rules_in_the_wrong_place(site):
    site.run("nft", "-f", "-", input="table ip theirs { chain post { type nat hook postrouting priority srcnat; }; }")
    found = findings(site)
    assert list(found) == ["undone-by-nftables"]
    assert found["undone-by-nftables"]["where"] == ["nft chain ip theirs post, priority 100"]
    carry_out(site, found["undone-by-nftables"])
    assert findings(site) == {}


def test_a_chain_before_ours(host, pod):
    host.run("nft", "-f", "-", input="table ip theirs { chain post { type nat hook postrouting priority 90; }; }")
    host.use_conflist("10-bridge-ip-masq.conflist")
    host.cnitool("add", "bridge-net", pod)
    found = findings(host)
    assert list(found) == ["nat-chain-before-ours"]
    assert found["nat-chain-before-ours"]["where"] == ["nft chain ip theirs post, priority 90"]


def test_both_kinds_of_iptables(host):
    host.run("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-s", "192.0.2.0/24", "-j", "MASQUERADE")
    host.run("iptables-legacy", "-t", "nat", "-A", "POSTROUTING", "-s", "192.0.2.0/24", "-j", "MASQUERADE")
    found = findings(host)
    assert list(found) == ["both-iptables-in-use"]
    assert found["both-iptables-in-use"]["where"] == [
        "nft chain ip nat POSTROUTING, priority 100", "iptables-legacy -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE"]


@pytest.mark.parametrize("setting, value, name", [
    ("net.ipv4.ip_forward", 0, "ip-forward-off"), ("net.ipv6.conf.all.forwarding", 0, "ipv6-forwarding-off"),
    ("net.ipv4.conf.cni0.rp_filter", 1, "rp-filter-strict")])
def test_settings_of_the_kernel(site, setting, value, name):
    site.run("sysctl", "-qw", f"{setting}={value}")
    found = findings(site)
    assert list(found) == [name]
    assert found[name]["where"] == [f"{setting} = {value}"]
    carry_out(site, found[name])
    assert findings(site) == {}


def test_a_kernel_without_the_tables(site):
    argv = ["strace", "-f", "-o", "/dev/null", "-e", "inject=getsockopt:error=ENOENT", site.bin / "ip-masq", "doctor", "-o", "json"]
    done = subprocess.run(site.inside(*argv), capture_output=True, text=True, env={**site.env, "ASAN_OPTIONS": "detect_leaks=0"})
    found = json.loads(done.stdout)["findings"]
    assert [each["name"] for each in found] == ["kernel-module-missing"]
    assert found[0]["where"] == ["the nat table of iptables is not available (No such file or directory)"]
