"""Hosts that run FRR, and a company's network of them: nodes with flanneld on a lan, a router, and hosts behind it.

    nodes 192.168.100.11, .12 --- lan 192.168.100.1 (etcd) --- .254 router 10.9.0.1, 10.10.0.1 --- outside 10.9.0.9, 10.10.0.9
"""

import json
import subprocess
from pathlib import Path

from harness.daemons import Etcd, Flanneld, wait_until
from harness.host import Host
from harness.network import Witness, connect, give
from harness.node import ROOT, Namespace

LAN, ROUTER = "192.168.100.1", "192.168.100.254"
OUTSIDE, OTHER_OUTSIDE = "10.9.0.9", "10.10.0.9"  # behind the router
POD_NETWORK = "10.244.0.0/16"
KEY = "a-secret"
# A neighbour is dead after four seconds of silence, whatever the tests beside this one do with the processors.
PROMPT = ["nice", "-n", "-10"]


class FrrHost(Host):
    """A host with FRR as Debian installs it, not started."""

    PRIVATE = [*Host.PRIVATE, "/etc/frr", "/run/frr", "/var/log/frr"]

    def __init__(self, folder):
        folder.mkdir()
        shipped = {name: Path("/etc/frr", name).read_text() for name in ("daemons", "frr.conf", "vtysh.conf")}
        super().__init__(folder)
        for name, text in shipped.items():
            self.write(f"/etc/frr/{name}", text)
        self.run("chown", "-R", "frr:frr", "/etc/frr", "/run/frr", "/var/log/frr")
        self.run("chmod", "-R", "o-rwx", "/etc/frr")

    def frr(self, verb):
        self.run(*PROMPT, "/usr/lib/frr/frrinit.sh", verb)

    def kill_frr(self):
        """At once, as when the power goes."""
        for pid in self.run("sh", "-c", "cat /run/frr/*.pid 2>/dev/null", check=False).split():
            self.run("kill", "-9", pid, check=False)
        self.run("sh", "-c", "rm -f /run/frr/*.pid /run/frr/*.vty /run/frr/*.api")

    def vtysh(self, command):
        return self.run("vtysh", "-c", command)

    def vtysh_json(self, command):
        return json.loads(self.vtysh(f"{command} json"))

    def close(self):
        self.kill_frr()
        super().close()


class RoutedNode(FrrHost):
    """A node at the lan, with a default route to the router."""

    def __init__(self, folder, lan, number):
        super().__init__(folder)
        self.address, self.flanneld = f"192.168.100.{10 + number}", None
        lan.plug(self, "eth0", f"{self.address}/24")
        self.run("ip", "route", "add", "default", "via", ROUTER)
        self.sysctl(net__ipv4__ip_forward=1)

    def start_flanneld(self, *flags):
        self.flanneld = Flanneld(self, *flags, interface="eth0", address=LAN)

    def end_flanneld(self):
        self.flanneld.end()
        self.flanneld = None

    @property
    def pod_subnet(self):
        lines = dict(line.split("=", 1) for line in self.run("cat", "/run/flannel/subnet.env").splitlines())
        return lines["FLANNEL_SUBNET"].replace(".1/", ".0/")

    def ospf_node(self, *argv):
        """(exit status, output, errors) of scripts/ospf-node."""
        done = subprocess.run(self.inside(*PROMPT, ROOT / "scripts/ospf-node", *argv), capture_output=True, text=True, env=self.env)
        return done.returncode, done.stdout, done.stderr

    def close(self):
        if self.flanneld:
            self.end_flanneld()
        super().close()


class Lan(Namespace):
    """A switch, with etcd at an address of its own."""

    def __init__(self, folder):
        super().__init__("lan")
        self.folder = folder
        self.env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        self.run("ip", "link", "add", "lan", "type", "bridge")
        give(self, "lan", f"{LAN}/24")
        self.run("ip", "link", "set", "lan", "up")
        self.ports = 0
        self.etcd = None

    def plug(self, namespace, interface, address):
        self.ports += 1
        connect(self, f"port{self.ports}", namespace, interface)
        self.run("ip", "link", "set", f"port{self.ports}", "master", "lan")
        give(namespace, interface, address)

    def close(self):
        if self.etcd:
            self.etcd.end()
        super().close()


class Company:
    """Two nodes, a router that speaks OSPF with them by the shipped configuration, and two hosts behind it."""

    def __init__(self, folder):
        self.lan = Lan(folder)
        self.lan.etcd = Etcd(self.lan, {"Network": POD_NETWORK, "Backend": {"Type": "vxlan"}}, LAN)
        self.router = FrrHost(folder / "router")
        self.lan.plug(self.router, "eth0", f"{ROUTER}/24")
        self.router.sysctl(net__ipv4__ip_forward=1)
        self.outside, self.witnesses = {}, []
        for number, address in enumerate((OUTSIDE, OTHER_OUTSIDE), 1):
            host = self.outside[address] = Namespace("outside")
            connect(self.router, f"eth{number}", host, "eth0")
            gateway = address.rsplit(".", 1)[0] + ".1"
            give(self.router, f"eth{number}", f"{gateway}/24")
            give(host, "eth0", f"{address}/24")
            host.run("ip", "route", "add", "default", "via", gateway)
            self.witnesses.append(Witness(host, [address]))
        self.nodes = [RoutedNode(folder / f"node{number}", self.lan, number) for number in (1, 2)]
        self.key_file = folder / "keys"
        self.key_file.write_text(f"{KEY}\n")
        self.key_file.chmod(0o600)

    def start_router(self):
        text = (ROOT / "conf/frr/router.conf").read_text()
        for name, value in {"NODES": "eth0", "AREA": "0.0.0.0", "ROUTER-ID": ROUTER, "SECRET": KEY, "PODS": POD_NETWORK,
                            "permit COMPANY": "permit 10.9.0.0/24"}.items():
            text = "\n".join(line if line.startswith("!") else line.replace(name, value) for line in text.split("\n"))
        daemons = self.router.run("cat", "/etc/frr/daemons").replace("ospfd=no", "ospfd=yes")
        self.router.write("/etc/frr/daemons", daemons)
        self.router.write("/etc/frr/frr.conf", text)
        self.router.frr("start")

    def routes_to_pods(self):
        """{pod subnet: next hop}, as the router's kernel has them by OSPF."""
        routes = json.loads(self.router.run("ip", "-j", "route", "show", "proto", "ospf"))
        return {route["dst"]: route["gateway"] for route in routes}

    def until(self, condition, what="the router's routes"):
        wait_until(condition, self.lan.etcd.process, what)

    def close(self):
        for witness in self.witnesses:
            witness.close()
        for host in [*self.nodes, self.router, *self.outside.values(), self.lan]:
            host.close()
