"""Those who masquerade beside us, for real: each is found and named, and gone after its fix; and what of them hurts pods now, or is held by our rules."""

import json
import re
import shutil
import subprocess

import pytest
from harness.daemons import Dockerd, Etcd, Flanneld
from harness.doctor import SUBNET_ENV, carry_out, doctor, findings, restore, weights
from harness.host import ROOT
from harness.masquerades import flannel, ip_masq_agent, put
from harness.network import Outside

FLANNEL_NETWORK = {"Network": "10.244.0.0/16", "Backend": {"Type": "host-gw"}}


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


# ---- what hurts, and what is held

def flanneld_masquerades(subnet):
    return ["-N FLANNEL-POSTRTG", "-A POSTROUTING -j FLANNEL-POSTRTG", f"-A FLANNEL-POSTRTG -s {subnet} ! -d 224.0.0.0/4 -j MASQUERADE"]


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
