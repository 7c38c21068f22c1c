"""What container runtimes do beyond the plain ADD and DEL."""

import json
import shutil
import subprocess

import pytest
from harness.node import BINARY
from harness.texts import CBR0, Subnet, iptables_chain_name

VERSION_REPLY = {"cniVersion": "1.1.0", "supportedVersions": ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]}


def gc(node, *valid, **keys):
    attachments = [{"containerID": container, "ifname": "eth0"} for container in valid]
    return node.call("GC", None, node.netconf(version="1.1.0", ips=None, **{"cni.dev/valid-attachments": attachments}, **keys))


def status(node, **keys):
    return node.call("STATUS", None, node.netconf(version="1.1.0", ips=None, **keys)).error


def call_without_capabilities(node, command, container):
    argv = ["capsh", "--drop=cap_net_admin,cap_net_raw", "--", "-c", f"exec {BINARY}"]
    return subprocess.run(node.inside(*argv), env=node.environment(command, container),
                          input=json.dumps(node.netconf()), capture_output=True, text=True)


def test_version_needs_nothing(node):
    assert node.call("VERSION", None, stdin='{"cniVersion":"1.1.0"}').json == VERSION_REPLY
    assert node.call("VERSION", None, stdin='{"cniVersion":"0.4.0"}').json == {**VERSION_REPLY, "cniVersion": "0.4.0"}
    assert node.call("VERSION", None, stdin="{}").json == VERSION_REPLY


@pytest.mark.parametrize("variables", [{"CNI_NETNS": ""}, {"CNI_NETNS": None}, {"CNI_ARGS": "broken"}, {"CNI_NETNS": "/gone"}])
def test_del_without_a_namespace(node, variables):
    node.add()
    assert node.call("DEL", "pod-1", node.netconf(ips=None), **variables).error is None
    assert node.save() == node.expected()


def test_del_needs_only_name_and_state_dir(node):
    node.add()
    broken = {"name": "cbr0", "stateDir": str(node.state), "cniVersion": "9.9.9", "catchAll": "perhaps", "nonMasqueradeCIDRs": 7}
    assert node.call("DEL", "pod-1", broken).error is None
    assert node.save() == node.expected()


def test_del_twice_and_of_unknown_containers(node):
    assert node.call("DEL", "never-seen").error is None
    assert not node.state.exists()
    node.add("pod-1")
    assert node.call("DEL", "never-seen").error is None
    assert node.call("DEL", "pod-1", node.netconf(name="other")).error is None
    assert node.save() == node.expected(CBR0)
    assert [node.call("DEL", "pod-1").error for _ in range(2)] == [None, None]
    assert node.save() == node.expected()


def test_del_of_all_but_the_last_does_not_open_the_table(node):
    node.add("pod-1")
    node.add("pod-2", ips=["10.244.1.6/24"])
    # Without the right to look at a table, a call that looks fails.
    reply = call_without_capabilities(node, "DEL", "pod-1")
    assert reply.returncode == 0, reply.stdout
    assert call_without_capabilities(node, "DEL", "pod-2").returncode == 1


def test_add_repeated_with_the_same_container(node):
    assert node.add("pod-1") == node.add("pod-1")
    assert node.save() == node.expected(CBR0)
    node.add("pod-1", ips=["10.244.2.5/24"])
    assert node.save() == node.expected(Subnet("10.244.2.0/24"))
    node.delete("pod-1")
    assert node.save() == node.expected()


def test_one_container_with_two_interfaces(node):
    node.add("pod-1")
    node.do("ADD", "pod-1", node.netconf(ips=["10.244.1.9/24"]), CNI_IFNAME="net1")
    node.delete("pod-1")
    assert node.save() == node.expected(CBR0)
    node.do("DEL", "pod-1", CNI_IFNAME="net1")
    assert node.save() == node.expected()


def test_check_with_another_prev_result(node):
    node.add("pod-1")
    assert node.check("pod-1") is None
    assert node.check("pod-1", ips=["10.244.1.77/24"]) == (
        102, "the attachment of pod-1 (eth0) to cbr0 is recorded with 10.244.1.5/24, prevResult has 10.244.1.77/24")
    assert node.check("pod-2") == (102, "the attachment of pod-2 (eth0) to cbr0 is not recorded")
    assert node.save() == node.expected(CBR0)


def test_gc_forgets_what_is_not_valid(node):
    node.add("pod-1")
    node.add("pod-2", ips=["10.244.2.5/24"])
    node.add("pod-3", name="other", ips=["10.3.0.5/24"])
    assert gc(node, "pod-1").error is None
    assert node.recorded() == ["cbr0/pod-1", "other/pod-3"]
    assert node.save() == node.expected(CBR0, Subnet("10.3.0.0/24", "other"))
    node.delete("pod-3", name="other", ips=["10.3.0.5/24"])
    assert node.save() == node.expected(CBR0)
    assert gc(node).error is None
    assert node.save() == node.expected()


@pytest.mark.parametrize("key", ["cni.dev/valid-attachments", "cni.dev/attachments"])
def test_gc_takes_either_name_of_the_key(node, key):
    """libcni sends both, the second for plugins that read an earlier text of the spec."""
    node.add("pod-1")
    node.add("pod-2", ips=["10.244.1.6/24"])
    valid = {key: [{"containerID": "pod-1", "ifname": "eth0"}]}
    assert node.call("GC", None, node.netconf(version="1.1.0", ips=None, **valid)).error is None
    assert node.recorded() == ["cbr0/pod-1"]
    assert node.call("GC", None, node.netconf(version="1.1.0", ips=None, **{key: None})).error is None
    assert node.save() == node.expected()


def test_gc_without_either_key_forgets_nobody(node):
    """libcni leaves both out where its caller names no attachment (cnitool gc), after a DEL of each that it knows."""
    node.add("pod-1")
    code, message = node.call("GC", None, node.netconf(version="1.1.0", ips=None)).error
    assert (code, message.split(",")[0]) == (7, "neither cni.dev/valid-attachments nor cni.dev/attachments is there")
    assert node.recorded() == ["cbr0/pod-1"]
    assert node.save() == node.expected(CBR0)


def test_gc_after_the_state_was_lost_keeps_the_rules_of_pods_that_live(node):
    node.add("pod-1")
    shutil.rmtree(node.state)
    assert gc(node, "pod-1").error is None
    assert node.save() == node.expected(CBR0)
    node.add("pod-9", name="other", ips=["10.3.0.5/24"])
    node.delete("pod-9", name="other", ips=["10.3.0.5/24"])
    assert node.save() == node.expected(CBR0)
    assert gc(node).error is None
    assert node.save() == node.expected()


def test_gc_removes_damaged_files(node):
    node.add("pod-1")
    node.record("pod-2").write_text("{")
    assert gc(node, "pod-1").error is None
    assert node.recorded() == ["cbr0/pod-1"]


def test_status_of_a_node_that_is_ready(node):
    assert status(node) is None
    node.add()
    before = node.files()
    assert status(node) is None
    assert node.files() == before


def test_status_tells_why_an_add_could_not_work(node):
    assert status(node, catchAll=3) == (50, "catchAll is 3: expected true or false")


def test_status_tells_when_pods_lack_their_rules_as_well(node):
    node.add()
    if node.backend == "nftables":
        node.nft("flush", "ruleset")
    else:
        node.iptables("-F", iptables_chain_name(CBR0))
    assert status(node) is None  # an ADD would mend it
    assert status(node, catchAll=3) == (51, "catchAll is 3: expected true or false")
