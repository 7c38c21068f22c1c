"""ip-masq adopt: pods that were there before us, or whose record was lost, with the real plugins through cnitool."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from harness.agents import Agent, page
from harness.daemons import wait_until
from harness.host import ROOT
from harness.masquerades import ip_masq_agent, put
from harness.network import Outside, Watch, ask
from harness.node import BINARY, Namespace

WITH = json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text())
WITHOUT = {**WITH, "plugins": WITH["plugins"][:-1]}
KEPT, MASQUERADED = "tcp:10.9.9.9", "tcp:203.0.113.9"
CACHE = "/var/lib/cni/results"
COPY = "/etc/config/ip-masq-agent"


@pytest.fixture
def site(host, backend):
    """A host, the world outside, and two pods that bridge alone has attached, beside the rules of ip-masq-agent."""
    host.backend = backend
    host.use_conflist(WITHOUT)
    put(host, ip_masq_agent, places=["iptables-legacy" if backend == "iptables" else "iptables-nft"])
    outside = Outside(host, ["10.9.9.9", "203.0.113.9"], ["10.22.0.0/24"])
    host.pods = [Namespace("pod-a"), Namespace("pod-b")]
    for pod in host.pods:
        attach(host, pod)
    yield host
    for pod in host.pods:
        pod.close()
    outside.close()


def attach(host, pod):
    result = json.loads(host.cnitool("add", "bridge-net", pod))
    pod.address = result["ips"][0]["address"]
    pod.both = " ".join(ip["address"] for ip in result["ips"])
    pod.file = host.run("grep", "-rl", f"{pod.path}\"", CACHE).split()[0].rpartition("/")[2]
    pod.id = json.loads(host.run("cat", f"{CACHE}/{pod.file}"))["containerId"]


def seen_from(pod):
    return tuple(ask(pod, KEPT, MASQUERADED).values())


def expected_of(pod):
    return pod.address.split("/")[0], Outside.NODE[4]


def is_carried(site, pod):
    site.cnitool("check", "bridge-net", pod)
    return seen_from(pod) == expected_of(pod)


def line_of(pod):
    return f"bridge-net: {pod.both} ({pod.id} eth0)"


def adopted(site):
    """The lines of adopt that name pods, in the cache's order."""
    return [line for pod in sorted(site.pods, key=lambda pod: pod.file) for line in [line_of(pod)]]


def state(site):
    return site.run("sh", "-c", "cd /run/cni/ip-masq 2>/dev/null && find . -type f -exec grep -H '' {} + || true")


def everything(site):
    return [site.save(4), site.save(6), site.run("nft", "-s", "list", "ruleset"), state(site), site.run("ls", "-lR", "/run/cni")]


def records(site):
    return site.run("find", "/run/cni/ip-masq", "-type", "f")


def test_pods_that_were_there_before(site):
    before = everything(site)
    for pod in site.pods:
        assert seen_from(pod) == (Outside.NODE[4], Outside.NODE[4])  # ip-masq-agent's list has 192.168.0.0/16 alone
    assert site.tool("adopt") == "every pod that lives is recorded\n"  # of our networks: there is none
    site.use_conflist(WITH)
    assert site.tool("adopt", "--dry-run").splitlines() == [f"would adopt {line}" for line in adopted(site)]
    assert everything(site) == before

    lines = site.tool("adopt").splitlines()
    assert lines[:2] == [f"adopted {line}" for line in adopted(site)]
    assert all(line.startswith(("iptables: ", "ip6tables: ", "nft: ")) for line in lines[2:]) and lines[2:]
    for pod in site.pods:
        assert is_carried(site, pod)
    assert site.tool("adopt") == "every pod that lives is recorded\n"

    # They end as if an ADD of ours had been there.
    for pod in site.pods:
        site.cnitool("del", "bridge-net", pod)
    assert records(site) == "/run/cni/ip-masq/lock\n"
    assert "IP-MASQ-PODS" not in site.save() and "table inet ip-masq" not in site.run("nft", "list", "ruleset")


