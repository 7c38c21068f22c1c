"""What memory the agent takes at most, and what the Helm chart lets it have."""

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


@pytest.mark.skipif(SANITIZED, reason="the program under test is built for finding errors, not for nodes")
def test_the_limit_is_twice_what_it_takes_at_most(node, daemons):
    """The longest list that there may be, every network of it changed, beside more rules than most nodes have."""
    config = node.folder / "ip-masq-agent"

    def configure(first):
        networks = ", ".join(f"{first + number // 65_536}.{number // 256 % 256}.{number % 256}.0/25" for number in range(NETWORKS))
        config.with_suffix(".new").write_text(f"nonMasqueradeCIDRs: [{networks}]\n")
        config.with_suffix(".new").rename(config)

    keys = {"configFile": str(config), "cidrLimit": NETWORKS}
    configure(20)
    node.add("pod-1", **keys)
    if node.backend == "nftables":
        node.nft("-f", "-", input=kube_rules_nft(40_000))
    else:
        node.restore_beside(kube_rules(40_000))
    daemons.append(Agent(node))
    daemons[0].until_it_runs()
    configure(30)
    daemons[0].until(lambda: node.check(**keys) is None, 0.5)
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{daemons[0].process.pid}/status").read_text())[1]) / 1024
    assert peak * 2 <= LIMIT
    assert peak > 8, "it had the lists"
