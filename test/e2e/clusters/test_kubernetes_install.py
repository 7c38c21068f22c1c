"""On a real cluster: the Helm chart installed, upgraded, rolled back and uninstalled, its ConfigMap edited; and
conf/kubernetes/ip-masq.yaml, which is made from it, applied."""

import json
from datetime import datetime

import pytest
from harness.daemons import wait_until
from harness.guides import commands
from harness.kubernetes import BUSYBOX, EXEMPT, EXEMPT_BY_DEFAULT, FLANNELS_CONFLIST, MASQUERADED, PROGRAMS, pod_manifest
from harness.masquerades import ip_masq_agent
from harness.network import Watch, ask
from harness.node import ROOT, STATIC

MANIFEST = ROOT / "conf/kubernetes/ip-masq.yaml"
CHART = ROOT / "conf/helm/ip-masq"
CONTAINERFILE = ROOT / "conf/container/Containerfile"
DAEMON_SET = ["--namespace=kube-system", "daemonset/ip-masq"]

pytestmark = pytest.mark.usefixtures("static")


@pytest.fixture
def versions(podman, tmp_path):
    """Archives of the image that the manifest names, and of a later one with a program of other bytes."""
    archives = {}
    for version, more in (("0.1.0", b""), ("0.1.1", b"\n")):
        context = tmp_path / version
        context.mkdir()
        (context / "ip-masq").write_bytes(STATIC.read_bytes() + more)
        (context / "ip-masq").chmod(0o755)
        archives[version] = tmp_path / f"{version}.tar"
        podman("build", "--isolation=chroot", "-f", CONTAINERFILE, "-t", f"docker.io/library/ip-masq:{version}", context)
        podman("save", "-o", archives[version], f"docker.io/library/ip-masq:{version}")
    return archives


@pytest.fixture
def running(cluster, versions):
    cluster.images += versions.values()
    cluster.start()
    return cluster


def install(cluster):
    cluster.kubectl("apply", "--validate=strict", "-f", MANIFEST)
    roll_out(cluster)


def roll_out(cluster):
    cluster.kubectl("rollout", "status", *DAEMON_SET, "--timeout=120s")


def until(cluster, condition):
    wait_until(condition, cluster.nodes[0].daemons["kubelet"].process, "the kubelet")


def seen_from(pod):
    """(source address that the exempt network sees, what the rest of the world sees)"""
    return tuple(ask(pod, f"tcp:{EXEMPT}", f"tcp:{MASQUERADED}").values())


def configure(cluster, text, name="ip-masq"):
    cluster.kubectl("patch", "configmap", name, "--namespace=kube-system", "-p", json.dumps({"data": {"config": text}}))


def tables(cluster):
    """What stands of ours on each node."""
    return [node.run("nft", "-s", "list", "table", "inet", "ip-masq", check=False) for node in cluster.nodes]


def conflist(node):
    return json.loads(node.run("cat", "/etc/cni/net.d/10-flannel.conflist"))


def helm(cluster, *words):
    """What it says, once all is rolled out: --wait is content where no more nodes lack it than may."""
    said = cluster.helm(*words, "--namespace=kube-system")
    roll_out(cluster)
    return said


def sources(watch):
    """What each host saw since the watch began, in order: "" stands for no answer."""
    seen = watch.end()
    assert seen.pop("rounds") > 10
    return tuple([source or "" for source in seen_by] for seen_by in seen.values())


