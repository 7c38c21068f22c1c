"""A Kubernetes of real programs on one machine: etcd and the control plane in a namespace, nodes with containerd, kubelet,
flanneld and kube-proxy, each in namespaces of its own, and a host outside whose router knows the pods' subnets.

    outside 192.168.100.254 (10.9.9.9, 198.51.100.9) --- lan, control plane 192.168.100.1 --- nodes 192.168.100.11, .12
"""

import io
import json
import os
import re
import signal
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path

from harness.containerd import ContainerdHost
from harness.daemons import Daemon, wait_until
from harness.host import PLUGINS, TOOLS
from harness.network import Witness, connect, give
from harness.node import Namespace, NamespaceOfProcess

PROGRAMS = TOOLS / "kubernetes"
HELM = TOOLS / "helm"
POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
CONTROL_PLANE = "192.168.100.1"
OUTSIDE = "192.168.100.254"
EXEMPT, MASQUERADED = "10.9.9.9", "198.51.100.9"  # addresses of the host outside, by ip-masq's defaults
EXEMPT_BY_DEFAULT = "172.16.9.9"  # another that these exempt, and ip-masq-agent's list of the tests does not
TOKEN = "token"
BUSYBOX = "docker.io/test/busybox:1"

FLANNELS_CONFLIST = {
    "name": "cbr0", "cniVersion": "0.3.1",
    "plugins": [{"type": "flannel", "delegate": {"hairpinMode": True, "isDefaultGateway": True}},
                {"type": "portmap", "capabilities": {"portMappings": True}}]}

KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "failCgroupV1": False, "cgroupsPerQOS": False,
    "enforceNodeAllocatable": [], "localStorageCapacityIsolation": False, "failSwapOn": False, "cgroupDriver": "cgroupfs",
    "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock", "resolvConf": "", "syncFrequency": "1s",
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}}, "authorization": {"mode": "AlwaysAllow"},
    "imageGCHighThresholdPercent": 100, "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%"}}


def image(path, name, files, entrypoint, command=()):
    """An archive as `docker save` writes it. `files`: {path in the image: file}; `command`: what is called where nothing is named"""
    def add(archive, name, data, mode=0o644):
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(data), mode
        archive.addfile(entry, io.BytesIO(data))

    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for inside, file in files.items():
            add(archive, inside, Path(file).read_bytes(), 0o755)
    with tarfile.open(path, "w") as archive:
        add(archive, "config.json", json.dumps({"architecture": "amd64", "os": "linux", "config": {"Entrypoint": entrypoint, "Cmd": list(command)},
                                                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(layer.getvalue()).hexdigest()}"]}}).encode())
        add(archive, "layer.tar", layer.getvalue())
        add(archive, "manifest.json", json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode())
    return path


class Program(Daemon):
    """A daemon of Kubernetes, with flags given as keywords: node_ip="10.0.0.1" for --node-ip=10.0.0.1."""

    def __init__(self, host, program, *flags, name=None, **named):
        super().__init__(host, name or program, PROGRAMS / program, *flags,
                         *(f"--{key.replace('_', '-')}={value}" for key, value in named.items()))


class ControlPlane(Namespace):
    """etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kubectl for the test, at the bridge of the lan."""

    def __init__(self, folder):
        super().__init__("lan")
        self.folder = Path(folder)
        self.env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        self.run("ip", "link", "add", "lan", "type", "bridge")
        give(self, "lan", f"{CONTROL_PLANE}/24")
        self.run("ip", "link", "set", "lan", "up")
        self.kubeconfig = self.folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "it", "preferences": {},
            "clusters": [{"name": "it", "cluster": {"server": f"https://{CONTROL_PLANE}:6443", "insecure-skip-tls-verify": True}}],
            "users": [{"name": "it", "user": {"token": TOKEN}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}]}))
        self.daemons = []

    def start(self):
        url = "http://127.0.0.1:2379"
        self.daemons.append(Daemon(self, "etcd", "etcd", "--data-dir", self.folder / "etcd", "--listen-client-urls", url,
                                   "--advertise-client-urls", url, "--listen-peer-urls", "http://127.0.0.1:2380", "--unsafe-no-fsync"))
        (self.folder / "tokens").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        key = self.folder / "service-accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        api = Program(self, "kube-apiserver", etcd_servers=url, token_auth_file=self.folder / "tokens", authorization_mode="AlwaysAllow",
                      disable_admission_plugins="ServiceAccount", service_cluster_ip_range=SERVICE_NETWORK,
                      service_account_key_file=key, service_account_signing_key_file=key,
                      service_account_issuer="https://kubernetes.default.svc", cert_dir=self.folder / "certificates",
                      bind_address=CONTROL_PLANE, advertise_address=CONTROL_PLANE,
                      kubelet_preferred_address_types="InternalIP")
        self.daemons.append(api)
        wait_until(lambda: self.kubectl("get", "--raw", "/readyz", check=False) == "ok", api.process, "kube-apiserver")
        known = {"kubeconfig": self.kubeconfig, "authentication_kubeconfig": self.kubeconfig,
                 "authorization_kubeconfig": self.kubeconfig, "leader_elect": "false"}
        self.daemons.append(Program(self, "kube-controller-manager", allocate_node_cidrs="true", cluster_cidr=POD_NETWORK, **known))
        self.daemons.append(Program(self, "kube-scheduler", **known))

    def kubectl(self, *argv, check=True, **options):
        return self.run(PROGRAMS / "kubectl", "--kubeconfig", self.kubeconfig, *argv, check=check,
                        env={"HOME": str(self.folder), **self.env}, **options)

    def close(self):
        for daemon in reversed(self.daemons):
            daemon.end()
        super().close()


