"""Input that cannot be meant: a CNI error with the right code and a message that names key, value and what was
expected; table and state stay as they are."""

import json

import pytest

NETWORKS = "expected a network such as 10.0.0.0/8 or fd00::/8"
NETWORK_LIST = "expected a list of networks such as 10.0.0.0/8 or fd00::/8"
PATH = 'expected an absolute path without ".."'
PORTS = 'expected ports such as "1024-29999,32768-65535", that do not overlap'
SNAT = ('expected an address such as 203.0.113.7 or 2001:db8::7, a range such as 203.0.113.8-203.0.113.15, or '
        '{"address": "203.0.113.7", "interface": "eth1"}')
SNAT_NAME = "expected as interface a name of 1 to 15 ASCII characters without blanks and / : + * \" ' \\"
MARKS = 'expected marks such as "0x4000/0x4000", whose mask is not 0 and covers the value, at most 32'
LOCK = 'expected a duration of at most 10m, such as "30s" or "500ms"'
RESYNC = 'expected a duration from 1s to 24h, such as "1m30s"'
CONTAINER = "expected a letter or digit, then letters, digits, '_', '.' or '-', at most 200 bytes"
INTERFACE = "expected an interface name of 1 to 15 bytes, not '.' or '..', without '/', ':', white space or control characters"
NAME = "expected a letter or digit, then letters, digits, '_', '.' or '-', at most 200 bytes"
COMMANDS = "expected ADD, DEL, CHECK, GC, STATUS or VERSION"
VERSIONS = "expected one of 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"
NETNS = "expected the path of the pod's network namespace"
POLICIES = 'expected policies such as {"name": "partner", "namespaces": ["payments"]}'
POLICY_NAME = "expected as name a letter or digit, then letters, digits, '_', '.' or '-', at most 26 bytes"
GLOBS = ("namespaces such as \"payments\" or \"team-*\": at most 63 lower-case letters, digits and '-', in which * stands for any text and ? for "
         "a letter")
QUOTES = '; in quotes what YAML takes for something else: "y", "on", "7"'
POLICY_KEYS = ("expected a key that a policy can have: name, namespaces, annotated, nonMasqueradeCIDRs, masqueradeCIDRs, catchAll, "
               "nonMasqueradeReserved, masqLinkLocal, masqLinkLocalIPv6, cidrLimit, randomFully, toPorts, snatTo, exemption, dropInvalid")
POD_SUBNETS = "expected 1 to 64, or no such key to take them from prevResult"

