"""A node that routes for its LAN, with a pod that is on the LAN itself: what the pod sends does not pass the node."""

import json
import shutil
from pathlib import Path

from harness.network import Outside, ask, connect, give, make_bridge
from harness.node import Namespace, Node

NODE, HOST, ROUTER, POD = (["192.168.50.1/24", "fd00:50::1/64"], ["192.168.50.20/24", "fd00:50::20/64"],
                           ["192.168.50.254/24", "fd00:50::254/64"], ["192.168.50.30/24", "fd00:50::30/64"])
WORLD = ["203.0.113.9", "2001:db8:9::9"]

# How a pod comes onto the LAN: the plugin that does it, and the link's type where it makes one over the node's.
LAN_PODS = {"macvlan": ("macvlan", ["macvlan", "mode", "bridge"]), "ipvlan": ("ipvlan", ["ipvlan", "mode", "l2"]),
            "moved device": ("host-device", None)}


class Lan:
    """A switch with the node (lan0), a host whose way out is the node, the pod's router, and a pod."""

    def __init__(self, folder, backend, kind):
        self.folder = Path(folder) / "lan"
        self.folder.mkdir()
        self.node = Node(self.folder, backend)
        self.switch, self.host, self.router, self.pod = (Namespace(name) for name in ("switch", "host", "router", "pod"))
        self.outside = Outside(self.node, WORLD, ["192.168.50.0/24", "fd00:50::/64"])
        make_bridge(self.switch, name="switch")
        self.plug_in(self.node, "lan0", *NODE)
        self.plug_in(self.host, "eth0", *HOST)
        self.plug_in(self.router, "eth0", *ROUTER)
        for gateway in NODE:
            self.host.run("ip", "route", "add", "default", "via", gateway.split("/")[0])
        self.put_pod(LAN_PODS[kind][1])

    def plug_in(self, namespace, name, *addresses):
        port = f"to-{namespace.name.split('-')[-1]}-{name}"
        connect(self.switch, port, namespace, name)
        self.switch.run("ip", "link", "set", port, "master", "switch")
        give(namespace, name, *addresses)

    def put_pod(self, link):
        if link:
            self.node.run("ip", "link", "add", "pod0", "link", "lan0", "type", *link)
        else:
            self.plug_in(self.node, "pod0")
            self.node.run("ip", "link", "set", "pod0", "down")
        self.node.run("ip", "link", "set", "pod0", "netns", self.pod.name)
        self.pod.run("ip", "link", "set", "pod0", "name", "eth0")
        self.pod.run("ip", "link", "set", "eth0", "up")
        give(self.pod, "eth0", *POD)
        for gateway in ROUTER:
            self.pod.run("ip", "route", "add", "default", "via", gateway.split("/")[0])

    def netconf(self, **keys):
        """After the plugin that made the pod's link: prevResult has that one alone."""
        conf = self.node.netconf(version="1.1.0", name="lan", ips=POD, nonMasqueradeCIDRs=[], **keys)
        conf["prevResult"]["interfaces"] = [{"name": "eth0", "sandbox": self.pod.path}]
        for entry, gateway in zip(conf["prevResult"]["ips"], ROUTER):
            entry |= {"interface": 0, "gateway": gateway.split("/")[0]}
        return conf

    def seen(self):
        """Whom the world sees of the LAN's host."""
        return ask(self.host, *(f"tcp:{address}" for address in WORLD))

    def story(self):
        """What the pod's ADD does to the LAN, and what is said about the pod."""
        told = {"before": self.seen()}
        for verb in ("ADD", "CHECK"):
            reply = self.node.call(verb, "pod-1", self.netconf())
            told[verb] = reply.error or "ok"
        told["with the pod"] = self.seen()
        told["podSubnets"] = json.loads(self.node.tool("show", "-o", "json"))["networks"][0]["podSubnets"]
        pod = POD[0].split("/")[0]
        conflists = self.folder / "conflists"
        conflists.mkdir()
        for command in (["show"], ["explain", pod, WORLD[0]], ["doctor", "--conf-dir", conflists]):
            output = self.node.tool(*command, check=False)
            told[f"{command[0]} says that it does not pass"] = pod in output and "not pass this node" in output
        told["DEL"] = self.node.call("DEL", "pod-1", self.netconf()).error or "ok"
        return told

    def close(self):
        for namespace in (self.pod, self.router, self.host, self.switch):
            namespace.close()
        self.outside.close()
        self.node.close()
        shutil.rmtree(self.folder)


# What story() tells, whatever the back end.
STORY = {
    "before": {"tcp:203.0.113.9": "192.168.50.20", "tcp:2001:db8:9::9": "fd00:50::20"},
    "ADD": "ok", "CHECK": "ok",
    "with the pod": {"tcp:203.0.113.9": "192.168.50.20", "tcp:2001:db8:9::9": "fd00:50::20"},
    "podSubnets": ["192.168.50.30/32", "fd00:50::30/128"],
    "show says that it does not pass": True, "explain says that it does not pass": True, "doctor says that it does not pass": True,
    "DEL": "ok",
}
