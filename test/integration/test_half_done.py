"""What fails half way, is lost, or belongs to somebody else: nothing is left that nobody tells, and nobody else is hurt."""

import fcntl
import json
import re
import shutil
import subprocess

import pytest
from harness.node import Node
from harness.texts import CBR0, CBR0_6, Subnet, expected, in_order, nftables_drops_text

NOTHING = expected("iptables")
THEIRS = "table inet theirs { chain c { type nat hook postrouting priority 300; }; }"
OTHER = Subnet("10.3.0.0/24", "other")


@pytest.fixture
def auto(tmp_path):
    made = Node(tmp_path, "auto")
    yield made
    made.close()


def ours_in_nft(node):
    listing = node.nft("-s", "list", "ruleset")
    return in_order(node.nft("-s", "list", "table", "inet", "ip-masq")) if "table inet ip-masq" in listing else ""


def placed(node):
    return {network["name"]: (network["backend"], network.get("leaving")) for network in json.loads(node.tool("show", "-o", "json"))["networks"]}


def test_a_move_that_a_lock_stops_is_taken_back(auto):
    auto.add("pod-1", nonMasqueradeCIDRs=["10.0.0.0/8"])
    before = auto.iptables_save()
    auto.nft("-f", "-", input=THEIRS)
    with open(auto.env["XTABLES_LOCKFILE"]) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        conf = auto.netconf(ips=["10.244.1.6/24"], nonMasqueradeCIDRs=["10.0.0.0/8"], lockTimeout="100ms")
        assert auto.call("ADD", "pod-2", conf).error[0] == 11
    assert ours_in_nft(auto) == nftables_drops_text([CBR0.but(kept=("10.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4"))])
    assert (auto.iptables_save(), placed(auto), auto.recorded()) == (before, {"cbr0": ("iptables", None)}, ["cbr0/pod-1"])
    auto.nft("delete", "table", "inet", "theirs")
    auto.add("pod-2", ips=["10.244.1.6/24"], nonMasqueradeCIDRs=["192.0.2.0/24"])
    changed = CBR0.but(kept=("192.0.2.0/24", "10.244.1.0/24", "169.254.0.0/16", "224.0.0.0/4"))
    assert (auto.iptables_save(), ours_in_nft(auto)) == (expected("iptables", changed), nftables_drops_text([changed]))
    assert json.loads(auto.tool("explain", "10.244.1.5", "10.9.9.9", "-o", "json"))["fate"] == "masqueraded"
    auto.delete("pod-1")
    auto.delete("pod-2")
    assert (auto.iptables_save(), auto.nft("list", "ruleset")) == (NOTHING, "")


def test_rules_that_are_gone_come_back_though_a_file_is_wrong(node):
    (node.folder / "subnet.env").write_text("FLANNEL_NETWORK=10.244.0.0/16\n")
    node.add("pod-1")
    before = node.save()
    node.nft("flush", "ruleset") if node.backend == "nftables" else node.iptables("-F")
    (node.folder / "subnet.env").write_text("FLANNEL_NETWORK=10.244.0.0/99\n")
    reply = node.call("ADD", "pod-2", node.netconf(ips=["10.244.1.6/24"]))
    assert reply.status == 0
    assert reply.errors.startswith(f"ip-masq: {node.folder}/subnet.env, line 1: ")
    assert node.save() == before


def test_another_network_is_nobodys_business(tmp_path):
    node = Node(tmp_path, "auto")
    try:
        node.add("pod-1", backend="iptables")
        node.add("pod-2", name="other", ips=["10.3.0.5/24"], backend="nftables")
        node.iptables("-F", "IP-MASQ-PODS")
        (node.folder / "no-config").write_text("nonMasqueradeCIDRs: [x]\n")
        with open(node.env["XTABLES_LOCKFILE"]) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = {"name": "other", "backend": "nftables", "lockTimeout": "100ms"}
            assert node.check("pod-2", ips=["10.3.0.5/24"], **keys) is None
            assert node.call("ADD", "pod-3", node.netconf(ips=["10.3.0.6/24"], **keys)).status == 0
            assert node.call("DEL", "pod-3", node.netconf(**keys)).status == 0
            assert node.call("DEL", "pod-2", node.netconf(**keys)).status == 0
        assert ours_in_nft(node) == nftables_drops_text([CBR0])
        assert node.check("pod-1", backend="iptables")[0] == 102
    finally:
        node.close()


def test_two_state_folders_in_one_place_leave_each_other_alone(node, tmp_path):
    second = str(tmp_path / "second")
    node.add("pod-1")
    node.add("pod-2", name="other", ips=["10.3.0.5/24"], stateDir=second)
    assert node.save() == node.expected(CBR0, OTHER)
    node.add("pod-3", ips=["10.244.1.6/24"], catchAll=False)
    node.delete("pod-3")
    node.add("pod-1")
    assert node.save() == node.expected(CBR0, OTHER)
    assert node.tool("sync").endswith(f"left alone: rules of {OTHER.prefix}, network other, of which nothing is recorded here\n")
    node.delete("pod-1")
    assert node.save() == node.expected(OTHER)
    node.delete("pod-2", name="other", stateDir=second)
    assert node.save() == node.expected()


