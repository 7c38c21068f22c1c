"""The configuration file of ip-masq-agent: what it says counts for running pods, whatever the conflist says."""

import json
import shutil
from pathlib import Path

import pytest
from harness.config_files import BROKEN, FILES, NETWORKS, REST
from harness.texts import CBR0, CBR0_6

@pytest.fixture
def config(node):
    """The path of the file that every netconf of the node names."""
    return node.folder / "no-config"


@pytest.mark.parametrize("text, changes", FILES, ids=[repr(text)[:50] for text, _ in FILES])
def test_what_is_kept(node, config, text, changes):
    config.write_text(text)
    node.add()
    assert node.save() == node.expected(CBR0.but(**changes))
    assert node.check() is None
    node.delete()
    assert node.save() == node.expected()


def test_ipv6(node, config):
    config.write_text("nonMasqueradeCIDRs: [10.0.0.0/8, fd00::/8]\nmasqLinkLocalIPv6: true\n")
    node.add(ips=["fd00:10:244:1::5/64"])
    assert node.save(6) == node.expected(
        CBR0_6.but(kept=("fd00::/8", "ff00::/8"), masqueraded=("fe80::/10",)), family=6)


def test_it_overrides_the_netconf_and_no_longer_when_it_is_gone(node, config):
    keys = {"nonMasqueradeCIDRs": ["192.0.2.0/24"], "randomFully": False}
    from_netconf = CBR0.but(kept=("192.0.2.0/24", "10.244.1.0/24", *REST), random_fully=False)
    node.add(**keys)
    assert node.save() == node.expected(from_netconf)
    config.write_text("nonMasqueradeCIDRs: [10.0.0.0/8]\n")
    assert node.check(**keys)[0] == 102
    node.tool("sync")
    assert node.save() == node.expected(from_netconf.but(kept=("10.0.0.0/8", *REST)))
    assert node.tool("explain", "10.244.1.5", "10.9.9.9").splitlines()[1] == f"  nonMasqueradeCIDRs in {config}: 10.0.0.0/8"
    config.write_text("{}\n")
    node.add("pod-2", ips=["10.244.1.6/24"], **keys)
    assert node.save() == node.expected(from_netconf)
    config.write_text("nonMasqueradeCIDRs: []\n")
    node.tool("sync")
    config.unlink()
    node.tool("sync")
    assert node.save() == node.expected(from_netconf)


@pytest.mark.parametrize("text, line, message", BROKEN, ids=[repr(text)[:50] for text, _, _ in BROKEN])
def test_of_a_broken_file_what_was_good_last_stays_in_force_and_it_is_named(node, config, text, line, message):
    start = f"{config}, line {line}: {message}" if line else None
    config.write_text(text)
    code, said = node.call("ADD").error  # nothing good is known yet
    assert code == 7
    assert said.startswith(start) if start else said.endswith(message)
    assert node.call("STATUS", None, node.netconf(version="1.1.0")).error == (50, said)

    config.write_text("nonMasqueradeCIDRs: [10.9.0.0/16]\n")
    good = node.expected(CBR0.but(kept=("10.9.0.0/16", "10.244.1.0/24", *REST)))
    node.add()
    config.write_text(text)
    reply = node.call("ADD", "pod-2", node.netconf(ips=["10.244.1.6/24"]))
    assert (reply.status, reply.errors) == (0, f"ip-masq: {said}\n")
    assert node.save() == good
    reply = node.call("STATUS", None, node.netconf(version="1.1.0"))
    assert (reply.status, reply.errors) == (0, f"ip-masq: {said}\n")
    assert node.check() is None
    status, output, errors = node.tool_status("sync", "--state-dir", node.state)
    assert (status, output, errors) == (1, "", f"ip-masq: config-wrong: network cbr0 keeps what was good last: {said}\n")
    assert node.save() == good
    node.delete("pod-2")
    node.delete()
    assert node.save() == node.expected()


def test_everything_that_is_wrong_is_told_at_once(node, config):
    config.write_text("masqLinkLocal: 7\nnonMasqueradeCIDRs:\n- x\n- 10.0.0.0/8\n- z\n")
    code, said = node.call("ADD").error
    assert (code, said) == (
        7, f'{config}, line 3: nonMasqueradeCIDRs is "x": {NETWORKS}; {config}, line 5: nonMasqueradeCIDRs is "z": {NETWORKS}; '
           f"{config}, line 1: masqLinkLocal is 7: expected true or false")


