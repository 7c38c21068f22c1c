"""scripts/ospf-node on a node alone: what it refuses, and what it shows to whom. See clusters/test_ospf.py for the routes that come of it."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from harness.daemons import open_files, wait_until
from harness.frr import KEY, Lan, RoutedNode
from harness.host import ROOT, TOOLS

SUBNET_ENV = "FLANNEL_NETWORK={}\nFLANNEL_SUBNET={}\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
GOOD = SUBNET_ENV.format("10.244.0.0/16", "10.244.1.1/24")
OPEN = ("note: OSPF is not authenticated here: whoever is on the segment of eth0 can become a neighbour and announce routes; see --key-file\n")
ANNOUNCES = "would announce 10.244.1.0/24 in area 0.0.0.0 by eth0, router ID 192.168.100.11\n"


@pytest.fixture(scope="module")
def node_at_a_lan(tmp_path_factory):
    """With flannel's and the bridge plugin's devices of a pod subnet."""
    if not (TOOLS / "cnitool").exists():
        pytest.skip("the CNI plugins are not there: scripts/install-tools could not reach the Go module proxy")
    folder = tmp_path_factory.mktemp("ospf-node")
    lan = Lan(folder)
    made = RoutedNode(folder / "node", lan, 1)
    made.run("ip", "link", "add", "cni0", "type", "bridge")
    made.run("ip", "address", "add", "10.244.1.1/24", "dev", "cni0")
    made.run("ip", "link", "add", "flannel.1", "type", "vxlan", "id", "1", "dstport", "8472", "dev", "eth0")
    made.run("ip", "address", "add", "10.244.1.0/32", "dev", "flannel.1")
    made.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth1-end")
    made.run("ip", "address", "add", "192.168.77.1/24", "dev", "eth1")
    # As of a pod of the ptp plugin.
    made.run("ip", "link", "add", "veth1", "type", "veth", "peer", "name", "veth1-end")
    made.run("ip", "address", "add", "10.244.1.1/32", "dev", "veth1")
    made.run("ip", "link", "add", "docker0", "type", "bridge")
    made.run("ip", "address", "add", "172.17.0.5/16", "dev", "docker0")
    made.run("cp", "-a", "/etc/frr", folder / "frr")
    yield made
    made.close()
    lan.close()


@pytest.fixture
def node(node_at_a_lan):
    """Where FRR is as Debian installs it, and the pod subnet is a good one."""
    node = node_at_a_lan
    node.kill_frr()
    node.run("sh", "-c", f"rm -rf /etc/frr/* /etc/frr/.[!.]* /run/cni/* {node.folder}/keys; cp -a {node.folder}/../frr/. /etc/frr")
    node.write("/run/flannel/subnet.env", GOOD)
    return node


def files(node):
    return node.run("sh", "-c", "find -L /etc/frr -type f | xargs tail -n +1; ls -laR /etc/frr /run/frr")


def refused(node, *argv):
    """What it says that it does not do; nothing was changed, nor left behind."""
    before = files(node)
    status, output, errors = node.ospf_node(*argv)
    assert status == 1 and errors.startswith("ospf-node: ") and errors.count("\n") == 1, (status, output, errors)
    assert files(node) == before
    return errors.removeprefix("ospf-node: ").removesuffix("\n")


def shown(node, *argv):
    """What a dry run says; it changed nothing."""
    before = files(node)
    status, output, errors = node.ospf_node("--dry-run", "--ip-masq", "/nowhere", *argv)
    assert (status, errors) == (0, "")
    assert files(node) == before
    return output


@pytest.mark.parametrize("network, subnet, reason", [
    ("0.0.0.0/0", "0.0.0.0/0", "/run/flannel/subnet.env: FLANNEL_SUBNET 0.0.0.0/0 holds addresses of 0.0.0.0/8, \"this network\", which pods cannot have"),
    ("0.0.0.0/0", "10.244.1.1/24", "/run/flannel/subnet.env: FLANNEL_NETWORK 0.0.0.0/0 holds addresses of 0.0.0.0/8, \"this network\", which pods cannot have"),
    ("10.0.0.0/8", "10.0.0.0/8", "/run/flannel/subnet.env: FLANNEL_SUBNET 10.0.0.0/8 is no node's pod subnet: expected a /16 to /30"),
    ("10.0.0.0/8", "10.128.0.1/9", "/run/flannel/subnet.env: FLANNEL_SUBNET 10.128.0.0/9 is no node's pod subnet: expected a /16 to /30"),
    ("10.244.0.0/16", "10.244.0.1/16", "/run/flannel/subnet.env: FLANNEL_SUBNET 10.244.0.0/16 is all of FLANNEL_NETWORK, other nodes' pods as well: expected a part of it"),
    ("10.244.0.0/16", "10.244.1.1", "/run/flannel/subnet.env: FLANNEL_SUBNET 10.244.1.1/32 is no node's pod subnet: expected a /16 to /30"),
    ("127.0.0.0/8", "127.0.0.1/24", "/run/flannel/subnet.env: FLANNEL_SUBNET 127.0.0.0/24 holds addresses of 127.0.0.0/8, loopback, which pods cannot have"),
    ("169.254.0.0/16", "169.254.1.1/24",
     "/run/flannel/subnet.env: FLANNEL_SUBNET 169.254.1.0/24 holds addresses of 169.254.0.0/16, link-local, which pods cannot have"),
    ("224.0.0.0/8", "224.1.1.1/24", "/run/flannel/subnet.env: FLANNEL_SUBNET 224.1.1.0/24 holds addresses of 224.0.0.0/4, multicast, which pods cannot have"),
    ("192.168.0.0/16", "192.168.100.1/24", "192.168.100.0/24 is no pod subnet: eth0 has 192.168.100.11/24"),
    ("192.168.0.0/16", "192.168.100.11/24", "192.168.100.0/24 is no pod subnet: eth0 has 192.168.100.11/24"),
    ("192.168.0.0/16", "192.168.100.129/25", "192.168.100.128/25 is no pod subnet: eth0 has 192.168.100.11/24"),
    ("192.168.0.0/16", "192.168.77.1/24", "192.168.77.0/24 is no pod subnet: eth1 has 192.168.77.1/24"),
    ("172.16.0.0/12", "172.17.0.1/24", "172.17.0.0/24 is no pod subnet: docker0 has 172.17.0.5/16"),
    ("10.244.0.0/16", "10.245.1.1/24", "/run/flannel/subnet.env: FLANNEL_SUBNET 10.245.1.0/24 is outside FLANNEL_NETWORK 10.244.0.0/16"),
    ("10.244.0.0/16", "ten", "/run/flannel/subnet.env: Expected 4 octets in 'ten'"),
    ("10.244.0.0/16", "10.244.1.1/²", "/run/flannel/subnet.env: '²' is not a valid netmask"),
])
def test_what_is_no_pod_subnet_is_not_announced(node, network, subnet, reason):
    node.write("/run/flannel/subnet.env", SUBNET_ENV.format(network, subnet))
    assert refused(node) == reason


@pytest.mark.parametrize("argv, prepare, error", [
    (["--area", "1.2.3"], "", '--area is "1.2.3": expected four numbers such as 0.0.0.1, or one up to 4294967295'),
    (["--area", "4294967296"], "", '--area is "4294967296": expected four numbers such as 0.0.0.1, or one up to 4294967295'),
    (["--area", "²"], "", '--area is "²": expected four numbers such as 0.0.0.1, or one up to 4294967295'),
    (["--interface", "eth7"], "", "there is no interface eth7"),
    (["--interface", "eth0\n ip ospf cost 1"], "", r"there is no interface eth0\x0a ip ospf cost 1"),
    (["--interface", "lo"], "", "lo has no IPv4 address"),
    (["--dead", "1"], "", "--dead is 1: expected more than --hello, 1"),
    (["--subnet-file", "/run/none"], "", "there is no /run/none: flanneld writes it when it has a pod subnet for this node"),
    (["--subnet-file", "/run/cni/bad"], "echo FLANNEL_NETWORK=10.244.0.0/16 > /run/cni/bad",
     "/run/cni/bad has no FLANNEL_SUBNET: expected flannel's subnet.env"),
    (["--subnet-file", "/run/cni/bad"], "mkfifo /run/cni/bad", "cannot read /run/cni/bad: it is no ordinary file"),
    (["--subnet-file", "/run/cni/bad"], "mkdir /run/cni/bad", "cannot read /run/cni/bad: it is no ordinary file"),
    (["--subnet-file", "/dev/zero"], "", "cannot read /dev/zero: it is no ordinary file"),
    (["--subnet-file", "/run/cni/bad"], "truncate -s 1G /run/cni/bad", "cannot read /run/cni/bad: it has more than 1 MiB"),
    (["--subnet-file", "/run/cni/bad"], r"printf 'a=\377' > /run/cni/bad", "cannot read /run/cni/bad: it is not UTF-8: invalid start byte at byte 2"),
    (["--subnet-file", "/run/cni/bad"], "ln -s bad /run/cni/bad", "cannot read /run/cni/bad: Too many levels of symbolic links"),
    (["--key-file", "/run/cni/keys"], "", "there is no /run/cni/keys"),
    (["--key-file", "/run/cni/keys"], "mkfifo /run/cni/keys", "cannot read /run/cni/keys: it is no ordinary file"),
    (["--key-file", "/run/cni/keys"], "echo secret > /run/cni/keys; chmod 640 /run/cni/keys",
     "/run/cni/keys has mode 0640, others can read the keys: chmod 600 /run/cni/keys"),
    (["--key-file", "/run/cni/keys"], "echo secret > /run/cni/keys; chmod 600 /run/cni/keys; chown 65534 /run/cni/keys",
     "/run/cni/keys belongs to user 65534, who knows the keys and can change them: chown 0 /run/cni/keys"),
    *((["--key-file", "/run/cni/keys"], f"printf '{text}' > /run/cni/keys; chmod 600 /run/cni/keys",
       f"/run/cni/keys, line {line}: expected an ID (1 to 255, each once) and a key of at most 16 characters, or such a key")
      for text, line in ((r"a-key-that-is-too-long\n", 1), (r"1 a\n1 b\n", 2), (r"² a\n", 1), (r"1 a b\n", 1), (r"256 a\n", 1))),
    (["--key-file", "/run/cni/keys"], ": > /run/cni/keys; chmod 600 /run/cni/keys", "/run/cni/keys has no key"),
    ([], "mkfifo /run/cni/x; rm /etc/frr/frr.conf; ln -s /run/cni/x /etc/frr/frr.conf", "cannot read /etc/frr/frr.conf: it is no ordinary file"),
    ([], "rm /etc/frr/daemons", "there is no /etc/frr/daemons: apt install frr frr-pythontools"),
    ([], "touch /etc/frr/ospfd.conf", "/etc/frr/ospfd.conf is there, so that FRR does not read ospfd's lines from /etc/frr/frr.conf: put its lines there and "
     "remove it first"),
])
def test_bad_input_changes_nothing(node, argv, prepare, error):
    node.run("sh", "-c", f"mkdir -p /run/cni; {prepare}")
    assert refused(node, *argv) == error


def test_a_dry_run_shows_no_password_and_writes_nothing(node):
    """Nobody's: what stands around our lines is not shown at all, what changes is shown without it."""
    node.write("/etc/frr/frr.conf", "password geheim\nenable password 8 geheim\ninterface eth0\n ip ospf authentication-key geheim\nexit\n"
               "key chain theirs\n key 1\n  key-string geheim\n exit\nexit\nrouter bgp 65000\n neighbor 192.0.2.1 password geheim\nexit\n"
               "interface eth1\n ip rip authentication string geheim\n ipv6 ospf6 authentication key-id 1 hash-algo md5 key geheim\n"
               " isis password clear geheim\nexit")  # without an end: it changes
    keys = node.folder / "keys"
    keys.write_text(f"{KEY}\n2 another\n")
    keys.chmod(0o600)
    said = shown(node, "--key-file", keys)
    assert said.endswith(ANNOUNCES + "there is no /nowhere: run ip-masq doctor once it is installed\n")
    assert "+ ip ospf message-digest-key 1 md5 ********\n+ ip ospf message-digest-key 2 md5 ********\n" in said
    assert not re.search(f"geheim|{KEY}|another|192.0.2.1", said)