class KubeNode(ContainerdHost):
    """A node of the cluster; its programs find at the usual places what is theirs alone."""

    PRIVATE = [*ContainerdHost.PRIVATE, "/etc/kube-flannel", "/opt/cni/bin", "/var/lib/kubelet", "/var/log/containers", "/var/log/pods"]

    def __init__(self, folder, name, number, control_plane):
        folder = Path(folder) / name
        folder.mkdir()
        super().__init__(folder)
        self.node_name, self.address = name, f"192.168.100.{10 + number}"
        self.control_plane = control_plane
        self.use_iptables("nft")
        connect(control_plane, f"port{number}", self, "eth0")
        control_plane.run("ip", "link", "set", f"port{number}", "master", "lan")
        give(self, "eth0", f"{self.address}/24")
        self.run("ip", "route", "add", "default", "via", OUTSIDE)
        self.sysctl(net__ipv4__ip_forward=1)
        self.run("cp", *(TOOLS / plugin for plugin in [*PLUGINS, "loopback"]), "/opt/cni/bin")

    def start_kubelet(self):
        config = self.folder / "kubelet.json"
        config.write_text(json.dumps(KUBELET))
        self.daemons["kubelet"] = Program(self, "kubelet", config=config, kubeconfig=self.control_plane.kubeconfig,
                                          hostname_override=self.node_name, node_ip=self.address)

    def start_flanneld(self, *flags):
        """Once the node is registered and has its pod subnet."""
        wait_until(lambda: self.control_plane.kubectl("get", "node", self.node_name, "-o", "jsonpath={.spec.podCIDR}", check=False),
                   self.daemons["kubelet"].process, "the kubelet")
        self.write("/etc/kube-flannel/net-conf.json", json.dumps({"Network": POD_NETWORK, "Backend": {"Type": "vxlan"}}))
        self.env["NODE_NAME"] = self.node_name
        daemon = self.daemons["flanneld"] = Daemon(self, "flanneld", TOOLS / "flanneld/flannel", "--kube-subnet-mgr", "--kubeconfig-file",
                                                   self.control_plane.kubeconfig, "--iface=eth0", *flags)
        wait_until(lambda: daemon.succeeds("test", "-s", "/run/flannel/subnet.env"), daemon.process, "flanneld")

    def start_kube_proxy(self, mode):
        self.daemons["kube-proxy"] = Program(self, "kube-proxy", proxy_mode=mode, kubeconfig=self.control_plane.kubeconfig,
                                             hostname_override=self.node_name, cluster_cidr=POD_NETWORK, conntrack_max_per_core=0,
                                             conntrack_tcp_timeout_established=0, conntrack_tcp_timeout_close_wait=0)

    def start(self, proxy_mode, flannel_flags):
        """All of it, as a boot does."""
        self.start_containerd()
        self.start_kubelet()
        self.start_flanneld(*flannel_flags)
        self.start_kube_proxy(proxy_mode)

    def power_off(self):
        """All processes end, and what a reboot forgets is gone: /run, links, rules of the kernel."""
        for name in ("kube-proxy", "kubelet", "flanneld"):
            self.end(name)
        for line in self.run(*self.ctr("tasks", "list", "-q"), env=self.env).split():
            self.run(*self.ctr("tasks", "kill", "-s", "SIGKILL", line), env=self.env)
        self.end("containerd")
        mine = Path(f"/proc/{self.holder.pid}/ns/mnt").readlink()
        for process in Path("/proc").glob("[0-9]*"):  # the shims
            try:
                if (process / "ns/mnt").readlink() == mine and process.name != str(self.holder.pid):
                    os.kill(int(process.name), signal.SIGKILL)
            except OSError:
                pass  # it has ended
        for path in ("/run/cni", "/run/flannel", "/run/containerd"):
            self.run("umount", "-R", path)
            self.run("mount", "-t", "tmpfs", "private", path)
        # Those that are mounted here: the folder holds the names of other clusters' namespaces as well, and whoever removes
        # one ends its mount on the node that it is of.
        for path in re.findall(r"/run/netns/cni-\S+", self.run("cat", "/proc/self/mountinfo")):
            self.run("umount", path)
            self.run("rm", path)
        for link in ("cni0", "flannel.1"):
            self.run("ip", "link", "del", link)
        self.run("nft", "flush", "ruleset")

    def close(self):
        for name in ("kube-proxy", "kubelet", "flanneld"):
            if name in self.daemons:
                self.end(name)
        super().close()


