"""Rules of pods that have policies: whole tables, as they come, go, and change."""

import json
import re

import pytest
from harness.guides import GUIDES
from harness.texts import CBR0, Subnet

REST = ("169.254.0.0/16", "224.0.0.0/4")
PARTNER = {"name": "partner", "namespaces": ["payments", "team-*"], "annotated": ["batch-*"], "snatTo": ["203.0.113.7"],
           "nonMasqueradeCIDRs": ["10.20.0.0/16"]}
OPEN = {"name": "open", "namespaces": [], "annotated": ["*"], "catchAll": False, "masqueradeCIDRs": ["10.1.2.0/24"]}
SPACES = {"pod-1": "payments", "pod-2": "default", "pod-3": "batch-1", "pod-4": "default"}
IPS = {name: [f"10.244.1.{number}/24"] for number, name in enumerate(SPACES, 5)}


def partner(address):
    return Subnet(f"{address}/32", "cbr0/partner", kept=("10.20.0.0/16", "10.244.1.0/24", *REST), to="203.0.113.7", shared="10.244.1.0/24")


def opened(address):
    return Subnet(f"{address}/32", "cbr0/open", masqueraded=("10.1.2.0/24",), catch_all=False, shared="10.244.1.0/24")


def call(node, command, pod, asks=None, args=True, **keys):
    """A call for a pod of its namespace, which asks for a policy by annotation."""
    if asks is not None:
        keys["runtimeConfig"] = {"io.kubernetes.cri.pod-annotations": {"ip-masq/policy": asks, "other": "x"}}
    conf = node.netconf(**{"ips": IPS[pod], **keys})
    variables = {"CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE={SPACES[pod]};K8S_POD_NAME={pod}"} if args else {}
    return node.call(command, pod, conf, **variables)


def add(node, pod, asks=None, **keys):
    reply = call(node, "ADD", pod, asks, **keys)
    assert reply.status == 0, reply.output
    return reply


@pytest.fixture
def policies(node):
    """policies(...): writes the file; returns the keys that name it."""
    path = node.folder / "policies"

    def written(*policies, **keys):
        path.write_text(json.dumps({**keys, "policies": policies}))
        return {"configFile": str(path)}

    return written


def test_each_pod_leads_to_the_chain_of_its_policy(node, policies):
    keys = policies(PARTNER, OPEN)
    add(node, "pod-1", **keys)
    assert node.save() == node.expected(CBR0, partner("10.244.1.5"))
    add(node, "pod-2", **keys)
    add(node, "pod-3", "partner", **keys)
    add(node, "pod-4", "open", **keys)
    both = [CBR0, partner("10.244.1.5"), partner("10.244.1.7"), opened("10.244.1.8")]
    assert node.save() == node.expected(*both)
    assert [call(node, "CHECK", pod, **keys).error for pod in SPACES] == [None] * 4
    assert node.tool("sync") == "all rules are as they should be\n"
    node.delete("pod-1", **keys)
    assert node.save() == node.expected(CBR0, partner("10.244.1.7"), opened("10.244.1.8"))
    node.delete("pod-3", **keys)
    assert node.save() == node.expected(CBR0, opened("10.244.1.8"))
    node.delete("pod-4", **keys)
    assert node.save() == node.expected(CBR0)
    node.delete("pod-2", **keys)
    assert node.save() == node.expected()


def test_pods_with_addresses_of_their_own(node, policies):
    keys = policies(PARTNER)
    add(node, "pod-1", ips=["10.9.0.5/32"], **keys)
    add(node, "pod-2", ips=["10.9.0.6/32"], **keys)
    alone = Subnet("10.9.0.5/32", "cbr0/partner", kept=("10.20.0.0/16", *REST), to="203.0.113.7")
    assert node.save() == node.expected(alone, Subnet("10.9.0.6/32"))
    node.delete("pod-1", **keys)
    assert node.save() == node.expected(Subnet("10.9.0.6/32"))


def test_the_texts_give_the_same_bytes_back(node, policies):
    add(node, "pod-1", **policies(PARTNER))
    before = node.save()
    if node.backend == "nftables":
        text = node.nft("-s", "list", "ruleset")
        node.nft("flush", "ruleset")
        node.nft("-f", "-", input=text)
    else:
        node.restore(node.iptables_save())
    assert node.save() == before
    assert node.tool("sync") == "all rules are as they should be\n"