def test_without_keys_it_says_so(node):
    assert shown(node).startswith(OPEN)
    assert shown(node).endswith(ANNOUNCES + "there is no /nowhere: run ip-masq doctor once it is installed\n")
    node.write("/etc/frr/frr.conf", "interface eth0\n ip ospf authentication message-digest\nexit\n")
    assert not shown(node).startswith(OPEN)


def test_a_doctor_that_does_not_answer(node):
    doctor = node.folder / "doctor"
    doctor.write_text("#!/bin/sh\necho '\33[31mbroken' >&2\nexit 3\n")
    doctor.chmod(0o755)
    status, output, _ = node.ospf_node("--dry-run", "--ip-masq", doctor)
    assert status == 0 and output.endswith(f"{ANNOUNCES}note: {doctor} doctor does not say what hides pods: \\x1b[31mbroken\n")


def test_nobody_else_reads_the_keys(node):
    """Where /etc/frr is to be read by all, what holds keys is not, at any moment; a link stays one."""
    keys = node.folder / "keys"
    keys.write_text(f"{KEY}\n")
    keys.chmod(0o600)
    node.run("sh", "-c", "chmod 755 /etc/frr; chmod 644 /etc/frr/*; mv /etc/frr/frr.conf /etc/frr/real; ln -s real /etc/frr/frr.conf")
    status, output, errors = node.ospf_node("--key-file", keys, "--ip-masq", "/nowhere")
    assert (status, errors) == (0, ""), output
    modes = "stat -c '%F %U %a %n' /etc/frr/frr.conf /etc/frr/real /etc/frr/daemons /etc/frr/ip-masq.conf"
    wanted = ("symbolic link root 777 /etc/frr/frr.conf\nregular file frr 640 /etc/frr/real\nregular file frr 644 /etc/frr/daemons\n"
              "regular file frr 640 /etc/frr/ip-masq.conf\n")
    assert node.run("sh", "-c", modes) == wanted
    # As an older version left it.
    node.run("chmod", "644", "/etc/frr/ip-masq.conf")
    assert node.ospf_node("--key-file", keys, "--ip-masq", "/nowhere")[0] == 0
    assert node.run("sh", "-c", modes) == wanted
    status, output, errors = node.ospf_node("--undo")
    assert (status, errors) == (0, "") and KEY not in output
    assert node.run("sh", "-c", "ls /etc/frr; cat /etc/frr/daemons").split("\n")[:4] == ["daemons", "frr.conf", "real", "support_bundle_commands.conf"][:3] + ["vtysh.conf"]


