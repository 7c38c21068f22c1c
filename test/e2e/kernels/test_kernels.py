"""Other kernels, and kernels that lack modules: guest.py has what is done there, this what is to be seen."""

import re

import pytest
from guest import BACKENDS, IPVS_ALONE, IPVS_PLACES, QUIET
from guests import said_on
from harness.lan import STORY
from harness.network import Outside
from harness.node import ROOT

PODS = {4: "10.244.1.5", 6: "fd00:10:244:1::5"}
GATEWAY = {4: "10.244.1.1", 6: "fd00:10:244:1::1"}
SEEN = {f"{protocol}:{host}": source
        for protocol in ("tcp", "udp", "icmp")
        for host, source in (("10.9.9.9", PODS[4]), ("203.0.113.9", Outside.NODE[4]),
                             ("fd00:9::9", PODS[6]), ("2001:db8:9::9", Outside.NODE[6]))}


@pytest.fixture(scope="session", params=["bullseye", "bookworm", "trixie"])
def kernel(request, tmp_path_factory):
    """Linux 5.10, 6.1, 6.12."""
    return said_on(request.param, tmp_path_factory)


class Like:
    """Equal to each text that begins as the pattern says."""

    def __init__(self, pattern):
        self.pattern = pattern

    def __eq__(self, text):
        return isinstance(text, str) and re.match(self.pattern, text) is not None

    def __repr__(self):
        return f"Like({self.pattern!r})"


# Of connections that lost their entry.
DROPPED = {"10.9.9.9": [PODS[4]], "203.0.113.9": [Outside.NODE[4]], "fd00:9::9": [PODS[6]], "2001:db8:9::9": [Outside.NODE[6]]}
NOT_DROPPED = {host: sorted({*sources, PODS[6 if ":" in host else 4]}) for host, sources in DROPPED.items()}


def lived(backend, drops=True, doctor=()):
    """What life() tells of a pod whose rules were in this back end. `drops`: whether the kernel has what that needs."""
    found = sorted([*doctor, *([] if drops else ["invalid-not-dropped"])])
    return {"STATUS": "ok", "ADD": "ok", "backend": backend, "CHECK": "ok", "seen": SEEN, "after loss": DROPPED if drops else NOT_DROPPED,
            "doctor": [0, found], "DEL": "ok", "left": None}


def refused(codes, modules):
    """The same where no ADD works, and the words lead to these modules: STATUS says so before."""
    why = "".join(rf"(?=.*\b{module}\b)" for module in modules)
    return {"STATUS": Like(rf"50: {why}"), "ADD": Like(rf"{codes}: {why}"), "DEL": "ok", "left": None}


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_the_readme_names_it(kernel, readme):
    _, _, release, _, machine = kernel["release"]
    row, = (line for line in (ROOT / readme).read_text().splitlines() if "Debian" in line and "5.10" in line and "6.12" in line)
    version = ".".join(release.split(".")[:2])
    beside = "" if machine == "x86_64" else " ?[(（]amd64 (and|与) arm64"
    assert re.search(rf"\b{re.escape(version)}(?![.\d]){beside}", row), (release, machine)


@pytest.mark.parametrize("backend, chosen", [("iptables", "iptables"), ("nftables", "nftables"), ("auto", "iptables"),
                                             ("auto beside a foreign chain", "nftables")])
def test_all_modules(kernel, backend, chosen):
    assert kernel[f"all: {backend}"] == lived(chosen)


def test_no_nft(kernel):
    assert kernel["no nft: auto"] == lived("iptables", drops=False)
    assert kernel["no nft: nftables"] == refused(100, ["nf_tables"])


def test_nf_tables_without_nat(kernel):
    assert kernel["nf_tables alone: auto"] == lived("iptables", drops=False)
    assert kernel["nf_tables alone: nftables"] == refused("10[01]", ["nft_chain_nat"])


