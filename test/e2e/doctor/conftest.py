import json

import pytest
from harness.doctor import ELSEWHERE, EXEMPT, LOOPBACK
from harness.network import Outside, ask
from harness.node import Namespace


@pytest.fixture
def pod():
    made = Namespace("pod")
    yield made
    made.close()


@pytest.fixture
def host(host):
    """As a node that is to have pods, with the list that CRI-O brings, which comes after all others."""
    host.sysctl(net__ipv4__ip_forward=1)
    host.write("/etc/cni/net.d/200-loopback.conflist", json.dumps(LOOPBACK))
    return host


@pytest.fixture
def site(host, pod):
    """A host with a pod of the shipped conflist, whose rules are right."""
    host.use_conflist("10-bridge-ip-masq.conflist")
    host.cnitool("add", "bridge-net", pod)
    return host


@pytest.fixture
def world(site, pod):
    """Two outside hosts that see what the site's pod sends, one in a listed network."""
    outside = [Outside(site, [ELSEWHERE], ["10.22.0.0/16"], 0), Outside(site, [EXEMPT], ["10.22.0.0/16"], 1)]
    site.outside = outside
    site.seen = lambda: tuple(ask(pod, f"tcp:{EXEMPT}", f"tcp:{ELSEWHERE}").values())
    site.right = site.seen()
    assert site.right[0].startswith("10.22.0.") and site.right[1] == Outside.NODE[4]
    yield site
    for each in outside:
        each.close()