# keys of the netconf -> message (code 7)
KEYS = [
    ({"nonMasqueradeCIDRs": "10.0.0.0/8"}, f'nonMasqueradeCIDRs is "10.0.0.0/8": {NETWORK_LIST}'),
    ({"nonMasqueradeCIDRs": None}, f"nonMasqueradeCIDRs is null: {NETWORK_LIST}"),
    ({"nonMasqueradeCIDRs": {"a": 1}}, f'nonMasqueradeCIDRs is {{"a":1}}: {NETWORK_LIST}'),
    ({"nonMasqueradeCIDRs": [10]}, "nonMasqueradeCIDRs holds 10: expected networks such as 10.0.0.0/8 or fd00::/8"),
    ({"nonMasqueradeCIDRs": ["::ffff:10.1.0.0/112"]},
     'nonMasqueradeCIDRs is "::ffff:10.1.0.0/112": expected an IPv4 network as such, 10.1.0.0/16'),
    ({"nonMasqueradeCIDRs": ["10.1.0.0/8"]}, 'nonMasqueradeCIDRs is "10.1.0.0/8": expected an aligned network, 10.0.0.0/8'),
    ({"nonMasqueradeCIDRs": ["fd00::1/8"]}, 'nonMasqueradeCIDRs is "fd00::1/8": expected an aligned network, fd00::/8'),
    ({"nonMasqueradeCIDRs": ["10.0.0.0"]}, f'nonMasqueradeCIDRs is "10.0.0.0": {NETWORKS}'),
    ({"nonMasqueradeCIDRs": ["10.0.0.0/33"]}, f'nonMasqueradeCIDRs is "10.0.0.0/33": {NETWORKS}'),
    ({"nonMasqueradeCIDRs": ["10.0.0.0/-1"]}, f'nonMasqueradeCIDRs is "10.0.0.0/-1": {NETWORKS}'),
    ({"nonMasqueradeCIDRs": ["10.0.0/8"]}, f'nonMasqueradeCIDRs is "10.0.0/8": {NETWORKS}'),
    ({"nonMasqueradeCIDRs": [" 10.0.0.0/8"]}, f'nonMasqueradeCIDRs is " 10.0.0.0/8": {NETWORKS}'),
    ({"nonMasqueradeCIDRs": ["10.0.0.0/8\u0000"]}, f'nonMasqueradeCIDRs is "10.0.0.0/8\\u0000": {NETWORKS}'),
    ({"nonMasqueradeCIDRs": ["fe80::%eth0/10"]}, f'nonMasqueradeCIDRs is "fe80::%eth0/10": {NETWORKS}'),
    ({"nonMasqueradeCIDRs": ["$(reboot)/8"]}, f'nonMasqueradeCIDRs is "$(reboot)/8": {NETWORKS}'),
    ({"nonMasqueradeCIDRs": [""]}, f'nonMasqueradeCIDRs is "": {NETWORKS}'),
    ({"nonMasqueradeCIDRs": ["x" * 100]}, f'nonMasqueradeCIDRs is "{"x" * 79}...: {NETWORKS}'),
    ({"nonMasqueradeCIDRs": [f"10.{n}.0.0/16" for n in range(65)]},
     "nonMasqueradeCIDRs and masqueradeCIDRs have 65 entries: expected at most 64 (cidrLimit)"),
    ({"masqueradeCIDRs": 1}, f"masqueradeCIDRs is 1: {NETWORK_LIST}"),
    ({"masqueradeCIDRs": ["10.0.0.1/24"]}, 'masqueradeCIDRs is "10.0.0.1/24": expected an aligned network, 10.0.0.0/24'),
    ({"nonMasqueradeCIDRs": ["10.9.0.0/16"], "masqueradeCIDRs": ["10.9.0.0/16"]},
     'masqueradeCIDRs is "10.9.0.0/16": expected a network that nonMasqueradeCIDRs does not list too'),
    ({"masqueradeCIDRs": ["10.0.0.0/8"]},
     'masqueradeCIDRs is "10.0.0.0/8": expected a network that nonMasqueradeCIDRs does not list too'),
    ({"cidrLimit": 1, "nonMasqueradeCIDRs": ["10.0.0.0/8", "fd00::/8"]},
     "nonMasqueradeCIDRs and masqueradeCIDRs have 2 entries: expected at most 1 (cidrLimit)"),
    ({"cidrLimit": -1}, "cidrLimit is -1: expected a whole number from 0 to 10000"),
    ({"cidrLimit": 1.5}, "cidrLimit is 1.5: expected a whole number from 0 to 10000"),
    ({"cidrLimit": "64"}, 'cidrLimit is "64": expected a whole number from 0 to 10000'),
    ({"cidrLimit": 2**64}, "cidrLimit is 1.8446744073709552e+19: expected a whole number from 0 to 10000"),
    ({"catchAll": "false"}, 'catchAll is "false": expected true or false'),
    ({"catchAll": 0}, "catchAll is 0: expected true or false"),
    ({"dropInvalid": "no"}, 'dropInvalid is "no": expected true or false'),
    ({"dropInvalid": 1}, "dropInvalid is 1: expected true or false"),
    ({"changedFlows": "UDP"}, 'changedFlows is "UDP": expected "all" or "keep" or "udp"'),
    ({"changedFlows": True}, 'changedFlows is true: expected "all" or "keep" or "udp"'),
    ({"policies": "partner"}, f'policies is "partner": {POLICIES.replace("expected", "expected a list of")}'),
    ({"policies": {}}, f"policies is {{}}: {POLICIES.replace('expected', 'expected a list of')}"),
    ({"policies": ["partner"]}, f'policies is "partner": {POLICIES}'),
    ({"policies": [{"namespaces": []}]}, f'policies is {{"namespaces":[]}}: expected a name in each, as in {POLICIES.removeprefix("expected ")}'),
    ({"policies": [{"name": "", "namespaces": []}]}, f'policies is {{"name":"","namespaces":[]}}: {POLICY_NAME}'),
    ({"policies": [{"name": 7, "namespaces": []}]}, f'policies is {{"name":7,"namespaces":[]}}: {POLICY_NAME}{QUOTES}'),
    ({"policies": [{"name": "a/b", "namespaces": []}]}, f'policies is {{"name":"a/b","namespaces":[]}}: {POLICY_NAME}'),
    ({"policies": [{"name": "\u001b[2J", "namespaces": []}]}, f'policies is {{"name":"\\u001b[2J","namespaces":[]}}: {POLICY_NAME}'),
    ({"policies": [{"name": "p" * 27, "namespaces": []}]}, f'policies is {{"name":"{"p" * 27}","namespaces":[]}}: {POLICY_NAME}'),
    ({"policies": [{"name": "a", "namespaces": []}, {"name": "a", "annotated": []}]},
     "policies has two of the name a: expected a name of its own for each"),
    ({"policies": [{"name": f"p{n}", "namespaces": []} for n in range(257)]}, "policies has 257 items: expected at most 256"),
    ({"policies": [{"name": "a"}]},
     "policy a: neither namespaces nor annotated is there, so no pod has it: expected either, [] for none"),
    ({"policies": [{"name": "a", "namespaces": "payments"}]}, f'policy a: namespaces is "payments": expected a list of {GLOBS}'),
    ({"policies": [{"name": "a", "namespaces": [7]}]}, f"policy a: namespaces is 7: expected {GLOBS}{QUOTES}"),
    ({"policies": [{"name": "a", "namespaces": [["x"], None, True]}]},
     f'policy a: namespaces is ["x"]: expected {GLOBS}; policy a: namespaces is null: expected {GLOBS}{QUOTES}; '
     f"policy a: namespaces is true: expected {GLOBS}{QUOTES}"),
    ({"policies": [{"name": "a", "namespaces": [""]}]}, f'policy a: namespaces is "": expected {GLOBS}'),
    ({"policies": [{"name": "a", "annotated": ["Team-*"]}]}, f'policy a: annotated is "Team-*": expected {GLOBS}'),
    ({"policies": [{"name": "a", "annotated": ["x" * 64]}]}, f'policy a: annotated is "{"x" * 64}": expected {GLOBS}'),
    ({"policies": [{"name": "a", "annotated": ["a\n"]}]}, f'policy a: annotated is "a\\n": expected {GLOBS}'),
    ({"policies": [{"name": "a", "annotated": ["x"] * 10_001}]}, "policy a: annotated has 10001 items: expected at most 10000"),
    ({"policies": [{"name": "a", "namespaces": [], "stateDir": "/run/x"}]}, f'policy a: stateDir is "/run/x": {POLICY_KEYS}'),
    ({"policies": [{"name": "a", "namespaces": [], "policies": []}]}, f"policy a: policies is []: {POLICY_KEYS}"),
    ({"policies": [{"name": "a", "namespaces": [], "nonMasqueradeCIDR": []}]}, f"policy a: nonMasqueradeCIDR is []: {POLICY_KEYS}"),
    ({"policies": [{"name": "a", "namespaces": [], "x\u001b": 1}]}, f'policy a: "x\\u001b" is 1: {POLICY_KEYS}'),
    ({"policies": [{"name": "a", "namespaces": [], "nonMasqueradeCIDRs": ["10.1.0.0/8"]}]},
     'policy a: nonMasqueradeCIDRs is "10.1.0.0/8": expected an aligned network, 10.0.0.0/8'),
    ({"policies": [{"name": "a", "namespaces": [], "masqueradeCIDRs": ["10.0.0.0/8"]}]},
     'policy a: masqueradeCIDRs is "10.0.0.0/8": expected a network that nonMasqueradeCIDRs does not list too'),
    ({"policies": [{"name": "a", "namespaces": [], "catchAll": None}]}, "policy a: catchAll is null: expected true or false"),
    ({"policies": [{"name": "a", "namespaces": [], "snatTo": ["x"]}]}, f'policy a: snatTo is "x": {SNAT}'),
    ({"policies": [{"name": "a", "namespaces": [], "cidrLimit": -1}]}, "policy a: cidrLimit is -1: expected a whole number from 0 to 10000"),
    ({"nonMasqueradeReserved": 1}, "nonMasqueradeReserved is 1: expected true or false"),
    ({"masqLinkLocal": "no"}, 'masqLinkLocal is "no": expected true or false'),
    ({"masqLinkLocalIPv6": []}, "masqLinkLocalIPv6 is []: expected true or false"),
    ({"randomFully": "yes"}, 'randomFully is "yes": expected true or false'),
    ({"toPorts": 1024}, f"toPorts is 1024: {PORTS}"),
    ({"toPorts": ""}, f'toPorts is "": {PORTS}'),
    ({"toPorts": "2000-1000"}, f'toPorts is "2000-1000": {PORTS}'),
    ({"toPorts": "0-10"}, f'toPorts is "0-10": {PORTS}'),
    ({"toPorts": "1-65536"}, f'toPorts is "1-65536": {PORTS}'),
    ({"toPorts": "1-10,10-20"}, f'toPorts is "1-10,10-20": {PORTS}'),
    ({"toPorts": "1-10; reboot"}, f'toPorts is "1-10; reboot": {PORTS}'),
    ({"toPorts": ",".join(str(2 * n + 1) for n in range(17))}, f'toPorts is "1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31,33": {PORTS}'),
    ({"snatTo": "203.0.113.7"}, f'snatTo is "203.0.113.7": expected a list of {SNAT[9:]}'),
    ({"snatTo": ["203.0.113.7/32"]}, f'snatTo is "203.0.113.7/32": {SNAT}'),
    ({"snatTo": ["203.0.113.7", "203.0.113.8"]}, 'snatTo is "203.0.113.8": expected at most one item of IPv4 without interface'),
    ({"snatTo": ["2001:db8::7", "2001:db8::8-2001:db8::9"]}, 'snatTo is "2001:db8::8-2001:db8::9": expected at most one item of IPv6 without interface'),
    ({"snatTo": ["203.0.113.9-2001:db8::8"]}, f'snatTo is "203.0.113.9-2001:db8::8": {SNAT}'),
    ({"snatTo": ["203.0.113.8-15"]}, f'snatTo is "203.0.113.8-15": {SNAT}'),
    ({"snatTo": ["::ffff:203.0.113.7-::ffff:203.0.113.9"]},
     'snatTo is "::ffff:203.0.113.7-::ffff:203.0.113.9": expected IPv4 addresses as such, 203.0.113.7-203.0.113.9'),
    ({"snatTo": [{"address": "203.0.113.7"}]}, f'snatTo is {{"address":"203.0.113.7"}}: {SNAT}'),
    ({"snatTo": [{"address": "203.0.113.7", "interface": 1}]}, f'snatTo is {{"address":"203.0.113.7","interface":1}}: {SNAT}'),
    ({"snatTo": [7]}, f"snatTo is 7: {SNAT}"),
    ({"snatTo": [{"address": "1.1.1.1", "interface": "eth+"}]}, f'snatTo is {{"address":"1.1.1.1","interface":"eth+"}}: {SNAT_NAME}'),
    ({"snatTo": ["0.0.0.0"]}, f'snatTo is "0.0.0.0": {SNAT}'),
    ({"snatTo": ["127.0.0.1"]}, f'snatTo is "127.0.0.1": {SNAT}'),
    ({"snatTo": ["ff02::1"]}, f'snatTo is "ff02::1": {SNAT}'),
    ({"exemption": "accept"}, 'exemption is "accept": expected "hold" or "return"'),
    ({"exemption": True}, 'exemption is true: expected "hold" or "return"'),
    ({"yieldMarks": "0x4000"}, f'yieldMarks is "0x4000": expected a list of {MARKS[9:]}'),
    ({"yieldMarks": ["0x4000/0"]}, f'yieldMarks is "0x4000/0": {MARKS}'),
    ({"yieldMarks": ["0x3/0x1"]}, f'yieldMarks is "0x3/0x1": {MARKS}'),
    ({"yieldMarks": ["0x1ffffffff"]}, f'yieldMarks is "0x1ffffffff": {MARKS}'),
    ({"yieldMarks": ["mark"]}, f'yieldMarks is "mark": {MARKS}'),
    ({"yieldMarks": [str(n + 1) for n in range(33)]}, f'yieldMarks is "33": {MARKS}'),
    ({"podSubnets": []}, f"podSubnets has 0 entries: {POD_SUBNETS}"),
    ({"podSubnets": [f"10.{n}.0.0/16" for n in range(65)]},
     f"podSubnets has 65 entries: {POD_SUBNETS}"),
    ({"podSubnets": ["0.0.0.0/0"]}, 'podSubnets is "0.0.0.0/0": expected a network of pods, not every address'),
    ({"podSubnets": ["10.244.1.5/24"]}, 'podSubnets is "10.244.1.5/24": expected an aligned network, 10.244.1.0/24'),
    ({"podSubnets": ["10.9.0.0/16"]}, "podSubnets does not hold the pod's address 10.244.1.5/24: expected a network that does"),
    ({"subnetFile": 3}, f"subnetFile is 3: {PATH}"),
    ({"subnetFile": "run/subnet.env"}, f'subnetFile is "run/subnet.env": {PATH}'),
    ({"configFile": ""}, f'configFile is "": {PATH}'),
    ({"stateDir": "/run/../etc"}, f'stateDir is "/run/../etc": {PATH}'),
    ({"stateDir": "/run/a\u0000b"}, f'stateDir is "/run/a\\u0000b": {PATH}'),
    ({"stateDir": ["/run"]}, f'stateDir is ["/run"]: {PATH}'),
    ({"backend": "ebtables"}, 'backend is "ebtables": expected "auto" or "iptables" or "nftables"'),
    ({"backend": 4}, 'backend is 4: expected "auto" or "iptables" or "nftables"'),
    ({"resyncInterval": 60}, f"resyncInterval is 60: {RESYNC}"),
    ({"resyncInterval": "60"}, f'resyncInterval is "60": {RESYNC}'),
    ({"resyncInterval": "500ms"}, f'resyncInterval is "500ms": {RESYNC}'),
    ({"resyncInterval": "25h"}, f'resyncInterval is "25h": {RESYNC}'),
    ({"lockTimeout": "2562047h"}, f'lockTimeout is "2562047h": {LOCK}'),
    ({"lockTimeout": "-1s"}, f'lockTimeout is "-1s": {LOCK}'),
    ({"lockTimeout": "1 minute"}, f'lockTimeout is "1 minute": {LOCK}'),
    ({"name": ""}, f'name is "": {NAME}'),
    ({"name": "../etc"}, f'name is "../etc": {NAME}'),
    ({"name": "a b"}, f'name is "a b": {NAME}'),
    ({"name": 5}, f"name is 5: {NAME}"),
    ({"name": "lock"}, 'name is "lock": expected another, this one is a file of ip-masq\'s own'),
    ({"name": "n" * 201}, f'name is "{"n" * 79}...: {NAME}'),
    ({"prevResult": None}, "prevResult is missing: ip-masq must stand after another plugin"),
    ({"prevResult": "x"}, 'prevResult is "x": expected an object'),
    ({"prevResult": {}}, "prevResult.ips is missing: expected at least one address"),
    ({"prevResult": {"ips": []}}, "prevResult.ips is []: expected at least one address"),
    ({"prevResult": {"ips": "10.1.1.1/24"}}, 'prevResult.ips is "10.1.1.1/24": expected at least one address'),
    ({"prevResult": {"ips": ["10.1.1.1/24"]}}, 'prevResult.ips holds "10.1.1.1/24": expected {"address": "10.244.1.5/24"}'),
    ({"prevResult": {"ips": [{"address": "10.1.1.1"}]}},
     'prevResult.ips holds {"address":"10.1.1.1"}: expected {"address": "10.244.1.5/24"}'),
    ({"prevResult": {"ips": [{"address": 7}]}}, 'prevResult.ips holds {"address":7}: expected {"address": "10.244.1.5/24"}'),
    ({"prevResult": {"ips": [{"address": "0.0.0.0/0"}]}},
     "prevResult.ips holds 0.0.0.0/0: expected the address of a pod with the length of its network"),
    ({"prevResult": {"ips": [{"address": "10.244.1.5/1"}]}},
     "prevResult.ips holds 10.244.1.5/1: expected the address of a pod with the length of its network"),
    ({"prevResult": {"ips": [{"address": "::ffff:10.244.1.5/120"}]}},
     "prevResult.ips holds ::ffff:10.244.1.5/120: expected the address of a pod with the length of its network"),
    ({"prevResult": {"ips": [{"address": "127.0.0.1/8"}]}},
     "prevResult.ips has no address that leaves the node: expected at least one"),
    ({"prevResult": {"ips": [{"address": "10.1.1.1/24"}] * 257}}, "prevResult.ips has 257 entries: expected at most 256"),
]

