"""`nodes` of the file: each node its own keys, by the name that the cluster calls it by."""

import json
import os

import pytest
from harness.agents import Agent, page
from harness.network import Outside, ask
from harness.node import ROOT, Namespace

COPY = "/etc/config/ip-masq-agent"
LISTED, OF_GPUS = "10.9.9.9", "203.0.113.9"
HIDDEN = Outside.NODE[4]


@pytest.fixture
def site(host, backend):
    """A host, the world outside, and a pod of its bridge."""
    conflist = json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text())
    conflist["plugins"][-1]["backend"] = backend
    host.use_conflist(conflist)
    outside = Outside(host, [LISTED, OF_GPUS], ["10.22.0.0/24"])
    pod = Namespace("pod")
    host.pod = pod
    yield host
    pod.close()
    outside.close()


def attach(site):
    ips = json.loads(site.cnitool("add", "bridge-net", site.pod))["ips"]
    return next(ip["address"].split("/")[0] for ip in ips if "." in ip["address"])


def seen(site):
    return list(ask(site.pod, f"tcp:{LISTED}", f"tcp:{OF_GPUS}").values())


def said(site, address):
    return [site.tool("explain", address, destination).split(":")[0].split(" (")[0] for destination in (LISTED, OF_GPUS)]


def config(name, networks):
    return f"# of the ConfigMap\nnonMasqueradeCIDRs: [10.0.0.0/8]\nnodes:\n- match: {name}\n  nonMasqueradeCIDRs: {json.dumps(networks)}\n"


def test_every_call_has_what_is_for_the_agents_node(site, tmp_path):
    """Whatever the plugin, which a runtime calls, takes for the node's name; and a running pod follows."""
    source = tmp_path / "source"

    def copy():
        return site.run("cat", COPY, check=False)

    source.write_text(config("gpu-*", ["10.0.0.0/8", "203.0.113.0/24"]))
    agent = Agent(site, "--config-from", source, "--listen", "127.0.0.1:9464", NODE_NAME="gpu-1")
    try:
        agent.until(copy)
        assert copy() == f'# "{source}", of it what is for the node "gpu-1"\nnonMasqueradeCIDRs:\n- "10.0.0.0/8"\n- "203.0.113.0/24"\n'
        pod = attach(site)
        assert seen(site) == [pod, pod]
        assert f"nonMasqueradeCIDRs in {COPY}: 203.0.113.0/24" in site.tool("explain", pod, OF_GPUS)
        site.cnitool("check", "bridge-net", site.pod)

        good = config("cpu-*", ["10.0.0.0/8", "203.0.113.0/24"])
        source.write_text(good)
        agent.until(lambda: seen(site) == [pod, HIDDEN])
        agent.until(lambda: page(site, "/healthz") == (200, "ok\n"))

        source.write_text(config("cpu-*", ["10.1.0.0/8"]))
        agent.until_it_says(f"config-wrong: {COPY} keeps what was good last: {source}, line 5: nonMasqueradeCIDRs is \"10.1.0.0/8\"")
        agent.until(lambda: page(site, "/healthz")[0] == 503)
        assert seen(site) == [pod, HIDDEN]

        source.write_text(config("gpu-1", ["203.0.113.0/24"]) + "  randomFuly: true\n")
        agent.until_it_says(f"config-wrong: {COPY} keeps what was good last: {source}, line 6: key \"randomFuly\" is not known")
        source.write_text(config("gpu-1", ["203.0.113.0/24"]) + "  unknown: true\n")
        agent.until(lambda: seen(site) == [HIDDEN, pod])
        agent.until_it_says(f'warning: {source}, line 6: key "unknown" is not known, and left alone')
        site.cnitool("del", "bridge-net", site.pod)
    finally:
        agent.end()


def test_without_an_agent_the_host_name_decides(site):
    name = os.uname().nodename.lower()
    site.write(COPY, config(name, ["10.0.0.0/8", "203.0.113.0/24"]))
    pod = attach(site)
    assert seen(site) == [pod, pod]
    site.write(COPY, config(f"{name}-1", ["10.0.0.0/8", "203.0.113.0/24"]))
    site.tool("sync")
    assert seen(site) == [pod, HIDDEN]
    site.write(COPY, config(f"{name[0]}*", []))
    site.tool("sync")
    assert seen(site) == [HIDDEN, HIDDEN]
    site.env["NODE_NAME"] = "Of-Another"
    assert "would be" not in site.tool("explain", pod, LISTED)
    site.cnitool("del", "bridge-net", site.pod)
