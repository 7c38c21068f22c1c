"""Docker's networks in its own nftables tables (docker 29), and bridges that users named: doctor and scripts/snat-off know them, and touch
nobody else's."""

import json
import subprocess

import pytest
from harness.daemons import Dockerd
from harness.doctor import LOOPBACK, findings
from harness.host import ROOT
from harness.network import Outside, Pod, ask, make_bridge

OUTSIDE = "10.9.9.9"
NAMED = "docker's network that has com.docker.network.bridge.name app0"
ANEW = "-o com.docker.network.bridge.enable_ip_masquerade=false"

# As docker 29 writes them with "firewall-backend": "nftables".
BRIDGES = """table ip docker-bridges {
	map nat-postrouting-in-jumps { type ifname : verdict; elements = { %(in)s } }
	map nat-postrouting-out-jumps { type ifname : verdict; elements = { %(out)s } }
	chain nat-POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
		iifname vmap @nat-postrouting-out-jumps
		oifname vmap @nat-postrouting-in-jumps
	}
	%(chains)s
}
"""
CHAINS = """chain nat-postrouting-in__{bridge} { fib saddr type local counter masquerade comment "MASQUERADE FROM HOST"; }
	chain nat-postrouting-out__{bridge} { oifname != "{bridge}" ip saddr {subnet} counter masquerade comment "MASQUERADE"; }"""


def docker_29(networks):
    """`networks`: {bridge: subnet}"""
    def jumps(way):
        return ", ".join(f'"{bridge}" : jump nat-postrouting-{way}__{bridge}' for bridge in networks)
    chains = "\n\t".join(CHAINS.replace("{bridge}", bridge).replace("{subnet}", subnet) for bridge, subnet in networks.items())
    return BRIDGES % {"in": jumps("in"), "out": jumps("out"), "chains": chains}


def snat_off(host, *argv):
    """(exit status, output, errors)"""
    done = subprocess.run(host.inside("python3", "-B", ROOT / "scripts/snat-off", "docker", *argv), capture_output=True, text=True, env=host.env)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def site(host):
    host.sysctl(net__ipv4__ip_forward=1)
    host.write("/etc/cni/net.d/200-loopback.conflist", json.dumps(LOOPBACK))
    host.outside = Outside(host, [OUTSIDE], ["172.17.0.0/16", "10.5.0.0/16", "10.6.0.0/16"])
    yield host
    host.outside.close()


def container(host, bridge, address, gateway):
    made = Pod(host, f"on-{bridge}", f"{address}/16", bridge=bridge)
    made.route_through(gateway)
    return made


def seen(pod):
    return ask(pod.namespace, f"tcp:{OUTSIDE}")[f"tcp:{OUTSIDE}"]


# Others': a table of one's own, and a chain beside docker's.
THEIRS = """table ip theirs { chain nat-postrouting-out__docker0 { type nat hook postrouting priority srcnat + 5; oifname != "docker0" ip saddr 172.17.0.0/16 ip daddr 192.0.2.1 masquerade; }; }
table ip docker-bridges { chain mine { ip saddr 172.17.0.0/16 masquerade; }; }
"""


