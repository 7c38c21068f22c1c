"""Routes to the pods by OSPF: FRR on two nodes with flanneld, on a router, and hosts behind it."""

import json
import random
import re
import subprocess
import time

import pytest
from harness.frr import KEY, OTHER_OUTSIDE, OUTSIDE, ROUTER, Company
from harness.guides import commands
from harness.host import TOOLS
from harness.network import Witness, ask
from harness.node import BINARY, ROOT, Namespace

OSPF = ("--ip-masq", BINARY)


class CniPod(Namespace):
    """A pod that the node's conflist has connected, with a witness in it."""

    def __init__(self, node, conflist="10-flannel-ip-masq.conflist"):
        super().__init__("pod")
        self.node = node
        node.use_conflist(conflist)
        result = json.loads(node.cnitool("add", "cbr0", self))
        self.address = result["ips"][0]["address"].split("/")[0]
        self.witness = Witness(self, [self.address])

    def close(self):
        self.witness.close()
        self.node.cnitool("del", "cbr0", self)
        super().close()


def flannels_own_conflist():
    conf = json.loads((ROOT / "conf/10-flannel-ip-masq.conflist").read_text())
    return {**conf, "plugins": conf["plugins"][:-1]}


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    if not (TOOLS / "flanneld/flannel").exists():
        pytest.skip("flanneld is not there: scripts/install-tools could not reach the Go module proxy")
    made = Company(tmp_path_factory.mktemp("company"))
    made.pods = []
    try:
        for node in made.nodes:
            node.start_flanneld("-ip-masq")
        made.start_router()
        yield made
    finally:
        for pod in made.pods:
            pod.close()
        made.close()


def sees(asker, address):
    """The source address that is seen there; None where there is no answer."""
    return ask(asker, f"tcp:{address}")[f"tcp:{address}"]


def files(node):
    return node.run("sh", "-c", "tail -n +1 /etc/frr/*; ls -la /etc/frr/*")


def announce(company, node):
    status, output, errors = node.ospf_node("--key-file", company.key_file, *OSPF)
    assert (status, errors) == (0, "")
    return output


def until_the_router_knows_all(company):
    company.until(lambda: company.routes_to_pods() == {node.pod_subnet: node.address for node in company.nodes})


def expect_real_addresses(company):
    """Each end sees the other's own address, between pods of both nodes and between pods and the host outside."""
    first, second = company.pods
    outside = company.outside[OUTSIDE]
    assert [sees(first, second.address), sees(second, first.address)] == [first.address, second.address]
    for pod in company.pods:
        assert [sees(pod, OUTSIDE), sees(outside, pod.address)] == [pod.address, OUTSIDE]


def test_without_ospf(company):
    """As flannel leaves it pods are hidden; with ip-masq the outside sees them, and does not know the way back."""
    node, outside = company.nodes[0], company.outside[OUTSIDE]
    hidden = CniPod(node, flannels_own_conflist())
    assert [sees(hidden, OUTSIDE), sees(outside, hidden.address)] == [node.address, None]
    hidden.close()
    company.pods = [CniPod(node) for node in company.nodes]
    first, second = company.pods
    assert [sees(first, second.address), sees(second, first.address)] == [first.address, second.address]
    assert [sees(first, OUTSIDE), sees(outside, first.address)] == [None, None]


def test_what_vtysh_does_not_accept_changes_nothing(company):
    node = company.nodes[0]
    kept = node.run("cat", "/etc/frr/frr.conf")
    node.write("/etc/frr/frr.conf", kept + "router ospf\n bogus\nexit\n")
    before = files(node)
    status, _, errors = node.ospf_node()
    assert status == 1 and errors.startswith("ospf-node: vtysh does not accept the configuration, nothing was changed: ")
    assert files(node) == before
    node.write("/etc/frr/frr.conf", kept)


