"""The configuration file of ip-masq-agent: what it says counts for running pods, whatever the conflist says."""

import json

import pytest
from harness.texts import CBR0, CBR0_6, DEFAULT

REST = ("169.254.0.0/16", "224.0.0.0/4")
RESERVED = ("100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "240.0.0.0/4")
NETWORKS = "expected a network such as 10.0.0.0/8 or fd00::/8"


@pytest.fixture
def config(node):
    """The path of the file that every netconf of the node names."""
    return node.folder / "no-config"


# What ip-masq-agent's README documents, flags as the keys that stand for them here.
FILES = [
    ("", {}),
    ("# nothing but a comment\n", {}),
    ("nonMasqueradeCIDRs:\n  - 10.0.0.0/8\nresyncInterval: 60s\n", {"kept": ("10.0.0.0/8", *REST)}),
    ("nonMasqueradeCIDRs:\n- 10.0.0.0/8\n- 172.16.0.0/12\n- 192.168.0.0/16\nmasqLinkLocal: false\nresyncInterval: 60s\n", {}),
    ("nonMasqueradeCIDRs: []\n", {"kept": ("10.244.1.0/24", *REST)}),
    ("nonMasqueradeCIDRs:\n", {"kept": ("10.244.1.0/24", *REST)}),
    ("masqLinkLocal: true\n", {"kept": DEFAULT[4][1:], "masqueraded": ("169.254.0.0/16",)}),
    ("masqLinkLocal: yes\n", {"kept": DEFAULT[4][1:], "masqueraded": ("169.254.0.0/16",)}),
    ("masqLinkLocal:\nresyncInterval: 1h30m\n", {}),
    ("masqlinklocal: true\nNONMASQUERADECIDRS: ['10.0.0.0/8']\n",
     {"kept": ("10.0.0.0/8", "224.0.0.0/4"), "masqueraded": ("169.254.0.0/16",)}),
    ('{"nonMasqueradeCIDRs": ["10.0.0.0/8", "192.0.2.0/24"], "masqLinkLocal": false}',
     {"kept": ("10.0.0.0/8", "192.0.2.0/24", *REST)}),
    ('{\n\t"nonMasqueradeCIDRs": [\n\t\t"10.0.0.0/8"\n\t]\n}\n', {"kept": ("10.0.0.0/8", *REST)}),
    ("cidrLimit: 1\nnonMasqueradeCIDRs: [10.0.0.0/8]\n", {"kept": ("10.0.0.0/8", *REST)}),
    ("masqLinkLocalIPv6: true\n", {}),
    ("nonMasqueradeCIDRs: [fd00::/8]\n", {}),
    ("nonMasqueradeReserved: true  # --nomasq-all-reserved-ranges\n", {"kept": (*DEFAULT[4], *RESERVED)}),
    ("randomFully: false  # --random-fully=false\n", {"random_fully": False}),
    ("toPorts: 1024-1123,2000-2299  # --to-ports\n", {"ports": ("1024-1123", "2000-2299")}),
    ("masqueradeCIDRs: [10.1.2.0/24]\ncatchAll: false\n", {"masqueraded": ("10.1.2.0/24",), "catch_all": False}),
    ("snatTo: ['203.0.113.7']\nexemption: return\n", {"to": "203.0.113.7", "exemption": "return"}),
    ("unknown: {a: [1, 2]}\nnonMasqueradeCIDRs: [10.0.0.0/8]\n", {"kept": ("10.0.0.0/8", *REST)}),
    ("---\nnonMasqueradeCIDRs: [10.0.0.0/8]\n---\nnonMasqueradeCIDRs: []\n", {"kept": ("10.0.0.0/8", *REST)}),
]

# What is wrong, and what is said of it after "FILE, line N: ".
BROKEN = [
    ("nonMasqueradeCIDRs: [10.0.0.0/8\n", 2, "not YAML: "),
    ("nonMasqueradeCIDRs: [10.0.0.0/8]]\n", 1, "not YAML: "),
    ("a: b: c\n", 1, "not YAML: "),
    ("\tnonMasqueradeCIDRs: []\n", 1, "not YAML: "),
    ('{"nonMasqueradeCIDRs": ["10.0.0.0/8"', 1, "not YAML: "),
    ("a: *nowhere\n", 1, "not YAML: "),
    ("- 10.0.0.0/8\n", 1, "expected keys such as nonMasqueradeCIDRs"),
    ("10.0.0.0/8\n", 1, "expected keys such as nonMasqueradeCIDRs"),
    ("nonMasqueradeCIDRs: 10.0.0.0/8\n", 1, 'nonMasqueradeCIDRs is "10.0.0.0/8": expected a list of networks'),
    ("nonMasqueradeCIDRs: {a: b}\n", 1, 'nonMasqueradeCIDRs is {"a":"b"}: expected a list of networks'),
    ("nonMasqueradeCIDRs: [10]\n", 1, "nonMasqueradeCIDRs is [10]: expected a list of networks"),
    ("nonMasqueradeCIDRs:\n- 10.0.0.0/8\n- 10.1.0.0/8\n", 3,
     'nonMasqueradeCIDRs is "10.1.0.0/8": expected an aligned network, 10.0.0.0/8'),
    ("nonMasqueradeCIDRs:\n- 10.0.0.0\n", 2, f'nonMasqueradeCIDRs is "10.0.0.0": {NETWORKS}'),
    ("nonMasqueradeCIDRs:\n- ten\n", 2, f'nonMasqueradeCIDRs is "ten": {NETWORKS}'),
    ("nonMasqueradeCIDRs: ['']\n", 1, f'nonMasqueradeCIDRs is "": {NETWORKS}'),
    ("nonMasqueradeCIDRs:\n" + "".join(f"- 10.{n}.0.0/16\n" for n in range(65)), 1,
     "nonMasqueradeCIDRs and masqueradeCIDRs have 65 entries: expected at most 64 (cidrLimit)"),
    ("cidrLimit: 1\nnonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12]\n", 2,
     "nonMasqueradeCIDRs and masqueradeCIDRs have 2 entries: expected at most 1 (cidrLimit)"),
    ("cidrLimit: -1\n", 1, "cidrLimit is -1: expected a whole number"),
    ("cidrLimit: many\n", 1, 'cidrLimit is "many": expected a whole number'),
    ("\nmasqueradeCIDRs: [10.0.0.0/8]\n", 2, 'masqueradeCIDRs is "10.0.0.0/8": expected a network that nonMasqueradeCIDRs does not list'),
    ("masqLinkLocal: perhaps\n", 1, 'masqLinkLocal is "perhaps": expected true or false'),
    ("masqLinkLocal: 'true'\n", 1, 'masqLinkLocal is "true": expected true or false'),
    ("masqLinkLocal: 1\n", 1, "masqLinkLocal is 1: expected true or false"),
    ("masqLinkLocalIPv6: []\n", 1, "masqLinkLocalIPv6 is []: expected true or false"),
    ("resyncInterval: 60\n", 1, "resyncInterval is 60: expected a duration"),
    ("resyncInterval: soon\n", 1, 'resyncInterval is "soon": expected a duration'),
    ("catchAll: 'no'\n", 1, 'catchAll is "no": expected true or false'),
    ("randomFully: fully\n", 1, 'randomFully is "fully": expected true or false'),
    ("toPorts: 99999\n", 1, "toPorts is 99999: expected ports"),
    ("toPorts: 5-1\n", 1, 'toPorts is "5-1": expected ports'),
    ("snatTo: 203.0.113.7\n", 1, 'snatTo is "203.0.113.7": expected a list of'),
    ("snatTo:\n- 203.0.113.7\n- 203.0.113.8\n", 3, 'snatTo is "203.0.113.8": expected an address'),
    ("exemption: never\n", 1, 'exemption is "never": expected "hold" or "return"'),
    ("a: &a [x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\ncidrLimit: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
     "toPorts: [" + ",".join(["*c"] * 200) + "]\n", None, "too much for a list of networks"),
    ("toPorts: [[[[[[[[[[[[1]]]]]]]]]]]]\n", 1, "too much for a list of networks"),
]


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
    config.write_text("\n")
    node.add("pod-2", ips=["10.244.1.6/24"], **keys)
    assert node.save() == node.expected(from_netconf)
    config.write_text("nonMasqueradeCIDRs: []\n")
    node.tool("sync")
    config.unlink()
    node.tool("sync")
    assert node.save() == node.expected(from_netconf)


@pytest.mark.parametrize("text, line, message", BROKEN, ids=[repr(text)[:50] for text, _, _ in BROKEN])
def test_a_broken_file_changes_nothing_and_is_named(node, config, text, line, message):
    node.add()
    before = node.save(), node.files()
    config.write_text(text)
    start = f"{config}, line {line}: {message}" if line else None
    code, said = node.call("ADD", "pod-2", node.netconf(ips=["10.244.1.6/24"])).error
    assert code == 7
    assert said.startswith(start) if start else said.endswith(message)
    assert node.call("STATUS", None, node.netconf(version="1.1.0")).error == (50, said)
    status, _, errors = node.tool_status("sync", "--state-dir", node.state)
    assert (status, errors) == (1, f"ip-masq: rules of network cbr0 may be incomplete: {said}\n")
    assert (node.save(), node.files()) == before
    node.delete()
    assert node.save() == node.expected()


def test_everything_that_is_wrong_is_told_at_once(node, config):
    config.write_text("masqLinkLocal: 7\nnonMasqueradeCIDRs:\n- x\n- 10.0.0.0/8\n- z\n")
    code, said = node.call("ADD").error
    assert (code, said) == (
        7, f'{config}, line 3: nonMasqueradeCIDRs is "x": {NETWORKS}; {config}, line 5: nonMasqueradeCIDRs is "z": {NETWORKS}; '
           f"{config}, line 1: masqLinkLocal is 7: expected true or false")


def test_unknown_keys_are_named_and_left_alone(node, config):
    config.write_text("nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqLinkLocals: true\n")
    node.add()
    warning = f'{config}, line 2: key "masqLinkLocals" is not known, and left alone'
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
    code, said = node.call("ADD", "pod-2").error
    assert code == 7
    assert said.startswith(f"{config}/ip-masq-c, line 1: not YAML: ") or f'{config}/ip-masq-b, line 1: nonMasqueradeCIDRs is "x"' in said
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
