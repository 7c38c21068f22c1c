"""Docker's masquerade rules: of the networks that daemon.json decides for, and of others."""

import ipaddress
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from files import Trouble, read
from rules import listed_by_nft, listing, run, tools

DOCKERS = re.compile(r"-A POSTROUTING -s (\S+) ! -o (\S+) -j (?:MASQUERADE|SNAT --to-source \S+)")
NAMED_BY_DOCKER = re.compile(r"docker0|docker_gwbridge|br-[0-9a-f]{12}")
DOCKERS_TABLE, OF_BRIDGE = "docker-bridges", "nat-postrouting-out__"  # of its nftables back end, and its chain of each bridge


def networks_by_interface():
    """{name: the networks that its addresses are of}"""
    done = subprocess.run(["ip", "-j", "address", "show"], capture_output=True, text=True, errors="surrogateescape")
    if done.returncode != 0:
        raise Trouble(f"cannot look at the interfaces: ip address show: {done.stderr.strip()}")
    return {link["ifname"]: {ipaddress.ip_network(f"{each['local']}/{each['prefixlen']}", strict=False)
                             for each in link.get("addr_info", []) if "local" in each}
            for link in json.loads(done.stdout)}


def asked_of_docker(*words):
    """Its lines; none where docker does not say."""
    try:
        done = subprocess.run(["docker", *words], capture_output=True, text=True, errors="surrogateescape", timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


def name_of_network(bridge):
    """As docker has it; None where docker does not say."""
    if NAMED_BY_DOCKER.fullmatch(bridge):
        network = bridge.removeprefix("br-")
        return "".join(asked_of_docker("network", "inspect", "--format", "{{.Name}}", network)) or network
    networks = asked_of_docker("network", "ls", "--quiet", "--filter", "driver=bridge")
    named = asked_of_docker("network", "inspect", "--format", '{{index .Options "com.docker.network.bridge.name"}} {{.Name}}', *networks)
    return next((line.split(" ", 1)[1] for line in named if line.split(" ", 1)[0] == bridge), None)


def bridges_in_dockers_chains():
    """Interfaces that chains of docker ask for, or that lead there, whatever users named them; DOCKER-USER is others'."""
    found = set()
    for tool in tools():
        is_there = "nft" in tool or "filter" in (read(Path(f"/proc/net/{tool.split('tables')[0]}_tables_names")) or "").split()
        for rule in [*listing(tool), *(listing(tool, "filter") if is_there else [])]:
            words = shlex.split(rule)
            asked = {words[at]: words[at + 1] for at in range(2, len(words) - 1) if words[at] in ("-i", "-o", "-j")}
            is_in_its_chain = words[0] == "-A" and words[1].startswith("DOCKER") and words[1] != "DOCKER-USER"
            if is_in_its_chain or asked.get("-j") == "DOCKER":
                found |= {asked[key] for key in ("-i", "-o") if key in asked and (is_in_its_chain or key == "-o")}
    return found


def rules_of_dockers_tables():
    """[(bridge, subnet, what deletes it)] of its nftables back end."""
    if not shutil.which("nft"):
        return []
    families = [each["table"]["family"] for each in listed_by_nft("tables") if each.get("table", {}).get("name") == DOCKERS_TABLE]
    found = []
    for rule in (each["rule"] for family in families for each in listed_by_nft("table", family, DOCKERS_TABLE) if "rule" in each):
        translates = any(key in part for part in rule["expr"] for key in ("masquerade", "snat"))
        if rule["chain"].startswith(OF_BRIDGE) and translates:
            if not re.fullmatch("[A-Za-z0-9_.-]+", rule["chain"]):  # nft would read it as more than a name
                raise Trouble(f"table {DOCKERS_TABLE} has a chain of a name that is none of docker's: {rule['chain']}")
            prefixes = [part["match"]["right"]["prefix"] for part in rule["expr"] if "prefix" in str(part.get("match", {}).get("right"))]
            subnet = " and ".join(f"{prefix['addr']}/{prefix['len']}" for prefix in prefixes)
            found.append((rule["chain"].removeprefix(OF_BRIDGE), subnet, ("nft", "delete", "rule", rule["family"], DOCKERS_TABLE, rule["chain"],
                                                                        "handle", str(rule["handle"]))))
    return found


def rules_in_iptables(there):
    """The same in iptables; `there`: as networks_by_interface() has it."""
    found, named = [], None
    for tool in tools():
        for rule in listing(tool):
            asked = DOCKERS.fullmatch(rule)
            if not asked or ipaddress.ip_network(asked[1]) not in there.get(asked[2], {ipaddress.ip_network(asked[1])}):
                continue
            if not NAMED_BY_DOCKER.fullmatch(asked[2]):
                named = bridges_in_dockers_chains() if named is None else named
                if asked[2] not in named:
                    continue
            found.append((asked[2], asked[1], (tool, "-w", "-t", "nat", "-D", *shlex.split(rule)[1:])))
    return found


def delete_docker_rules(options, default_bridge):
    """Those that docker does not set anew; of the networks that keep theirs, what to do."""
    there, keep, left = networks_by_interface(), {}, []
    found = rules_in_iptables(there)
    try:
        found += rules_of_dockers_tables()
    except Trouble as error:  # such as a kernel without nftables
        left.append(f"{error}: whether docker has rules there is not known")
    for bridge, subnet, deletion in found:
        if bridge == default_bridge or bridge not in there:
            run(options, *deletion)
        else:
            keep.setdefault(bridge, []).append(subnet)
    return left + [what_keeps(bridge, list(dict.fromkeys(subnets))) for bridge, subnets in keep.items()]


def what_keeps(bridge, subnets):
    name = name_of_network(bridge)
    network = f"network {name} ({bridge})" if name else f"network that has com.docker.network.bridge.name {bridge}"
    name = shlex.quote(name or "ITS_NAME")
    return (f"docker's {network} masquerades {' and '.join(subnets)}, and daemon.json does not decide that: make it anew (docker network rm {name}, "
            f"then docker network create with what docker network inspect {name} shows and "
            "-o com.docker.network.bridge.enable_ip_masquerade=false)")
