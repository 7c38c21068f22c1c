"""On a real cluster: an agent that hangs is not ready, and the kubelet starts it anew, while pods go on."""

import json
import os
import signal

import pytest
from harness.daemons import wait_until
from harness.kubernetes import EXEMPT, MASQUERADED, image, pod_manifest
from harness.network import Watch, ask
from harness.node import ROOT, STATIC

CHART = ROOT / "conf/helm/ip-masq"
DAEMON_SET = ["--namespace=kube-system", "daemonset/ip-masq"]
# As the chart has them, but for how often they ask: there an agent that hangs is not ready after 20 s, and ended after five minutes.
FASTER = {"readinessProbe": {"periodSeconds": 1}, "livenessProbe": {"periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 4}}

pytestmark = pytest.mark.usefixtures("static", "helm")


def roll_out(cluster):
    cluster.kubectl("rollout", "status", *DAEMON_SET, "--timeout=120s")


def agent_on(cluster, node):
    """(ready, how often it was started anew, process id)"""
    pods = json.loads(cluster.kubectl("get", "pods", "--namespace=kube-system", "--selector=app.kubernetes.io/name=ip-masq",
                                      f"--field-selector=spec.nodeName={node.node_name}", "-o", "json"))["items"]
    status = pods[0]["status"]["containerStatuses"][0]
    container = status.get("containerID", "").removeprefix("containerd://")
    tasks = node.run(*node.ctr("tasks", "list"), env=node.env).splitlines()
    return status["ready"], status["restartCount"], next((int(line.split()[1]) for line in tasks if container and line.startswith(container)), None)


def test_an_agent_that_hangs_is_started_anew(cluster, tmp_path):
    cluster.images.append(image(tmp_path / "ip-masq.tar", "docker.io/library/ip-masq:0.1.0", {"opt/cni/bin/ip-masq": STATIC},
                                ["/opt/cni/bin/ip-masq"]))
    cluster.start()
    cluster.helm("install", "ip-masq", CHART, "--namespace=kube-system")
    cluster.kubectl("patch", *DAEMON_SET, "-p", json.dumps({"spec": {"template": {"spec": {
        "terminationGracePeriodSeconds": 1, "containers": [{"name": "agent", **FASTER}]}}}}))
    roll_out(cluster)
    node, other = cluster.nodes
    pod, = cluster.run_pods(pod_manifest("pod", node))
    ready, restarts, first = agent_on(cluster, node)
    assert (ready, restarts) == (True, 0)

    def until(condition):
        wait_until(condition, node.daemons["kubelet"].process, "the kubelet")

    watch = Watch(pod, f"tcp:{EXEMPT}", f"tcp:{MASQUERADED}")
    seen = []

    def state():
        seen.append(agent_on(cluster, node))
        return seen[-1]

    os.kill(first, signal.SIGSTOP)
    until(lambda: state()[1] == 1)
    assert (False, 0, first) in seen, "not ready while it hangs"
    until(lambda: state()[0])
    assert seen[-1][1] == 1 and seen[-1][2] not in (first, None)
    assert agent_on(cluster, other)[:2] == (True, 0)
    events = cluster.kubectl("get", "events", "--namespace=kube-system", "-o", "jsonpath={.items[*].message}")
    assert "Liveness probe failed" in events and "Readiness probe failed" in events

    # It does its work again.
    cluster.kubectl("patch", "configmap", "ip-masq", "--namespace=kube-system", "-p",
                    json.dumps({"data": {"config": "nonMasqueradeCIDRs: [198.51.100.0/24]\n"}}))
    until(lambda: tuple(ask(pod, f"tcp:{EXEMPT}", f"tcp:{MASQUERADED}").values()) == (node.address, pod.address))
    sources = watch.end()
    assert sources.pop("rounds") > 10
    assert list(sources.values()) == [[pod.address, node.address], [node.address, pod.address]]