# what stdin holds -> code, start of the message
STDIN = [
    (b"", 6, "the network configuration on stdin is not JSON: "),
    (b"\x00\x01\x02", 6, "the network configuration on stdin is not JSON: "),
    (b'{"cniVersion":"1.0.0",', 6, "the network configuration on stdin is not JSON: "),
    (b'{"cniVersion":"1.0.0","name":"\xff\xfe"}', 6, "the network configuration on stdin is not JSON: "),
    (b"[]", 6, "the network configuration on stdin is []: expected a JSON object"),
    (b"null", 6, "the network configuration on stdin is null: expected a JSON object"),
    (b'"name"', 6, 'the network configuration on stdin is "name": expected a JSON object'),
    (b"[" * 400_000 + b"]" * 400_000, 6, "the network configuration on stdin is nested deeper than 64 levels"),
    (b'{"a":' * 100_000, 6, "the network configuration on stdin is nested deeper than 64 levels"),
    (b'{"a":"' + b"x" * (5 << 20) + b'"}', 6, "the network configuration on stdin is larger than 4 MiB"),
]

# changes of the environment of an ADD -> message (code 4)
ENVIRONMENT = [
    ({"CNI_COMMAND": ""}, f'CNI_COMMAND="": {COMMANDS}'),
    ({"CNI_COMMAND": "add"}, f'CNI_COMMAND="add": {COMMANDS}'),
    ({"CNI_COMMAND": "ADD;reboot"}, f'CNI_COMMAND="ADD;reboot": {COMMANDS}'),
    ({"CNI_CONTAINERID": None}, f'CNI_CONTAINERID="": {CONTAINER}'),
    ({"CNI_CONTAINERID": "a/b"}, f'CNI_CONTAINERID="a/b": {CONTAINER}'),
    ({"CNI_CONTAINERID": "../../etc/passwd"}, f'CNI_CONTAINERID="../../etc/passwd": {CONTAINER}'),
    ({"CNI_CONTAINERID": "-a"}, f'CNI_CONTAINERID="-a": {CONTAINER}'),
    ({"CNI_CONTAINERID": "a b"}, f'CNI_CONTAINERID="a b": {CONTAINER}'),
    ({"CNI_CONTAINERID": "c" * 201}, f'CNI_CONTAINERID="{"c" * 79}...: {CONTAINER}'),
    ({"CNI_CONTAINERID": "c" * 5000}, f'CNI_CONTAINERID="{"c" * 79}...: expected at most 4096 bytes'),
    ({"CNI_IFNAME": None}, f'CNI_IFNAME="": {INTERFACE}'),
    ({"CNI_IFNAME": "."}, f'CNI_IFNAME=".": {INTERFACE}'),
    ({"CNI_IFNAME": ".."}, f'CNI_IFNAME="..": {INTERFACE}'),
    ({"CNI_IFNAME": "a/b"}, f'CNI_IFNAME="a/b": {INTERFACE}'),
    ({"CNI_IFNAME": "a:b"}, f'CNI_IFNAME="a:b": {INTERFACE}'),
    ({"CNI_IFNAME": "a b"}, f'CNI_IFNAME="a b": {INTERFACE}'),
    ({"CNI_IFNAME": "sixteen-letters-"}, f'CNI_IFNAME="sixteen-letters-": {INTERFACE}'),
    ({"CNI_NETNS": None}, f'CNI_NETNS="": {NETNS}'),
    ({"CNI_NETNS": ""}, f'CNI_NETNS="": {NETNS}'),
    ({"CNI_ARGS": "novalue"}, 'CNI_ARGS="novalue": expected KEY=VALUE;KEY=VALUE'),
    ({"CNI_ARGS": "A=1;=2"}, 'CNI_ARGS="A=1;=2": expected KEY=VALUE;KEY=VALUE'),
]