def test_the_node_announces_its_pod_subnet(company):
    """What else stands in frr.conf stays; nobody else can read the key; a second run changes nothing."""
    for node in company.nodes:
        own = "log syslog informational\n!\ninterface eth0\n description uplink\nexit\n!\nip prefix-list theirs seq 5 permit 192.0.2.0/24\n"
        node.write("/etc/frr/frr.conf", own)
        before = files(node)
        status, shown, _ = node.ospf_node("--key-file", company.key_file, "--dry-run", *OSPF)
        assert status == 0 and f"would announce {node.pod_subnet} in area 0.0.0.0 by eth0, router ID {node.address}\n" in shown
        assert KEY not in shown and files(node) == before

        said = announce(company, node)
        assert KEY not in said
        assert f"announces {node.pod_subnet} in area 0.0.0.0 by eth0, router ID {node.address}\n" in said
        template = (ROOT / "conf/frr/node.conf").read_text()
        for name, value in {"$interface": "eth0", "$area": "0.0.0.0", "$router_id": node.address, "$pod_subnet": node.pod_subnet,
                            "$seq": "5", "$cluster_network": "10.244.0.0/16", "$hello": "1", "$dead": "4", "$key_id": "1", "$key": KEY}.items():
            template = template.replace(name, value)
        ours = "".join(line + "\n" for line in template.splitlines() if not line.startswith("!"))
        assert node.run("cat", "/etc/frr/frr.conf") == own + ours
        modes = node.run("sh", "-c", "stat -c '%U %a %n' /etc/frr/frr.conf /etc/frr/daemons /etc/frr/ip-masq.conf")
        assert modes == "frr 640 /etc/frr/frr.conf\nfrr 640 /etc/frr/daemons\nfrr 640 /etc/frr/ip-masq.conf\n"
        listening = node.run("ss", "-Hltn").split("\n")
        assert all(" 127.0.0.1:" in line or " [::1]:" in line for line in listening if re.search(r":26\d\d ", line)), listening
    until_the_router_knows_all(company)
    expect_real_addresses(company)


def test_a_second_run_keeps_neighbours(company):
    node = company.nodes[0]

    def adjacency():
        """Changes only when it is made anew."""
        neighbours = company.router.vtysh_json("show ip ospf neighbor detail")["neighbors"]
        return [(each["nbrState"], each["stateChangeCounter"]) for each in neighbours[node.address]]

    before, adjacent = files(node), adjacency()
    assert announce(company, node).startswith("FRR's configuration is as it should be\n")
    assert files(node) == before
    # FRR writes its own text of it.
    node.vtysh("write")
    before = files(node)
    assert announce(company, node).startswith("FRR's configuration is as it should be\n")
    assert files(node) == before
    # A change of one key goes by reload.
    company.key_file.write_text(f"1 {KEY}\n2 another\n")
    assert "+ ip ospf message-digest-key 2 md5 ********\n" in announce(company, node)
    company.key_file.write_text(f"{KEY}\n")
    assert "- ip ospf message-digest-key 2 md5 ********\n" in announce(company, node)
    assert adjacency() == adjacent


def test_the_router_takes_nothing_but_pod_subnets(company):
    """A node that announces more, by mistake or not, leads nobody astray."""
    node = company.nodes[0]
    node.run("ip", "link", "add", "more", "type", "bridge")
    node.run("ip", "address", "add", "203.0.113.1/24", "dev", "more")
    node.run("ip", "link", "add", "port", "type", "veth", "peer", "name", "other-end")
    node.run("ip", "link", "set", "port", "master", "more")
    for link in ("port", "other-end", "more"):
        node.run("ip", "link", "set", link, "up")
    node.run("vtysh", "-c", "configure terminal", "-c", "router ospf", "-c", "redistribute connected")
    company.until(lambda: "203.0.113.0" in company.router.vtysh("show ip ospf database external"))
    company.until(lambda: "O   203.0.113.0/24" in company.router.vtysh("show ip route"))  # known, and not taken
    until_the_router_knows_all(company)
    announce(company, node)  # what runs is brought back to frr.conf
    company.until(lambda: "203.0.113.0" not in company.router.vtysh("show ip route"))
    node.run("ip", "link", "del", "more")
    node.run("ip", "link", "del", "port")


def test_nodes_learn_the_company_and_not_each_other(company):
    for node in company.nodes:
        company.until(lambda node=node: node.run("ip", "route", "show", "proto", "ospf") != "")
        routes = json.loads(node.run("ip", "-j", "route", "show", "proto", "ospf"))
        assert [(route["dst"], route["gateway"]) for route in routes] == [("10.9.0.0/24", ROUTER)]


