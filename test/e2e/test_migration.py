"""conf/guides/migration.md, and what it says of the agent, command by command, with a pod that runs meanwhile."""

import json
import re

import pytest
from harness.daemons import Etcd, Flanneld
from harness.guides import commands
from harness.host import ROOT
from harness.network import Outside, ask
from harness.node import BINARY, Namespace

LISTED, OTHER = "100.64.0.9", "203.0.113.9"
POD_NETWORK = "10.244.0.0/16"
KUBENET = ["-m", "comment", "--comment", "kubenet: SNAT for outbound traffic from cluster", "-m", "addrtype", "!", "--dst-type", "LOCAL",
           "!", "-d", "100.64.0.0/10", "-j", "MASQUERADE"]
DROP_IN = """[Service]
Environment="KUBELET_EXTRA_ARGS=--node-ip=198.18.0.1 --non-masquerade-cidr=100.64.0.0/10"
"""
DROP_IN_FILE = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"
UNIT = "[Service]\nExecStart=/usr/bin/flanneld --ip-masq --etcd-prefix=/coreos.com/network\n"
MAY_FAIL = ("grep", "/opt/cni/bin/ip-masq doctor")  # where a file is not there; where something is found
KUBELET, FLANNELD = "From kubelet's `--non-masquerade-cidr`", "From flanneld's `--ip-masq`"


class Site:
    """A node with flannel's own conflist, in which a pod runs."""

    def __init__(self, host):
        self.host = host
        host.use_iptables("nft")
        self.outside = Outside(host, [LISTED, OTHER], [POD_NETWORK])

    def start_pod(self):
        conf = json.loads((ROOT / "conf/10-flannel-ip-masq.conflist").read_text())
        self.host.use_conflist({**conf, "plugins": conf["plugins"][:1]})
        self.pod = Namespace("pod")
        self.address = json.loads(self.host.cnitool("add", "cbr0", self.pod))["ips"][0]["address"].split("/")[0]

    def paste(self, *section, guide="migration"):
        """What the commands of the section say, in their order."""
        said = []
        for line in commands(__file__, guide, *section):
            line = line.replace("build/static/plugin/ip-masq", str(BINARY)).replace("10.244.1.5", self.address)
            said.append(self.host.run("sh", "-c", f"cd {ROOT} && {line}", env=self.host.env, check=not line.startswith(MAY_FAIL)))
        return said

    def seen(self):
        """(by the listed network, by another)"""
        return tuple(ask(self.pod, f"tcp:{LISTED}", f"tcp:{OTHER}").values())

    @property
    def carried(self):
        return self.address, Outside.NODE[4]

    def close(self):
        self.host.cnitool("del", "cbr0", self.pod)
        self.pod.close()
        self.outside.close()


@pytest.fixture
def site(host):
    made = Site(host)
    yield made
    made.close()


def findings(text):
    return re.findall(r"^(?:\S+ )?([a-z-]+): ", text, re.MULTILINE)


def test_from_kubelets_flag(site):
    host = site.host
    host.write("/run/flannel/subnet.env", "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n")
    site.start_pod()
    host.run("mkdir", "-p", "/etc/systemd/system/kubelet.service.d")
    host.write(DROP_IN_FILE, DROP_IN)
    host.run("iptables", "-t", "nat", "-A", "POSTROUTING", *KUBENET, env=host.env)
    before = host.run("cat", "/etc/cni/net.d/10-test.conflist")
    assert site.seen() == site.carried

    files, rule = site.paste(KUBELET, "1. What it says, and what stands of it")
    assert files.startswith(f"{DROP_IN_FILE}:") and "--non-masquerade-cidr=100.64.0.0/10" in files
    assert rule.startswith("-A POSTROUTING") and rule.count("\n") == 1

    *_, installed, explained = site.paste(KUBELET, "2. Its network into the list")
    assert installed.startswith("put the entry into /etc/cni/net.d/10-test.conflist\nadopted cbr0: ")
    assert explained.startswith(f"{site.address} -> {LISTED}: kept")
    assert site.seen() == site.carried

    site.paste(KUBELET, "3. The flag out of the file that step 1 named")
    assert host.run("cat", DROP_IN_FILE) == DROP_IN.replace(" --non-masquerade-cidr=100.64.0.0/10", "")
    _, told = site.paste(KUBELET, "4. Its rule")
    assert "kubenet" not in host.run("iptables", "-t", "nat", "-S", env=host.env)
    assert "hurts" not in told
    assert site.seen() == site.carried

    host.run("nft", "flush", "ruleset")
    assert site.seen() == (site.address, site.address)
    told, _ = site.paste(guide="agent")
    assert "rules-not-right" in told
    assert site.seen() == site.carried

    site.paste(KUBELET, "The way back")
    assert host.run("cat", DROP_IN_FILE) == DROP_IN
    assert host.run("cat", "/etc/cni/net.d/10-test.conflist") == before
    assert "ip-masq" not in host.run("nft", "list", "ruleset")


def test_from_flannelds_flag(site, daemons):
    host = site.host
    host.write("/etc/systemd/system/flanneld.service", UNIT)
    daemons.append(Etcd(host, {"Network": POD_NETWORK, "Backend": {"Type": "host-gw"}}))

    def start_flanneld():
        daemons.append(Flanneld(host, *re.findall("--ip-masq", host.run("cat", "/etc/systemd/system/flanneld.service"))))

    start_flanneld()
    site.start_pod()
    hidden = (Outside.NODE[4], Outside.NODE[4])
    assert site.seen() == hidden
    host.write("/etc/config/ip-masq-agent", "nonMasqueradeCIDRs: [100.64.0.0/10]\n")

    _, told = site.paste(FLANNELD, "1. The entry, and every pod that runs its rules")
    assert "flannel-masquerade" in told and "hurts" not in told
    assert site.seen() == site.carried

    dry, changed = site.paste(FLANNELD, "2. What would change, and the change")
    assert "--ip-masq" in dry and "restart it, then run this again" in changed
    daemons.pop().end()
    start_flanneld()
    site.paste(FLANNELD, "3. Its rules, once it runs without the flag")
    assert "FLANNEL" not in host.run("iptables", "-t", "nat", "-S", env=host.env)
    assert site.seen() == site.carried

    site.paste(FLANNELD, "The way back")
    daemons.pop().end()
    start_flanneld()
    assert site.seen() == hidden