def test_after_loss_of_the_state_rules_stay_are_told_and_can_be_taken_away(node):
    node.add("pod-1")
    node.add("pod-2", ips=["10.244.2.5/24"])
    both = node.expected(CBR0, Subnet("10.244.2.0/24"))
    shutil.rmtree(node.state)
    told = json.loads(node.tool("explain", "10.244.1.5", "10.9.9.9", "-o", "json"))
    assert (told["fate"], told["warnings"]) == (
        "kept", ["its record was lost, or another stateDir has it: an ADD, or GC, puts it right"])
    node.sysctl(net__ipv4__ip_forward=1)
    findings = json.loads(node.tool("doctor", "-o", "json", check=False))["findings"]
    assert [(finding["name"], finding["where"]) for finding in findings] == [
        ("rules-without-record", ["10.244.1.0/24, network cbr0", "10.244.2.0/24, network cbr0"])]
    node.delete("pod-1")
    assert node.save() == both
    node.add("pod-3", ips=["10.244.3.5/24"])
    node.delete("pod-3")
    assert node.save() == both
    assert node.tool_status("uninstall", "--rules", "--state-dir", node.state, "--conf-dir", node.folder)[0] == 0
    assert node.save() == node.expected()
    assert list(node.files()) == ["lock"]


def test_a_record_of_an_unknown_back_end_leaves_nothing_behind(node):
    node.add()
    path = node.state / "cbr0/network.json"
    path.write_text(path.read_text().replace(f'"backend":"{node.backend}","leaving', "").replace(
        f'"backend":"{node.backend}"}}', '"backend":"ebpf"}'))
    assert "ebpf" in path.read_text()
    node.delete()
    assert node.save() == node.expected()
    assert list(node.files()) == ["lock"]


def test_files_of_somebody_else_keep_no_rules(node):
    node.add()
    for name in ("network.json~", "pods/notes.txt", "pods/.swp"):
        (node.state / "cbr0" / name).write_text("{")
    assert node.check() is None
    node.delete()
    assert node.save() == node.expected()


def test_ipv6_alone_opens_no_table_of_ipv4(node):
    node.add(ips=["fd00:10:244:1::5/64"])
    assert node.run("cat", "/proc/net/ip_tables_names") == ""
    assert node.save(6) == node.expected(CBR0_6, family=6)


def test_looking_and_the_last_del_make_no_table(node):
    node.add()
    shutil.copytree(node.state, node.folder / "kept")
    node.delete()
    rebooted = Node(node.folder / "kept", node.backend)  # a namespace without any table
    try:
        rebooted.state = node.folder / "kept"
        rebooted.tool("show"), rebooted.tool("doctor", check=False)
        rebooted.call("STATUS", None, rebooted.netconf(version="1.1.0"))
        rebooted.call("CHECK")
        rebooted.delete()
        rebooted.call("STATUS", None, rebooted.netconf(version="1.1.0"))
        assert rebooted.run("cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names") == ""
        assert rebooted.nft("list", "ruleset") == ""
    finally:
        rebooted.close()


def test_a_state_folder_that_is_not_ours_alone_is_refused(node):
    node.state.mkdir(mode=0o755)
    node.add()
    assert node.state.stat().st_mode & 0o777 == 0o755, "its mode is its owner's business"
    node.state.chmod(0o777)
    refusal = (5, f"stateDir {node.state} can be written to by others")
    for command in ("ADD", "DEL", "CHECK"):
        assert node.call(command).error == refusal
    assert subprocess.run(node.inside("true")).returncode == 0
    assert node.tool_status("show", "--state-dir", node.state)[2].startswith(f"ip-masq: {refusal[1]}\n")
    node.state.chmod(0o755)
    assert node.check() is None


def test_nothing_is_written_in_a_folder_of_somebody_elses(node):
    node.state.mkdir(mode=0o755)
    (node.state / "passwd").write_text("theirs")
    message = f'stateDir {node.state} is not ip-masq\'s: it holds "passwd", and nothing of ours'
    assert node.call("ADD").error == (5, message)
    assert node.call("STATUS", None, node.netconf(version="1.1.0")).error == (50, message)
    assert node.call("DEL").status == 0, "nothing was ever recorded there"
    agent = node.tool_status("agent", "--state-dir", node.state)
    assert (agent[0], agent[2].split("\n")[0]) == (1, f"ip-masq: {message}")
    for command in ("sync", "show", "doctor"):
        node.tool_status(command, "--state-dir", node.state)
    assert [each.name for each in node.state.iterdir()] == ["passwd"]
    assert node.nft("list", "ruleset") == ""


