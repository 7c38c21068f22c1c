"""What memory the agent takes at most, and between changes, and what the Helm chart lets it have."""

import re
from pathlib import Path

import pytest
from harness.agents import Agent
from harness.kube_rules import kube_rules, kube_rules_nft
from harness.node import ROOT
from harness.system_calls import SANITIZED

VALUES = (ROOT / "conf/helm/ip-masq/values.yaml").read_text()
LIMIT = int(re.search(r"limits: \{memory: (\d+)Mi\}", VALUES)[1])
NETWORKS = 10_000


pytestmark = pytest.mark.skipif(SANITIZED, reason="the program under test is built for finding errors, not for nodes")


def memory(agent, what):
    """MiB of what /proc tells of it: "VmHWM", or "RssAnon", without the program itself."""
    return int(re.search(what + r":\s+(\d+) kB", Path(f"/proc/{agent.process.pid}/status").read_text())[1]) / 1024


class Lists:
    """The longest that there may be."""

    def __init__(self, node):
        self.config = node.folder / "ip-masq-agent"
        self.keys = {"configFile": str(self.config), "cidrLimit": NETWORKS}

    def begin_with(self, first):
        """Every network of it is another one."""
        networks = ", ".join(f"{first + number // 65_536}.{number // 256 % 256}.{number % 256}.0/25" for number in range(NETWORKS))
        self.config.with_suffix(".new").write_text(f"nonMasqueradeCIDRs: [{networks}]\n")
        self.config.with_suffix(".new").rename(self.config)


def test_the_limit_is_twice_what_it_takes_at_most(node, daemons):
    """Every network changes beside more rules than most nodes have."""
    lists = Lists(node)
    lists.begin_with(20)
    node.add("pod-1", **lists.keys)
    if node.backend == "nftables":
        node.nft("-f", "-", input=kube_rules_nft(40_000))
    else:
        node.restore_beside(kube_rules(40_000))
    daemons.append(Agent(node))
    daemons[0].until_it_runs()
    lists.begin_with(30)
    daemons[0].until(lambda: node.check(**lists.keys) is None, 0.5)
    peak = memory(daemons[0], "VmHWM")
    assert peak * 2 <= LIMIT
    assert peak > 8, "it had the lists"


def test_what_long_lists_took_is_given_back(node, daemons):
    lists = Lists(node)
    lists.begin_with(20)
    node.add("pod-1", **lists.keys)
    daemons.append(Agent(node))
    daemons[0].until_it_runs()
    for first in range(30, 33):
        lists.begin_with(first)
        daemons[0].until(lambda: node.check(**lists.keys) is None, 0.5)
    daemons[0].until(lambda: memory(daemons[0], "RssAnon") < 4, 0.5)