def test_the_checks_that_the_guide_names(company):
    node, pod = company.nodes[0], company.pods[0]
    lines = commands(__file__, "ospf", "3. The neighbour, and the route") + commands(__file__, "ospf", "5. Probe")
    lines = [re.sub("^ip-masq", str(BINARY), line).replace("10.244.1.5", pod.address).replace("10.9.9.9", OUTSIDE) for line in lines]
    said = [node.run("sh", "-c", line, env=node.env) for line in lines]
    for output, part in zip(said, ["Full", node.pod_subnet.split("/")[0], "10.9.0.0/24", f"{pod.address} -> {OUTSIDE}: kept", f"-> {OUTSIDE}: kept, seen as {pod.address}, answered"], strict=True):
        assert part in output


def test_a_dead_node_is_withdrawn_and_comes_back(company):
    node = company.nodes[1]
    node.run("ip", "link", "set", "eth0", "down")
    node.kill_frr()
    company.until(lambda: company.routes_to_pods() == {company.nodes[0].pod_subnet: company.nodes[0].address})
    node.run("ip", "link", "set", "eth0", "up")
    node.run("ip", "route", "add", "default", "via", ROUTER)
    node.end_flanneld()
    node.start_flanneld("-ip-masq")
    node.frr("start")
    until_the_router_knows_all(company)
    company.until(lambda: sees(company.pods[0], company.pods[1].address) == company.pods[0].address, "vxlan")
    expect_real_addresses(company)


@pytest.mark.parametrize("flags", [(), ("-ip-masq",)])
def test_flanneld_is_restarted(company, flags):
    for node in company.nodes:
        node.end_flanneld()
        node.start_flanneld(*flags)
    expect_real_addresses(company)


def findings(output):
    return re.findall(r"^((?:ospf|flannel)-[a-z-]+): ", output, re.MULTILINE)


def test_it_says_what_hides(company):
    """Networks behind the routers that are not exempt, and flannel's last rule, which hides the outside from pods."""
    node, other = company.nodes
    assert findings(announce(company, node)) == ["flannel-hides-outside-hosts"]
    node.write("/etc/config/ip-masq-agent", "nonMasqueradeCIDRs: [172.16.0.0/12]\n")
    said = announce(company, node)
    assert findings(said) == ["flannel-hides-outside-hosts", "ospf-network-not-exempt"]
    assert "  found: 10.9.0.0/24, from pods of network cbr0\n" in said
    node.tool("sync")
    assert sees(company.pods[0], OUTSIDE) == node.address
    node.run("rm", "/etc/config/ip-masq-agent")
    node.tool("sync")
    # That rule is met where a router sends packets by the wrong node.
    company.router.run("ip", "route", "add", f"{company.pods[1].address}/32", "via", node.address)
    assert sees(company.outside[OUTSIDE], company.pods[1].address) == f"{node.pod_subnet.split('/')[0]}"
    company.router.run("ip", "route", "del", f"{company.pods[1].address}/32")
    expect_real_addresses(company)


def test_a_changed_pod_subnet_is_followed(company):
    node = company.nodes[1]
    old = node.pod_subnet
    company.pods.pop().close()
    node.run("ip", "link", "del", "cni0")
    node.end_flanneld()
    lease = f"/coreos.com/network/subnets/{old.replace('/', '-')}"
    company.lan.run("etcdctl", "del", lease, env=company.lan.env)
    company.lan.run("etcdctl", "put", "/coreos.com/network/config", json.dumps(
        {"Network": "10.244.0.0/16", "SubnetMin": "10.244.200.0", "SubnetMax": "10.244.210.0", "Backend": {"Type": "vxlan"}}), env=company.lan.env)
    node.start_flanneld("-ip-masq")
    assert node.pod_subnet != old
    assert f"-ip prefix-list ip-masq-pods seq 5 permit {old}\n" in announce(company, node)
    company.pods.append(CniPod(node))
    until_the_router_knows_all(company)
    company.until(lambda: sees(company.pods[0], company.pods[1].address) == company.pods[0].address, "vxlan")
    expect_real_addresses(company)