def test_doctor_says_what_comes_first(site):
    site.use_conflist(WITH)
    found = {finding["name"]: finding for finding in json.loads(site.tool("doctor", "-o", "json", check=False))["findings"]}
    assert found["pods-not-adopted"]["where"] == adopted(site)
    first, command = found["ip-masq-agent-leftover"]["fix"]
    assert first.startswith("# this comes first") and command == "ip-masq adopt"
    site.tool(*found["pods-not-adopted"]["fix"][0].split()[1:])
    found = {finding["name"]: finding for finding in json.loads(site.tool("doctor", "-o", "json", check=False))["findings"]}
    assert "pods-not-adopted" not in found
    assert "IP-MASQ-AGENT" in found["ip-masq-agent-leftover"]["fix"][-1]


def test_json(site):
    site.use_conflist(WITH)
    told = json.loads(site.tool("adopt", "--dry-run", "-o", "json"))
    pods = sorted(site.pods, key=lambda pod: pod.file)
    assert told == {"networks": [{"name": "bridge-net", "adopted": [
        {"containerID": pod.id, "ifname": "eth0", "pod": "", "addresses": pod.both.split(), "podSubnets": ["10.22.0.0/24", "fd00:22::/64"]}
        for pod in pods], "withoutPods": []}], "changes": []}


def test_no_wrong_source_through_the_whole_migration(site):
    """From ip-masq-agent's list, which keeps what ours does: installed, its rules removed as doctor says."""
    chain = "iptables" if site.backend == "nftables" else "iptables-legacy"
    site.run(chain, "-t", "nat", "-I", "IP-MASQ-AGENT", "-d", "10.0.0.0/8", "-j", "RETURN")
    watches = [Watch(pod, KEPT, MASQUERADED) for pod in site.pods]
    site.tool("install", "--after", "bridge", "--bin-dir", site.bin)
    fixes = next(finding["fix"] for finding in json.loads(site.tool("doctor", "-o", "json", check=False))["findings"]
                 if finding["name"] == "ip-masq-agent-leftover")
    for fix in fixes:
        site.run("sh", "-c", fix, env=site.env)
    assert "IP-MASQ-AGENT" not in site.save() + site.run("nft", "list", "ruleset")
    for pod, watch in zip(site.pods, watches):
        assert seen_from(pod) == expected_of(pod)
        seen = watch.end()
        assert seen.pop("rounds") > 0
        assert seen == {KEPT: [pod.address.split("/")[0]], MASQUERADED: [Outside.NODE[4]]}


def test_install_adopts(site):
    told = site.tool("install", "--after", "bridge", "--bin-dir", site.bin).splitlines()
    assert told[0] == "put the entry into /etc/cni/net.d/10-test.conflist"
    assert told[1:3] == [f"adopted {line}" for line in adopted(site)]
    for pod in site.pods:
        assert is_carried(site, pod)


def test_an_add_adopts(site):
    site.use_conflist(WITH)
    third = Namespace("pod-c")
    site.pods.append(third)
    attach(site, third)
    for pod in site.pods:
        assert is_carried(site, pod)
    assert site.tool("adopt") == "every pod that lives is recorded\n"
    for pod in reversed(site.pods):  # the one that recorded them ends first
        site.cnitool("del", "bridge-net", pod)
    assert records(site) == "/run/cni/ip-masq/lock\n"


@pytest.mark.parametrize("lost", ["/run/cni/ip-masq", "/run/cni/ip-masq/bridge-net", "/run/cni/ip-masq/bridge-net/network.json",
                                  "/run/cni/ip-masq/bridge-net/pods"])
def test_records_that_are_lost(site, lost):
    site.use_conflist(WITH)
    site.tool("adopt")
    before = state(site)
    site.run("rm", "-r", lost)
    site.tool("adopt")
    assert sorted(state(site).splitlines()) == sorted(before.splitlines())
    for pod in site.pods:
        assert is_carried(site, pod)
    for pod in site.pods:
        site.cnitool("del", "bridge-net", pod)
    assert records(site) == "/run/cni/ip-masq/lock\n"
    assert "IP-MASQ-PODS" not in site.save() and "table inet ip-masq" not in site.run("nft", "list", "ruleset")


