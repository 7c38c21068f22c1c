"""scripts/snat-off: docker's and flannel's source NAT off, by what an outside host sees, and what stays as it was."""

import json
import os
import shlex
import struct
import subprocess
import sys

import pytest
from harness.daemons import Dockerd, Etcd, Flanneld, wait_until
from harness.host import ROOT
from harness.masquerades import flannel, put
from harness.network import Outside, Pod, ask
from harness.node import BINARY, Namespace

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
    assert '+{"bip": "172.17.0.1/16", "log-opts": {"max-size": "1m"}, "mtu": 1400, "ip-masq": false}\n' in said
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


# Of people who keep networks of their own beside docker.
OTHERS = ["-s 192.168.50.0/24 ! -o br-lan -j MASQUERADE", "-s 192.168.51.0/24 ! -o br-0123456789a -j MASQUERADE",
          "-s 192.168.52.0/24 ! -o docker1 -j MASQUERADE", "-s 172.17.0.0/16 ! -o docker0 -m comment --comment mine -j MASQUERADE",
          "-s 172.16.0.0/12 ! -o docker0 -j MASQUERADE", "-s 172.17.0.0/16 -d 10.9.9.9/32 ! -o docker0 -j MASQUERADE"]
LEFT_BEHIND = "-s 10.99.0.0/16 ! -o br-0123456789ab -j MASQUERADE"


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_networks_of_docker_and_bridges_of_others(site, daemons, kind):
    site.use_iptables(kind)
    daemons.append(Dockerd(site))
    site.env["DOCKER_HOST"] = daemons[-1].socket
    network = site.run("docker", "network", "create", "--subnet", POD_NETWORK, "my net", env=site.env)[:12]
    for rule in [*OTHERS, LEFT_BEHIND]:
        site.run("iptables", "-t", "nat", "-A", "POSTROUTING", *rule.split(), env=site.env)

    def postrouting():
        return [rule.removeprefix("-A POSTROUTING ") for rule in site.run("iptables", "-t", "nat", "-S", "POSTROUTING", env=site.env).splitlines()]

    of_network = f"-s {POD_NETWORK} ! -o br-{network} -j MASQUERADE"
    of_docker0 = "-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"
    before = postrouting()
    assert sorted(before[1:]) == sorted([*OTHERS, LEFT_BEHIND, of_network, of_docker0])
    left = (f"docker's network my net (br-{network}) masquerades {POD_NETWORK}, and daemon.json does not decide that: make it anew "
            "(docker network rm 'my net', then docker network create with what docker network inspect 'my net' shows and "
            "-o com.docker.network.bridge.enable_ip_masquerade=false)")
    assert refused(site, "docker").splitlines()[0] == left
    assert postrouting() == [rule for rule in before if rule not in (of_docker0, LEFT_BEHIND)]
    finding = doctors(site)["docker-masquerade"]
    assert len(finding["where"]) == 1 and finding["where"][0].endswith(of_network)
    assert finding["fix"] == [f"# daemon.json does not decide for the network of br-{network}: make it anew with what docker network inspect "
                              f"{network} shows, and -o com.docker.network.bridge.enable_ip_masquerade=false"]

    # As it says.
    site.run("docker", "network", "rm", "my net", env=site.env)
    site.run("docker", "network", "create", "--subnet", POD_NETWORK, "-o", "com.docker.network.bridge.enable_ip_masquerade=false", "my net", env=site.env)
    daemons.pop().end()
    daemons.append(Dockerd(site))
    assert snat_off(site, "docker") == "docker: no file to change\n"
    assert sorted(postrouting()[1:]) == sorted(OTHERS)
    assert "docker-masquerade" not in doctors(site)


def doctors(host):
    """What doctor finds, by name."""
    found = host.run("sh", "-c", f"{BINARY} doctor -o json; true", env=host.env)
    return {each["name"]: each for each in json.loads(found)["findings"]}