def test_the_routers_access_list(company):
    """Once pods can be reached, the router says who may reach them, and who may speak OSPF."""
    first, second = company.pods
    allowed, other = company.outside[OUTSIDE], company.outside[OTHER_OUTSIDE]
    assert sees(other, first.address) == OTHER_OUTSIDE
    rules = (ROOT / "conf/frr/router-acl.nft").read_text().replace("10.244.1.0/24", company.nodes[0].pod_subnet)
    company.router.run("nft", "-f", "-", input=rules)
    try:
        expect_real_addresses(company)
        assert sees(allowed, second.address) == OUTSIDE
        assert sees(other, first.address) == OTHER_OUTSIDE  # the web pods' subnet, at a port that is listed
        assert ask(other, f"icmp:{first.address}", f"tcp:{second.address}") == {f"icmp:{first.address}": None, f"tcp:{second.address}": None}

        def dropped(chain, what):
            line = next(line for line in company.router.run("nft", "list", "chain", "inet", "pod-access", chain).splitlines() if what in line)
            return int(re.search(r"packets (\d+)", line)[1])

        assert dropped("to-pods", "counter") > 0
        before = dropped("input", "drop")
        hello = "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 89).sendto(bytes(44), ('10.10.0.1', 0))"
        other.run("python3", "-c", hello)
        company.until(lambda: dropped("input", "drop") == before + 1)
        # Somebody outside who pretends to be a pod.
        other.run("ip", "address", "add", f"{first.address}/32", "dev", "lo")
        spoof = f"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('{first.address}', 0)); s.sendto(b'x', ('{OUTSIDE}', 7007))"
        before = dropped("forward", "drop")
        other.run("python3", "-c", spoof)
        company.until(lambda: dropped("forward", "drop") == before + 1)
        other.run("ip", "address", "del", f"{first.address}/32", "dev", "lo")
        until_the_router_knows_all(company)
    finally:
        company.router.run("nft", "delete", "table", "inet", "pod-access")


def test_killed_or_without_room_the_next_run_mends(company):
    node = company.nodes[0]
    wanted = node.run("cat", "/etc/frr/frr.conf")
    dice = random.Random(6)
    for number in range(10):
        argv = [["--undo"], ["--key-file", company.key_file]][number % 2]
        with subprocess.Popen(node.inside(ROOT / "scripts/ospf-node", *argv), stdout=subprocess.DEVNULL) as process:
            time.sleep(dice.uniform(0.05, 1))  # that is the moment
            process.kill()
    announce(company, node)
    assert sorted(node.run("cat", "/etc/frr/frr.conf").splitlines()) == sorted(wanted.splitlines())
    node.run("mount", "-o", "remount,size=1M", "/etc/frr")
    node.run("sh", "-c", "cat /dev/zero > /etc/frr/fill", check=False)
    status, _, errors = node.ospf_node("--hello", "2", "--dead", "8", "--key-file", company.key_file)
    assert status == 1 and errors.startswith("ospf-node: cannot write /etc/frr/") and "No space left on device" in errors
    node.run("rm", "/etc/frr/fill")
    assert announce(company, node).startswith("FRR's configuration is as it should be\n")
    until_the_router_knows_all(company)


def test_undo(company):
    """frr.conf and what runs are as they were before; the router forgets the node."""
    node = company.nodes[0]
    status, _, errors = node.ospf_node("--undo")
    assert (status, errors) == (0, "")
    text = node.run("cat", "/etc/frr/frr.conf")
    assert "ip-masq" not in text and "ospf" not in text
    for line in ("log syslog informational", "interface eth0\n description uplink", "ip prefix-list theirs seq 5 permit 192.0.2.0/24"):
        assert line in text
    assert node.run("cat", "/etc/frr/daemons") == subprocess.run(["cat", "/etc/frr/daemons"], capture_output=True, text=True).stdout
    assert node.run("ls", "/etc/frr").split() == ["daemons", "frr.conf", "frr.conf.sav", "vtysh.conf"]
    company.until(lambda: company.routes_to_pods() == {company.nodes[1].pod_subnet: company.nodes[1].address})
    assert node.ospf_node("--undo") == (0, "frr.conf has nothing of ip-masq\n", "")
