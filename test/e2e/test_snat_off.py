"""scripts/snat-off: docker's and flannel's source NAT off, by what an outside host sees, and what stays as it was."""

import json
import shlex

import pytest
from harness.daemons import Dockerd, Etcd, Flanneld
from harness.host import ROOT
from harness.network import Outside, Pod, ask
from harness.node import Namespace

CONTAINER, POD_NETWORK = "172.17.0.5", "10.244.0.0/16"
OUTSIDE = "10.9.9.9"
UNIT = """[Unit]
Description=flanneld

[Service]
ExecStart=/usr/bin/flanneld \\
  --ip-masq \\
  --kube-subnet-mgr
Restart=always
"""
MANIFEST = """      containers:
      - name: kube-flannel
        command: ["/opt/bin/flanneld"]
        args:
        - --ip-masq
        - --kube-subnet-mgr
"""


@pytest.fixture
def site(host):
    host.outside = Outside(host, [OUTSIDE], ["172.17.0.0/16", POD_NETWORK])
    yield host
    host.outside.close()


def snat_off(host, *argv, check=True):
    return host.run("python3", ROOT / "scripts/snat-off", *argv, check=check, env=host.env)


def refused(host, *argv):
    """What it says that it cannot do."""
    with pytest.raises(AssertionError) as failure:
        snat_off(host, *argv)
    return str(failure.value).split("snat-off: ", 1)[1].strip()


def seen(namespace):
    return ask(namespace, f"tcp:{OUTSIDE}")[f"tcp:{OUTSIDE}"]


def text(host, path):
    return host.run("cat", path, check=False)


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_docker(site, daemons, kind):
    site.use_iptables(kind)
    before = '{"bip": "172.17.0.1/16", "log-opts": {"max-size": "1m"}, "mtu": 1400}'
    site.write("/etc/docker/daemon.json", before)
    daemons.append(Dockerd(site))
    container = Pod(site, "container", f"{CONTAINER}/16", bridge="docker0")
    container.route_through("172.17.0.1")
    assert seen(container.namespace) == Outside.NODE[4]

    said = snat_off(site, "docker", "--dry-run")
    assert '+  "ip-masq": false' in said
    assert f"would run: iptables-{kind} -w -t nat -D POSTROUTING -s 172.17.0.0/16 '!' -o docker0 -j MASQUERADE" in said
    assert text(site, "/etc/docker/daemon.json") == before
    assert seen(container.namespace) == Outside.NODE[4]

    snat_off(site, "docker")
    assert json.loads(text(site, "/etc/docker/daemon.json")) == {**json.loads(before), "ip-masq": False}
    assert seen(container.namespace) == CONTAINER
    daemons.pop().end()
    daemons.append(Dockerd(site))
    assert seen(container.namespace) == CONTAINER
    assert snat_off(site, "docker") == "docker: no file to change\n"

    snat_off(site, "docker", "--undo")
    assert text(site, "/etc/docker/daemon.json") == before
    assert site.run("ls", "-A", "/etc/docker").split() == ["daemon.json"] + (["key.json"] if "key.json" in site.run("ls", "/etc/docker") else [])
    daemons.pop().end()
    daemons.append(Dockerd(site))
    assert seen(container.namespace) == Outside.NODE[4]
    container.close()


def test_docker_without_a_file_of_its_own(host):
    snat_off(host, "docker")
    assert json.loads(text(host, "/etc/docker/daemon.json")) == {"ip-masq": False}
    snat_off(host, "docker", "--undo")
    assert host.run("ls", "-A", "/etc/docker") == ""


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_flannel(site, daemons, kind):
    site.use_iptables(kind)
    conf = json.loads((ROOT / "conf/10-flannel-ip-masq.conflist").read_text())
    conf["plugins"] = conf["plugins"][:1]
    del conf["plugins"][0]["delegate"]["ipMasq"]
    site.use_conflist(conf)
    site.write("/etc/systemd/system/flanneld.service", UNIT)

    def start_flanneld():
        arguments = shlex.split(text(site, "/etc/systemd/system/flanneld.service").split("ExecStart=")[1].split("Restart")[0])
        daemons.append(Flanneld(site, *[argument for argument in arguments if argument == "--ip-masq"]))

    def seen_of_a_new_pod():
        pod = Namespace("pod")
        try:
            address = json.loads(site.cnitool("add", "cbr0", pod))["ips"][0]["address"].split("/")[0]
            source = seen(pod)
            site.cnitool("del", "cbr0", pod)
            return "the pod" if source == address else source
        finally:
            pod.close()

    daemons.append(Etcd(site, {"Network": POD_NETWORK, "Backend": {"Type": "host-gw"}}))
    start_flanneld()
    assert seen_of_a_new_pod() == Outside.NODE[4]

    # What people do first: flanneld's own off, and flannel's plugin switches the bridge's on.
    said = snat_off(site, "flannel", "--dry-run")
    assert '"ipMasq": false' in said and "-  --ip-masq" in said
    daemons.pop().end()
    daemons.append(Flanneld(site))
    assert seen_of_a_new_pod() == Outside.NODE[4]
    daemons.pop().end()
    start_flanneld()

    assert "flanneld runs with --ip-masq: restart it, then run this again" in snat_off(site, "flannel")
    assert json.loads(text(site, "/etc/cni/net.d/10-test.conflist"))["plugins"][0]["delegate"] == {
        **conf["plugins"][0]["delegate"], "ipMasq": False}
    assert text(site, "/etc/systemd/system/flanneld.service") == UNIT.replace("  --ip-masq \\\n", "  \\\n")
    daemons.pop().end()
    start_flanneld()
    assert "flannel: no file to change" in snat_off(site, "flannel")
    assert "FLANNEL" not in site.run("iptables", "-t", "nat", "-S", env=site.env)
    assert seen_of_a_new_pod() == "the pod"

    snat_off(site, "flannel", "--undo")
    assert text(site, "/etc/systemd/system/flanneld.service") == UNIT
    assert json.loads(text(site, "/etc/cni/net.d/10-test.conflist")) == conf
    assert site.run("ls", "-A", "/etc/cni/net.d") == "10-test.conflist\n"