@pytest.mark.parametrize("by", ["sync", "ADD"])
def test_a_change_moves_running_pods(node, policies, by):
    keys = policies(PARTNER)
    for pod in ("pod-1", "pod-2"):
        add(node, pod, **keys)

    def change(*changed):
        policies(*changed)
        if by == "sync":
            node.tool("sync")
        else:
            add(node, "pod-3", **keys)
        assert call(node, "CHECK", "pod-1", **keys).error is None
        assert node.tool("sync") == "all rules are as they should be\n"

    change({**PARTNER, "namespaces": ["default"]})
    assert node.save() == node.expected(CBR0, partner("10.244.1.6"))
    change({**PARTNER, "namespaces": ["*"], "annotated": [], "snatTo": []}, OPEN)
    pods = ["10.244.1.5", "10.244.1.6", *(["10.244.1.7"] if by == "ADD" else [])]
    assert node.save() == node.expected(CBR0, *(partner(address).but(to=None) for address in pods))
    change()
    assert node.save() == node.expected(CBR0)
    assert json.loads(node.record("pod-1").read_text())["podSubnets"] == ["10.244.1.0/24"]


def test_a_wrong_policy_changes_nothing(node, policies):
    keys = policies(PARTNER)
    add(node, "pod-1", **keys)
    policies({**PARTNER, "namespaces": ["Payments"]}, {**PARTNER, "name": "x\n"})
    reply = add(node, "pod-2", **keys)
    assert 'policy partner: namespaces is "Payments": expected' in reply.errors and 'expected as name a letter or digit' in reply.errors
    assert node.save() == node.expected(CBR0, partner("10.244.1.5"))
    assert node.tool_status("sync", "--state-dir", node.state)[0] == 1


@pytest.mark.parametrize("asks", ["none", "partner\n", "\x1b]0;x\x07", "../../partner", "partner/", "*", "p" * 100_000, "\U0001f600", ""])
def test_an_annotation_is_no_more_than_a_name(node, policies, asks):
    keys = policies(PARTNER)
    add(node, "pod-3", asks, **keys)
    assert node.save() == node.expected(CBR0.but())
    said = node.tool("show")
    assert all(letter.isprintable() or letter in "\n\t" for letter in said) and len(said) < 20_000
    assert ("asks for policy" in said and "and does not have it: there is no policy" in said) == (asks != "")


@pytest.mark.parametrize("capability", [7, None, [], {"ip-masq/policy": 7}, {"ip-masq/policy": None}, {"ip-masq/policy": {}}])
def test_a_capability_that_no_runtime_gives_is_none(node, policies, capability):
    add(node, "pod-3", runtimeConfig={"io.kubernetes.cri.pod-annotations": capability}, **policies(PARTNER))
    add(node, "pod-4", runtimeConfig=capability, **policies(PARTNER))
    assert node.save() == node.expected(CBR0)


def test_a_pod_whose_namespace_nobody_said(node, policies):
    keys = policies({**PARTNER, "namespaces": ["*"]})
    reply = call(node, "ADD", "pod-1", "partner", args=False, **keys)
    assert reply.status == 0
    assert node.save() == node.expected(CBR0)
    assert "does not have it: its runtime did not say its namespace" in node.tool("show")


def test_who_has_which_policy_is_told(node, policies):
    keys = policies(PARTNER, OPEN)
    add(node, "pod-1", **keys)
    add(node, "pod-2", "partner", **keys)
    network = json.loads(node.tool("show", "-o", "json"))["networks"][0]
    assert network["policies"] == [{"name": "partner", "namespaces": ["payments", "team-*"], "annotated": ["batch-*"], "pods": 1},
                                   {"name": "open", "namespaces": [], "annotated": ["*"], "pods": 0}]
    first, second = network["attachments"]
    assert first["policy"] == {"name": "partner", "by": "namespaces: payments"} and "refused" not in first
    assert "policy" not in second and second["asksFor"] == "partner"
    why = "neither annotated nor namespaces of policy partner holds namespace default"
    assert second["refused"] == why
    said = node.tool("show")
    assert "  policy partner: pods with it: 1\n" in said
    assert "  attachment pod-1 eth0: 10.244.1.5/24 (payments/pod-1), policy partner (namespaces: payments)\n" in said
    assert f"  attachment pod-2 eth0: 10.244.1.6/24 (default/pod-2), asks for policy partner and does not have it: {why}\n" in said
    status, found = node.doctor("-o", "json")
    refused = [each for each in json.loads(found)["findings"] if each["name"] == "policy-refused"]
    assert [(each["weight"], each["where"]) for each in refused] == [("note", [f"cbr0: default/pod-2 asks for policy partner: {why}"])]