@pytest.mark.usefixtures("helm")
def test_from_install_to_uninstall(running):
    cluster = running
    early, = cluster.run_pods(pod_manifest("early", cluster.nodes[0]))
    assert seen_from(early) == (cluster.nodes[0].address, cluster.nodes[0].address)  # as flannel leaves it
    watch = Watch(early, f"tcp:{EXEMPT}", f"tcp:{MASQUERADED}")

    assert "To see that it works:" in helm(cluster, "install", "ip-masq", CHART)
    for node in cluster.nodes:
        assert conflist(node) == {**FLANNELS_CONFLIST, "plugins": [
            {"type": "flannel", "delegate": {**FLANNELS_CONFLIST["plugins"][0]["delegate"], "ipMasq": False}},
            FLANNELS_CONFLIST["plugins"][1], {"type": "ip-masq", "capabilities": {"io.kubernetes.cri.pod-annotations": True}}]}
        assert node.run("stat", "-c", "%a", "/run/cni/ip-masq") == "755\n", "the mode of a folder that kubelet made"
    assert sources(watch) == ([early.node.address, early.address], [early.node.address])  # adopted: it began as flannel left it
    pods = [early, *cluster.run_pods(*(pod_manifest(f"on-{node.node_name}", node) for node in cluster.nodes))]
    for pod in pods:
        assert seen_from(pod) == (pod.address, pod.node.address)
    assert "no pod is hurt: 0 found that hurt" in helm(cluster, "test", "ip-masq", "--logs")

    # The list is another, and reaches pods that run, and those to come.
    watch = Watch(pods[1], f"tcp:{EXEMPT}", f"tcp:{MASQUERADED}")
    helm(cluster, "upgrade", "ip-masq", CHART, "--set", "config.nonMasqueradeCIDRs={198.51.100.0/24}")
    for pod in pods:
        until(cluster, lambda pod=pod: seen_from(pod) == (pod.node.address, pod.address))
    assert sources(watch) == ([pods[1].address, pods[1].node.address], [pods[1].node.address, pods[1].address])
    print(cluster.kubectl("logs", "--namespace=kube-system", "--selector=app.kubernetes.io/name=ip-masq", "--prefix", "--timestamps", "--tail=-1"))
    late, = cluster.run_pods(pod_manifest("late", cluster.nodes[0]))
    configure(cluster, "nonMasqueradeCIDRs: [\n")
    until(cluster, lambda: "config-wrong: /etc/config/ip-masq-agent keeps what was good last: /config/ip-masq, line 2: not YAML"
          in cluster.kubectl("logs", *DAEMON_SET))
    beside, = cluster.run_pods(pod_manifest("beside-a-typo", cluster.nodes[0]))
    for pod in [beside, late, *pods]:
        assert seen_from(pod) == (pod.node.address, pod.address)
    watch = Watch(pods[1], f"tcp:{EXEMPT}", f"tcp:{MASQUERADED}")
    helm(cluster, "rollback", "ip-masq", "1")
    for pod in pods:
        until(cluster, lambda pod=pod: seen_from(pod) == (pod.address, pod.node.address))
    assert sources(watch) == ([pods[1].node.address, pods[1].address], [pods[1].address, pods[1].node.address])

    # flannel's own init container puts its conflist back.
    cluster.nodes[0].write("/etc/cni/net.d/10-flannel.conflist", json.dumps(FLANNELS_CONFLIST))
    until(cluster, lambda: any(plugin["type"] == "ip-masq" for plugin in conflist(cluster.nodes[0])["plugins"]))

    # A new version is rolled out, rolled back and uninstalled, which no connection notices. Without the agent the rules of running
    # pods stay, and go with the last of them.
    watch = Watch(pods[1], f"tcp:{EXEMPT}", f"tcp:{MASQUERADED}")
    helm(cluster, "upgrade", "ip-masq", CHART, "--set", "image.tag=0.1.1")
    for node in cluster.nodes:
        assert node.run("tail", "-c1", "/opt/cni/bin/ip-masq") == "\n"
    helm(cluster, "rollback", "ip-masq")
    for node in cluster.nodes:
        node.run("cmp", STATIC, "/opt/cni/bin/ip-masq")
    before = tables(cluster)
    cluster.helm("uninstall", "ip-masq", "--wait", "--namespace=kube-system")
    assert tables(cluster) == before
    assert sources(watch) == ([pods[1].address], [pods[1].node.address])
    cluster.kubectl("delete", "pod", "--all")
    until(cluster, lambda: tables(cluster) == ["", ""])
    for node in cluster.nodes:
        assert node.run("find", "/run/cni/ip-masq", "-mindepth", "1", "-printf", "%P\n").split() in ([".agent", "lock"], ["lock", ".agent"])