def test_no_nft_masq_beside_a_foreign_chain(kernel):
    assert kernel["no nft_masq: auto"] == lived("iptables", doctor=["undone-by-nftables"])
    assert kernel["no nft_masq: nftables"] == refused("10[01]", ["nft_masq"])


def test_no_legacy_nat(kernel):
    assert kernel["no legacy nat: auto"] == lived("nftables")
    assert kernel["no legacy nat: iptables"] == refused(100, ["iptable_nat"])


def test_no_legacy_nat_of_ipv6_alone(kernel):
    assert kernel["no ip6table_nat: auto"] == lived("nftables")
    # A STATUS does not know which families pods will have.
    assert kernel["no ip6table_nat: iptables"] == {**refused(100, ["ip6table_nat"]), "STATUS": Like("ok|50: .*ip6table_nat")}


@pytest.mark.parametrize("backend, modules", [*zip(BACKENDS, (["iptable_nat"], ["nf_tables"], ["iptable_nat", "nf_tables"]))])
def test_no_nat_at_all(kernel, backend, modules):
    told = refused(100, modules)
    # doctor is not told which back end is asked for: nothing is recorded.
    assert kernel[f"no nat: {backend}"] == {"ADD": told["ADD"], "STATUS": told["STATUS"], "doctor": [1, ["kernel-module-missing"]],
                                            "DEL": "ok"}


@pytest.mark.parametrize("backend, what", QUIET)
def test_no_legacy_table_is_made_by_looking(kernel, backend, what):
    assert kernel[f"quiet: {what} {backend}"] == [[], ["nat"] if what == "ADD of IPv6" else []]


def test_no_room_for_another_connection(kernel):
    assert kernel["full of connections"] == {"doctor": [1, ["conntrack-full"]], "seen": {"tcp:10.9.9.9": None},
                                             "doctor, mended": [0, []], "seen, mended": {"tcp:10.9.9.9": PODS[4]}}


def test_a_tunnel_of_ipsec(kernel):
    """It takes what keeps the pod's address; what is masqueraded gets past it."""
    policy = ("ip xfrm policy: src 10.244.1.0/24 dst 0.0.0.0/0 dir out tmpl src 198.18.0.1 dst 198.18.0.254 proto esp mode tunnel")
    assert kernel["a tunnel of IPsec"] == {
        "seen": {"tcp:10.9.9.9": None, "tcp:203.0.113.9": Outside.NODE[4]},
        "explain": [["kept", [f"it leaves under IPsec: {policy}"]],
                    ["masqueraded", [f"it may be that it leaves past the IPsec that is meant for it, as it is masqueraded: {policy}"]]],
        "doctor": [0, ["ipsec-takes-pods"]]}


def test_ipvlan(kernel):
    assert kernel["lan: ipvlan"] == STORY


@pytest.mark.parametrize("backend, place", IPVS_PLACES)
def test_services_of_ipvs(kernel, backend, place):
    """A service whose endpoint is the pod itself, one whose endpoint is its neighbour: as without ip-masq."""
    node = Outside.NODE if backend else PODS
    assert kernel[f"ipvs: {backend} beside {place}"] == {
        "tcp:10.96.0.10:80": GATEWAY[4], "tcp:[fd00:10:96::10]:80": GATEWAY[6],
        "tcp:10.96.0.11:80": PODS[4], "tcp:[fd00:10:96::11]:80": PODS[6],
        "tcp:10.9.9.9": PODS[4], "tcp:203.0.113.9": node[4], "tcp:fd00:9::9": PODS[6], "tcp:2001:db8:9::9": node[6]}


@pytest.mark.parametrize("backend", IPVS_ALONE)
def test_services_of_ipvs_without_conntrack(kernel, backend):
    """conntrack calls the answers of the pod invalid, and IPVS translates them: as without ip-masq."""
    assert kernel[f"ipvs without conntrack: {backend}"] == {
        f"tcp:{Outside.NODE[4]}:80": "198.18.0.254", f"tcp:[{Outside.NODE[6]}]:80": "2001:db8:18::254"}