FLANNELS_TABLES = """table ip flannel-ipv4 {
	chain postrtg {
		type nat hook postrouting priority srcnat; policy accept;
		meta mark 0x4000 return
		ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		ip saddr 10.244.0.0/16 accept
	}
}
table ip6 flannel-ipv6 {
	chain postrtg {
		type nat hook postrouting priority srcnat; policy accept;
		ip6 saddr fd00:10:244::/48 ip6 daddr != ff00::/8 masquerade fully-random
	}
}
table ip mine {
	chain postrtg {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 192.168.50.0/24 masquerade
	}
}
"""


@pytest.mark.parametrize("says_so", [False, True])
def test_nftables_chains_of_a_flanneld_that_was_killed(flannel_host, says_so):
    host = flannel_host
    host.write("/run/flannel/subnet.env", f"FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_IPMASQ={str(says_so).lower()}\n")
    host.run("nft", "-f", "-", input=FLANNELS_TABLES)
    removals = [f"nft flush chain {place} postrtg && nft delete chain {place} postrtg" for place in ("ip flannel-ipv4", "ip6 flannel-ipv6")]
    fix = doctors(host)["flannel-masquerade"]["fix"]
    assert fix[0].startswith("# scripts/snat-off flannel") if says_so else fix == removals
    said = snat_off(host, "flannel", "--dry-run")
    assert "would run: nft 'flush chain ip flannel-ipv4 postrtg; delete chain ip flannel-ipv4 postrtg'\n" in said
    assert host.run("nft", "list", "ruleset").count("postrtg") == 3
    said = snat_off(host, "flannel")
    assert ("still says FLANNEL_IPMASQ=true" in said) == says_so
    ruleset = host.run("nft", "list", "ruleset")
    assert "ip saddr 10.244.0.0/16 accept" in ruleset and "ip saddr 192.168.50.0/24 masquerade" in ruleset and ruleset.count("postrtg") == 1
    if says_so:
        host.run("rm", "/run/flannel/subnet.env")
    assert "flannel-masquerade" not in doctors(host)


def test_without_nft_it_is_not_known(flannel_host, tmp_path):
    for program in ("iptables-nft", "ip6tables-nft"):
        (tmp_path / program).symlink_to(f"/usr/sbin/{program}")
    with pytest.raises(AssertionError) as failure:
        flannel_host.run("env", f"PATH={tmp_path}", sys.executable, ROOT / "scripts/snat-off", "flannel")
    assert ("snat-off: there is no nft, which shows whether flanneld left rules in tables flannel-ipv4 and flannel-ipv6: "
            "apt install nftables, then run this again\n") in str(failure.value)


@pytest.fixture
def program(host):
    """Starts one that does nothing, under that name."""
    started = []

    def start(*argv):
        started.append(subprocess.Popen(host.inside("bash", "-c", 'exec -a "$0" sleep infinity', *argv)))
        wait_until(lambda: host.run("cat", f"/proc/{started[-1].pid}/cmdline").startswith(argv[0]), started[-1], argv[0])

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_flannel_in_k3s_stays(flannel_host, program):
    flannel_host.write("/run/flannel/subnet.env", "FLANNEL_IPMASQ=true\n")
    put(flannel_host, flannel, places=["iptables-legacy"])
    before = flannel_host.save()
    program("/usr/local/bin/k3s agent")
    assert refused(flannel_host, "flannel").splitlines()[0] == (
        "k3s has flannel in it, and always lets it masquerade (FLANNEL_IPMASQ=true in /run/flannel/subnet.env): its rules stay, and those of "
        "ip-masq hold against them")
    assert flannel_host.save() == before


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
    *((f"        - --ip-masq={off}\n", f"        - --ip-masq={off}\n") for off in ("0", "f", "F", "FALSE", "False", "tRUE", "yes")),
    *((f"        - -ip-masq={on} # as ever\n        - --iface=eth0   \n", "        - --iface=eth0   \n") for on in ("1", "t", "T", "TRUE", "True")),
    ("        - --ip-masq\n", ""),
    ("        - --ip-masq", ""),
    ('        args: ["--ip-masq"]\n', "        args: []\n"),
    ("        args: [ --ip-masq=1, --kube-subnet-mgr ]\n", "        args: [ --kube-subnet-mgr ]\n"),
    ('  "args": [\n    "--kube-subnet-mgr",\n    "--ip-masq=T"\n  ],\n', '  "args": [\n    "--kube-subnet-mgr"\n  ],\n'),
    ('        command: ["sh", "-c", "exec flanneld -ip-masq=\'1\' -v 2; true --ip-masq"]\n', '        command: ["sh", "-c", "exec flanneld -v 2; true "]\n'),
    ("        # - --ip-masq\n", "        # - --ip-masq\n"),
    ("        env:\n        - name: FLANNELD_IP_MASQ\n          value: 'True'\n", '        env:\n        - name: FLANNELD_IP_MASQ\n          value: "false"\n'),
    ("        env:\n        - {name: FLANNELD_IP_MASQ, value: true}\n", '        env:\n        - {name: FLANNELD_IP_MASQ, value: "false"}\n'),
    ('  {"name": "FLANNELD_IP_MASQ", "value": "true"}\n', '  {"name": "FLANNELD_IP_MASQ", "value": "false"}\n'),
    ("        - --ip-masq-fully-random-ish\n", "        - --ip-masq-fully-random-ish\n"),
])
def test_a_daemonset_manifest(host, args, edited):
    path = host.folder / "kube-flannel.yml"
    path.write_text("spec:\n" + args)
    snat_off(host, "flannel", "--manifest", path)
    assert path.read_text() == "spec:\n" + edited
    assert "flannel: no file to change" in snat_off(host, "flannel", "--manifest", path)
    said = snat_off(host, "flannel", "--manifest", path, "--undo")
    assert said == (f"put {path} back\n" if edited != args else "flannel: no file to change\n")
    assert path.read_text() == "spec:\n" + args


