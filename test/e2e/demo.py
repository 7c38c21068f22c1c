#!/usr/bin/env python3
"""A node with a pod and two outside hosts, in network namespaces; which source address each host sees. See scripts/demo."""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.host import ROOT, Host  # noqa: E402
from harness.masquerades import docker, flannel, put  # noqa: E402
from harness.network import Outside, ask  # noqa: E402
from harness.node import Namespace  # noqa: E402

SUBNET_ENV = """FLANNEL_NETWORK=10.244.0.0/16
FLANNEL_SUBNET=10.244.1.1/24
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
"""
EXEMPT, ELSEWHERE = "10.9.9.9", "203.0.113.9"


def conflist(with_ip_masq):
    """The shipped one, but the bridge plugin's own masquerade is on: all three hide the pod."""
    conf = json.loads((ROOT / "conf/10-flannel-ip-masq.conflist").read_text())
    conf["plugins"][0]["delegate"]["ipMasq"] = True
    if not with_ip_masq:
        conf["plugins"].pop()
    return conf


def sources(host, with_ip_masq):
    """The pod's address, and the source that each outside host saw."""
    host.use_conflist(conflist(with_ip_masq))
    pod = Namespace("pod")
    try:
        result = json.loads(host.cnitool("add", "cbr0", pod))
        seen = ask(pod, f"tcp:{EXEMPT}", f"tcp:{ELSEWHERE}")
        host.cnitool("del", "cbr0", pod)
        return result["ips"][0]["address"].split("/")[0], [seen[f"tcp:{EXEMPT}"], seen[f"tcp:{ELSEWHERE}"]]
    finally:
        pod.close()


def cell(pod, seen):
    owner = "the pod" if seen == pod else "the node" if seen else "no answer"
    return f"{seen or ''} ({owner})"


def main():
    with tempfile.TemporaryDirectory() as folder:
        host = Host(folder)
        outside = []
        try:
            host.write("/run/flannel/subnet.env", SUBNET_ENV)
            outside.append(Outside(host, [ELSEWHERE], ["10.244.1.0/24"], 0))
            outside.append(Outside(host, [EXEMPT], ["10.244.1.0/24"], 1))
            put(host, flannel, docker)
            rows = [("", f"{EXEMPT}, listed", f"{ELSEWHERE}, not listed")]
            for with_ip_masq, name in ((False, "without ip-masq"), (True, "with ip-masq")):
                pod, seen = sources(host, with_ip_masq)
                rows.append((name, *(cell(pod, each) for each in seen)))
        finally:
            for each in outside:
                each.close()
            host.close()
    print("Which source address each outside host saw, beside the masquerade rules of flannel, docker and bridge:\n")
    for row in rows:
        print(f"  {row[0]:<18}{row[1]:<26}{row[2]}".rstrip())


if __name__ == "__main__":
    main()
