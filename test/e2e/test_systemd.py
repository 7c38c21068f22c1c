"""conf/systemd/ip-masq.service under systemd itself, with all its filters in force."""

import json
import signal
from pathlib import Path

import pytest
from harness.guides import commands, file_of
from harness.host import ROOT, Host
from harness.network import Outside, ask
from harness.node import Namespace
from harness.systemd import Systemd

CONFIG = "/etc/config/ip-masq-agent"
LISTED, OTHER = "100.64.0.9", "203.0.113.9"
POD_NETWORK = "10.244.0.0/16"
DAMAGE = {"iptables": ["iptables-legacy", "-t", "nat", "-F"], "nftables": ["nft", "flush", "ruleset"]}


def conflist(*entries):
    ipam = {"type": "host-local", "ranges": [[{"subnet": POD_NETWORK}]], "routes": [{"dst": "0.0.0.0/0"}]}
    return {"cniVersion": "1.0.0", "name": "test", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": ipam}, *entries]}


class Site:
    """A node under systemd with a pod, and the world outside."""

    def __init__(self, host, backend):
        self.host = host
        self.outside = Outside(host, [LISTED, OTHER], [POD_NETWORK])
        host.write(CONFIG, f"nonMasqueradeCIDRs: [{LISTED}/32]\nresyncInterval: 24h\n")
        host.use_conflist(conflist({"type": "ip-masq", "backend": backend}))
        self.pod = Namespace("pod")
        self.address = json.loads(host.cnitool("add", "test", self.pod))["ips"][0]["address"].split("/")[0]
        self.systemd = Systemd(host)

    def paste(self, guide, *section):
        for line in commands(__file__, guide, *section):
            if line.startswith("systemctl "):
                self.systemd.run("sh", "-ec", line)
            else:  # files, which both see
                self.host.run("sh", "-ec", f"cd {ROOT}; {line}")

    def drop_in(self, text):
        self.host.run("mkdir", "-p", "/etc/systemd/system/ip-masq.service.d")
        self.host.write("/etc/systemd/system/ip-masq.service.d/test.conf", text)
        self.systemd.ctl("daemon-reload")

    def start_agent(self):
        self.paste("agent")
        assert self.systemd.ctl("is-active", "ip-masq") == "active\n"

    def until_seen(self, listed, other):
        self.systemd.until(lambda: self.seen() == (listed, other))

    def seen(self):
        """Which source the listed host sees, and which the other."""
        return tuple(ask(self.pod, f"tcp:{LISTED}", f"tcp:{OTHER}").values())

    def close(self):
        self.systemd.end()
        self.pod.close()
        self.outside.close()


class HostWithRancher(Host):
    PRIVATE = [*Host.PRIVATE, "/var/lib/rancher"]


@pytest.fixture
def host(tools, tmp_path):
    made = HostWithRancher(tmp_path)
    yield made
    made.close()


@pytest.fixture
def site(host, backend):
    made = Site(host, backend)
    yield made
    made.close()


def test_what_others_break_and_a_list_that_changes(site, backend):
    site.start_agent()
    carried = site.address, Outside.NODE[4]
    assert site.seen() == carried
    site.host.run(*DAMAGE[backend])
    site.until_seen(*carried)
    site.host.write(CONFIG, f"nonMasqueradeCIDRs: [{OTHER}/32]\nresyncInterval: 24h\n")
    site.until_seen(Outside.NODE[4], site.address)
    before = site.systemd.told("ip-masq", "MainPID")
    site.systemd.ctl("reload", "ip-masq")
    assert site.systemd.told("ip-masq", "MainPID", "NRestarts") == {"MainPID": before, "NRestarts": "0"}
    site.systemd.ctl("stop", "ip-masq")
    assert site.systemd.told("ip-masq", "Result") == "success"
    assert site.seen() == (Outside.NODE[4], site.address)


@pytest.mark.parametrize("backend", ["nftables"])
def test_the_record_that_was_lost(site):
    """The runtime's cache and the pod's namespace are seen through the unit's filters."""
    site.host.run("rm", "-r", "/run/cni/ip-masq")
    site.host.run("nft", "flush", "ruleset")
    site.start_agent()
    site.until_seen(site.address, Outside.NODE[4])


@pytest.mark.parametrize("backend", ["nftables"])
def test_an_agent_that_hangs(site):
    site.drop_in("[Service]\nWatchdogSec=1s\nRestartSec=100ms\n")
    site.start_agent()
    hanging = int(site.systemd.told("ip-masq", "MainPID"))
    site.systemd.run("kill", f"-{signal.SIGSTOP.value}", hanging)
    site.systemd.until(lambda: site.systemd.told("ip-masq", "NRestarts") == "1" and site.systemd.ctl("is-active", "ip-masq", check=False) == "active\n")
    site.host.run(*DAMAGE["nftables"])
    site.until_seen(site.address, Outside.NODE[4])


@pytest.mark.parametrize("backend", ["nftables"])
def test_a_program_that_comes_late(site):
    """systemd gives up after five starts within ten seconds, and not here."""
    site.start_agent()
    site.systemd.ctl("stop", "ip-masq")
    site.host.run("mv", "/opt/cni/bin/ip-masq", "/opt/cni/bin/later")
    site.systemd.ctl("start", "--no-block", "ip-masq")
    site.systemd.until(lambda: int(site.systemd.told("ip-masq", "NRestarts")) >= 6)
    site.host.run("mv", "/opt/cni/bin/later", "/opt/cni/bin/ip-masq")
    site.systemd.until(lambda: site.systemd.ctl("is-active", "ip-masq", check=False) == "active\n")
    site.host.run(*DAMAGE["nftables"])
    site.until_seen(site.address, Outside.NODE[4])


@pytest.mark.parametrize("backend", ["nftables"])
def test_a_program_in_another_folder(site):
    """Debian's own containerd's."""
    site.host.run("cp", "/opt/cni/bin/ip-masq", "/usr/lib/cni/ip-masq")
    site.host.run("cp", ROOT / "conf/systemd/ip-masq.service", "/etc/systemd/system/")
    site.paste("release", "A node by its package")
    assert site.systemd.run("readlink", f"/proc/{site.systemd.told('ip-masq', 'MainPID')}/exe") == "/usr/lib/cni/ip-masq\n"
    site.host.run(*DAMAGE["nftables"])
    site.until_seen(site.address, Outside.NODE[4])


@pytest.mark.parametrize("backend", ["nftables"])
def test_the_entry_is_kept_where_the_unit_may_write(site):
    """Of k3s."""
    networks, plugins = "/var/lib/rancher/k3s/agent/etc/cni/net.d", "/var/lib/rancher/k3s/data/cni"
    path, text = file_of("flavours", "The agent that keeps the entry")
    site.host.run("mkdir", "-p", Path(path).parent)
    site.host.write(path, text)
    site.host.run("mkdir", "-p", networks, plugins)
    for program in ("ip-masq", "bridge", "host-local"):
        site.host.run("cp", f"/opt/cni/bin/{program}", plugins)
    site.host.write(f"{networks}/10-flannel.conflist", json.dumps({**conflist(), "plugins": [{"type": "flannel"}]}))
    site.host.run("cp", "/opt/cni/bin/bridge", f"{plugins}/flannel")
    site.start_agent()
    site.systemd.until(lambda: '"ip-masq"' in site.host.run("cat", f"{networks}/10-flannel.conflist"))