CONF = """\
          "type": "flannel",
          "delegate": {
            "hairpinMode": true%s
          }
"""
AS_LINES = """\
kind: ConfigMap
data:
  # cni-conf.json: | is what flannel's pods copy
  cni-conf.json: |%s
    {
      "name": "cbr0",
      "plugins": [
        {
%s        }
      ]
    }

  net-conf.json: |
    {"Network": "10.244.0.0/16"}
---
kind: DaemonSet
spec:
  - command: [cp, -f, /etc/kube-flannel/cni-conf.json, /etc/cni/net.d/10-flannel.conflist]
  - args:
    - --kube-subnet-mgr
"""
LIST = '{"name": "cbr0", "plugins": [{"type": "flannel", "delegate": {"isDefaultGateway": true%s}}]}'
OFF = ', "ipMasq": false'


@pytest.mark.parametrize("text, edited", [
    *((AS_LINES % (sign, CONF % "") + flag, AS_LINES % (sign, CONF % ',\n            "ipMasq": false'))
      for sign, flag in (("", "    - --ip-masq\n"), ("-", ""), ("2 # the list", ""))),
    (AS_LINES % ("", CONF % ',\n            "ipMasq": true'), AS_LINES % ("", CONF % ',\n            "ipMasq": false')),
    *((json.dumps({"kind": "ConfigMap", "data": {"cni-conf.json": LIST % before}}, indent=indent),
       json.dumps({"kind": "ConfigMap", "data": {"cni-conf.json": LIST % OFF}}, indent=indent)) for before in ("", OFF) for indent in (None, 4)),
    ('data: {"cni-conf.json": "%s"}\n' % (LIST % "").replace('"', '\\"'), 'data: {"cni-conf.json": "%s"}\n' % (LIST % OFF).replace('"', '\\"')),
    (f"data:\n  'cni-conf.json': |\n   {LIST % ''}", f"data:\n  'cni-conf.json': |\n   {LIST % OFF}"),
])
def test_the_conflist_in_a_manifest(host, text, edited):
    """flannel's pods copy it over the node's own: without "ipMasq": false in it, pods would be hidden even from other nodes."""
    path = host.folder / "kube-flannel.yml"
    path.write_text(text)
    snat_off(host, "flannel", "--manifest", path)
    assert path.read_text() == edited
    assert snat_off(host, "flannel", "--manifest", path) == "flannel: no file to change\n"
    snat_off(host, "flannel", "--manifest", path, "--undo")
    assert path.read_text() == text


