"""A node with a pod and the world outside, of namespaces, bridges and veths."""

import json
import subprocess
import sys
from pathlib import Path

from harness.node import Namespace

WITNESS = Path(__file__).with_name("witness.py")


class Witness:
    """A witness that serves in a namespace, until closed."""

    def __init__(self, namespace, addresses):
        self.process = subprocess.Popen(namespace.inside(sys.executable, WITNESS, "serve", *addresses),
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def ask(namespace, *questions):
    """{"tcp:10.9.9.9": the source address seen there, None where there was no answer}"""
    return json.loads(namespace.run(sys.executable, WITNESS, "ask", *questions))


class Watch:
    """Asks in a namespace every 10 ms, until ended."""

    def __init__(self, namespace, *questions):
        self.process = subprocess.Popen(namespace.inside(sys.executable, WITNESS, "watch", *questions),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def end(self):
        """{"tcp:10.9.9.9": [every source seen there], ..., "rounds": how often each was asked, at least}"""
        output, _ = self.process.communicate()
        return json.loads(output)


def connect(left, left_name, right, right_name):
    """A veth between two namespaces, up."""
    subprocess.run(["ip", "link", "add", left_name, "netns", left.name, "type", "veth",
                    "peer", "name", right_name, "netns", right.name], check=True)
    left.run("ip", "link", "set", left_name, "up")
    right.run("ip", "link", "set", right_name, "up")


def give(namespace, interface, *addresses):
    for address in addresses:
        nodad = ["nodad"] if ":" in address else []
        namespace.run("ip", "address", "add", address, "dev", interface, *nodad)


class Outside:
    """A host behind an uplink of the node, with all the addresses given and routes to the pods. The first one (number 0)
    stands for the rest of the world: the node's default routes lead there."""

    NODE = {4: "198.18.0.1", 6: "2001:db8:18::1"}  # the node's addresses at uplink 0

    def __init__(self, node, addresses, pod_networks, number=0):
        self.namespace = Namespace("outside")
        for namespace in (node, self.namespace):
            namespace.sysctl(net__ipv6__conf__default__accept_dad=0)  # or IPv6 waits two seconds for the links' own addresses
        uplink = f"uplink{number}"
        ipv4, ipv6 = f"198.18.{number}.", f"2001:db8:18:{number or ''}:" + (":" if number else "")
        connect(node, uplink, self.namespace, "to-node")
        give(node, uplink, f"{ipv4}1/24", f"{ipv6}1/64")
        give(self.namespace, "to-node", f"{ipv4}254/24", f"{ipv6}254/64")
        for address in addresses:
            give(self.namespace, "lo", f"{address}/{128 if ':' in address else 32}")
        for network in pod_networks:
            self.namespace.run("ip", "route", "add", network, "via", f"{ipv6 if ':' in network else ipv4}1")
        if number == 0:
            node.run("ip", "route", "add", "default", "via", f"{ipv4}254")
            node.run("ip", "route", "add", "default", "via", f"{ipv6}254")
        else:
            for address in addresses:
                node.run("ip", "route", "add", address, "via", f"{ipv6 if ':' in address else ipv4}254")
        node.sysctl(net__ipv4__ip_forward=1, net__ipv6__conf__all__forwarding=1)
        self.witness = Witness(self.namespace, addresses)

    def close(self):
        self.witness.close()
        self.namespace.close()


class Pod:
    """A pod on a bridge of the node, as the bridge plugin would make it."""

    def __init__(self, node, name, *addresses, bridge="cni0", hairpin=False):
        self.namespace = Namespace(name)
        self.addresses = addresses
        port = f"v-{name}"[:15]
        connect(node, port, self.namespace, "eth0")
        node.run("ip", "link", "set", port, "master", bridge)
        if hairpin:
            node.run("ip", "link", "set", port, "type", "bridge_slave", "hairpin", "on")
        give(self.namespace, "eth0", *addresses)

    def route_through(self, *gateways):
        for gateway in gateways:
            self.namespace.run("ip", "route", "add", "default", "via", gateway)

    def close(self):
        self.namespace.close()


def make_bridge(node, *addresses, name="cni0"):
    node.run("ip", "link", "add", name, "type", "bridge")
    give(node, name, *addresses)
    node.run("ip", "link", "set", name, "up")
