"""ip-masq doctor on a host: what it says, and its fixes as they are pasted."""

import json
import re
import subprocess

from harness.host import ROOT
from harness.network import ask

CLEAN = "nothing found that hides pods or could undo an exemption\n"
SUBNET_ENV = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ={}\n"
EXEMPT, ELSEWHERE = "10.9.9.9", "203.0.113.9"  # outside hosts; the first is in a listed network
PLAIN = {"cniVersion": "1.0.0", "name": "plain", "plugins": [{"type": "bridge", "bridge": "cni0", "ipam": {"type": "host-local"}}]}

EMPTY = ("for the list that pods get: no runtime's configuration is found, and there is none in /etc/cni/net.d; "
         "--conf-dir DIR or --flavour say where it is")
LOOPBACK = {"cniVersion": "1.0.0", "name": "loopback", "plugins": [{"type": "loopback"}]}


def finding_names():
    """All that doctor can find, as its source has them, by name."""
    source = "".join(path.read_text() for path in (ROOT / "lib/doctor").glob("*findings.cpp"))
    return sorted(set(re.findall(r'(?:(?:push_back|append)\(\s*\{|Finding \w+\{|Kind::\w+,|runs \?|:|off\()\s*"([a-z0-9]+(?:-[a-z0-9]+)+)"', source)))


def conflist(**entry):
    return {**PLAIN, "plugins": [*PLAIN["plugins"], {"type": "ip-masq", **entry}]}


def with_folder(argv):
    """Whoever asks says that the host's folder of lists is the one: there is no runtime that could. With --flavour nobody says so."""
    return argv if {"--conf-dir", "--flavour"} & set(argv) else ("--conf-dir", "/etc/cni/net.d", *argv)


def doctor(host, *argv):
    """(exit status, what it says in JSON)"""
    argv = with_folder(argv)
    done = subprocess.run(host.inside("env", f"PATH={host.env['PATH']}", host.bin / "ip-masq", "doctor", "-o", "json", *argv),
                          capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)


def findings(host, *argv):
    """{name: finding}; the exit status says whether any hurts, the first line of the text how the node is."""
    status, said = doctor(host, *argv)
    found = said["findings"]
    assert said["notLooked"] == []
    assert status == (1 if any(each["weight"] == "hurts" for each in found) else 0), found
    assert host.tool("doctor", *with_folder(argv), check=False).splitlines()[0] == said["summary"]
    assert all(each["fix"] and each["does"] and each["where"] for each in found)
    return {each["name"]: each for each in found}


def weights(host):
    return {name: each["weight"] for name, each in findings(host).items()}


def carry_out(host, *found):
    """Every line of a fix, pasted as it stands."""
    for finding in found:
        for line in finding["fix"]:
            host.run("sh", "-ec", line, env={**host.env, "PATH": f"{host.bin}:{host.env['PATH']}"})


def configure(site, pod, **entry):
    """The site's pod again, under other keys."""
    site.cnitool("del", "bridge-net", pod)
    conf = json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text())
    conf["plugins"][-1].update(entry)
    site.use_conflist(conf)
    site.cnitool("add", "bridge-net", pod)


# Whether both outside hosts answer, by TCP and by UDP; see heard().
ALL, TCP_DEAD, UDP_DEAD, NONE = (True,) * 4, (False, False, True, True), (True, True, False, False), (False,) * 4


def heard(host, pod):
    """Whether the listed host and the other one answer, by TCP and by UDP."""
    return tuple(bool(seen) for seen in ask(pod, *(f"{protocol}:{to}" for protocol in ("tcp", "udp") for to in (EXEMPT, ELSEWHERE))).values())


def put_rules(host, program, table, rules):
    for rule in rules:
        host.run(program, "-t", table, *rule.split())


def restore(host, program, table, *rules):
    host.restore_beside("\n".join([f"*{table}", *rules, "COMMIT", ""]), program=program)


def put_chain(host, family, hook, *rules):
    host.run("nft", "-f", "-", input="table %s theirs { chain base { type filter hook %s; %s; }; }" % (family, hook, "; ".join(rules)))