# command, cniVersion -> message (code 1)
VERSION = [
    ("ADD", None, f"cniVersion is missing: {VERSIONS}"),
    ("ADD", "0.2.0", f'cniVersion is "0.2.0": {VERSIONS}'),
    ("ADD", "1.2.0", f'cniVersion is "1.2.0": {VERSIONS}'),
    ("ADD", "", f'cniVersion is "": {VERSIONS}'),
    ("ADD", 1.0, f"cniVersion is 1.0: {VERSIONS}"),
    ("CHECK", "0.3.1", 'cniVersion is "0.3.1": this command needs 0.4.0 or later'),
    ("GC", "1.0.0", 'cniVersion is "1.0.0": this command needs 1.1.0 or later'),
    ("STATUS", "0.4.0", 'cniVersion is "0.4.0": this command needs 1.1.0 or later'),
]


@pytest.fixture
def lived_in(node):
    """A node with a pod; the test fails where anything on it changed."""
    node.add("there-before", ips=["10.200.0.5/24"])
    before = node.save(4), node.files()
    yield node
    assert (node.save(4), node.files()) == before
    assert node.run("cat", "/proc/net/ip6_tables_names") == ""


def refused(reply, cni_version="1.0.0"):
    """(code, msg) of a refusal whose form is right: one JSON object on stdout, one line for a human on stderr."""
    assert reply.status == 1
    answer = reply.json
    assert answer["cniVersion"] == cni_version
    assert set(answer) <= {"cniVersion", "code", "msg", "details"}
    assert reply.errors == f"ip-masq: {answer['msg']}\n"
    return answer["code"], answer["msg"]