@pytest.mark.usefixtures("helm")
def test_the_configmap_of_ip_masq_agent_is_kept(running):
    """Where there is one it is followed as it is; without it the one of the manifest, and of the chart that takes it over."""
    cluster = running
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ip-masq-agent", "namespace": "kube-system"},
                   "data": {"config": "nonMasqueradeCIDRs:\n  - 198.51.100.0/24\nresyncInterval: 1s\n"}})
    install(cluster)
    pod, = cluster.run_pods(pod_manifest("pod", cluster.nodes[0]))
    assert seen_from(pod) == (pod.node.address, pod.address)
    cluster.kubectl("delete", "configmap", "ip-masq-agent", "--namespace=kube-system")
    until(cluster, lambda: seen_from(pod) == (pod.address, pod.node.address))
    watch = Watch(pod, f"tcp:{EXEMPT}", f"tcp:{MASQUERADED}")
    helm(cluster, "install", "ip-masq", CHART, "--take-ownership")
    assert sources(watch) == ([pod.address], [pod.node.address])


def start_with_ip_masq_agent(cluster):
    """Its ConfigMap, its DaemonSet, and the rules that it has set on each node; flanneld leaves the rest to it."""
    flannel, portmap = FLANNELS_CONFLIST["plugins"]
    cluster.start(flannel_flags=(), conflist={
        **FLANNELS_CONFLIST, "plugins": [{**flannel, "delegate": {**flannel["delegate"], "ipMasq": False}}, portmap]})
    labels = {"k8s-app": "ip-masq-agent"}
    meta = {"name": "ip-masq-agent", "namespace": "kube-system"}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"config": "nonMasqueradeCIDRs: [10.0.0.0/8]\n"}},
                  {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta, "spec": {
                      "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
                          "hostNetwork": True, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0,
                          "containers": [{"name": "ip-masq-agent", "image": BUSYBOX, "imagePullPolicy": "Never", "args": ["--random-fully"],
                                          "command": ["/bin/busybox", "sh", "-c", "exec sleep infinity"]}]}}}})
    set_rules_of_ip_masq_agent(cluster)


def set_rules_of_ip_masq_agent(cluster):
    """As it does once it runs."""
    rules = [rule.replace("192.168.0.0/16", "10.0.0.0/8") for rule in ip_masq_agent(4)]
    for node in cluster.nodes:
        node.restore_beside("\n".join(["*nat", *rules, "COMMIT", ""]), program="iptables-nft")


def doctor(node):
    return json.loads(node.run("/opt/cni/bin/ip-masq", "doctor", "-o", "json", check=False))["findings"]


def records(node):
    return node.run("find", "/run/cni/ip-masq/cbr0/pods", "-type", "f", check=False).split()


def paste(cluster, step, on=None, **texts):
    """What the commands of a step of conf/guides/migration.md say, on the control plane or on a node. The image was loaded from a file."""
    place = on or cluster.control_plane
    env = {**place.env, "KUBECONFIG": str(cluster.control_plane.kubeconfig), "HOME": str(cluster.folder), "KUBE_EDITOR": str(cluster.folder / "editor"),
           "PATH": f"{PROGRAMS}:{place.env['PATH']}"}
    said = []
    print(f"{datetime.now().time()}: {step}")  # shown beside what the watches saw, where a test fails
    for line in commands(__file__, "migration", "From ip-masq-agent", step):
        if line.startswith("podman build") or line.startswith("/opt/cni/bin/") != (on is not None):
            continue
        for old, new in {"registry.example": "docker.io/library", "conf/kubernetes": str(MANIFEST.parent), **texts}.items():
            line = line.replace(old, new)
        said.append(place.run("sh", "-c", f"cd {cluster.folder} && {line}", env=env, check="doctor" not in line))
        print(f"$ {line}\n{said[-1]}")
    return said


