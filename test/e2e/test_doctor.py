"""ip-masq doctor: each state that hides pods, made for real, is found and named, and gone after its fix."""

import json
import shutil
import subprocess

import pytest
from harness.daemons import Dockerd, Etcd, Flanneld
from harness.host import ROOT
from harness.masquerades import flannel, ip_masq_agent, put
from harness.network import Outside
from harness.node import Namespace

CLEAN = "nothing found that hides pods or could undo an exemption\n"
FLANNEL_NETWORK = {"Network": "10.244.0.0/16", "Backend": {"Type": "host-gw"}}
SUBNET_ENV = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ={}\n"


def findings(host):
    """{name: finding}; the exit status says whether there are any."""
    found = json.loads(host.tool("doctor", "-o", "json", check=False))["findings"]
    done = subprocess.run(host.inside("env", f"PATH={host.env['PATH']}", host.bin / "ip-masq", "doctor"), capture_output=True)
    assert done.returncode == (1 if found else 0)
    assert all(each["fix"] and each["does"] and each["where"] for each in found)
    return {each["name"]: each for each in found}


def carry_out(host, finding):
    """What of a fix is a command to be run as it is."""
    programs = ("iptables", "ip6tables", "nft ", "sysctl", "ip-masq ")
    for command in finding["fix"]:
        if command.startswith(programs):
            host.run("sh", "-ec", command.split(", and")[0], env={**host.env, "PATH": f"{host.bin}:{host.env['PATH']}"})


@pytest.fixture
def pod():
    made = Namespace("pod")
    yield made
    made.close()


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
    assert finding["fix"][0].startswith("scripts/snat-off docker")
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
        assert finding["fix"][0].startswith("scripts/snat-off flannel")
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
        'set "ipMasq": false in the conflist of network plain; rules of running pods go with them']

    # The pod goes, and nobody calls DEL.
    pod.close()
    host.run("sh", "-c", "rm -r /var/lib/cni/results/*")
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
