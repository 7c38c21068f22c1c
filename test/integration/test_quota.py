"""A quota that is used up for real, where install, the records and the agent's copy are written: what was there stays, what was tried
is told, nothing is left of it, and what only takes away goes on."""

import json
import subprocess

from harness.agents import Agent, page
from harness.host import TOOLS
from harness.node import BINARY, ROOT, Namespace
from harness.quota import Quota

USED_UP = 'Disk quota exceeded{}the quota of user 0 or of the project is used up there: "repquota -a" tells'
SHIPPED = json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text())
CONFLIST = {**SHIPPED, "plugins": [plugin for plugin in SHIPPED["plugins"] if plugin["type"] != "ip-masq"]}
COPY = "/etc/config/ip-masq-agent"


def call(host, *argv):
    """(exit status, all that is told)"""
    done = subprocess.run(host.inside(*argv), capture_output=True, text=True, env=host.env)
    return done.returncode, done.stdout + done.stderr


def files(host, folder):
    """{path: what is in it}, of all but what uses the quota up"""
    found = host.run("find", folder, "-type", "f", "!", "-name", ".used-*").splitlines()
    return {path: host.run("sha256sum", path).split()[0] for path in found}


def rules(host):
    return host.save() + host.run("nft", "list", "ruleset")


def test_a_list(host):
    quota = Quota(host, "/etc/cni", "1M")
    host.run("mkdir", "-p", "/etc/cni/net.d")
    host.use_conflist(CONFLIST)
    before = files(host, "/etc/cni")
    install = [BINARY, "install", "--after", "bridge", "--bin-dir", "/opt/cni/bin", "--conf-dir", "/etc/cni/net.d"]
    uninstall = [BINARY, "uninstall", "--conf-dir", "/etc/cni/net.d"]

    def is_refused(*argv):
        there = files(host, "/etc/cni")
        quota.use_up()
        status, told = call(host, *argv)
        assert status == 1 and told.endswith(": " + USED_UP.format("\n  ") + "\n"), told
        assert files(host, "/etc/cni") == there
        quota.give_back()
        assert call(host, *argv)[0] == 0

    is_refused(*install)
    assert files(host, "/etc/cni") != before
    is_refused(*uninstall)
    assert files(host, "/etc/cni") == before


def test_the_program(host):
    Quota(host, "/opt/cni/bin", "16M")
    host.run("cp", TOOLS / "bridge", TOOLS / "host-local", "/opt/cni/bin")
    host.use_conflist(CONFLIST)
    before = files(host, "/opt/cni/bin"), files(host, "/etc/cni")
    assert call(host, BINARY, "install", "--after", "bridge", "--bin-dir", "/opt/cni/bin", "--conf-dir", "/etc/cni/net.d") == (
        1, f"ip-masq: cannot write /opt/cni/bin/ip-masq: {USED_UP.format(chr(10) + '  ')}\n")
    assert (files(host, "/opt/cni/bin"), files(host, "/etc/cni")) == before


def test_records(host):
    """Pods that are there keep their rules and can go; none comes that nobody could record, and everybody is told."""
    quota = Quota(host, "/run/cni", "1M")
    host.use_conflist(SHIPPED)
    nothing, name = rules(host), SHIPPED["name"]
    pods = [Namespace(f"pod-{number}") for number in range(2)]
    try:
        host.cnitool("add", name, pods[0])
        before = rules(host), files(host, "/run/cni")
        quota.use_up()
        used_up = USED_UP.format("; ")
        status, told = call(host, TOOLS / "cnitool", "add", name, pods[1].path)
        assert status == 1 and told.startswith('plugin type="ip-masq" failed (add): cannot ') and told.endswith(f": {used_up}\n"), told
        status, told = call(host, TOOLS / "cnitool", "status", name, pods[1].path)
        assert status == 1 and told.endswith(f": {used_up}\n"), told
        found = json.loads(host.tool("doctor", "-o", "json", check=False))["findings"]
        assert [(each["name"], each["weight"], each["where"]) for each in found] == [
            ("state-dir-unusable", "hurts", ["cannot create a file in /run/cni/ip-masq: Disk quota exceeded"])]
        assert host.tool("sync") == "all rules are as they should be\n"
        assert (rules(host), files(host, "/run/cni")) == before
        for each in reversed(pods):  # first what was not recorded, as runtimes do
            host.cnitool("del", name, each)
        assert rules(host) == nothing and not any("pod" in path for path in files(host, "/run/cni/ip-masq"))
        quota.give_back()
        host.cnitool("add", name, pods[1])
        assert rules(host) != nothing
    finally:
        for each in pods:
            each.close()


def test_the_agents_copy(host, daemons):
    """What was good last stays, and can be taken away."""
    quota, source = Quota(host, "/etc/config", "1M"), host.folder / "source"
    source.write_text("catchAll: false\n")
    daemons.append(Agent(host, "--config-from", source, "--listen", "127.0.0.1:9464"))
    daemons[0].until(lambda: page(host, "/healthz") == (200, "ok\n"))
    quota.use_up()
    source.write_text("catchAll: true\n")
    daemons[0].until_it_says(f": {USED_UP.format('; ')}")
    line = next(line for line in daemons[0].lines if "quota" in line)
    assert line.startswith("cannot copy the configuration file: cannot create /etc/config/.")
    assert page(host, "/healthz") == (503, f"{line}\n")
    assert host.run("cat", COPY) == "catchAll: false\n"
    quota.give_back()
    source.write_text("catchAll: true\nmasqLinkLocal: true\n")
    daemons[0].until(lambda: host.run("cat", COPY) == "catchAll: true\nmasqLinkLocal: true\n")
    daemons[0].until(lambda: page(host, "/healthz") == (200, "ok\n"))
    daemons.pop().end()
    quota.use_up()
    host.tool("uninstall", "--conf-dir", "/etc/cni/net.d")
    assert host.run("find", "/etc/config", "-mindepth", "1", "!", "-name", ".used-*") == ""
