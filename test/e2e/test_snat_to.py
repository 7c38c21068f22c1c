"""What outside hosts see of pods whose addresses, or ranges of them, the operator names: by each way out."""

import ipaddress
import json

import pytest
from harness.network import Outside, Witness, give
from test_sources import KEYS, MASQUERADED, NODE, POD, PROTOCOLS, Site, family

BY_FIRST = MASQUERADED
BY_SECOND = ["203.0.113.77", "2001:db8:9::77"]
SNAT_TO = ["198.18.0.76-198.18.0.78", {"address": "198.18.1.8-198.18.1.11", "interface": "uplink1"},
           {"address": "2001:db8:18:1::8-2001:db8:18:1::9", "interface": "uplink1"}]


def addresses_of(text):
    first, last = (ipaddress.ip_address(end) for end in text.split("-"))
    return [str(first + number) for number in range(int(last) - int(first) + 1)]


@pytest.fixture
def site(node):
    """Beside the first uplink a second one, by which a rule for the pods' packets alone leads to some hosts."""
    made = Site(node)
    other = Outside(node, [], ["10.244.1.0/24", "fd00:10:244:1::/64"], number=1)
    give(other.namespace, "lo", *(f"{address}/{128 if ':' in address else 32}" for address in BY_SECOND))
    witness = Witness(other.namespace, BY_SECOND)
    node.sysctl(net__ipv4__conf__all__rp_filter=0)
    for address, gateway in zip(BY_SECOND, ("198.18.1.254", "2001:db8:18:1::254")):
        which = "-6" if family(address) == 6 else "-4"
        node.run("ip", which, "route", "add", address, "via", gateway, "table", "100")
        node.run("ip", which, "rule", "add", "iif", "cni0", "to", address, "lookup", "100")
    for item in SNAT_TO:
        to, interface = (item["address"], item["interface"]) if isinstance(item, dict) else (item, "uplink0")
        for address in addresses_of(to):
            node.run("ip", "address", "add", f"{address}/{64 if ':' in address else 24}", "dev", interface, *(["nodad"] if ":" in address else []))
    yield made
    witness.close()
    other.close()
    made.close()


def explained(site, destination):
    answer = json.loads(site.node.tool("explain", POD[family(destination)], destination, "-o", "json"))
    assert (answer["fate"], answer.get("warnings")) == ("masqueraded", None)
    return answer.get("snatTo")


@pytest.mark.parametrize("keys", [{}, {"toPorts": "21000-21499,23000-23499"}, {"catchAll": False, "masqueradeCIDRs": ["0.0.0.0/0", "::/0", *KEYS["masqueradeCIDRs"]]}],
                         ids=lambda keys: " ".join(keys))
def test_each_way_out_has_its_own_sources(site, keys):
    site.add(snatTo=SNAT_TO, **keys)
    of_second = {4: SNAT_TO[1]["address"], 6: SNAT_TO[2]["address"]}
    told = {address: {4: SNAT_TO[0]}.get(family(address)) for address in BY_FIRST} | {address: of_second[family(address)] for address in BY_SECOND}
    for destination, source in site.seen(BY_FIRST + BY_SECOND, PROTOCOLS).items():
        address = destination.split(":", 1)[1]
        assert source in (addresses_of(told[address]) if told[address] else [NODE[6]]), destination
    assert {address: explained(site, address) for address in told} == told


def test_what_has_no_item_is_masqueraded(site):
    site.add(snatTo=[SNAT_TO[1], {"address": "192.0.2.7", "interface": "uplink9"}])
    seen = site.seen(["203.0.113.9", *BY_SECOND], ["udp"])
    assert seen["udp:203.0.113.9"] == NODE[4]
    assert seen["udp:203.0.113.77"] in addresses_of(SNAT_TO[1]["address"])
    assert seen["udp:2001:db8:9::77"].startswith("2001:db8:18:1:")
    assert [explained(site, address) for address in ("203.0.113.9", *BY_SECOND)] == [None, SNAT_TO[1]["address"], None]


def test_a_change_reaches_running_pods(site):
    site.add(snatTo=SNAT_TO)
    site.node.add("pod-1", ips=site.pod.addresses, snatTo=["198.18.0.77"])
    assert site.seen(["203.0.113.9"], ["udp"]) == {"udp:203.0.113.9": "198.18.0.77"}
    assert site.seen(["203.0.113.77"], ["udp"]) == {"udp:203.0.113.77": None}  # which has no way to it
    assert explained(site, "203.0.113.77") == "198.18.0.77"