def test_a_cache_that_was_lost_as_well(site):
    """It is there, and tells of nobody: the rules of those who live stay, whoever comes and goes."""
    site.use_conflist(WITH)
    site.tool("adopt")
    first, second = site.pods
    site.run("sh", "-c", f"rm -r /run/cni/ip-masq && rm {CACHE}/*")
    third = Namespace("pod-c")
    try:
        attach(site, third)
        site.cnitool("del", "bridge-net", third)
        for pod in (first, second):
            assert seen_from(pod) == expected_of(pod)
    finally:
        third.close()


def test_the_dead_are_not_adopted(site):
    """One whose namespace is gone, one whose name is a plain file now, and one that takes the node's own for its own."""
    site.use_conflist(WITH)
    first, second = site.pods
    first.close()
    cached = json.loads(site.run("cat", f"{CACHE}/{second.file}"))
    for name, netns in (("plain", f"{site.folder}/plain"), ("node", "/proc/self/ns/net"), ("node-2", site.path)):
        (site.folder / "plain").touch()
        site.write(f"{CACHE}/bridge-net-{name}-eth0", json.dumps({**cached, "containerId": name, "netns": netns}))
        site.run("chmod", "600", f"{CACHE}/bridge-net-{name}-eth0")
    assert site.tool("adopt").splitlines()[0] == f"adopted {line_of(second)}"
    assert [line for line in state(site).splitlines() if "/pods/" in line] == [
        line for line in state(site).splitlines() if f"/pods/{second.id}:eth0:" in line] != []
    assert is_carried(site, second)


def test_one_that_ends_without_a_del_is_forgotten(site):
    """As with a runtime that ends a pod by the list that it was made of."""
    site.use_conflist(WITH)
    site.tool("adopt")
    site.use_conflist(WITHOUT)
    first, second = site.pods
    site.cnitool("del", "bridge-net", first)
    first.close()
    site.use_conflist(WITH)
    assert site.tool("adopt") == "every pod that lives is recorded\n"
    assert first.id not in state(site)
    assert is_carried(site, second)
    site.use_conflist(WITHOUT)
    site.cnitool("del", "bridge-net", second)
    second.close()
    site.tool("adopt")
    assert records(site) == "/run/cni/ip-masq/lock\n"
    assert "IP-MASQ-PODS" not in site.save() and "table inet ip-masq" not in site.run("nft", "list", "ruleset")


@pytest.mark.parametrize("met_by", ["del", "sync"])
def test_those_that_ended_after_they_were_adopted(site, met_by):
    """An ADD met them in the middle of their end, and no DEL comes for them any more."""
    site.use_conflist(WITH)
    third = Namespace("pod-c")
    site.pods.append(third)
    attach(site, third)
    assert state(site).count("adoptedFrom") == 2
    ended, site.pods = site.pods[:2], [third]
    for pod in ended:
        site.run("rm", f"{CACHE}/{pod.file}")
        pod.close()
    if met_by == "sync":
        assert sorted(site.tool("sync").splitlines()) == sorted(f"forgotten: {pod.id} (eth0), which was adopted and has ended" for pod in ended)
    site.cnitool("del", "bridge-net", third)
    assert records(site) == "/run/cni/ip-masq/lock\n"
    assert "IP-MASQ-PODS" not in site.save() and "table inet ip-masq" not in site.run("nft", "list", "ruleset")


def test_a_namespace_that_is_a_process_of_the_runtime(site):
    site.use_conflist(WITH)
    first, second = site.pods
    process = subprocess.Popen(first.inside("sleep", "infinity"))
    try:
        site.run("sed", "-i", f"s|{first.path}|/proc/{process.pid}/ns/net|g", f"{CACHE}/{first.file}")
        assert site.tool("adopt").splitlines()[:2] == [f"adopted {line}" for line in adopted(site)]
    finally:
        process.kill()
        process.wait()
    assert site.tool("adopt") == "every pod that lives is recorded\n"
    assert f"{first.id}:eth0" not in state(site) and f"{second.id}:eth0" in state(site)