@pytest.mark.parametrize("args, edited", [
    ("        - --ip-masq\n        - --kube-subnet-mgr\n", "        - --kube-subnet-mgr\n"),
    ('        - "--ip-masq=true"\n        - --kube-subnet-mgr\n', "        - --kube-subnet-mgr\n"),
    ('        command: ["flanneld", "--ip-masq", "--kube-subnet-mgr"]\n', '        command: ["flanneld", "--kube-subnet-mgr"]\n'),
    ('        command: [ "/opt/bin/flanneld", "--ip-masq" ]\n', '        command: [ "/opt/bin/flanneld" ]\n'),
    ("        - --ip-masq=false\n", "        - --ip-masq=false\n"),
    ("        - --ip-masq-fully-random-ish\n", "        - --ip-masq-fully-random-ish\n"),
])
def test_a_daemonset_manifest(host, args, edited):
    path = host.folder / "kube-flannel.yml"
    path.write_text("spec:\n" + args)
    snat_off(host, "flannel", "--manifest", path)
    assert path.read_text() == "spec:\n" + edited
    assert "flannel: no file to change" in snat_off(host, "flannel", "--manifest", path)
    snat_off(host, "flannel", "--manifest", path, "--undo")
    assert path.read_text() == "spec:\n" + args


def test_what_cannot_be_done_changes_nothing(host):
    host.use_conflist("10-flannel-ip-masq.conflist")
    host.write("/etc/docker/daemon.json", '{"bip": ')
    assert refused(host, "docker").startswith("/etc/docker/daemon.json is not JSON: ")
    assert text(host, "/etc/docker/daemon.json") == '{"bip": '
    host.write("/etc/docker/daemon.json", "[]")
    assert refused(host, "docker") == "/etc/docker/daemon.json holds no JSON object; mend it first, nothing was changed"
    host.write("/etc/docker/daemon.json", "{}")
    host.write("/run/flannel/docker", 'DOCKER_OPTS=" --bip=10.244.1.1/24 --ip-masq=true --mtu=1450"\n')
    assert refused(host, "docker").startswith("/run/flannel/docker gives docker --ip-masq=true (mk-docker-opts.sh writes such)")
    assert text(host, "/etc/docker/daemon.json") == "{}"
    host.write("/etc/cni/net.d/90-broken.conflist", "{")
    host.write("/etc/cni/net.d/10-test.conflist", '{"plugins": [{"type": "flannel"}]}')
    assert refused(host, "flannel").startswith("/etc/cni/net.d/90-broken.conflist is not JSON: ")
    assert text(host, "/etc/cni/net.d/10-test.conflist") == '{"plugins": [{"type": "flannel"}]}'
    assert refused(host, "flannel", "--manifest", "/nowhere.yml") == "there is no /nowhere.yml"


def test_a_full_disk_changes_nothing(host):
    host.run("mount", "-o", "remount,size=4k", "/etc/docker")
    host.write("/etc/docker/daemon.json", '{"mtu": 1400}')
    assert refused(host, "docker").startswith("cannot write /etc/docker/daemon.json.before-snat-off: [Errno 28] No space left")
    assert text(host, "/etc/docker/daemon.json") == '{"mtu": 1400}'
    assert host.run("ls", "-A", "/etc/docker") == "daemon.json\n"


def test_undo_does_not_lose_what_was_written_since(host):
    host.write("/etc/docker/daemon.json", '{"mtu": 1400}')
    snat_off(host, "docker")
    host.write("/etc/docker/daemon.json", '{"mtu": 1300, "ip-masq": false}')
    assert refused(host, "docker", "--undo").startswith("/etc/docker/daemon.json was changed after snat-off: put it back by hand")
    assert text(host, "/etc/docker/daemon.json") == '{"mtu": 1300, "ip-masq": false}'
