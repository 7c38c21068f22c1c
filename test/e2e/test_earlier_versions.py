"""Pods ask outside hosts every 10 ms while this version takes over what an earlier one left, and where it may not."""

import json

import pytest
from harness.agents import Agent
from harness.config_files import REST
from harness.earlier import EARLIER, KEYS, PODS
from harness.network import Outside, Pod, Watch, make_bridge
from harness.texts import CBR0

QUESTIONS = ["udp:10.9.9.9", "udp:203.0.113.9", "tcp:10.9.9.9", "tcp:203.0.113.9"]
KEPT = CBR0.but(kept=("10.0.0.0/8", *REST))


class Watched:
    """The pods of a node, which ask until it is left: nobody saw another source, and no answer was lost."""

    def __init__(self, node):
        make_bridge(node, "10.244.1.1/24")
        self.outside = [Outside(node, [address], ["10.244.1.0/24"], number) for number, address in enumerate(("203.0.113.9", "10.9.9.9"))]
        self.pods = [Pod(node, name, address) for name, address in PODS.items()]
        for pod in self.pods:
            pod.route_through("10.244.1.1")

    def __enter__(self):
        self.watches = [Watch(pod.namespace, *QUESTIONS) for pod in self.pods]

    def __exit__(self, *_):
        for pod, seen in zip(self.pods, [watch.end() for watch in self.watches]):
            own = [pod.addresses[0].split("/")[0]]
            assert seen.pop("rounds") > 10
            assert seen == dict(zip(QUESTIONS, [own, [Outside.NODE[4]]] * 2))

    def close(self):
        for each in (*self.pods, *self.outside):
            each.close()


@pytest.fixture
def asking(node):
    made = Watched(node)
    yield made
    made.close()


def check(node):
    return [node.check(name, ips=[address], **KEYS) for name, address in PODS.items()]


@pytest.mark.parametrize("version", EARLIER, ids=lambda version: version.name)
def test_nobody_notices_that_this_version_takes_over(node, asking, daemons, version):
    version.put(node)
    with asking:
        node.add("pod-3", ips=["10.244.1.7/24"], **KEYS)
        assert check(node) == [None, None]
        node.tool("sync")
        daemons.append(Agent(node))
        daemons[0].until_it_runs()
        node.delete("pod-3", ips=["10.244.1.7/24"], **KEYS)
        for number in range(4, 20):
            node.add(f"pod-{number}", ips=["10.244.1.7/24"], **KEYS)
        valid = [{"containerID": name, "ifname": "eth0"} for name in PODS]
        node.do("GC", None, node.netconf(version="1.1.0", ips=None, **KEYS, **{"cni.dev/valid-attachments": valid}))
        assert check(node) == [None, None]
        assert node.save() == node.expected(KEPT)
    assert node.recorded() == ["cbr0/pod-1", "cbr0/pod-2"]


def test_what_a_later_version_left_goes_on_until_it_is_back(node, asking, daemons):
    for name, address in PODS.items():
        node.add(name, ips=[address], **KEYS)
    path = node.state / "cbr0/network.json"
    ours = path.read_text()
    path.write_text(ours.replace('"format":2', '"format":5'))
    left = node.save(), node.files()
    why = f"{path}: it has format 5, of a later ip-masq: this one knows 4"
    with asking:
        assert node.call("ADD", "pod-3", node.netconf(ips=["10.244.1.7/24"], **KEYS)).error == (7, why)
        assert check(node) == [(102, f"network cbr0: {why}")] * 2
        for pods in (PODS, []):
            valid = [{"containerID": name, "ifname": "eth0"} for name in pods]
            assert node.call("GC", None, node.netconf(version="1.1.0", ips=None, **KEYS, **{"cni.dev/valid-attachments": valid})).error == (7, why)
        assert node.call("STATUS", None, node.netconf(version="1.1.0", ips=None, **KEYS)).error == (50, why)
        assert node.tool_status("sync", "--state-dir", node.state) == (1, "", f"ip-masq: record-of-later-version: network cbr0: {why}\n")
        daemons.append(Agent(node))
        daemons[0].until_it_says(f"record-of-later-version: network cbr0: {why}")
        daemons[0].until_it_runs()
        status, said = node.doctor("-o", "json")
        assert (status, [(each["name"], each["weight"]) for each in json.loads(said)["findings"]]) == (1, [("record-of-later-version", "hurts")])
        told = json.loads(node.tool("explain", "10.244.1.5", "10.9.9.9", "-o", "json"))
        assert (told["fate"], told["why"]) == ("kept", "unknown: a later ip-masq wrote the record of network cbr0")
        assert (node.save(), {name: text for name, text in node.files().items() if name != ".agent"}) == left
        path.write_text(ours)
        assert check(node) == [None, None]
        assert node.save() == node.expected(KEPT)