def test_no_pod_notices_the_migration_from_ip_masq_agent(cluster, versions):
    """conf/guides/migration.md, to the letter, what doctor prints pasted at once; then the records are lost; then the way back."""
    cluster.images += versions.values()
    start_with_ip_masq_agent(cluster)
    pods = cluster.run_pods(*(pod_manifest(f"{name}-on-{node.node_name}", node) for node in cluster.nodes for name in ("early", "other")))
    watches = [Watch(pod, f"tcp:{EXEMPT}", f"tcp:{MASQUERADED}", f"tcp:{EXEMPT_BY_DEFAULT}") for pod in pods]

    paste(cluster, "1. Keep what is there")
    assert paste(cluster, "2. See whether somebody would bring it back") == [""]
    editor = cluster.folder / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/^    nonMasqueradeCIDRs.*/&\\n    randomFully: true/' \"$1\"\n")
    editor.chmod(0o755)
    shown, edited = paste(cluster, "3. Its flags into its ConfigMap")
    assert "--random-fully" in shown and edited == "configmap/ip-masq-agent edited\n"
    paste(cluster, "4. The image, and its name in the manifest")
    *_, rolled_out = paste(cluster, "5. The one out, the other in")
    assert rolled_out.endswith("successfully rolled out\n")
    for node in cluster.nodes:
        assert "randomFully: true" in node.run("cat", "/etc/config/ip-masq-agent")
        pod = next(pod for pod in pods if pod.node is node)
        adopted, explained, probed = paste(cluster, "6. See on each node that every pod has its rules", on=node, **{"10.244.1.5": pod.address})
        assert adopted == "every pod that lives is recorded\n"
        assert explained.startswith(f"{pod.address} -> {EXEMPT}: kept")
        assert f"-> {EXEMPT}: kept, seen as " in probed
        assert "ip-masq-agent-leftover" in paste(cluster, "7. Only then the clean-up, on each node", on=node)[0]
        found = {finding["name"]: finding["fix"] for finding in doctor(node)}
        for fix in found["ip-masq-agent-leftover"]:
            node.run("sh", "-c", fix, env=node.env)
        assert "IP-MASQ-AGENT" not in node.run("nft", "list", "ruleset")
        assert doctor(node) == []
        assert len(records(node)) == 2
    for pod in pods:
        assert seen_from(pod) == (pod.address, pod.node.address)

    for node in cluster.nodes:
        node.run("sh", "-c", "rm -r /run/cni/ip-masq/cbr0 /run/cni/ip-masq/lock")
    for node in cluster.nodes:
        until(cluster, lambda node=node: len(records(node)) == 2)
    print(cluster.kubectl("logs", "--namespace=kube-system", "--selector=app.kubernetes.io/name=ip-masq", "--prefix", "--timestamps", "--tail=-1"))
    late, = cluster.run_pods(pod_manifest("late", cluster.nodes[0]))

    paste(cluster, "The way back")
    set_rules_of_ip_masq_agent(cluster)
    for node in cluster.nodes:
        paste(cluster, "The way back", on=node)
        assert [plugin["type"] for plugin in conflist(node)["plugins"]] == ["flannel", "portmap"]
        assert records(node) == []
    assert tables(cluster) == ["", ""]
    for pod, watch in zip(pods, watches):
        assert seen_from(pod) == (pod.address, pod.node.address)
        seen = watch.end()
        assert seen.pop("rounds") > 10
        assert list(seen.values()) == [[pod.address], [pod.node.address], [pod.node.address]]
    assert seen_from(late) == (late.address, late.node.address)
    cluster.kubectl("delete", "pod", "--all")
