"""Connections that somebody redirects back into the pod subnet: a pod reaches itself and its neighbour through a
service address and through a host port, whoever marks such packets or does not."""

import json

import pytest
from harness.host import ROOT
from harness.network import Outside, Witness, ask
from harness.node import Namespace

SERVICE = "10.96.0.10"


def kube_proxy(endpoint):
    """kube-proxy's iptables mode for one service with one endpoint, masquerade-all."""
    return f"""*nat
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-TEST - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A KUBE-SERVICES -d {SERVICE}/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-TEST
-A KUBE-SVC-TEST -j KUBE-MARK-MASQ
-A KUBE-SVC-TEST -p tcp -m tcp -j DNAT --to-destination {endpoint}:7007
COMMIT
"""


@pytest.fixture
def site(host, backend):
    host.backend = backend
    host.write("/run/flannel/subnet.env", "FLANNEL_NETWORK=10.244.0.0/16\n")
    outside = Outside(host, ["10.9.9.9"], ["10.22.0.0/24"])
    host.sysctl(net__ipv4__conf__all__route_localnet=1)
    host.pods = [Namespace("pod-a"), Namespace("pod-b")]
    host.outside = outside.namespace
    host.witnesses = []
    yield host
    for witness in host.witnesses:
        witness.close()
    for pod in host.pods:
        pod.close()
    outside.close()


def start_pods(site, portmap_backend="iptables", with_us=True):
    """Two pods of the shipped bridge conflist; the first one serves at host port 8080. Their addresses."""
    conflist = json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text())
    conflist["plugins"][1]["backend"] = portmap_backend
    conflist["plugins"][-1]["backend"] = site.backend
    if not with_us:
        conflist["plugins"].pop()
    site.use_conflist(conflist)
    addresses = []
    for pod, ports in zip(site.pods, ([{"hostPort": 8080, "containerPort": 7007, "protocol": "tcp"}], [])):
        result = json.loads(site.cnitool("add", "bridge-net", pod, {"portMappings": ports}))
        addresses.append(next(ip["address"].split("/")[0] for ip in result["ips"] if "." in ip["address"]))
        site.witnesses.append(Witness(pod, [addresses[-1]]))
    return addresses


@pytest.fixture(params=["0", "1"], ids=["not through iptables", "through iptables"])
def bridged(request, site):
    """Whether what crosses the bridge passes iptables."""
    site.sysctl(**{"net__bridge__bridge-nf-call-iptables": request.param})
    return request.param


GATEWAY = "10.22.0.1"
HOST_PORT = f"tcp:{Outside.NODE[4]}:8080"


def test_service_address(site, bridged):
    server, client = start_pods(site)
    site.run("iptables-legacy-restore", "--noflush", input=kube_proxy(server))
    for pod in site.pods:
        assert ask(pod, f"tcp:{SERVICE}:80") == {f"tcp:{SERVICE}:80": GATEWAY}
    assert ask(site.pods[1], f"tcp:{server}") == {f"tcp:{server}": client}


def test_host_port_of_portmaps_iptables_mode(site, bridged):
    start_pods(site, "iptables")
    for pod in site.pods:
        assert ask(pod, HOST_PORT) == {HOST_PORT: GATEWAY}
    assert ask(site.outside, HOST_PORT) == {HOST_PORT: "198.18.0.254"}


@pytest.mark.parametrize("with_us", [True, False], ids=["with ip-masq", "without"])
def test_host_port_of_portmaps_nftables_mode(site, bridged, with_us):
    """portmap masquerades only what a pod sends to itself here, and marks nothing. A neighbour's connection is answered
    around the redirection unless the bridge passes it through iptables: with ip-masq as without."""
    _, client = start_pods(site, "nftables", with_us)
    server_pod, client_pod = site.pods
    assert ask(server_pod, HOST_PORT) == {HOST_PORT: GATEWAY}
    assert ask(client_pod, HOST_PORT) == {HOST_PORT: client if bridged == "1" else None}
    assert ask(site.outside, HOST_PORT) == {HOST_PORT: "198.18.0.254"}