def test_what_others_wrote_stays(node):
    """To the byte, also where Python sees the end of a line and FRR none."""
    before = "!\n!\n! site\x0ctwo\u2028x\n!\ninterface eth1\n description a\x0cb\nexit\n!\n!\nline vty\n!\n"
    node.write("/etc/frr/frr.conf", before)
    assert node.ospf_node("--ip-masq", "/nowhere")[0] == 0
    assert node.run("cat", "/etc/frr/frr.conf", encoding="utf-8").startswith(before)
    assert node.ospf_node("--undo")[0] == 0
    assert node.run("cat", "/etc/frr/frr.conf", encoding="utf-8") == before


def test_what_cannot_be_looked_at_is_not_taken_for_nothing(node):
    """The addresses of the node's interfaces."""
    folder = node.folder / "no-ip"
    folder.mkdir()
    (folder / "ip").write_text('#!/bin/sh\ncase "$*" in *-d*) echo "Cannot open netlink socket" >&2; exit 1; esac\nexec /usr/sbin/ip "$@"\n')
    (folder / "ip").chmod(0o755)
    path = node.env["PATH"]
    node.env["PATH"] = f"{folder}:{path}"
    try:
        assert refused(node) == "cannot look at this node's network: ip -d -4 address show: Cannot open netlink socket"
    finally:
        node.env["PATH"] = path