def test_explain_names_the_policy_and_its_key(node, policies):
    keys = policies(PARTNER, OPEN)
    add(node, "pod-1", **keys)
    add(node, "pod-4", "open", **keys)
    file = keys["configFile"]
    told = json.loads(node.tool("explain", "payments/pod-1", "10.20.0.9", "-o", "json"))
    assert (told["pod"], told["source"], told["fate"], told["why"], told["policy"]) == (
        "payments/pod-1", "10.244.1.5", "kept", f"nonMasqueradeCIDRs of policy partner in {file}", "partner")
    said = node.tool("explain", "10.244.1.8", "198.51.100.9")
    assert said.startswith(f"10.244.1.8 -> 198.51.100.9: left alone\n  catchAll of policy open in {file}\n")
    assert f"  network cbr0, policy open ({node.backend}), pod subnet 10.244.1.8/32\n" in said
    assert node.tool("explain", "payments/pod-1", "10.30.0.9").startswith("payments/pod-1 (10.244.1.5) -> 10.30.0.9: masqueraded\n  catchAll\n")
    status, _, said = node.tool_status("explain", "payments/pod-9", "10.20.0.9", "--state-dir", node.state)
    assert (status, said) == (1, 'ip-masq: SRC is "payments/pod-9": expected NAMESPACE/POD of a pod that is recorded here with one IPv4 '
                                 "address, or an address\n")


def test_policies_of_the_conflist(node):
    node.call("ADD", "pod-1", node.netconf(policies=[PARTNER]), CNI_ARGS="K8S_POD_NAMESPACE=team-a;K8S_POD_NAME=x")
    assert node.save() == node.expected(CBR0, partner("10.244.1.5"))
    node.add("pod-2", ips=IPS["pod-2"], policies=[OPEN])
    assert node.save() == node.expected(CBR0)


def test_a_lost_table_comes_back_whole(node, policies):
    keys = policies(PARTNER)
    add(node, "pod-1", **keys)
    add(node, "pod-2", **keys)
    before = node.save()
    if node.backend == "nftables":
        node.nft("flush", "ruleset")
    else:
        node.iptables("-F")
    node.tool("sync")
    assert node.save() == before


def test_a_pod_whose_record_is_damaged_keeps_its_policy(node, policies):
    keys = policies(PARTNER)
    add(node, "pod-1", **keys)
    add(node, "pod-2", **keys)
    before = node.save()
    node.record("pod-1").write_text("x")
    assert node.tool_status("sync", "--state-dir", node.state)[0] == 1
    add(node, "pod-3", **keys)
    assert node.save() == before
    told = json.loads(node.tool("explain", "10.244.1.5", "10.20.0.9", "-o", "json"))
    assert (told["fate"], told["policy"], told.get("warnings")) == ("kept", "partner", None)
    node.delete("pod-1", **keys)
    assert node.save() == node.expected(CBR0)


def test_the_guide_s_example(node):
    text = re.search(r"^```yaml\n(.*?)^```$", (GUIDES / "policies.md").read_text(), re.MULTILINE | re.DOTALL)[1]
    path = node.folder / "example"
    path.write_text(text)
    for pod, asks in {"pod-1": None, "pod-2": "open", "pod-3": "partner", "pod-4": None}.items():
        add(node, pod, asks, configFile=str(path))
    network = CBR0.but(kept=("10.0.0.0/8", *REST))
    asked = opened("10.244.1.6").but(kept=("10.0.0.0/8", *REST), masqueraded=())
    assert node.save() == node.expected(network, partner("10.244.1.5"), asked, partner("10.244.1.7"))