class KubePod(NamespaceOfProcess):
    """The network namespace of a pod that runs, and its address."""

    def __init__(self, node, manifest):
        self.node, self.name, self.address = node, manifest["metadata"]["name"], manifest["status"]["podIP"]
        container = manifest["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        tasks = node.run(*node.ctr("tasks", "list"), env=node.env)
        super().__init__(next(line.split()[1] for line in tasks.splitlines() if line.startswith(container)))


class Cluster:
    """Two nodes, ready for pods once start() has returned."""

    def __init__(self, folder):
        self.control_plane = ControlPlane(folder)
        self.folder = Path(folder)
        self.outside = Namespace("outside")
        connect(self.control_plane, "port-outside", self.outside, "eth0")
        self.control_plane.run("ip", "link", "set", "port-outside", "master", "lan")
        give(self.outside, "eth0", f"{OUTSIDE}/24")
        addresses = [EXEMPT, MASQUERADED, EXEMPT_BY_DEFAULT]
        give(self.outside, "lo", *(f"{address}/32" for address in addresses))
        self.witness = Witness(self.outside, addresses)
        self.nodes = [KubeNode(folder, f"node{number}", number, self.control_plane) for number in (1, 2)]
        self.images = [image(self.folder / "busybox.tar", BUSYBOX, {"bin/busybox": "/bin/busybox"},
                             ["/bin/busybox", "sleep", "infinity"])]

    def start(self, proxy_mode="iptables", flannel_flags=("--ip-masq",), conflist=FLANNELS_CONFLIST):
        self.control_plane.start()
        for node in self.nodes:
            node.write("/etc/cni/net.d/10-flannel.conflist", json.dumps(conflist, indent=2))
            node.start_containerd(*self.images)
            node.start_kubelet()
        for node in self.nodes:
            node.start_flanneld(*flannel_flags)
            node.start_kube_proxy(proxy_mode)
            subnet = self.kubectl("get", "node", node.node_name, "-o", "jsonpath={.spec.podCIDR}")
            self.outside.run("ip", "route", "add", subnet, "via", node.address)
        self.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=120s")

    def kubectl(self, *argv, **options):
        return self.control_plane.kubectl(*argv, **options)

    def helm(self, *argv):
        """helm, with a home of its own, where it keeps what it found out."""
        return self.control_plane.run(HELM, "--kubeconfig", self.control_plane.kubeconfig, "--kube-insecure-skip-tls-verify", *argv,
                                      env={**self.control_plane.env, "HOME": str(self.folder / "helm")})

    def apply(self, *manifests):
        self.kubectl("apply", "--validate=strict", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))

    def run_pods(self, *manifests):
        """Pods, once they are ready."""
        self.apply(*manifests)
        names = [manifest["metadata"]["name"] for manifest in manifests]
        self.kubectl("wait", "--for=condition=Ready", "--timeout=120s", "pod", *names)
        return [self.pod(name) for name in names]

    def pod(self, name):
        manifest = json.loads(self.kubectl("get", "pod", name, "-o", "json"))
        return KubePod(next(node for node in self.nodes if node.node_name == manifest["spec"]["nodeName"]), manifest)

    def tell(self):
        """What the agents said, and what each node knows of its pods, beside what a test prints that fails."""
        print(self.kubectl("logs", "--namespace=kube-system", "--selector=app.kubernetes.io/name=ip-masq", "--all-containers", "--prefix",
                           "--timestamps", "--tail=-1", check=False))
        for node in self.nodes:
            print(node.run("sh", "-c", "echo; hostname; grep netns /proc/self/mountinfo; ls -l /run/netns/cni-* /var/lib/cni/results; "
                                       "find /run/cni/ip-masq -type f; nft list tables; tail -v -n +1 /etc/cni/net.d/*list", check=False))

    def close(self):
        self.witness.close()
        for node in self.nodes:
            node.close()
        self.outside.close()
        self.control_plane.close()


def pod_manifest(name, node, **container):
    """A pod that sleeps on a node."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"nodeName": node.node_name, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0,
                     "containers": [{"name": "main", "image": BUSYBOX, "imagePullPolicy": "Never", **container}]}}