def test_a_manifest_whose_conflist_is_elsewhere_or_cannot_be_edited(host):
    path = host.folder / "kube-flannel.yml"
    path.write_text("        - --ip-masq\n        - --kube-subnet-mgr\n")
    assert (f"{path} has no cni-conf.json, which flannel's pods copy over the node's conflist when they start: before it is applied, run this "
            'with the file that has it, or write "ipMasq": false into the "delegate" there: kubectl -n kube-flannel edit configmap '
            "kube-flannel-cfg\n") in snat_off(host, "flannel", "--manifest", path)
    for text, reason in (("  cni-conf.json: |\n    {,\n", f"{path}, cni-conf.json at line 2 is not JSON: "),
                         ("  cni-conf.json: |\n    []\n", f"{path}, cni-conf.json at line 2 holds no JSON object; mend it first, nothing was changed"),
                         ("  cni-conf.json: '{}'\n", f"{path}, line 1: cni-conf.json is not written as | and lines, or as a string: "),
                         ("  cni-conf.json: \"{ \\\n    }\"\n", f"{path}, line 1: cni-conf.json is not written as | and lines, or as a string: ")):
        path.write_text(text + "        - --ip-masq\n")
        assert refused(host, "flannel", "--manifest", path).startswith(reason)
        assert path.read_text() == text + "        - --ip-masq\n"


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


VENDOR = "/usr/lib/systemd/system"
RESTART = "systemd and flanneld read their files when told to: systemctl daemon-reload && systemctl restart flanneld.service\n"


@pytest.fixture
def flannel_host(host):
    """Where what packages bring for systemd is nothing, and flannel's conflist is right."""
    host.run("mount", "-t", "tmpfs", "private", VENDOR)
    host.use_conflist("10-flannel-ip-masq.conflist")
    return host


def files_under(host, *folders):
    """{path: text} of what is there."""
    paths = host.run("find", *folders, "-type", "f", check=False).splitlines()
    return {path: text(host, path) for path in sorted(paths)}


FOLDERS = ("/etc/systemd/system", VENDOR)