def test_neighbours_whose_rules_were_flushed_leave_nothing(node):
    node.add("pod-1", ips=["10.244.0.5/24"])
    node.add("pod-2", ips=["10.244.1.5/24"])
    if node.backend == "nftables":
        node.nft("flush", "table", "inet", "ip-masq")
    else:
        node.iptables("-F")
    node.delete("pod-1", ips=["10.244.0.5/24"])
    node.delete("pod-2", ips=["10.244.1.5/24"])
    assert node.save() == node.expected()


def test_rules_of_ours_that_somebody_changed_make_explain_careful(node):
    node.add("pod-1")
    chain = re.search(r"IP-MASQ-[0-9a-f]{12}|cbr0-[0-9a-f]{12}(?!-)", node.save())[0]
    if node.backend == "nftables":
        node.nft("insert", "rule", "inet", "ip-masq", chain, "limit", "rate", "1/second", "log")
    else:
        node.iptables("-I", chain, "-p", "tcp", "-j", "MASQUERADE")
    answer = json.loads(node.tool("explain", "10.244.1.5", "10.9.9.9", "-o", "json"))
    assert answer["fate"] == "kept"
    assert answer["warnings"][0].startswith("it may be that packets meet another fate: somebody changed rules of ours, ")
    assert answer["warnings"][0].endswith(": ip-masq sync puts them right")
    node.tool("sync")
    assert "warnings" not in json.loads(node.tool("explain", "10.244.1.5", "10.9.9.9", "-o", "json"))


def collect_garbage(node, *valid):
    attachments = [{"containerID": container, "ifname": "eth0"} for container in valid]
    node.do("GC", None, node.netconf(version="1.1.0", ips=None, **{"cni.dev/valid-attachments": attachments}))


def findings(node):
    node.sysctl(net__ipv4__ip_forward=1)
    found = json.loads(node.tool("doctor", "-o", "json", check=False))["findings"]
    return [(finding["name"], finding["where"]) for finding in found]


def test_markers_that_are_lost_come_back_and_cost_no_pod_its_rules(node):
    node.add("pod-1")
    node.add("pod-2", ips=["10.244.1.6/24"])
    before = node.files()
    shutil.rmtree(node.state / "cbr0/subnets")
    assert node.tool("sync") == "all rules are as they should be\n"
    assert node.files() == before
    shutil.rmtree(node.state / "cbr0/subnets")
    node.delete("pod-2")
    assert node.save() == node.expected(CBR0)
    node.delete("pod-1")
    assert (node.save(), list(node.files())) == (node.expected(), ["lock"])


def test_rules_of_pods_whose_files_are_lost_stay_and_are_told_until_a_gc_knows_better(node):
    node.add("pod-1")
    for kind in ("pods", "subnets"):
        shutil.rmtree(node.state / "cbr0" / kind)
    told = [("rules-without-record", ["10.244.1.0/24, network cbr0"])]
    assert findings(node) == told
    assert node.tool("sync") == ("all rules are as they should be\n"
                                 "warning: rules of 10.244.1.0/24, network cbr0, stand of whose pods nothing is recorded here: "
                                 "they stay until a GC\n")
    assert (node.save(), findings(node)) == (node.expected(CBR0), told)
    node.add("pod-2", ips=["10.244.2.5/24"])
    node.delete("pod-2")
    collect_garbage(node, "pod-1")
    assert (node.save(), findings(node)) == (node.expected(CBR0), told)
    node.add("pod-1")
    collect_garbage(node, "pod-1")
    assert (node.save(), findings(node)) == (node.expected(CBR0), [])
    node.delete("pod-1")
    assert (node.save(), list(node.files())) == (node.expected(), ["lock"])


def test_the_marks_of_a_network_go_with_its_last_pod(node):
    node.add("pod-1")
    node.add("pod-2", name="other", ips=["10.3.0.5/24"], yieldMarks=["0x100/0x100", "0x2000/0x2000"])
    node.delete("pod-2", name="other")
    assert (node.save(), node.check("pod-1")) == (node.expected(CBR0), None)
    node.add("pod-2", name="other", ips=["10.3.0.5/24"], yieldMarks=["0x100/0x100"])
    node.delete("pod-1")
    assert node.check("pod-2", name="other", ips=["10.3.0.5/24"], yieldMarks=["0x100/0x100"]) is None
    node.delete("pod-2", name="other")
    assert node.save() == node.expected()


def test_a_record_too_large_to_be_read_is_told_and_written_anew(node):
    node.add("pod-1")
    path = node.state / "cbr0/network.json"
    path.write_text(" " * 2_000_000)
    assert [name for name, _ in findings(node)] == ["record-damaged"]
    node.add("pod-2", ips=["10.244.1.6/24"])
    assert (findings(node), node.save()) == ([], node.expected(CBR0))
    path.write_text(" " * 2_000_000)
    node.delete("pod-1")
    node.delete("pod-2")
    assert (node.save(), list(node.files())) == (node.expected(), ["lock"])


def test_status_makes_nothing_on_a_node_without_pods(node):
    assert node.call("STATUS", None, node.netconf(version="1.1.0")).error is None
    assert not node.state.exists()