def test_what_gc_and_a_second_add_make_of_them(site):
    site.use_conflist(WITH)
    site.tool("adopt")
    site.cnitool("del", "bridge-net", site.pods[0])
    attach(site, site.pods[0])
    for pod in site.pods:
        assert is_carried(site, pod)
    site.cnitool("gc", "bridge-net", check=False)  # after a DEL of each that libcni knows
    assert records(site) == "/run/cni/ip-masq/lock\n"


def test_gc_forgets_those_that_the_runtime_does_not_list(site):
    site.use_conflist(WITH)
    site.tool("adopt")
    first, second = site.pods
    netconf = {**WITH["plugins"][-1], "name": "bridge-net", "cniVersion": "1.1.0",
               "cni.dev/valid-attachments": [{"containerID": second.id, "ifname": "eth0"}]}
    site.run(BINARY, env={**site.env, "CNI_COMMAND": "GC"}, input=json.dumps(netconf))
    assert first.id not in state(site)
    assert is_carried(site, second)
    site.run(BINARY, env={**site.env, "CNI_COMMAND": "GC"}, input=json.dumps({**netconf, "cni.dev/valid-attachments": []}))
    assert records(site) == "/run/cni/ip-masq/lock\n"
    assert "IP-MASQ-PODS" not in site.save() and "table inet ip-masq" not in site.run("nft", "list", "ruleset")


HOSTILE = {
    "a link": lambda site, path: site.run("ln", "-sf", "/etc/passwd", path),
    "a pipe": lambda site, path: site.run("mkfifo", path),
    "a folder": lambda site, path: site.run("mkdir", path),
    "no JSON": lambda site, path: write(site, path, "{"),
    "an array": lambda site, path: write(site, path, "[]"),
    "another kind": lambda site, path: write(site, path, '{"kind": "cniCacheV2"}'),
    "too deep": lambda site, path: write(site, path, "[" * 400_000),
    "too large": lambda site, path: write(site, path, " " * 1_100_000),
    "others can write": lambda site, path: (write(site, path, "{}"), site.run("chmod", "666", path)),
    "no names": lambda site, path: write(site, path, '{"kind": "cniCacheV1", "networkName": "bridge-net", "containerId": "../../x", "ifName": 7}'),
    "no addresses": lambda site, path: write(site, path, json.dumps(
        {"kind": "cniCacheV1", "networkName": "bridge-net", "containerId": "wrong", "ifName": "eth0", "netns": site.pods[0].path,
         "result": {"ips": [{"address": "\u001b[31m"}]}})),
    "a namespace that cannot be seen": lambda site, path: write(site, path, json.dumps(
        {"kind": "cniCacheV1", "networkName": "bridge-net", "containerId": "wrong", "ifName": "eth0", "netns": "/nowhere/at/all",
         "result": {"ips": [{"address": "10.22.0.77/24"}]}})),
}


def write(site, path, text):
    site.write(path, text)
    site.run("chmod", "600", path)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_wrong_file_is_told_and_stepped_over(site, kind):
    site.use_conflist(WITH)
    HOSTILE[kind](site, f"{CACHE}/bridge-net-wrong-eth0")
    done = subprocess.run(site.inside(BINARY, "adopt"), capture_output=True, text=True, env=site.env)
    assert done.stdout.splitlines()[:2] == [f"adopted {line}" for line in adopted(site)]
    assert done.returncode == 1
    assert done.stderr.startswith("ip-masq: pods may be left that are not adopted: ") and "wrong" in done.stderr
    assert done.stderr.removesuffix("\n").isprintable()
    for pod in site.pods:
        assert is_carried(site, pod)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_wrong_file_fails_no_add(site, kind):
    site.use_conflist(WITH)
    HOSTILE[kind](site, f"{CACHE}/bridge-net-wrong-eth0")
    third = Namespace("pod-c")
    site.pods.append(third)
    json.loads(site.cnitool("add", "bridge-net", third))
    for pod in site.pods[:2]:
        assert is_carried(site, pod)