@pytest.mark.parametrize("before, changed", [
    # The administrator's own are edited.
    ({"/etc/systemd/system/flanneld.service": "[Service]\nExecStart=/usr/bin/flanneld -ip-masq=T -v 2\n"},
     {"/etc/systemd/system/flanneld.service": "[Service]\nExecStart=/usr/bin/flanneld -v 2\n"}),
    ({f"{VENDOR}/flanneld.service": "[Service]\nExecStart=/usr/bin/flanneld\n",
      "/etc/systemd/system/flanneld.service.d/10-local.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/flanneld \"--ip-masq\" -v 2\n"},
     {"/etc/systemd/system/flanneld.service.d/10-local.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/flanneld -v 2\n"}),
    ({f"{VENDOR}/flanneld.service": "[Service]\nExecStart=/usr/bin/flanneld\n",
      "/etc/systemd/system/flanneld.service.d/10-local.conf": "[Service]\n# --ip-masq\nEnvironment=\"FLANNELD_IP_MASQ=1\" OTHER=1\n"},
     {"/etc/systemd/system/flanneld.service.d/10-local.conf": "[Service]\n# --ip-masq\nEnvironment=\"FLANNELD_IP_MASQ=false\" OTHER=1\n"}),
    # What a package brought is overridden.
    ({f"{VENDOR}/flanneld.service": "[Service]\nType=notify\nExecStart=/usr/bin/flanneld \\\n  --ip-masq=True \\\n  -v 2\n"},
     {"/etc/systemd/system/flanneld.service.d/zz-snat-off.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/flanneld       -v 2\n"}),
    ({f"{VENDOR}/flanneld.service": "[Service]\nEnvironment=OPTIONS=--ip-masq\nExecStart=/usr/bin/flanneld $OPTIONS\n"},
     {"/etc/systemd/system/flanneld.service.d/zz-snat-off.conf": "[Service]\nEnvironment=OPTIONS=\n"}),
    ({f"{VENDOR}/flanneld.service": "[Service]\nExecStart=/usr/bin/flanneld\n",
      f"{VENDOR}/flanneld.service.d/50-made.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/flanneld -ip-masq\n"},
     {"/etc/systemd/system/flanneld.service.d/zz-snat-off.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/flanneld\n"}),
    ({f"{VENDOR}/kube-flannel.service": "[Service]\nExecStart=/usr/bin/flanneld\n",
      f"{VENDOR}/kube-.service.d/10-all.conf": "[Service]\nEnvironment=FLANNELD_IP_MASQ=true\n",
      f"{VENDOR}/service.d/20-all.conf": "[Service]\nEnvironment=FLANNELD_IP_MASQ=1\n"},
     {"/etc/systemd/system/kube-flannel.service.d/zz-snat-off.conf":
      "[Service]\nEnvironment=FLANNELD_IP_MASQ=false\nEnvironment=FLANNELD_IP_MASQ=false\n"}),
    # What is not in force stays.
    ({f"{VENDOR}/flanneld.service": "[Service]\nExecStart=/usr/bin/flanneld --ip-masq\n",
      "/etc/systemd/system/flanneld.service": "[Service]\nExecStart=/usr/bin/flanneld\n"}, {}),
    ({f"{VENDOR}/flanneld.service": "[Service]\nExecStart=/usr/bin/flanneld --ip-masq\n",
      "/etc/systemd/system/flanneld.service.d/10-local.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/flanneld -v 2\n"}, {}),
    ({f"{VENDOR}/flanneld.service.d/10-a.conf": "[Service]\nExecStart=/usr/bin/flanneld --ip-masq\n",
      "/etc/systemd/system/flanneld.service.d/10-a.conf": "[Service]\nExecStart=/usr/bin/flanneld\n"}, {}),
])
def test_units_and_drop_ins(flannel_host, before, changed):
    host = flannel_host
    for path, unit in before.items():
        host.run("mkdir", "-p", path.rsplit("/", 1)[0])
        host.write(path, unit)
    dry = snat_off(host, "flannel", "--dry-run")
    assert files_under(host, *FOLDERS) == before
    said = snat_off(host, "flannel")
    kept = {path: unit for path, unit in files_under(host, *FOLDERS).items() if "before-snat-off" not in path}
    assert kept == {**before, **changed}
    restart = RESTART.replace("flanneld.service", "kube-flannel.service") if "kube" in str(changed) else RESTART
    assert (restart in said, restart in dry) == (bool(changed), bool(changed))
    assert "flannel: no file to change" in snat_off(host, "flannel")
    undone = snat_off(host, "flannel", "--undo")
    assert files_under(host, *FOLDERS) == before
    assert (restart in undone) == bool(changed)


def test_a_linked_unit_is_overridden(flannel_host):
    unit = "[Service]\nExecStart=/usr/bin/flanneld --ip-masq\n"
    flannel_host.write(f"{VENDOR}/theirs", unit)
    flannel_host.run("ln", "-s", f"{VENDOR}/theirs", "/etc/systemd/system/flanneld.service")
    snat_off(flannel_host, "flannel")
    assert text(flannel_host, f"{VENDOR}/theirs") == unit
    assert text(flannel_host, "/etc/systemd/system/flanneld.service.d/zz-snat-off.conf") == "[Service]\nExecStart=\nExecStart=/usr/bin/flanneld\n"
    flannel_host.run("ln", "-sf", "/dev/null", "/etc/systemd/system/flanneld.service")  # masked
    snat_off(flannel_host, "flannel", "--undo")
    assert "flannel: no file to change" in snat_off(flannel_host, "flannel")


def test_an_environment_file(flannel_host):
    flannel_host.write(f"{VENDOR}/flanneld.service", "[Service]\nEnvironmentFile=-/etc/cni/flanneld*\nExecStart=/usr/bin/flanneld $O\n")
    flannel_host.write("/etc/cni/flanneld-options", '# O="--ip-masq"\nO="--ip-masq"\n')
    assert RESTART in snat_off(flannel_host, "flannel")
    assert text(flannel_host, "/etc/cni/flanneld-options") == '# O="--ip-masq"\nO=""\n'
    snat_off(flannel_host, "flannel", "--undo")
    assert text(flannel_host, "/etc/cni/flanneld-options") == '# O="--ip-masq"\nO="--ip-masq"\n'