RELOAD = "/usr/lib/frr/frr-reload.py"


def test_what_frr_refuses_is_undone_where_it_runs(node):
    """vtysh takes the text, and frr-reload fails when it has put half of it in force."""
    node.frr("start")
    running, before = node.vtysh("show running-config"), node.run("cat", "/etc/frr/frr.conf", "/etc/frr/daemons")
    refuses = node.folder / "frr-reload.py"
    refuses.write_text(f"#!/bin/sh\n{node.folder}/real-reload.py \"$@\" && ! grep -q 'router ospf' /etc/frr/frr.conf || {{ echo 'no such thing'; exit 1; }}\n")
    refuses.chmod(0o755)
    shutil.copy(RELOAD, node.folder / "real-reload.py")
    node.run("mount", "--bind", refuses, RELOAD)
    try:
        assert node.ospf_node("--ip-masq", "/nowhere")[::2] == (1, "ospf-node: FRR does not take the configuration: no such thing\n")
    finally:
        node.run("umount", RELOAD)
    assert node.run("cat", "/etc/frr/frr.conf", "/etc/frr/daemons") == before
    assert "ip-masq.conf" not in node.run("ls", "/etc/frr")
    # frr-reload takes for an order to forward that frr.conf does not forbid it.
    assert node.vtysh("show running-config") == running.replace("no ipv6 forwarding\n", "")
    assert "ospfd.pid" not in node.run("ls", "/run/frr")
    assert node.ospf_node("--ip-masq", "/nowhere")[::2] == (0, "")
    assert "router ospf" in node.vtysh("show running-config")


