"""ip-masq agent: what operators change reaches running pods, and what others break is mended."""

import fcntl
import io
import json
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness.agents import BLOWS, Agent, is_right, page
from harness.config_files import BROKEN, REST
from harness.daemons import PATIENCE, open_files, wait_until
from harness.masquerades import HIDING, PLACES, put
from harness.network import Outside, Pod, ask, make_bridge
from harness.node import BINARY, ROOT, put_plugins
from harness.texts import CBR0


@pytest.fixture
def config(node):
    """A ConfigMap's folder and the file in it, which every netconf of the node names."""
    folder = node.folder / "config"

    def write(text, number=[0]):
        number[0] += 1
        version = folder / f"..{number[0]}"
        version.mkdir(parents=True)
        (version / "ip-masq-agent").write_text(text)
        (folder / "..next").symlink_to(version.name)
        (folder / "..next").rename(folder / "..data")
        if not (folder / "ip-masq-agent").is_symlink():
            (folder / "ip-masq-agent").symlink_to("..data/ip-masq-agent")

    write.path = folder / "ip-masq-agent"
    return write


@pytest.fixture
def agent(node, daemons):
    daemons.append(Agent(node))
    return daemons[0]


def add(node, config, container="pod-1", **keys):
    node.add(container, configFile=str(config.path), **keys)


def test_a_configmap_that_changes(node, config, agent):
    """Also when its folder appears after the agent started. No resync finds it."""
    add(node, config, resyncInterval="24h")
    agent.until_it_runs()
    agent.until(is_right(node, CBR0))
    for text, subnet in [("nonMasqueradeCIDRs: [172.16.0.0/12]\n", CBR0.but(kept=("172.16.0.0/12", "10.244.1.0/24", *REST))),
                         ("nonMasqueradeCIDRs: [10.0.0.0/8]\n", CBR0.but(kept=("10.0.0.0/8", *REST))),
                         ("masqueradeCIDRs: [10.1.2.0/24]\n", CBR0.but(masqueraded=("10.1.2.0/24",))), ("{}\n", CBR0)]:
        config(text)
        agent.until(is_right(node, subnet))
    agent.until_it_says("changed)")  # the file, or our own table that it changed a moment before


def test_what_outside_hosts_see_of_a_running_pod(node, config, agent):
    make_bridge(node, "10.244.1.1/24", "fd00:10:244:1::1/64")
    outside = Outside(node, ["10.9.9.9", "fd00:9::9"], ["10.244.1.0/24", "fd00:10:244:1::/64"])
    pod = Pod(node, "pod-1", "10.244.1.5/24", "fd00:10:244:1::5/64")
    pod.route_through("10.244.1.1", "fd00:10:244:1::1")
    try:
        put(node, *HIDING.values(), places=PLACES[node.backend])
        add(node, config, ips=pod.addresses)
        kept = {"tcp:10.9.9.9": "10.244.1.5", "tcp:fd00:9::9": "fd00:10:244:1::5"}
        hidden = {"tcp:10.9.9.9": Outside.NODE[4], "tcp:fd00:9::9": Outside.NODE[6]}
        for text, seen in [("nonMasqueradeCIDRs: [10.0.0.0/8, fd00::/8]\n", kept), ("nonMasqueradeCIDRs: []\n", hidden),
                           ("{}\n", kept), ("masqueradeCIDRs: [10.9.9.0/24, 'fd00:9::/32']\n", hidden), ("{}\n", kept)]:
            config(text)
            agent.until(lambda seen=seen: ask(pod.namespace, *kept) == seen)
    finally:
        pod.close()
        outside.close()


def test_broken_files_are_named_and_change_nothing(node, config, agent):
    config("nonMasqueradeCIDRs: [10.0.0.0/8]\n")
    add(node, config)
    for text, line, message in BROKEN:
        config(text)
        start = f"config-wrong: network cbr0 keeps what was good last: {config.path}, line " + (f"{line}: {message}" if line else "")
        agent.until(lambda: any(each.startswith(start) and message in each for each in agent.lines[-1:]))
    config("masqLinkLocals: yes\nnonMasqueradeCIDRs: [10.0.0.0/8]\n")
    agent.until_it_says(f'warning: {config.path}, line 1: key "masqLinkLocals" is not known')
    assert node.save() == node.expected(CBR0.but(kept=("10.0.0.0/8", *REST)))


REASON = {"iptables": "(iptables changed)", "nftables": "(nftables changed)"}


def test_what_others_broke_is_mended(node, agent):
    node.add()
    agent.until_it_runs()
    for _ in range(3):
        BLOWS[node.backend](node)
        agent.until(is_right(node, CBR0))
    agent.until_it_says(REASON[node.backend])