def test_tables_of_docker_29(site):
    for bridge, address in (("docker0", "172.17.0.1/16"), ("app0", "10.5.0.1/16")):
        make_bridge(site, address, name=bridge)
    of_default, of_user = container(site, "docker0", "172.17.0.5", "172.17.0.1"), container(site, "app0", "10.5.0.5", "10.5.0.1")
    site.run("nft", "-f", "-", input=docker_29({"docker0": "172.17.0.0/16", "app0": "10.5.0.0/16", "gone0": "10.7.0.0/16"}) + THEIRS)
    assert [seen(of_default), seen(of_user)] == [Outside.NODE[4]] * 2
    found = findings(site)["docker-masquerade"]
    rules = [where.split(": ", 1)[1] for where in found["where"]]
    assert rules == [f"-s {subnet} ! -o {bridge} -m comment --comment 'MASQUERADE' -j MASQUERADE"
                     for bridge, subnet in (("docker0", "172.17.0.0/16"), ("app0", "10.5.0.0/16"), ("gone0", "10.7.0.0/16"))]
    assert found["fix"][0].startswith("# scripts/snat-off docker ")
    assert [fix.rsplit(" ", 1)[0] for fix in found["fix"][1:3]] == [
        f"nft delete rule ip docker-bridges nat-postrouting-out__{bridge} handle" for bridge in ("docker0", "gone0")]
    assert found["fix"][3:] == [f"# daemon.json does not decide for the network of app0: make it anew with what docker network inspect shows of "
                                f"the network that has com.docker.network.bridge.name app0, and {ANEW}"]

    before = site.run("nft", "-s", "list", "ruleset")
    status, said, errors = snat_off(site, "--dry-run")
    assert status == 1 and said.count("would run: nft delete rule ip docker-bridges nat-postrouting-out__") == 2
    assert errors.startswith(f"snat-off: {NAMED} masquerades 10.5.0.0/16, and daemon.json does not decide that: ") and ANEW in errors
    assert site.run("nft", "-s", "list", "ruleset") == before
    assert snat_off(site)[0] == 1
    gone = [f'\t\toifname != "{bridge}" ip saddr {subnet} counter masquerade comment "MASQUERADE"\n'
            for bridge, subnet in (("docker0", "172.17.0.0/16"), ("gone0", "10.7.0.0/16"))]
    assert all(rule in before for rule in gone)
    assert site.run("nft", "-s", "list", "ruleset") == before.replace(gone[0], "").replace(gone[1], "")
    assert [seen(of_default), seen(of_user)] == ["172.17.0.5", Outside.NODE[4]]
    for pod in (of_default, of_user):
        pod.close()


# Of people who keep bridges of their own beside docker's, and let them through its chain for users.
OTHERS = ["-s 10.6.0.0/16 ! -o lan0 -j MASQUERADE", "-s 10.5.0.0/17 ! -o app0 -j MASQUERADE",
          "-s 10.5.0.0/16 ! -o app0 -m comment --comment mine -j MASQUERADE"]


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_bridges_that_users_of_docker_named(site, daemons, kind):
    site.use_iptables(kind)
    daemons.append(Dockerd(site))
    site.env["DOCKER_HOST"] = daemons[-1].socket
    site.run("docker", "network", "create", "--subnet", "10.5.0.0/16", "-o", "com.docker.network.bridge.name=app0", "my app", env=site.env)
    make_bridge(site, "10.6.0.1/16", name="lan0")
    for rule in OTHERS:
        site.run("iptables", "-t", "nat", "-A", "POSTROUTING", *rule.split(), env=site.env)
    site.run("iptables", "-I", "DOCKER-USER", "-i", "lan0", "-j", "ACCEPT", env=site.env)

    def postrouting():
        rules = site.run("iptables", "-t", "nat", "-S", "POSTROUTING", env=site.env).splitlines()
        return sorted(rule.removeprefix("-A POSTROUTING ") for rule in rules[1:])

    of_app, of_docker0 = "-s 10.5.0.0/16 ! -o app0 -j MASQUERADE", "-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"
    assert postrouting() == sorted([*OTHERS, of_app, of_docker0])
    found = findings(site)["docker-masquerade"]
    assert sorted(where.split("POSTROUTING", 1)[1].split("-s", 1)[1] for where in found["where"]) == sorted(rule[2:] for rule in (of_app, of_docker0))
    assert found["fix"][-1] == ("# daemon.json does not decide for the network of app0: make it anew with what docker network inspect shows of the "
                                f"network that has com.docker.network.bridge.name app0, and {ANEW}")
    status, _, errors = snat_off(site)
    assert (status, errors) == (1, (
        "snat-off: docker's network my app (app0) masquerades 10.5.0.0/16, and daemon.json does not decide that: make it anew (docker network rm "
        f"'my app', then docker network create with what docker network inspect 'my app' shows and {ANEW})\n"))
    assert postrouting() == sorted([*OTHERS, of_app])