def test_a_family_that_subnet_env_has_lost_stays_while_pods_have_it(node):
    env = node.folder / "subnet.env"
    env.write_text("FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_IPV6_NETWORK=fd00:244::/48\n")
    keys = {"nonMasqueradeCIDRs": []}
    node.add(**keys)
    node.add("pod-6", ips=["fd00:244:1::5/64"], **keys)
    good = node.save()
    env.write_text("FLANNEL_IPV6_NETWORK=fd00:244::/48\n")
    said = (f"{env} names no IPv4 network any more, though pods have such addresses: expected a line such as "
            "FLANNEL_NETWORK=10.244.0.0/16")
    reply = node.call("ADD", "pod-2", node.netconf(ips=["10.244.1.6/24"], **keys))
    assert (reply.status, reply.errors) == (0, f"ip-masq: {said}\n")
    assert node.check(**keys) is None
    assert node.tool_status("sync", "--state-dir", node.state) == (
        1, "", f"ip-masq: config-wrong: network cbr0 keeps what was good last: {said}\n")
    assert node.save() == good
    # Who has moved to one family has no pods of the other.
    for pod in ("pod-1", "pod-2"):
        node.delete(pod)
    assert node.tool_status("sync", "--state-dir", node.state)[0] == 0


# What its writer meant otherwise: {path below the configuration file: text, or where a link leads}, and what is said.
SLIPS = {
    "a key": ({"": "nonMasqueradeCIDR: [203.0.113.0/24]\n"}, 'FILE, line 1: key "nonMasqueradeCIDR" is not known: did you mean "nonMasqueradeCIDRs"?'),
    "a key of another fashion": (
        {"": "non_masquerade_cidrs: [203.0.113.0/24]\n"},
        'FILE, line 1: key "non_masquerade_cidrs" is not known: did you mean "nonMasqueradeCIDRs"?'),
    "a key of a ConfigMap's folder": (
        {"config": "nonMasqueradeCIDRs: [203.0.113.0/24]\n"},
        'FILE has no file whose name begins with ip-masq, but "config": expected ip-masq-agent (of a ConfigMap: items: [{key: ..., path: ip-masq-agent}])'),
    "a link": ({"": Path("nowhere")}, "FILE is a link that leads nowhere"),
    "a list that lost its items": ({"": "masqLinkLocal: false\nnonMasqueradeCIDRs:\n"},
                                   "FILE, line 2: nonMasqueradeCIDRs has no items: write nonMasqueradeCIDRs: [] for none"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_takes_nothing_good_out_of_force(node, config, slip):
    files, said = SLIPS[slip]
    said = said.replace("FILE", str(config))
    config.write_text("nonMasqueradeCIDRs: [10.9.0.0/16]\n")
    node.add()
    good = node.save()
    config.unlink()
    for name, text in files.items():
        path = config / name if name else config
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(text) if isinstance(text, Path) else path.write_text(text)
    reply = node.call("ADD", "pod-2", node.netconf(ips=["10.244.1.6/24"]))
    assert (reply.status, reply.errors) == (0, f"ip-masq: {said}\n")
    assert node.save() == good
    status, output, errors = node.tool_status("sync", "--state-dir", node.state)
    assert (status, output, errors) == (1, "", f"ip-masq: config-wrong: network cbr0 keeps what was good last: {said}\n")
    assert node.save() == good
    # A network of which nothing good is known takes it as it is written.
    node.add("pod-3", ips=["10.245.1.5/24"], name="other")
    reply = node.call("STATUS", None, node.netconf(name="other", version="1.1.0"))
    assert (reply.status, reply.errors) == (0, f"ip-masq: {said}\n")


@pytest.mark.parametrize("text", ["", "\n", "# nonMasqueradeCIDRs: [10.9.0.0/16]\n", "---\n", "null\n", "in a folder"])
def test_a_file_that_says_nothing_any_more(node, config, text):
    """Cut short by a full disk, an editor, a template: nothing says that all was to go."""
    node.add()
    default = node.save()
    config.write_text("" if text == "in a folder" else text)
    assert node.tool("sync") == "all rules are as they should be\n"
    assert node.call("STATUS", None, node.netconf(version="1.1.0")).errors == ""
    config.write_text("nonMasqueradeCIDRs: [10.9.0.0/16]\n")
    node.tool("sync")
    good = node.save()
    assert good != default
    if text == "in a folder":
        config.unlink()
        config.mkdir()
        (config / "ip-masq-agent").write_text("")
    else:
        config.write_text(text)
    said = (f"{config} says nothing any more: expected keys such as nonMasqueradeCIDRs; where none is meant, write {{}}, or take "
            "the file away")
    reply = node.call("ADD", "pod-2", node.netconf(ips=["10.244.1.6/24"]))
    assert (reply.status, reply.errors) == (0, f"ip-masq: {said}\n")
    assert node.tool_status("sync", "--state-dir", node.state) == (1, "", f"ip-masq: config-wrong: network cbr0 keeps what was good last: {said}\n")
    assert node.save() == good
    if text == "in a folder":
        shutil.rmtree(config)
    else:
        config.write_text("{}\n")
    node.tool("sync")
    assert node.save() == default


def test_misspelt_keys_are_named(node, config):
    config.write_text("nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqLinkLocals: true\n")
    node.add()
    warning = f'{config}, line 2: key "masqLinkLocals" is not known: did you mean "masqLinkLocal"?'
    assert node.tool("sync") == f"all rules are as they should be\nwarning: {warning}\n"
    reply = node.call("STATUS", None, node.netconf(version="1.1.0"))
    assert (reply.status, reply.errors) == (0, f"ip-masq: {warning}\n")


def test_a_folder_is_merged(node, config):
    config.mkdir()
    (config / "ip-masq-agent").write_text("nonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12]\nmasqLinkLocal: false\n")
    (config / "ip-masq-b").write_text("nonMasqueradeCIDRs: [192.0.2.0/24, 10.0.0.0/8]\nmasqLinkLocal: true\n")
    (config / "ip-masq-c").write_text("masqLinkLocal: false\nresyncInterval: 30s\n")
    (config / "other").write_text("nonMasqueradeCIDRs: [203.0.113.0/24]\n")
    node.add()
    assert node.save() == node.expected(CBR0.but(kept=("10.0.0.0/8", "172.16.0.0/12", "192.0.2.0/24", "224.0.0.0/4"),
                                                 masqueraded=("169.254.0.0/16",)))
    (config / "ip-masq-b").write_text("nonMasqueradeCIDRs: [x]\n")
    (config / "ip-masq-c").write_text("[")
    before = node.save()
    reply = node.call("ADD", "pod-2", node.netconf(ips=["10.244.1.6/24"]))
    assert reply.status == 0
    assert reply.errors == (
        f'ip-masq: {config}/ip-masq-b, line 1: nonMasqueradeCIDRs is "x": {NETWORKS}; '
        f"{config}/ip-masq-c, line 2: not YAML: did not find expected node content at column 1: close each [ and {{\n")
    assert node.save() == before
    for path in config.iterdir():
        path.unlink()
    node.add("pod-3", ips=["10.244.1.7/24"])
    assert node.save() == node.expected(CBR0)


def test_a_configmap_of_kubernetes(node, config):
    """A file that is a symbolic link through a folder that is swapped."""
    for version, text in (("1", "nonMasqueradeCIDRs: [10.0.0.0/8]\n"), ("2", "nonMasqueradeCIDRs: []\n")):
        (node.folder / version).mkdir()
        (node.folder / version / "ip-masq-agent").write_text(text)
    data = node.folder / "..data"
    data.symlink_to("1")
    config.symlink_to("..data/ip-masq-agent")
    node.add()
    assert node.save() == node.expected(CBR0.but(kept=("10.0.0.0/8", *REST)))
    (node.folder / "next").symlink_to("2")
    (node.folder / "next").rename(data)
    node.tool("sync")
    assert node.save() == node.expected(CBR0.but(kept=("10.244.1.0/24", *REST)))
    assert json.loads(node.tool("show", "-o", "json"))["networks"][0]["podSubnets"] == ["10.244.1.0/24"]