@pytest.mark.parametrize("keys, message", KEYS, ids=[json.dumps(keys)[:60] for keys, _ in KEYS])
def test_keys(lived_in, keys, message):
    assert refused(lived_in.call("ADD", "pod-1", {**lived_in.netconf(), **keys})) == (7, message)


@pytest.mark.parametrize("stdin, code, message", STDIN, ids=[repr(stdin[:20]) for stdin, _, _ in STDIN])
@pytest.mark.parametrize("command", ["ADD", "DEL", "VERSION"])
def test_stdin(lived_in, command, stdin, code, message):
    got, said = refused(lived_in.call(command, "pod-1", stdin=stdin), "1.1.0")
    assert got == code
    assert said.startswith(message)


@pytest.mark.parametrize("changes, message", ENVIRONMENT, ids=[str(changes)[:60] for changes, _ in ENVIRONMENT])
def test_environment(lived_in, changes, message):
    assert refused(lived_in.call("ADD", "pod-1", **changes), "1.1.0") == (4, message)


@pytest.mark.parametrize("command, version, message", VERSION)
def test_versions(lived_in, command, version, message):
    conf = lived_in.netconf()
    if version is None:
        del conf["cniVersion"]
    else:
        conf["cniVersion"] = version
    spoken = version if version in ("0.3.1", "0.4.0", "1.0.0") else "1.1.0"
    assert refused(lived_in.call(command, "pod-1", conf), spoken) == (1, message)