def test_plain_results_of_an_older_libcni(site):
    site.use_conflist(WITH)
    for pod in site.pods:
        cached = json.loads(site.run("cat", f"{CACHE}/{pod.file}"))
        write(site, f"{CACHE}/{pod.file}", json.dumps(cached["result"]))
    assert site.tool("adopt").splitlines()[:2] == [f"adopted {line}" for line in adopted(site)]
    for pod in site.pods:
        assert is_carried(site, pod)


def test_a_list_that_is_nowhere_any_more(site):
    """cnitool, or podman, with a folder of its own: what the attachment was made of has our entry."""
    site.use_conflist(WITH)
    third = Namespace("pod-c")
    site.pods.append(third)
    attach(site, third)
    site.run("rm", "-r", "/run/cni/ip-masq")
    site.run("mkdir", "/etc/cni/elsewhere")
    site.run("mv", "/etc/cni/net.d/10-test.conflist", "/etc/cni/elsewhere")
    assert site.tool("adopt").splitlines()[0] == f"adopted {line_of(third)}"


def test_of_lists_that_are_nowhere_the_last_pod_s_counts(site):
    third, fourth = Namespace("pod-c"), Namespace("pod-d")
    site.pods += [third, fourth]
    site.use_conflist(WITH)
    attach(site, third)
    site.use_conflist({**WITH, "plugins": [*WITH["plugins"][:-1], {**WITH["plugins"][-1], "nonMasqueradeCIDRs": ["203.0.113.0/24"]}]})
    attach(site, fourth)
    site.run("rm", "/etc/cni/net.d/10-test.conflist")
    for last, seen in ((third, Outside.NODE[4]), (fourth, third.address.split("/")[0])):
        site.run("rm", "-r", "/run/cni/ip-masq")
        site.run("touch", "-d", "2026-01-01", *(f"{CACHE}/{pod.file}" for pod in (third, fourth)))
        site.run("touch", f"{CACHE}/{last.file}")
        site.tool("adopt")
        assert seen_from(third)[1] == seen