def test_a_drop_in_that_was_changed_is_not_undone(flannel_host):
    flannel_host.write(f"{VENDOR}/flanneld.service", "[Service]\nExecStart=/usr/bin/flanneld --ip-masq\n")
    snat_off(flannel_host, "flannel")
    path = "/etc/systemd/system/flanneld.service.d/zz-snat-off.conf"
    flannel_host.write(path, "[Service]\nNice=5\n")
    assert refused(flannel_host, "flannel", "--undo").startswith(f"{path} was changed after snat-off")
    assert text(flannel_host, path) == "[Service]\nNice=5\n"


def test_every_other_byte_stays(host):
    before = '{ "n": [1e3, 1.50, 12345678901234567890123],\r\n\t"ip-masq" :\ttrue , "n": 1e400, "k\\u00e9": "é" } \n'
    host.write("/etc/docker/daemon.json", before)
    host.run("chmod", "600", "/etc/docker/daemon.json")
    snat_off(host, "docker")
    assert host.run("cat", "/etc/docker/daemon.json", encoding="utf-8", errors="strict") == before.replace("true", "false").replace("\r\n", "\n")
    assert host.run("stat", "-c", "%a %n", "/etc/docker/daemon.json", "/etc/docker/daemon.json.before-snat-off") == (
        "600 /etc/docker/daemon.json\n600 /etc/docker/daemon.json.before-snat-off\n")
    conflist = ('{\n  "name": "cbr0",\n  "plugins": [\n    {"type": "portmap"},\n    {\n      "type": "flannel",\n      "mtu": 1e3\n    },\n'
                '    {"type": "flannel", "delegate": {"ipMasq": true, "x": 1.0}}\n  ]\n}')
    host.write("/etc/cni/net.d/10-test.conflist", conflist)
    snat_off(host, "flannel")
    assert text(host, "/etc/cni/net.d/10-test.conflist") == conflist.replace(
        '1e3\n', '1e3,\n      "delegate": {"ipMasq": false}\n').replace('"ipMasq": true', '"ipMasq": false')