def test_two_at_once(node):
    """The one that comes later waits for the first, and finds nothing to do; a dry run waits for nobody."""
    holder = subprocess.Popen(node.inside("flock", "/etc/frr", "sh", "-c", "echo held; read end"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    before = node.run("cat", "/etc/frr/frr.conf")
    both = [subprocess.Popen(node.inside(ROOT / "scripts/ospf-node", "--ip-masq", "/nowhere"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=node.env) for _ in range(2)]
    for each in both:
        wait_until(lambda each=each: "/etc/frr" in open_files(each.pid), each, "ospf-node")
    assert shown(node).endswith("there is no /nowhere: run ip-masq doctor once it is installed\n")
    assert node.run("cat", "/etc/frr/frr.conf") == before
    holder.communicate("")
    told = [each.communicate() for each in both]
    assert [errors for _, errors in told] == ["", ""] and [each.returncode for each in both] == [0, 0]
    assert sorted(output.startswith("FRR's configuration is as it should be\n") or output.count("\nFRR's configuration is as it should be\n")
                  for output, _ in told) == [0, 1]
    assert node.run("cat", "/etc/frr/frr.conf").count("router ospf") == 1


def test_alone_without_its_template(node):
    """As a copy of scripts/ alone is."""
    shutil.copytree(ROOT / "scripts", node.folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(node.inside(node.folder / "scripts/ospf-node", "--dry-run"), capture_output=True, text=True, env=node.env)
    assert (done.returncode, done.stderr) == (
        1, f"ospf-node: there is no {node.folder}/conf/frr/node.conf: this script is run where it came, with conf/ beside scripts/\n")


@pytest.mark.parametrize("argv, error", [
    (["--hello", "²"], 'argument --hello: "²": expected 1 to 65535 seconds'),
    (["--un"], "unrecognized arguments: --un"),
    (["more"], "unrecognized arguments: more"),
])
def test_wrong_usage(argv, error):
    done = subprocess.run([sys.executable, ROOT / "scripts/ospf-node", *argv], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 2 and done.stderr.endswith(f"scripts/ospf-node: error: {error}\n")