@pytest.mark.parametrize("backend", ["iptables"], indirect=True)
def test_what_no_size_tells_is_found_by_looking(node, daemons):
    """A rule of another text, and a foreign one that takes its place before our jump, long before the next resync."""
    node.add(resyncInterval="24h")
    node.iptables("-A", "POSTROUTING", "-d", "10.9.9.9/32", "-j", "MASQUERADE")
    daemons.append(Agent(node))
    agent = daemons[0]
    agent.until_it_runs()
    right = node.save()
    node.iptables("-R", "IP-MASQ-PODS", "1", "-m", "mark", "--mark", "0x4001/0x4001", "-m", "comment", "--comment",
                  "ip-masq: left to kube-proxy", "-j", "RETURN")
    agent.until(lambda: node.save() == right and len(agent.lines) == 2)  # and the pass is over, to its last look
    swapped = right.splitlines()
    first = next(number for number, line in enumerate(swapped) if line.startswith("-A POSTROUTING"))
    swapped[first], swapped[first + 1] = swapped[first + 1], swapped[first]
    node.restore("\n".join(swapped) + "\n")
    agent.until(lambda: node.save() == right)
    agent.until(lambda: len(agent.lines) == 3)  # which it says once it has done it
    assert agent.lines == [
        'mended: network cbr0: iptables: missing: -A IP-MASQ-PODS -m mark --mark 0x4000/0x4000 -m comment --comment '
        '"ip-masq: left to kube-proxy" -j RETURN (iptables changed)',
        'mended: network cbr0: iptables: not wanted: -A IP-MASQ-PODS -m mark --mark 0x4001/0x4001 -m comment --comment '
        '"ip-masq: left to kube-proxy" -j RETURN (iptables changed)',
        'mended: network cbr0: iptables: out of place: -A POSTROUTING -m comment --comment "ip-masq: pod egress" -j IP-MASQ-PODS '
        "(iptables changed)"]


def test_sighup_syncs_now_and_sigterm_leaves_the_rules(node, daemons):
    node.add(resyncInterval="24h")
    agent = Agent(node, *LISTEN)
    daemons.append(agent)
    agent.until_it_runs()
    passes = int(metrics(node)["ip_masq_passes_total"])
    agent.process.send_signal(signal.SIGHUP)
    agent.until(lambda: int(metrics(node)["ip_masq_passes_total"]) > passes)
    daemons.clear()
    assert agent.end() == 0
    assert agent.lines[-1] == "stopped; the rules stay"
    assert node.save() == node.expected(CBR0)


def test_a_second_agent_says_so(node, agent):
    agent.until_it_runs()
    assert node.tool_status("agent", "--state-dir", node.state) == (1, "", f"ip-masq: another agent runs on {node.state}\n")


def test_systemd_is_told(node, daemons):
    daemons.append(Agent(node))
    notify = daemons[0].notify
    assert notify.recv(100) == b"READY=1"
    daemons[0].process.terminate()
    assert notify.recv(100) == b"STOPPING=1"