def access_list(*entries):
    """Of linux/posix_acl_xattr.h, as the kernel keeps it: (tag, permissions, user or group)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY_READS = access_list((1, 6, 0xffffffff), (2, 4, 65534), (4, 0, 0xffffffff), (16, 4, 0xffffffff), (32, 0, 0xffffffff))


def test_owner_and_attributes_stay(host):
    """And what the folder gives to new files alone does not come."""
    folder = host.folder / "docker"
    folder.mkdir()
    os.setxattr(folder, "system.posix_acl_default", NOBODY_READS)
    files = {folder / "daemon.json": {"user.note": b"\xff", "trusted.site": b"x", "security.selinux": b"system_u:object_r:etc_t:s0\0",
                                      "system.posix_acl_access": NOBODY_READS},
             folder / "plain.json": {}}
    for path, attributes in files.items():
        path.write_text("{}")
        os.removexattr(path, "system.posix_acl_access")
        os.chown(path, 12, 34)
        for name, value in attributes.items():
            os.setxattr(path, name, value)
        path.chmod(0o640)

    def attributes_of(path):
        status = path.stat()
        return {name: os.getxattr(path, name) for name in os.listxattr(path)}, status.st_uid, status.st_gid, oct(status.st_mode)

    for path in files:
        before = attributes_of(path)
        snat_off(host, "docker", "--daemon-json", path)
        assert attributes_of(path) == attributes_of(path.with_name(path.name + ".before-snat-off")) == before
        snat_off(host, "docker", "--daemon-json", path, "--undo")
        assert attributes_of(path) == before and path.read_text() == "{}"


def test_links_stay(host):
    real, link = host.folder / "real.json", host.folder / "daemon.json"
    link.symlink_to(real)
    assert refused(host, "docker", "--daemon-json", link) == f"cannot write {link}: it is a link to {real}, which is not there"
    assert not os.path.lexists(f"{link}.none-before-snat-off")
    real.write_text("{}")
    snat_off(host, "docker", "--daemon-json", link)
    snat_off(host, "docker", "--daemon-json", link, "--undo")
    assert link.is_symlink() and real.read_text() == "{}"
    link.unlink()
    snat_off(host, "docker", "--daemon-json", link)
    link.rename(real)
    link.symlink_to(real)
    assert refused(host, "docker", "--daemon-json", link, "--undo").startswith(f"{link} was changed after snat-off")
    assert link.is_symlink() and json.loads(real.read_text()) == {"ip-masq": False}


def test_a_flag_that_docker_has_already(host):
    host.run("mount", "-t", "tmpfs", "private", VENDOR)
    host.write(f"{VENDOR}/docker.service", "[Service]\nExecStart=/usr/bin/dockerd --ip-masq=F\n")
    said = snat_off(host, "docker")
    assert said == (f"{VENDOR}/docker.service gives docker --ip-masq=F already; docker does not start where /etc/docker/daemon.json says it as well\n"
                    "docker: no file to change\n")
    host.write(f"{VENDOR}/docker.service", "[Service]\nExecStart=/usr/bin/dockerd --ip-masq\n")
    assert refused(host, "docker").startswith(f"{VENDOR}/docker.service gives docker --ip-masq (mk-docker-opts.sh writes such)")
    host.write(f"{VENDOR}/docker.service", "[Service]\nExecStart=/usr/bin/dockerd --config-file=/etc/docker/its.json\n")
    assert refused(host, "docker") == (f"{VENDOR}/docker.service gives docker --config-file=/etc/docker/its.json, so that it does not read "
                                       "/etc/docker/daemon.json: run this with --daemon-json /etc/docker/its.json, nothing was changed")
    assert host.run("ls", "-A", "/etc/docker") == ""


@pytest.mark.parametrize("of, prepare, reason", [
    ("docker", "mkfifo /etc/docker/daemon.json", "cannot read /etc/docker/daemon.json: it is no ordinary file"),
    ("docker", "truncate -s 1G /etc/docker/daemon.json", "cannot read /etc/docker/daemon.json: it has more than 1 MiB"),
    ("docker", r"printf '[\377]' > /etc/docker/daemon.json",
     "cannot read /etc/docker/daemon.json: it is not UTF-8: invalid start byte at byte 1"),
    ("docker", "head -c 400000 /dev/zero | tr '\\0' '[' > /etc/docker/daemon.json",
     "/etc/docker/daemon.json is not JSON: maximum recursion depth exceeded while decoding a JSON array from a unicode string; mend it first, nothing was changed"),
    ("flannel", "mkfifo /etc/cni/net.d/a.conflist", "cannot read /etc/cni/net.d/a.conflist: it is no ordinary file"),
    ("flannel", "mkdir -p /etc/systemd/system/flanneld.service.d; mkfifo /etc/systemd/system/flanneld.service.d/a.conf",
     "cannot read /etc/systemd/system/flanneld.service.d/a.conf: it is no ordinary file"),
    ("flannel", "printf '{\\n' > $(printf '/etc/cni/net.d/a\\033[1m.conflist')",
     "/etc/cni/net.d/a\\x1b[1m.conflist is not JSON: Expecting property name enclosed in double quotes: line 2 column 1 (char 2); mend it first, nothing was changed"),
])
def test_hostile_files_hang_nobody(host, of, prepare, reason):
    host.run("sh", "-c", prepare)
    before = host.run("sh", "-c", "ls -laR /etc/docker /etc/cni /etc/systemd/system")
    assert refused(host, of) == reason
    assert host.run("sh", "-c", "ls -laR /etc/docker /etc/cni /etc/systemd/system") == before


def test_without_iptables(host, tmp_path):
    host.write("/etc/docker/daemon.json", "{}")
    with pytest.raises(AssertionError) as failure:
        host.run("env", f"PATH={tmp_path}", sys.executable, ROOT / "scripts/snat-off", "docker")
    assert str(failure.value).endswith("snat-off: there is no iptables-nft, which shows and deletes rules: apt install iptables; nothing was changed\n")
    assert host.run("cat", "/etc/docker/daemon.json") == "{}"