def test_pods_of_others_are_left(site):
    """Of a network without our entry, though one of the same name before had it; and of one with another stateDir."""
    site.use_conflist(WITH)
    third = Namespace("pod-c")
    site.pods.append(third)
    attach(site, third)
    site.tool("uninstall", "--rules")
    site.use_conflist(WITHOUT)
    assert site.tool("adopt", "--dry-run") == "every pod that lives is recorded\n"
    site.use_conflist({**WITH, "plugins": [*WITHOUT["plugins"], {"type": "ip-masq", "stateDir": "/run/cni/another"}]})
    done = subprocess.run(site.inside(BINARY, "adopt", "--dry-run"), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (
        1, "", "ip-masq: pods may be left that are not adopted: network bridge-net is recorded in /run/cni/another, not in /run/cni/ip-masq\n")
    assert len(site.tool("adopt", "--dry-run", "--state-dir", "/run/cni/another").splitlines()) == 3


def not_looked(site, *argv):
    done = subprocess.run([*site.inside(*argv), site.bin / "ip-masq", "adopt"], capture_output=True, text=True, env={**site.env, "ASAN_OPTIONS": "detect_leaks=0"})
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.removeprefix("ip-masq: pods may be left that are not adopted: ")


def test_what_it_could_not_look_at_is_said(site):
    """Never that every pod is recorded."""
    site.use_conflist(WITH)
    path = "/etc/cni/net.d/10-test.conflist"
    unread = ["strace", "-f", "-o", "/dev/null", "-P", path, "-e", "inject=openat:error=EIO"]
    assert not_looked(site, *unread).startswith(f"{path}: ")
    text = site.run("cat", path)
    site.write(path, text[:-30])
    assert not_looked(site).startswith(f"{path}: it is not JSON: ")
    site.write(path, text)
    site.run("chmod", "777", CACHE)
    assert f"the folder {CACHE} belongs to somebody else, or can be written to by others" in not_looked(site)
    site.run("chmod", "700", CACHE)
    done = subprocess.run(site.inside(BINARY, "adopt", "--conf-dir", "/etc/cni/nett.d"), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "ip-masq: pods may be left that are not adopted: there is no folder /etc/cni/nett.d\n")
    site.tool("adopt")
    for pod in site.pods:
        assert is_carried(site, pod)


def test_a_namespace_that_is_none_is_no_pod_that_is_seen_to_live(site):
    """A mount lies over the folder: what the cache tells of may live."""
    site.use_conflist(WITH)
    script = f"mkdir /tmp/over-$$ && touch {' '.join(f'/tmp/over-$$/{pod.name}' for pod in site.pods)} && mount --bind /tmp/over-$$ /run/netns && " \
             f"{BINARY} adopt; status=$?; umount /run/netns; rm -r /tmp/over-$$; exit $status"
    assert site.run("unshare", "-m", "--propagation", "slave", "sh", "-c", script, env=site.env).startswith("every pod that is seen to live is recorded; ")
    assert state(site) == ""
    site.tool("adopt")
    assert site.tool("adopt") == "every pod that lives is recorded\n"


def test_an_adoption_that_is_under_way_comes_to_its_end_first(site):
    """It may be taken back: until then nobody is told that all are recorded."""
    site.use_conflist(WITH)
    site.tool("adopt")
    held = subprocess.Popen(site.inside("flock", "--exclusive", "/run/cni/ip-masq/lock", "sh", "-c", "echo held; read line"),
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert held.stdout.readline() == "held\n"
    asked = subprocess.Popen(site.inside(BINARY, "adopt"), stdout=subprocess.PIPE, text=True)
    waits = re.compile(rf"-> FLOCK +ADVISORY +READ +{asked.pid} ")
    wait_until(lambda: waits.search(Path("/proc/locks").read_text()), asked, "adopt")
    held.communicate("\n")
    assert asked.communicate() == ("every pod that lives is recorded\n", None)


@pytest.mark.parametrize("flags, folder", [("", "/var/lib/cni/cache"), ("--cni-cache-dir=/var/lib/cni/mine", "/var/lib/cni/mine"),
                                           ("$OPTS", "/var/lib/cni/mine")], ids=["as it is built", "by its flag", "by a variable"])
def test_the_cache_of_cri_dockerd(site, flags, folder):
    """Where its unit says, for adopt and for doctor."""
    site.use_conflist(WITH)
    site.write("/etc/config/options", "OPTS=--v=2 --cni-cache-dir=/var/lib/cni/mine\n")
    site.write("/etc/systemd/system/cri-docker.service",
               f"[Service]\nEnvironmentFile=-/etc/config/options\nExecStart=/usr/bin/cri-dockerd --container-runtime-endpoint fd:// {flags}\n")
    site.run("sh", "-ec", f"mkdir -pm 700 {folder} && mv {CACHE} {folder}/results")
    found = {each["name"]: each for each in json.loads(site.tool("doctor", "-o", "json", check=False))["findings"]}
    assert len(found["pods-not-adopted"]["where"]) == 2
    assert site.tool("adopt").splitlines()[:2] == [f"adopted {line}" for line in adopted(site)]
    assert all(seen_from(pod) == expected_of(pod) for pod in site.pods)
    site.run("mv", f"{folder}/results", CACHE)


def test_a_cache_that_nobody_can_tell_of(site):
    """Where it is cannot be told from the unit: that is said, and those that are seen are adopted."""
    site.use_conflist(WITH)
    site.write("/etc/systemd/system/cri-docker.service", "[Service]\nExecStart=/bin/sh -c 'cri-dockerd $(cat /etc/options)'\n")
    done = subprocess.run(site.inside(BINARY, "adopt"), capture_output=True, text=True, env=site.env)
    assert done.returncode == 1 and done.stdout.splitlines()[:2] == [f"adopted {line}" for line in adopted(site)]
    assert done.stderr == ("ip-masq: pods may be left that are not adopted: where cri-dockerd keeps its cache: /etc/systemd/system/cri-docker.service: "
                           "what cni-cache-dir is cannot be told from ExecStart: $(cat /etc/options) is known once it runs alone\n")
    site.run("rm", "/etc/systemd/system/cri-docker.service")


def test_flannels_own_subnet_where_there_is_no_cache(host):
    host.write("/run/flannel/subnet.env", "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n")
    host.use_conflist("10-flannel-ip-masq.conflist")
    host.pods = []
    assert host.tool("adopt").splitlines()[0] == "adopted cbr0: 10.244.1.0/24"
    assert "-s 10.244.1.0/24" in host.save()
    assert host.tool("adopt") == (
        "nobody tells which pods live: no runtime keeps a cache in /var/lib/cni/results or /var/lib/cni/cache/results; each is "
        "recorded with its next ADD\n")
    first, second = Namespace("pod-a"), Namespace("pod-b")
    try:
        host.cnitool("add", "cbr0", first)
        host.cnitool("add", "cbr0", second)
        host.tool("adopt")  # as the agent does again and again
        for pod in (first, second):
            host.cnitool("check", "cbr0", pod)
            host.cnitool("del", "cbr0", pod)
        assert host.run("find", "/run/cni/ip-masq", "-type", "f") == "/run/cni/ip-masq/lock\n"
        assert "IP-MASQ" not in host.save()
    finally:
        first.close()
        second.close()


def test_the_agent_adopts_with_what_it_is_told_to_follow(site, daemons):
    """Not with the defaults first; and not at all with a file that is wrong, where none was ever good: the rules that pods have stay."""
    source = site.folder / "mounted"
    source.write_text("nonMasqueradeCIDRs: [10.9.0.0/99]\n")
    site.use_conflist(WITH)
    watches = [Watch(pod, KEPT, MASQUERADED) for pod in site.pods]
    daemons.append(Agent(site, "--config-from", source))
    daemons[0].until_it_says(f"cannot adopt: {COPY} could never be made: pods that run stay as they are")
    assert "bridge-net" not in records(site)
    source.write_text("nonMasqueradeCIDRs: [192.0.2.0/24]\n")
    for pod in site.pods:
        daemons[0].until_it_says(f"adopted {line_of(pod)} (")
        site.cnitool("check", "bridge-net", pod)
    for watch in watches:
        assert (watch.end() | {"rounds": None}) == {KEPT: [Outside.NODE[4]], MASQUERADED: [Outside.NODE[4]], "rounds": None}
    source.write_text("nonMasqueradeCIDRs: [10.9.0.0/99]\n")
    daemons[0].until_it_says("config-wrong: ")
    site.run("rm", "-r", "/run/cni/ip-masq/bridge-net")
    for pod in site.pods:  # what was good last is known
        daemons[0].until(lambda pod=pod: pod.id in site.run("find", "/run/cni/ip-masq", "-type", "f"))


def test_the_agent_tries_again_whom_it_could_not_adopt(site, daemons):
    """Long before the next resync, though no file tells of it: nobody is adopted before, which would be recorded."""
    write(site, "/etc/config/ip-masq-agent", "resyncInterval: 24h\n")
    site.use_conflist(WITH)
    files = {f"{CACHE}/{pod.file}": site.run("cat", f"{CACHE}/{pod.file}") for pod in site.pods}
    for file in files:
        site.run("sh", "-c", f"rm {file} && mkdir {file}")
    daemons.append(Agent(site))
    daemons[0].until_it_says("cannot adopt: network bridge-net: a file of the runtime's cache could not be read")
    for file, text in files.items():
        site.run("rmdir", file)
        write(site, file, text)
    for pod in site.pods:
        daemons[0].until_it_says(f"adopted {line_of(pod)} (resync)")
        assert is_carried(site, pod)


def test_who_cannot_be_adopted_costs_nobody_the_copy_of_a_file_that_goes(site, daemons):
    """A ConfigMap goes together with its DaemonSet: nothing changes before the next resync, however often an adoption is tried again."""
    source = site.folder / "source"
    source.write_text("resyncInterval: 24h\nnonMasqueradeCIDRs: [192.0.2.0/24]\n")
    site.use_conflist(WITH)
    texts = {f"{CACHE}/{pod.file}": site.run("cat", f"{CACHE}/{pod.file}") for pod in site.pods}
    for file in texts:
        site.run("sh", "-c", f"rm {file} && mkdir {file}")
    daemons.append(Agent(site, "--config-from", source))
    daemons[0].until_it_says("cannot adopt: network bridge-net: a file of the runtime's cache could not be read")
    source.unlink()
    for file, text in texts.items():
        site.run("rmdir", file)
        write(site, file, text)
    for pod in site.pods:
        daemons[0].until_it_says(f"adopted {line_of(pod)} (")
    assert "192.0.2.0/24" in site.run("cat", COPY)
    assert not any(line.startswith("removed ") for line in daemons[0].lines)


def test_who_changes_our_table_all_the_time_keeps_no_resync_from_coming(site, daemons):
    """Here it takes away the copy of a file that is gone."""
    source = site.folder / "source"
    source.write_text("resyncInterval: 1s\n")
    site.use_conflist(WITH)
    daemons.append(Agent(site, "--config-from", source))
    for pod in site.pods:
        daemons[0].until_it_says(f"adopted {line_of(pod)} (")
    source.unlink()

    def is_gone():
        site.run("nft", "flush", "table", "inet", "ip-masq")
        return not site.run("cat", COPY, check=False)

    daemons[0].until(is_gone)


def test_the_agent_is_not_ready_before_its_first_pass(site, daemons):
    site.use_conflist(WITH)
    slowly = ["strace", "-D", "-f", "-o", "/dev/null", "-e", "inject=clone,clone3:delay_exit=300s:when=1"]  # of who listens
    daemons.append(Agent(site, "--listen", "127.0.0.1:9464", through=slowly, ASAN_OPTIONS="detect_leaks=0"))
    daemons[0].until(lambda: page(site, "/healthz")[0] != 0)
    try:
        assert page(site, "/healthz") == (503, "starting: pods that run are looked for, to be adopted\n")
    finally:
        status = Path(f"/proc/{daemons[0].process.pid}/status").read_text()
        os.kill(int(status.split("TracerPid:\t")[1].split("\n")[0]), signal.SIGKILL)  # it would wait on for the call that it holds up


def test_the_agent_is_not_ready_before_it_has_looked(site, daemons):
    def pods():
        return site.run("find", "/run/cni/ip-masq", "-path", "*/pods/*").split()

    site.use_conflist(WITH)
    slowly = ["strace", "-D", "-f", "-o", "/dev/null", "-P", CACHE, "-e", "inject=openat:delay_enter=2000000"]
    daemons.append(Agent(site, "--listen", "127.0.0.1:9464", through=slowly, ASAN_OPTIONS="detect_leaks=0"))
    daemons[0].until(lambda: page(site, "/healthz") == (503, "starting: pods that run are looked for, to be adopted\n"))
    assert pods() == []
    daemons[0].until(lambda: page(site, "/healthz") == (200, "ok\n"))
    assert len(pods()) == len(site.pods)


def test_the_agent_adopts(site, daemons):
    site.use_conflist(WITH)
    log = site.folder / "agent.log"
    with open(log, "w") as output:
        process = subprocess.Popen(site.inside(BINARY, "agent"), stdout=output, stderr=subprocess.STDOUT, env=site.env)
    try:
        for pod in site.pods:
            wait_until(lambda: f"ip-masq agent: adopted {line_of(pod)} (start)" in log.read_text(), process, "the agent")
            wait_until(lambda: seen_from(pod) == expected_of(pod), process, "the agent")
            site.cnitool("check", "bridge-net", pod)
    finally:
        process.terminate()
        assert process.wait() == 0