def test_systemd_is_told_that_the_loop_comes_round(node, daemons):
    """As often as its watchdog asks for, though there is nothing to do."""
    daemons.append(Agent(node, WATCHDOG_USEC="200000"))
    assert [daemons[0].notify.recv(100) for _ in range(4)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1", b"WATCHDOG=1"]


def test_the_watchdog_of_another_process_is_none_of_its(node, daemons):
    daemons.append(Agent(node, WATCHDOG_USEC="200000", WATCHDOG_PID="1"))
    notify = daemons[0].notify
    assert notify.recv(100) == b"READY=1"
    daemons[0].process.terminate()
    assert notify.recv(100) == b"STOPPING=1"


def test_probes_and_scrapers(node, config, daemons):
    for pod in ("pod-1", "pod-2"):
        add(node, config, pod, ips=[f"10.244.1.{pod[-1]}/24"])
    config("nonMasqueradeCIDRs: [ten]\n")
    daemons.append(Agent(node, "--listen", "127.0.0.1:9464"))
    daemons[0].until_it_says("config-wrong")
    mute = node.inside(sys.executable, "-c", "import socket, time; s = socket.create_connection(('127.0.0.1', 9464)); print(flush=True); time.sleep(100)")
    with subprocess.Popen(mute, stdout=subprocess.PIPE) as silent:  # it holds nobody up for long
        silent.stdout.readline()
        daemons[0].until(lambda: page(node, "/healthz") == (
            503, f'config-wrong: network cbr0 keeps what was good last: {config.path}, line 1: nonMasqueradeCIDRs is '
                 '"ten": expected a network such as 10.0.0.0/8 or fd00::/8\n'))
        silent.kill()
    config("nonMasqueradeCIDRs: [10.0.0.0/8]\n")
    daemons[0].until(lambda: page(node, "/healthz") == (200, "ok\n"))
    status, text = page(node, "/metrics")
    assert status == 200
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    for when in ("ip_masq_last_pass_timestamp_seconds", "ip_masq_last_success_timestamp_seconds"):
        assert abs(int(values.pop(when)) - time.time()) < 60
    assert int(values.pop("ip_masq_passes_total")) >= 2 and int(values.pop("ip_masq_changes_total")) >= 1
    assert values == {'ip_masq_build_info{version="0.1.0"}': "1", "ip_masq_failed_passes_total": "0", "ip_masq_troubles": "0",
                      "ip_masq_drift_changes_total": "0", "ip_masq_resync_interval_seconds": "60", 'ip_masq_config_wrong{network="cbr0"}': "0",
                      'ip_masq_attachments{network="cbr0"}': "2"}
    assert page(node, "/")[0] == 404
    assert page(node, "/livez") == (200, "ok\n")


def metrics(node):
    """{name with labels: value}"""
    return dict(line.rsplit(" ", 1) for line in page(node, "/metrics")[1].splitlines() if not line.startswith("#"))


LISTEN = ("--listen", "127.0.0.1:9464")


def test_pages_are_of_now(node, config, daemons):
    """Also of what wakes no pass: calls that change no rule, a state folder that others can write to."""
    add(node, config)
    daemons.append(Agent(node, *LISTEN))
    daemons[0].until(lambda: page(node, "/healthz") == (200, "ok\n"))
    for pod in ("pod-2", "pod-3"):
        add(node, config, pod, ips=[f"10.244.1.{pod[-1]}/24"])
    assert metrics(node)['ip_masq_attachments{network="cbr0"}'] == "3"
    node.delete("pod-3")
    assert metrics(node)['ip_masq_attachments{network="cbr0"}'] == "2"
    node.state.chmod(0o777)
    status, text = page(node, "/healthz")
    assert status == 503 and f"stateDir {node.state} can be written to by others" in text
    node.state.chmod(0o700)
    daemons[0].until(lambda: page(node, "/healthz") == (200, "ok\n"))


def test_a_lock_that_somebody_keeps_is_told(node, daemons):
    node.add()
    daemons.append(Agent(node, *LISTEN))
    agent = daemons[0]
    agent.until(lambda: page(node, "/healthz") == (200, "ok\n"))
    with open(node.state / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        BLOWS[node.backend](node)
        told = f"cannot sync: the lock {node.state}/lock is still held by another process"
        agent.until(lambda: page(node, "/healthz") == (503, told + "\n"))
        assert page(node, "/livez") == (200, "ok\n")
        assert int(metrics(node)["ip_masq_failed_passes_total"]) > 0
    agent.until(lambda: page(node, "/healthz") == (200, "ok\n") and is_right(node, CBR0)())
    assert agent.lines.count(told) == 1


def test_a_lock_that_somebody_keeps_does_not_hold_up_the_end(node, daemons):
    node.add()
    agent = Agent(node)
    daemons.append(agent)
    agent.until_it_runs()
    with open(node.state / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        agent.process.send_signal(signal.SIGHUP)
        daemons.clear()
        assert agent.end() == 0


def test_a_state_that_is_gone_is_told(node, daemons):
    node.add()
    daemons.append(Agent(node, *LISTEN))
    agent = daemons[0]
    agent.until(lambda: page(node, "/healthz") == (200, "ok\n"))
    node.state.rename(node.folder / "elsewhere")
    agent.until(lambda: page(node, "/healthz") == (
        503, f"cannot sync: {node.state} is gone, and with it what was recorded of pods: rules that stand stay as they are, and nobody "
             "looks after them\n"))
    assert is_right(node, CBR0)()
    node.add()
    agent.until(lambda: page(node, "/healthz") == (200, "ok\n"))
    BLOWS[node.backend](node)
    agent.until(is_right(node, CBR0))
    agent.until(lambda: node.tool_status("agent", "--state-dir", node.state) == (
        1, "", f"ip-masq: another agent runs on {node.state}\n"))


def test_a_record_that_is_gone_is_told(node, daemons):
    """Though its folder is there; not where the last pod has gone."""
    node.add()
    node.add("pod-2", name="other", ips=["10.3.0.5/24"])
    daemons.append(Agent(node, *LISTEN))
    agent = daemons[0]
    agent.until(lambda: page(node, "/healthz") == (200, "ok\n"))
    node.delete("pod-2", name="other")
    (node.state / "cbr0").rename(node.folder / "elsewhere")
    agent.process.send_signal(signal.SIGHUP)
    agent.until(lambda: page(node, "/healthz") == (
        503, f"state-gone: network cbr0: what was recorded in {node.state} is gone: rules of 10.244.1.0/24 stay as they are, and nobody "
             "looks after them\n"))
    node.add()
    agent.until(lambda: page(node, "/healthz") == (200, "ok\n"))


def test_a_broken_file_has_a_metric_of_its_own(node, config, daemons):
    """The rules are right all the same."""
    add(node, config)
    node.add("pod-2", name="other", ips=["10.3.0.5/24"])
    config("nonMasqueradeCIDRs: [ten]\n")
    daemons.append(Agent(node, *LISTEN))
    daemons[0].until_it_says("config-wrong")
    daemons[0].until(lambda: page(node, "/healthz")[0] == 503)
    values = metrics(node)
    assert {name: value for name, value in values.items() if "config_wrong" in name} == {
        'ip_masq_config_wrong{network="cbr0"}': "1", 'ip_masq_config_wrong{network="other"}': "0"}
    assert values["ip_masq_last_success_timestamp_seconds"] == values["ip_masq_last_pass_timestamp_seconds"] != "0"
    assert values["ip_masq_troubles"] == "1" and values["ip_masq_failed_passes_total"] == "0"


@pytest.mark.parametrize("interval", ["5m", "1s"])
def test_the_resync_interval_is_the_networks(node, config, daemons, interval):
    """Of a netconf and of the file alike, also one longer than the default."""
    add(node, config, resyncInterval=interval)
    daemons.append(Agent(node, *LISTEN))
    seconds = {"5m": "300", "1s": "1"}[interval]
    daemons[0].until(lambda: page(node, "/healthz")[0] == 200)
    assert metrics(node)["ip_masq_resync_interval_seconds"] == seconds
    config("resyncInterval: 1h30m\n")
    daemons[0].until(lambda: metrics(node)["ip_masq_resync_interval_seconds"] == "5400")
    config("resyncInterval: 300\n")
    daemons[0].until(lambda: page(node, "/healthz") == (
        503, f"config-wrong: network cbr0 keeps what was good last: {config.path}, line 1: resyncInterval is 300: expected a duration from "
             '1s to 24h, such as "1m30s"\n'))


def test_a_port_that_is_taken(node, daemons):
    """Rules are mended all the same, and it listens as soon as it can."""
    node.add()
    taken = node.inside(sys.executable, "-c", "import socket, time; s = socket.create_server(('127.0.0.1', 9464)); print(flush=True); time.sleep(100)")
    with subprocess.Popen(taken, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        daemons.append(Agent(node, *LISTEN))
        daemons[0].until_it_says("cannot listen at 127.0.0.1 port 9464: Address already in use; tried again each 5 s")
        BLOWS[node.backend](node)
        daemons[0].until(is_right(node, CBR0))
        other.kill()
    daemons[0].until_it_says("listens at 127.0.0.1 port 9464")
    daemons[0].until(lambda: page(node, "/healthz") == (200, "ok\n"))


def without_inotify(when):
    return ["strace", "-D", "-f", "-o", "/dev/null", "-e", "trace=inotify_init1", "-e", f"inject=inotify_init1:error=EMFILE:when={when}"]


def test_no_inotify_instance_is_left(node, config, daemons):
    """Files are looked at instead, until there is one again."""
    config("nonMasqueradeCIDRs: [10.0.0.0/8]\n")
    add(node, config)
    daemons.append(Agent(node, through=without_inotify("1..3"), ASAN_OPTIONS="detect_leaks=0"))
    agent = daemons[0]
    warning = ("warning: the kernel does not tell of changed files (Too many open files): they are looked at each second (sysctl "
               "fs.inotify.max_user_instances and fs.inotify.max_user_watches say how many may be watched)")
    agent.until_it_says(warning)
    for number in range(6):
        config(f"nonMasqueradeCIDRs: [10.0.0.0/8, {20 + number}.0.0.0/8]\n")
        agent.until(is_right(node, CBR0.but(kept=("10.0.0.0/8", f"{20 + number}.0.0.0/8", *REST))))
    BLOWS[node.backend](node)
    agent.until(is_right(node, CBR0.but(kept=("10.0.0.0/8", "25.0.0.0/8", *REST))))
    assert agent.lines.count(warning) == 1
    assert any("inotify" in link for link in open_files(agent.process.pid))


FORGED = "ip-masq agent: stopped; the rules stay"


def test_no_line_of_the_log_is_forged(node, daemons):
    """By the keys of a file, or the names of files."""
    folder = node.folder / "config"
    folder.mkdir()
    (folder / "ip-masq-1").write_text(f'"a\\n{FORGED}\\e[31m": 1\n"nonMasqueradeCIDR\\n{FORGED}": []\nnonMasqueradeCIDRs: [10.0.0.0/8]\n')
    node.add(configFile=str(folder))
    (folder / f"ip-masq-2\n{FORGED}\x1b[31m\x7f").write_text(f'nonMasqueradeCIDRs: ["ten\\n{FORGED}\\e[31m"]\n')
    daemons.append(Agent(node, *LISTEN))
    agent = daemons[0]
    agent.until(lambda: FORGED in page(node, "/healthz")[1])
    texts = [agent.path.read_text(), page(node, "/healthz")[1], node.tool_status("sync", "--state-dir", node.state)[2],
             node.call("ADD", "pod-2", node.netconf(configFile=str(folder), ips=["10.244.1.6/24"])).errors]
    for text in texts:
        assert FORGED in text and all(line and not line.startswith(FORGED) for line in text.splitlines())
        assert all(character.isprintable() for line in text.split("\n") for character in line)


HUGE = {"networks": "nonMasqueradeCIDRs:\n" + "".join(f"- ten-{number:030}\n" for number in range(26_000)),
        "more networks than are read": "nonMasqueradeCIDRs:\n" + "- x\n" * 260_000,
        "keys": "".join(f"key-{number:030}: 1\n" for number in range(24_000)), "one key": f'"{"k" * 1_000_000}": 1\n'}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
def test_a_huge_file_makes_few_words(node, config, daemons, text):
    config("nonMasqueradeCIDRs: [10.0.0.0/8]\n")
    add(node, config)
    daemons.append(Agent(node, *LISTEN))
    agent = daemons[0]
    agent.until(lambda: page(node, "/healthz") == (200, "ok\n"))
    config(text)
    agent.until_it_says(str(config.path))
    status, output, errors = node.tool_status("sync", "--state-dir", node.state)
    reply = node.call("ADD", "pod-2", node.netconf(configFile=str(config.path), ips=["10.244.1.6/24"]))
    assert reply.status == 0 and status == (1 if errors else 0)
    for told in (agent.path.read_text(), page(node, "/healthz")[1], output, errors, reply.errors):
        assert len(told) < 6_000 and told.count("\n") <= 16


def test_nobody_reads_the_log(node, config):
    """Then it is lost, and the rules are looked after."""
    add(node, config)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with subprocess.Popen(node.inside(BINARY, "agent", "--state-dir", node.state), stdout=writer, env={**os.environ, **node.env}) as process:
        os.close(writer)
        for number in range(60):
            config(f"nonMasqueradeCIDRs: [{20 + number}.0.0.0/8]\n")
            wait_until(is_right(node, CBR0.but(kept=(f"{20 + number}.0.0.0/8", "10.244.1.0/24", *REST))), process, "the agent")
        process.terminate()
        assert process.wait(PATIENCE) == 0
    with open(reader) as log:
        lines = log.read().splitlines()
    assert all(line.startswith("ip-masq agent: ") for line in lines)


def test_it_keeps_trying(node, daemons):
    """Where a pass cannot be made it says why, and makes it as soon as it can."""
    node.add()
    kept = node.folder / "kept"
    (node.state / "cbr0").rename(kept)
    (node.state / "cbr0").symlink_to("cbr0")  # a folder that cannot be read
    daemons.append(Agent(node))
    daemons[0].until_it_says("cannot sync: cannot")
    BLOWS[node.backend](node)
    (node.state / "cbr0").unlink()
    kept.rename(node.state / "cbr0")
    daemons[0].until(is_right(node, CBR0))


def test_the_entry_is_kept_installed(node, daemons):
    folder = node.folder / "net.d"
    folder.mkdir()
    flannels = json.dumps({"name": "cbr0", "cniVersion": "0.3.1", "plugins": [{"type": "flannel", "delegate": {}}]})
    conflist = folder / "10-flannel.conflist"
    put_plugins(node.folder / "bin", flannels)
    daemons.append(Agent(node, "--keep-installed", "--conf-dir", folder, "--bin-dir", node.folder / "bin"))
    daemons[0].until_it_says("cannot keep the entry installed: no conflist in")

    def is_installed():
        return '"ip-masq"' in conflist.read_text()

    conflist.write_text(flannels)
    daemons[0].until(is_installed)
    new = folder / "new"
    new.write_text(flannels)
    new.rename(conflist)  # as flannel's own init container does
    daemons[0].until(is_installed)
    program = node.folder / "bin/ip-masq"
    assert program.read_bytes() == BINARY.read_bytes()
    program.unlink()  # as an update of the other plugins does
    daemons[0].until(lambda: program.exists() and program.read_bytes() == BINARY.read_bytes())

    # Rules are mended, and the entry is, whichever of the two is noticed first.
    node.add(resyncInterval="1h")
    for _ in range(5):
        daemons[0].until(lambda: node.save() == node.expected(CBR0))
        BLOWS[node.backend](node)
        new.write_text(flannels)
        new.rename(conflist)
        daemons[0].until(is_installed)


def test_a_program_that_cannot_be_run_is_seen_at_once(node, daemons):
    """And /healthz tells, where it cannot be put anew."""
    folder, program = node.folder / "net.d", node.folder / "bin/ip-masq"
    folder.mkdir()
    flannels = folder / "10-flannel.conflist"
    flannels.write_text('{"name": "cbr0", "cniVersion": "0.3.1", "plugins": [{"type": "flannel"}]}')
    put_plugins(program.parent, flannels.read_text())
    daemons.append(Agent(node, "--keep-installed", "--conf-dir", folder, "--bin-dir", program.parent, *LISTEN))
    agent = daemons[0]

    def is_there():
        return program.exists() and program.read_bytes() == BINARY.read_bytes() and os.access(program, os.X_OK)

    agent.until(is_there)
    program.chmod(0o644)
    agent.until(is_there)
    program.write_text("junk")
    agent.until(is_there)
    kept = program.parent / "ip-masq.before-ip-masq"
    assert kept.read_text() == "junk"
    program.write_text("other junk")
    agent.until(lambda: page(node, "/healthz") == (503, (
        f"cannot keep the entry installed: {program} is not ip-masq's, and there is a {kept} already; move one of them away\n")))
    kept.unlink()
    program.unlink()
    agent.until(lambda: is_there() and page(node, "/healthz") == (200, "ok\n"))


def test_files_that_do_not_matter_make_no_pass(node, config, daemons):
    """What does is seen, also behind links and in the folders of lists."""
    folder = node.folder / "net.d"
    folder.mkdir()
    config("nonMasqueradeCIDRs: [10.0.0.0/8]\n")
    add(node, config)
    beside = [folder / "plugin.log", node.state / "log", node.folder / "bin/log", config.path.parent / "log"]
    put_plugins(beside[2].parent, '"type": "flannel"')
    daemons.append(Agent(node, "--keep-installed", "--conf-dir", folder, "--bin-dir", node.folder / "bin", *LISTEN))
    agent = daemons[0]
    agent.until_it_says("cannot keep the entry installed: no conflist in")
    agent.until(lambda: page(node, "/livez")[0] == 200)

    def passes():
        return int(metrics(node)["ip_masq_passes_total"])

    before = passes()
    for number in range(10):
        for path in beside:
            path.write_text(str(number))
        assert passes() - before <= 1  # of a resync
    (folder / "cbr0").mkdir()
    (folder / "10-flannel.conflist").symlink_to("../real")
    (node.folder / "real").write_text('{"name": "cbr0", "cniVersion": "0.3.1"}')
    (folder / "cbr0/10.conf").write_text('{"type": "flannel", "delegate": {}}')
    agent.until_it_says("stands in")
    (folder / "cbr0/zz.conf").write_text('{"type": "ip-masq"}')
    agent.until(lambda: page(node, "/healthz") == (200, "ok\n"))


def test_a_disk_that_hangs_keeps_nobody_from_mending(node, daemons):
    """It is told, and the agent ends when it is told to."""
    folder, program = node.folder / "net.d", node.folder / "bin/ip-masq"
    folder.mkdir()
    flannels = folder / "10-flannel.conflist"
    flannels.write_text('{"name": "cbr0", "cniVersion": "0.3.1", "plugins": [{"type": "flannel"}]}')
    put_plugins(program.parent, flannels.read_text())
    program.write_text("an older one")
    node.add()
    agent = Agent(node, "--keep-installed", "--conf-dir", folder, "--bin-dir", program.parent, *LISTEN, ASAN_OPTIONS="detect_leaks=0",
                  through=["strace", "-D", "-f", "-o", "/dev/null", "-P", program, "-e", "trace=openat", "-e", "inject=openat:delay_enter=300s"])
    daemons.append(agent)
    agent.until(lambda: page(node, "/healthz")[1].startswith(
        f"hangs: what is under way to keep the entry in {folder} and the program in {program.parent} has taken "))
    for _ in range(3):
        BLOWS[node.backend](node)
        agent.until(is_right(node, CBR0))
    assert page(node, "/livez") == (200, "ok\n")
    assert program.read_text() == "an older one"

    def status(key):
        return Path(f"/proc/{agent.process.pid}/status").read_text().split(f"{key}:\t")[1].split("\n")[0]

    tracer = int(status("TracerPid"))
    agent.process.terminate()
    wait_until(lambda: status("State") == "Z (zombie)", agent.process, "the agent")
    os.kill(tracer, signal.SIGKILL)  # it would wait on for the call that it holds up
    daemons.clear()
    assert agent.end() == 0


MADE = {"a FIFO": os.mkfifo, "a folder": os.mkdir, "a socket": lambda path: os.mknod(path, stat.S_IFSOCK | 0o600),
        "a link": lambda path: os.symlink("/gone/ip-masq", path)}


@pytest.mark.parametrize("what", MADE)
def test_what_is_no_program_is_told(node, daemons, what):
    """And is there afterwards, under another name; a link to nothing is kept, as that of a package that is gone."""
    folder, program = node.folder / "net.d", node.folder / "bin/ip-masq"
    folder.mkdir()
    flannels = folder / "10-flannel.conflist"
    flannels.write_text('{"name": "cbr0", "cniVersion": "0.3.1", "plugins": [{"type": "flannel"}]}')
    put_plugins(program.parent, flannels.read_text())
    MADE[what](program)
    node.add()
    daemons.append(Agent(node, "--keep-installed", "--conf-dir", folder, "--bin-dir", program.parent, *LISTEN))
    agent = daemons[0]
    if what == "a link":
        kept = Path(f"{program}.before-ip-masq")
        agent.until_it_says(f"kept {program}, which is not ip-masq's, as {kept}")
        agent.until(lambda: page(node, "/healthz") == (200, "ok\n"))
        assert os.readlink(kept) == "/gone/ip-masq" and program.read_bytes() == BINARY.read_bytes()
        return
    agent.until(lambda: page(node, "/healthz") == (503, f"cannot keep the entry installed: {program} is {what}: no program can stand there; mv -n {program} {program}.moved\n"))
    BLOWS[node.backend](node)
    agent.until(is_right(node, CBR0))
    assert page(node, "/healthz")[0] == 503
    program.rename(f"{program}.moved")
    agent.process.send_signal(signal.SIGHUP)
    agent.until(lambda: page(node, "/healthz") == (200, "ok\n"))


COPY = "/etc/config/ip-masq-agent"


def test_plugin_calls_read_what_shows_in_the_agents_container_alone(host, daemons):
    """The first file of those named that exists; where all are gone the copy goes with the next start."""
    first, second = host.folder / "first", host.folder / "second"

    def start():
        daemons.append(Agent(host, "--config-from", first, "--config-from", second))
        return daemons[-1]

    def copy():
        return host.run("cat", COPY, check=False)

    agent = start()
    for path, text in [(second, "nonMasqueradeCIDRs: [192.0.2.0/24]\n"), (first, "nonMasqueradeCIDRs: [10.0.0.0/8]\n"),
                       (first, "nonMasqueradeCIDRs: [172.16.0.0/12]\n")]:
        path.write_text(text)
        agent.until(lambda text=text: copy() == text)
        agent.until_it_says(f"copied {path} to {COPY} (")
    first.unlink()
    agent.until(lambda: copy() == "nonMasqueradeCIDRs: [192.0.2.0/24]\n")
    second.unlink()
    daemons.pop().end()
    assert copy() == "nonMasqueradeCIDRs: [192.0.2.0/24]\n"
    agent = start()
    agent.until(lambda: not copy())
    agent.until_it_says(f"removed {COPY} (start)")
    assert len(agent.lines) == 1

    second.write_text("nonMasqueradeCIDRs: []\n")
    agent.until(copy)
    daemons.pop().end()  # it would follow the file again
    (host.folder / "elsewhere").mkdir()
    host.tool("uninstall", "--conf-dir", host.folder / "elsewhere")
    assert copy() != "", "another folder's uninstall is not this node's"
    host.tool("uninstall")
    assert host.run("find", "/etc/config", "-mindepth", "1") == ""


def test_a_file_that_somebody_else_put_there_is_left_alone(host, daemons):
    host.write(COPY, "nonMasqueradeCIDRs: [10.0.0.0/8]\n")
    source = host.folder / "source"
    source.write_text("nonMasqueradeCIDRs: []\n")
    daemons.append(Agent(host, "--config-from", source))
    daemons[0].until_it_says(f"cannot copy the configuration file: {COPY} was put there by somebody else: remove it, for {source} to be followed")
    assert host.run("cat", COPY) == "nonMasqueradeCIDRs: [10.0.0.0/8]\n"
    host.run("rm", COPY)
    daemons[0].until(lambda: host.run("cat", COPY, check=False) == "nonMasqueradeCIDRs: []\n")


NO_FILES = {"a FIFO": ["mkfifo"], "a folder": ["mkdir"], "a socket": [sys.executable, "-c", "import os, stat, sys; os.mknod(sys.argv[1], stat.S_IFSOCK | 0o600)"],
            "a link": ["ln", "-s", "/gone"]}


@pytest.mark.parametrize("what", NO_FILES)
@pytest.mark.parametrize("place", ["copy", "source"])
def test_what_is_no_file_is_told_and_left(host, daemons, what, place):
    """In the copy's place, and instead of the file that is followed: it hangs nowhere, and what was good stays."""
    source = host.folder / "mounted"
    kind = {"a FIFO": "fifo", "a folder": "directory", "a socket": "socket", "a link": "symbolic link"}[what]
    if place == "copy":
        source.write_text("nonMasqueradeCIDRs: []\n")
        host.run(*NO_FILES[what], COPY)
    else:
        source.write_text("catchAll: false\n")
        daemons.append(Agent(host, "--config-from", source))
        daemons[0].until(lambda: host.run("cat", COPY, check=False) == "catchAll: false\n")
        source.unlink()
        host.run(*NO_FILES[what], source)
        daemons.pop().end()
    daemons.append(Agent(host, "--config-from", source))
    if place == "copy":
        daemons[0].until_it_says(f"cannot copy the configuration file: {COPY} was put there by somebody else: remove it, for {source} to be followed")
        daemons.pop().end()
        host.tool("uninstall", "--conf-dir", "/etc/cni/net.d")
        assert host.run("stat", "-c", "%F", COPY) == f"{kind}\n"
        host.run("rm", "-r", COPY)
    elif what == "a link":  # there is no such file: its start removes the copy, as it always does then
        daemons[0].until_it_says(f"removed {COPY} (start)")
    else:
        daemons[0].until_it_says("cannot copy the configuration file: ")
        assert host.run("cat", COPY) == "catchAll: false\n"
        assert host.run("stat", "-c", "%F", source) == f"{kind}\n"
        daemons.pop().end()
        host.tool("uninstall", "--conf-dir", "/etc/cni/net.d")
        assert host.run("ls", "-A", "/etc/config") == ""


def test_adds_beside_the_agent(node, config, agent):
    config("nonMasqueradeCIDRs: [10.0.0.0/8]\n")
    for number in range(30):
        add(node, config, f"pod-{number}", ips=[f"10.244.{number % 3}.{number + 2}/24"])
        if number % 3 == 0:
            config(f"nonMasqueradeCIDRs: [{10 + number}.0.0.0/8]\n")
    for number in range(30):
        node.delete(f"pod-{number}", ips=None)
    agent.until(is_right(node))
    assert not any("cannot" in line for line in agent.lines)


def test_killed_at_any_moment_the_next_start_mends(node, config, daemons):
    add(node, config)
    dice = random.Random(4)
    for number in range(30):
        agent = Agent(node)
        config(f"nonMasqueradeCIDRs: [{20 + number}.0.0.0/8]\n")
        time.sleep(dice.uniform(0, 0.03))  # that is the moment
        assert agent.end(signal.SIGKILL) == -signal.SIGKILL
    daemons.append(Agent(node))
    daemons[0].until(is_right(node, CBR0.but(kept=("49.0.0.0/8", "10.244.1.0/24", *REST))))


def test_a_thousand_changes_leak_nothing(node, config, agent):
    add(node, config)

    def used():
        status = Path(f"/proc/{agent.process.pid}/status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0])
        return resident, len(os.listdir(f"/proc/{agent.process.pid}/fd"))

    said = open(agent.path)

    def change(number):
        """And the agent has said so."""
        network = f"{20 + number % 100}.0.0.0/8"
        text = io.StringIO()  # a line may come in pieces

        def is_said():
            text.write(said.read())
            return network in text.getvalue()

        config(f"nonMasqueradeCIDRs: [{network}]\n")
        agent.until(is_said, 0.001)
        return network

    for number in range(100):
        change(number)
    resident, descriptors = used()
    for number in range(100, 1100):
        network = change(number)
    agent.until(is_right(node, CBR0.but(kept=(network, "10.244.1.0/24", *REST))))
    said.close()
    agent.until(lambda: used()[1] <= descriptors)  # between two passes
    assert used()[0] <= resident * 1.2 + 512


UNIT = (ROOT / "conf/systemd/ip-masq.service").read_text()


def of_unit(key):
    """The words of all lines of a key."""
    return [word for words in re.findall(rf"^{key}=(.*)$", UNIT, re.MULTILINE) for word in words.split()]


def test_the_readme_names_the_unit():
    assert "ExecStart=/opt/cni/bin/ip-masq agent" in UNIT and "Type=notify" in UNIT


def test_the_unit_tries_again_however_often():
    """systemd's own limit is five starts in ten seconds."""
    assert of_unit("Restart") == ["on-failure"] and 5 * int(*of_unit("RestartSec")) > 10


def calls_of(group):
    """Of systemd's groups of system calls, such as @system-service."""
    told = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    words = {line.strip() for line in told.splitlines()[1:] if not line.strip().startswith("#")}
    return {call for word in words for call in (calls_of(word) if word.startswith("@") else {word})}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed, which knows what its groups of system calls are")
def test_the_unit_lets_the_agent_do_what_it_does(node, config, daemons):
    """Its calls and sockets while it starts, follows a file, mends rules, answers a probe and ends."""
    trace = node.folder / "trace"
    add(node, config)
    daemons.append(Agent(node, "--listen", "127.0.0.1:9464", through=("strace", "-D", "-f", "-q", "-o", trace), ASAN_OPTIONS="detect_leaks=0"))
    config("nonMasqueradeCIDRs: [172.16.0.0/12]\n")
    daemons[0].until(is_right(node, CBR0.but(kept=("172.16.0.0/12", "10.244.1.0/24", *REST))))
    daemons[0].until(lambda: page(node, "/healthz") == (200, "ok\n"))
    daemons.pop().end()
    lines = re.sub(r"^\d+ +", "", trace.read_text(), flags=re.MULTILINE)
    groups = {group: calls_of(group) for word in of_unit("SystemCallFilter") for group in [word.removeprefix("~")]}
    allowed = groups.pop("@system-service") - set().union(*groups.values())
    calls = set(re.findall(r"^(\w+)\(", lines, re.MULTILINE))
    assert {"inotify_add_watch", "sendmsg", "poll"} <= calls and calls - allowed == set()
    assert set(re.findall(r"^socket\((\w+)", lines, re.MULTILINE)) <= set(of_unit("RestrictAddressFamilies"))