def test_everything_wrong_is_told_at_once(lived_in):
    conf = lived_in.netconf(catchAll=1, toPorts="x", snatTo=["y"])
    assert refused(lived_in.call("ADD", "pod-1", conf)) == (
        7, f'toPorts is "x": {PORTS}; snatTo is "y": {SNAT}; catchAll is 1: expected true or false')


def test_a_broken_subnet_env_names_file_and_line(lived_in):
    path = lived_in.folder / "of-another.env"
    path.write_text("FLANNEL_MTU=1450\nFLANNEL_NETWORK=10.244.0.0\n")
    message = f'{path}, line 2: FLANNEL_NETWORK holds "10.244.0.0": expected a network such as 10.244.0.0/16'
    assert refused(lived_in.call("ADD", "pod-1", lived_in.netconf(name="new", subnetFile=str(path)))) == (7, message)
    # What is good last is known to another network that has the same file.
    path = lived_in.folder / "subnet.env"
    path.write_text("FLANNEL_NETWORK=10.244.0.0\n")
    reply = lived_in.call("ADD", "pod-1", lived_in.netconf(name="new"))
    assert (reply.status, reply.errors) == (0, f'ip-masq: {path}, line 1: FLANNEL_NETWORK holds "10.244.0.0": expected a network such as 10.244.0.0/16\n')
    lived_in.do("DEL", "pod-1", lived_in.netconf(name="new"))
    path.unlink()


def test_a_gc_that_names_no_attachments_forgets_none(lived_in):
    code, message = refused(lived_in.call("GC", None, lived_in.netconf(version="1.1.0", ips=None)), "1.1.0")
    assert (code, message) == (
        7, "neither cni.dev/valid-attachments nor cni.dev/attachments is there, so nothing says which attachments are valid: "
           "nothing was forgotten")


@pytest.mark.parametrize("value, shown", [("x", '"x"'), ([{"containerID": "a"}], '{"containerID":"a"}'), ([7], "7")])
def test_valid_attachments_of_a_gc(lived_in, value, shown):
    conf = lived_in.netconf(version="1.1.0", ips=None, **{"cni.dev/valid-attachments": value})
    code, message = refused(lived_in.call("GC", None, conf), "1.1.0")
    assert code == 7
    assert shown in message


def test_unknown_keys_are_left_alone(node):
    node.add(runtimeConfig={"portMappings": []}, ipMasq=True, **{"cni.dev/attachments": None})
    assert node.check() is None
