"""What can happen to a node. A step returns what it did, None where there was nothing to do it to."""

import fcntl
import ipaddress
import json
import shutil
from dataclasses import dataclass
from typing import Callable

from folder import NAMES, TEXTS
from lists import frozen
from model import TRY_AGAIN, WRONG_CONFIG, Pod
from node_under_walk import CLIENTS

STEPS = {}

HIGHEST_HOST = 240
MOST_PODS = 12


@dataclass
class Step:
    weight: float
    do: Callable


def step(kind, weight):
    def enter(function):
        STEPS[kind] = Step(weight, function)
        return function
    return enter


def remove_state(model):
    while True:  # an agent may write while we remove
        shutil.rmtree(model.node.state, ignore_errors=True)
        if not model.node.agent_is_on() or not any(model.networks.keys() & {path.name for path in model.node.state.glob("*")}):
            return


# ---- pods

SUBNETS = {"cbr0": (("10.244.1.{}/24",), ("10.244.1.{}/24", "fd00:10:244:1::{:x}/64"), ("fd00:10:244:1::{:x}/64",)),
           "second": (("10.245.1.{}/24",), ("10.245.1.{}/24", "fd00:10:245:1::{:x}/64"))}
SINGLE = (("10.247.0.{}/32",), ("10.247.0.{}/32", "fd00:10:247::{:x}/128"),
          ("10.244.1.{}/32",))  # inside a pod subnet
COMMON = (("10.246.1.{}/24",),)
# Namespaces, and the policy that a pod there asks for.
SPACES = (("", ""), ("", "partner"), ("default", ""), ("payments", ""), ("payments", "open"), ("team-a", ""), ("batch-1", "partner"), ("other", "partner"),
          ("default", "\x1b[2J"))


def new_pod(model, draw, forms=None):
    """`forms`: of its addresses, one of them; those of its network where they are left out."""
    network = draw.choice(list(model.networks))
    taken = {address for pod in (*model.pods.values(), *model.limbo.values()) for address, _ in pod.pairs}
    form = draw.choice(forms or SUBNETS[network])
    while True:
        model.born += 1
        host = 80 + model.born % (HIGHEST_HOST - 80)
        addresses = tuple(text.format(host) for text in form)
        if not any(str(ipaddress.ip_interface(address).ip) in taken for address in addresses):
            return Pod(f"pod{model.born}", network, addresses, *draw.choice(SPACES))


def a_pod(model, draw):
    return draw.choice(list(model.pods.values())) if model.pods else None


def described(pod):
    return f"{pod.name} of {pod.network}, {' '.join(pod.addresses)}"


def comes(model, draw, forms=None):
    if len(model.pods) >= MOST_PODS:
        return None
    pod = new_pod(model, draw, forms)
    return f"ADD of {described(pod)}: {model.add(pod)}"


@step("pod comes", 10)
def pod_comes(model, draw):
    return comes(model, draw)


@step("pod with a subnet of its own comes", 4)
def pod_alone_comes(model, draw):
    return comes(model, draw, SINGLE)


@step("pod comes to a subnet of both networks", 4)
def pod_comes_to_common_subnet(model, draw):
    return comes(model, draw, COMMON)


@step("pod comes again", 4)
def pod_comes_again(model, draw):
    pods = [*model.pods.values(), *model.limbo.values()]
    if not pods:
        return None
    pod = draw.choice(pods)
    return f"ADD of {described(pod)}, which was there: {model.add(pod)}"


@step("pod goes", 9)
def pod_goes(model, draw):
    pod = a_pod(model, draw)
    return pod and f"DEL of {described(pod)}: {model.delete(pod)}"


@step("pod goes again", 3)
def pod_goes_again(model, draw):
    pod = draw.choice([Pod("nobody", draw.choice(list(model.networks)), ("10.244.1.250/24",)), *model.limbo.values()])
    return f"DEL of {described(pod)}, which is gone: {model.delete(pod)}"


@step("pod is checked", 4)
def pod_is_checked(model, draw):
    pod = a_pod(model, draw)
    return pod and f"CHECK of {described(pod)}: {model.check(pod)}"


@step("STATUS", 2)
def status(model, draw):
    network = draw.choice(list(model.networks.values()))
    return f"STATUS of {network.name}: {model.status(network)}"


@step("GC", 2)
def gc(model, draw):
    network, more = draw.choice(list(model.networks.values())), draw.choice([[], ["long-gone"]])
    return f"GC of {network.name} with all that live and {more}: {model.collect(network, more=more)}"


@step("GC with one list", 1)
def gc_with_one_list(model, draw):
    network, key = draw.choice(list(model.networks.values())), draw.choice(["cni.dev/valid-attachments", "cni.dev/attachments"])
    return f"GC of {network.name} with all that live, in {key} alone: {model.collect(network, keys=[key])}"


@step("GC forgets a pod", 1)
def gc_forgets(model, draw):
    pod = a_pod(model, draw)
    return pod and f"GC of {pod.network} without {pod.name}: {model.collect(model.networks[pod.network], gone=[pod])}"


@step("everyone leaves", 1)
def everyone_leaves(model, draw):
    write_config(model, {}, "")
    write_flannel(model, None, "")
    was_damaged = model.is_lost or any(network.is_cut for network in model.networks.values())
    for pod in (*model.pods.values(), *model.limbo.values()):
        model.delete(pod)
    if was_damaged:
        model.is_lost = True
        if draw.random() < 0.5:
            reply = model.node.tool("uninstall", "--rules", "--conf-dir", model.node.conf_dir)
            if reply.status != 0:
                model.wrong(f"uninstall --rules: {reply}")
        else:
            for network in model.networks.values():
                model.collect(network)
        remove_state(model)
        model.is_lost = False
        for network in model.networks.values():
            network.is_cut = network.is_lost = False
    model.look_for_leftovers("after everyone left")
    model.users.clear()
    for network in model.networks.values():
        network.is_intact = True
        network.recorded, network.candidates = set(), set()
    return "everyone left"


# ---- what is written

NETCONFS = ({}, {"nonMasqueradeCIDRs": []}, {"nonMasqueradeCIDRs": ["10.9.0.0/16", "203.0.113.0/24"]}, {"nonMasqueradeCIDRs": ["fd00::/8"]},
            {"nonMasqueradeCIDRs": ["10.0.0.0/8", "2001:db8:9::/48"], "masqueradeCIDRs": ["10.1.2.0/24"]},
            {"masqueradeCIDRs": ["10.1.2.0/24", "fd00:1:2::/48"]}, {"catchAll": False}, {"catchAll": False, "masqueradeCIDRs": ["10.1.2.0/24"]},
            {"snatTo": ["198.18.0.99"]}, {"snatTo": ["198.18.0.98", "2001:db8:18::98"], "randomFully": False},
            {"nonMasqueradeCIDRs": ["198.18.0.0/24", "172.16.0.0/12"], "masqLinkLocal": True}, {"toPorts": "2000-2999"},
            {"snatTo": ["198.18.0.98", {"address": "198.18.0.99", "interface": "uplink0"}, {"address": "2001:db8:18::98", "interface": "uplink9"}]},
            {"dropInvalid": False}, {"dropInvalid": False, "masqueradeCIDRs": ["10.1.2.0/24"]},
            {"changedFlows": "all"}, {"changedFlows": "keep", "masqueradeCIDRs": ["10.1.2.0/24"]})
PARTNER = {"name": "partner", "namespaces": ["payments", "team-*"], "annotated": ["batch-?"], "snatTo": ["198.18.0.99"],
           "nonMasqueradeCIDRs": ["203.0.113.0/24", "2001:db8:9::/48"]}
OPEN = {"name": "open", "namespaces": [], "annotated": ["*"], "catchAll": False, "masqueradeCIDRs": ["10.1.2.0/24"]}
POLICIES = ({"policies": [PARTNER]}, {"policies": [OPEN, PARTNER], "catchAll": False}, {"policies": [{**PARTNER, "namespaces": ["*"], "annotated": []}, OPEN]},
            {"policies": [{**PARTNER, "dropInvalid": False, "snatTo": []}], "nonMasqueradeCIDRs": ["10.9.0.0/16"]}, {"policies": []},
            {"policies": [{**OPEN, "namespaces": ["default", "payments"]}]})
NETCONFS = (*NETCONFS, *POLICIES)
WRONG_NETCONFS = ({"nonMasqueradeCIDRs": ["10.9.0.1/16"]}, {"nonMasqueradeCIDRs": "10.0.0.0/8"}, {"masqueradeCIDRs": ["9.0.0.0/99"]},
                  {"catchAll": "no"}, {"nonMasqueradeCIDRs": ["10.0.0.0/8"], "masqueradeCIDRs": ["10.0.0.0/8"]}, {"snatTo": "198.18.0.99"},
                  {"toPorts": "5-1"}, {"snatTo": ["198.18.0.99-198.18.0.98"]}, {"snatTo": [{"address": "198.18.0.99", "interface": "eth+"}]}, {"dropInvalid": "no"}, {"changedFlows": "tcp"},
                  {"policies": [PARTNER, PARTNER]}, {"policies": [{**PARTNER, "namespaces": ["Payments"]}]}, {"policies": [{**PARTNER, "stateDir": "/run"}]})
FILES = (*NETCONFS[1:9], *POLICIES, {"nonMasqueradeCIDRs": ["10.9.9.0/24"], "catchAll": True}, {"masqLinkLocal": True},
         {"nonMasqueradeCIDRs": ["8.8.8.0/24", "fd00:9::/32"], "catchAll": False}, {"dropInvalid": False},
         {"changedFlows": "all", "nonMasqueradeCIDRs": ["10.9.0.0/16"]})
WRONG_FILES = ("nonMasqueradeCIDRs: [10.9.0.1/16]\n", "nonMasqueradeCIDRs:\n- 9.0.0.0/99\n", "nonMasqueradeCIDRs: [10.0.0.0/8\n",
               "nonMasqueradeCIDRs:\n-10.9.0.0/16\n", "nonMasqueradeCIDRs: 10.0.0.0/8\n", "catchAll: 'no'\n", "dropInvalid: 'no'\n", "\tnonMasqueradeCIDRs: []\n",
               "nonMasqueradeCIDRs: []\n---\nnonMasqueradeCIDRs: [10.0.0.0/8]\n", "nonMasqueradeCIDRs: [ten]\n", "- 10.0.0.0/8\n",
               "masqLinkLocal: perhaps\n", '{"nonMasqueradeCIDRs": ["10.0.0.0/8"', "nonMasqueradeCIDRs: ['::ffff:35.100.0.0/112']\n",
               "cidrLimit: 1\nnonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12]\n",
               "nodes: [{match: of-another.node, nonMasqueradeCIDRs: [10.9.0.1/16]}]\n",
               "policies: [{name: partner, namespaces: [payments], nonMasqueradeCIDRs: [10.9.0.1/16]}]\n", "policies: [{name: 'a b', namespaces: []}]\n")


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def put(path, text):
    """As a careful editor does it: all at once."""
    new = path.parent / ".new"
    new.write_text(text)
    if path.is_dir():
        remove(path)
    new.rename(path)


def agent_may_follow(model):
    if model.node.agent_is_on():
        model.can_apply()


def write_config(model, meaning, text):
    """`meaning`: keys, None where it is wrong; `text`: "" for no file."""
    agent_may_follow(model)
    if text:
        put(model.node.config, text)
    else:
        remove(model.node.config)
    model.file = None if meaning is None else frozen(meaning)
    agent_may_follow(model)


def as_text(keys, draw):
    if draw.random() < 0.2:
        beside = draw.choice(FILES)
        sections = [{"match": "*", **keys}, {"match": "of-another.node", **beside}]
        return json.dumps({**draw.choice([{}, keys]), "nodes": draw.sample(sections, 2)}) + "\n"
    if draw.random() < 0.3:
        return json.dumps(keys, indent=draw.choice([None, 2])) + "\n"
    lines = []
    for key, value in keys.items():
        if isinstance(value, list) and value and draw.random() < 0.5:
            lines += [f"{key}:", *(f"- {json.dumps(item)}" for item in value)]
        else:
            lines.append(f"{key}: {json.dumps(value)}")
    return "\n".join(lines) + "\n"


@step("netconf changes", 3)
def netconf_changes(model, draw):
    network = draw.choice(list(model.networks.values()))
    network.keys = draw.choice(NETCONFS)
    return f"the netconf of {network.name} says {network.keys}, from the next call on"


@step("netconf is wrong", 2)
def netconf_is_wrong(model, draw):
    pod = new_pod(model, draw)
    network = model.networks[pod.network]
    keys, network.keys = network.keys, draw.choice(WRONG_NETCONFS)
    wrong = network.keys
    reply = model.node.call("ADD", model.netconf(network), pod.name, prevResult=model.result(pod))
    network.keys = keys
    if reply.code != WRONG_CONFIG:
        model.wrong(f"ADD with a wrong netconf, {wrong}: {reply}")
    model.can_apply()
    return f"ADD of {described(pod)} with {wrong}: {model.told(reply)}"


@step("file changes", 4)
def file_changes(model, draw):
    keys = draw.choice(FILES)
    text = as_text(keys, draw)
    write_config(model, keys, text)
    return f"the file says {text!r}"


@step("file is wrong", 3)
def file_is_wrong(model, draw):
    text = draw.choice(WRONG_FILES)
    write_config(model, None, text)
    return f"the file says {text!r}, which is wrong"


@step("file goes", 1)
def file_goes(model, draw):
    write_config(model, {}, "")
    return "there is no file"


FOLDERS = (({"ip-masq-a": "nonMasqueradeCIDRs: [10.9.0.0/16]\n", "ip-masq-b": "nonMasqueradeCIDRs: [203.0.113.0/24]\n", "other": "a: [\n"},
            {"nonMasqueradeCIDRs": ["10.9.0.0/16", "203.0.113.0/24"]}),
           ({"ip-masq-a": "nonMasqueradeCIDRs: [10.0.0.0/8]\n", "ip-masq-b": "catchAll: false\n"},
            {"nonMasqueradeCIDRs": ["10.0.0.0/8"], "catchAll": False}),
           ({"ip-masq-a": "{}\n", "readme": "nothing\n"}, {}),
           ({"ip-masq-a": "catchAll: perhaps\n", "ip-masq-b": "catchAll: true\n"}, None))


@step("file is a folder", 1)
def file_is_a_folder(model, draw):
    files, meaning = draw.choice(FOLDERS)
    agent_may_follow(model)
    new = model.node.config.parent / ".new-folder"
    new.mkdir()
    for name, text in files.items():
        (new / name).write_text(text)
    remove(model.node.config)
    # Between the two there is no file, and an agent may see that.
    model.file = ()
    agent_may_follow(model)
    new.rename(model.node.config)
    model.file = None if meaning is None else frozen(meaning)
    agent_may_follow(model)
    return f"the file is a folder of {files}"


FLANNELS = (("10.244.0.0/16",), ("10.244.0.0/16", "fd00:10:244::/48"), ("100.64.0.0/10",), ("10.240.0.0/12",))
WRONG_FLANNELS = ("FLANNEL_NETWORK=10.244.0.0/99\n", "FLANNEL_NETWORK=ten\nFLANNEL_IPMASQ=false\n",
                  "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_IPV6_NETWORK=fd00:10:244::/200\n")


def write_flannel(model, networks, text):
    agent_may_follow(model)
    if text:
        put(model.node.subnet_file, text)
    else:
        remove(model.node.subnet_file)
    model.flannel = () if not text else networks
    agent_may_follow(model)


@step("flannel changes", 2)
def flannel_changes(model, draw):
    networks = draw.choice(FLANNELS)
    lines = [f"FLANNEL_{'IPV6_' if ':' in network else ''}NETWORK={network}" for network in networks]
    write_flannel(model, networks, "\n".join([*lines, "FLANNEL_SUBNET=10.244.1.1/24", "FLANNEL_MTU=1450", "FLANNEL_IPMASQ=false", ""]))
    return f"flannel's networks are {networks}"


@step("flannel is wrong", 1)
def flannel_is_wrong(model, draw):
    text = draw.choice(WRONG_FLANNELS)
    write_flannel(model, None, text)
    return f"subnet.env says {text!r}, which is wrong"


@step("flannel goes", 1)
def flannel_goes(model, draw):
    write_flannel(model, None, "")
    return "there is no subnet.env"


# ---- other programs' rules

RULES = {4: ("-s 10.244.0.0/14 -j MASQUERADE", "-s 10.0.0.0/8 ! -d 10.0.0.0/8 -j MASQUERADE", "-j MASQUERADE --random-fully",
             "-s 10.244.0.0/14 -d 203.0.113.0/24 -j SNAT --to-source 198.18.0.77", "-d 10.9.9.9/32 -j RETURN", "-s 10.244.0.0/14 -j ACCEPT"),
         6: ("-s fd00:10::/32 -j MASQUERADE", "-d fd00:9::9/128 -j RETURN")}


@step("others' rule in legacy iptables", 4)
def legacy_rule(model, draw):
    family = draw.choice([4, 4, 6])
    model.may_be_open.add(family)
    rule, verb = draw.choice(RULES[family]).split(), draw.choice(["-A", "-A", "-I"])
    model.node.legacy(verb, "POSTROUTING", *rule, family=family)
    name = f"legacy {len(model.foreign)} {model.born} {' '.join(rule)}"
    model.foreign[name] = ("legacy", lambda: model.node.legacy("-D", "POSTROUTING", *rule, family=family, check=False))
    if verb == "-I":
        model.damaged()
    model.others_changed()
    return f"iptables-legacy -t nat {verb} POSTROUTING {' '.join(rule)} (IPv{family})"


@step("others' chain in legacy iptables", 1)
def legacy_chain(model, draw):
    if "flannel" in model.foreign:
        return None
    lines = ("-N FLANNEL-POSTRTG", "-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN",
             "-A FLANNEL-POSTRTG -s 10.244.0.0/14 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully", "-A POSTROUTING -j FLANNEL-POSTRTG")
    model.may_be_open.add(4)
    for line in lines:
        model.node.legacy(*line.split())

    def go():
        for line in ("-D POSTROUTING -j FLANNEL-POSTRTG", "-F FLANNEL-POSTRTG", "-X FLANNEL-POSTRTG"):
            model.node.legacy(*line.split(), check=False)
    model.foreign["flannel"] = ("legacy", go)
    model.others_changed()
    return "flannel's chain in legacy iptables"


def nft_chain(model, draw, place, priority):
    name = draw.choice(["walk1", "walk2"]) + place
    if name in model.foreign:
        return None
    family = draw.choice(["ip", "ip", "ip6", "inet"])
    rule = draw.choice({"ip": ("ip saddr 10.0.0.0/8 masquerade", "ip daddr 192.0.2.1 masquerade", "masquerade fully-random"),
                        "ip6": ("masquerade",), "inet": ("masquerade", "ip saddr 10.244.0.0/14 return")}[family])
    model.node.nft(f"table {family} {name} {{ chain post {{ type nat hook postrouting priority {priority}; {rule}\n }}\n }}\n")
    model.foreign[name] = (place, lambda: model.node.nft(f"delete table {family} {name}\n", check=False))
    model.damaged()
    model.others_changed()
    return f"table {family} {name}, a nat chain at {priority}: {rule}"


@step("others' chain in nftables", 2)
def nft_chain_after(model, draw):
    return nft_chain(model, draw, "nft", "srcnat")


@step("others' chain in nftables, before ours", 1)
def nft_chain_before(model, draw):
    return nft_chain(model, draw, "before", "srcnat - 10")


@step("others' rule in iptables-nft", 1)
def iptables_nft_rule(model, draw):
    if "iptables-nft" in model.foreign:
        return None
    rule = draw.choice(RULES[4]).split()
    model.node.iptables_nft("-A", "POSTROUTING", *rule)
    model.foreign["iptables-nft"] = ("nft", lambda: model.node.nft("delete table ip nat\n", check=False))
    model.damaged()
    model.others_changed()
    return f"iptables-nft -t nat -A POSTROUTING {' '.join(rule)}"


@step("others' rules go", 6)
def others_go(model, draw):
    if not model.foreign:
        return None
    name = draw.choice(list(model.foreign))
    place, go = model.foreign.pop(name)
    go()
    if place != "legacy":
        model.damaged()  # where auto is on iptables, or was about to leave it
    model.others_changed()
    return f"no more {name}"


# ---- damage to our tables

def flush_nftables(model, draw):
    model.node.nft("flush ruleset\n")
    for name in [name for name, (place, _) in model.foreign.items() if place != "legacy"]:
        del model.foreign[name]
    return "nft flush ruleset"


def flush_legacy(model, draw):
    done = []
    for family in model.node.legacy_families():
        model.node.legacy("-F", family=family)
        done.append(f"iptables-legacy -t nat -F (IPv{family})")
    for name in [name for name, (place, _) in model.foreign.items() if place == "legacy"]:
        model.foreign.pop(name)[1]()
    return ", ".join(done)


def our_chains(model, family):
    return [line.split()[0][1:] for line in model.node.save(family).splitlines() if line.startswith(":IP-MASQ-")]


def flush_our_chain(model, draw):
    for family in model.node.legacy_families():
        chains = our_chains(model, family)
        if chains:
            chain = draw.choice(chains)
            model.node.legacy("-F", chain, family=family)
            return f"iptables-legacy -t nat -F {chain}"
    return flush_our_nft_chain(model, draw)


def flush_our_nft_chain(model, draw):
    table = model.node.rules()[0]["nftables"]
    chains = [line.split()[1] for line in table if line.startswith("\tchain ")]
    if not chains:
        return None
    chain = draw.choice(chains)
    model.node.nft(f"flush chain inet ip-masq {chain}\n")
    return f"nft flush chain inet ip-masq {chain}"


def delete_our_rule(model, draw):
    for family in model.node.legacy_families():
        rules = [line for line in model.node.save(family).splitlines() if line.startswith("-A IP-MASQ-")]
        if rules:
            chain = draw.choice(rules).split()[1]
            model.node.legacy("-D", chain, "1", family=family)
            return f"iptables-legacy -t nat -D {chain} 1"
    return empty_our_set(model, draw)


def empty_our_set(model, draw):
    table = model.node.rules()[0]["nftables"]
    sets = [line.split()[:2] for line in table if line.startswith(("\tset ", "\tmap "))]
    if not sets:
        return None
    kind, name = draw.choice(sets)
    model.node.nft(f"flush {kind} inet ip-masq {name}\n")
    return f"nft flush {kind} inet ip-masq {name}"


def move_our_jump(model, draw):
    for family in model.node.legacy_families():
        jumps = [line for line in model.node.save(family).splitlines() if line.startswith("-A POSTROUTING") and "IP-MASQ-PODS" in line]
        if jumps:
            model.node.legacy("-D", "POSTROUTING", "-m", "comment", "--comment", "ip-masq: pod egress", "-j", "IP-MASQ-PODS", family=family)
            model.node.legacy("-A", "POSTROUTING", "-m", "comment", "--comment", "ip-masq: pod egress", "-j", "IP-MASQ-PODS", family=family)
            return "our jump is the last"
    return None


def delete_our_table(model, draw):
    if not model.node.rules()[0]["nftables"]:
        return None
    model.node.nft("delete table inet ip-masq\n")
    return "nft delete table inet ip-masq"


@step("our rules are damaged", 5)
def damage(model, draw):
    done = draw.choice([flush_nftables, flush_legacy, flush_our_chain, flush_our_nft_chain, delete_our_rule, empty_our_set, move_our_jump,
                        delete_our_table])(model, draw)
    if done:
        model.damaged()
        model.others_changed()
    return done


# ---- locks and kills

@step("a lock is held", 3)
def lock_is_held(model, draw):
    name = draw.choice(sorted(model.node.locks))
    if not model.node.state.is_dir():
        return None
    verb = draw.choice(["ADD", "ADD", "DEL", "CHECK", "GC"])
    pod = a_pod(model, draw) if verb != "ADD" else new_pod(model, draw, draw.choice([None, SINGLE]))
    if pod is None:
        return None
    hurry = {"timeout": "40ms", "may": [TRY_AGAIN]}
    with open(model.node.locks[name], "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if verb == "ADD":
            told = model.add(pod, **hurry)
        elif verb == "DEL":
            told = model.delete(pod, **hurry)
        elif verb == "CHECK":
            told = model.check(pod, **hurry)
        else:
            told = model.collect(model.networks[pod.network], **hurry)
    return f"with the {name} lock held: {verb} of {described(pod)}: {told}"


# With how many of each a call makes, about.
SYSTEM_CALLS = (("sendmsg", 4), ("sendto", 1), ("setsockopt", 6), ("rename", 2), ("openat", 16), ("close", 16), ("write", 3), ("flock", 2),
                ("unlink", 1), ("recvmsg", 4), ("fsync", 1), ("mkdir", 3), ("getsockopt", 2), ("read", 7))


@step("a call is killed", 4)
def call_is_killed(model, draw):
    syscall, most = draw.choice(SYSTEM_CALLS)
    killed_at = syscall, draw.randint(1, most)
    verb = draw.choice(["ADD", "ADD", "ADD again", "DEL", "GC", "sync"])
    pod = new_pod(model, draw, draw.choice([None, SINGLE])) if verb == "ADD" else a_pod(model, draw)
    if pod is None:
        return None
    if verb == "sync":
        told = model.sync(killed_at)
    elif verb == "GC":
        told = model.collect(model.networks[pod.network], killed_at=killed_at)
    elif verb == "DEL":
        told = model.delete(pod, killed_at=killed_at)
    else:
        told = model.add(pod, killed_at=killed_at)
    return f"{verb} of {described(pod)}, killed at {syscall} {killed_at[1]}: {told}"


# ---- records

def lose(model, pod, is_protected):
    network = model.networks[pod.network]
    if pod.is_recorded:
        pod.before = frozenset(network.candidates)
        pod.is_protected = is_protected and network.is_intact and pod.is_whole
    pod.is_recorded = False


@step("state is lost", 1)
def state_is_lost(model, draw):
    if not model.node.state.is_dir():
        return None
    for pod in model.pods.values():
        lose(model, pod, True)
    for network in model.networks.values():
        network.is_lost = bool(network.recorded)
        network.is_cut = False
    model.is_lost = True
    remove_state(model)
    return "stateDir is removed"


def a_record(model, draw):
    pod = a_pod(model, draw)
    record = pod and model.node.record_of(pod.network, pod.name)
    return (pod, record) if record else (None, None)


@step("a record is lost", 1)
def record_is_lost(model, draw):
    pod, record = a_record(model, draw)
    if not pod:
        return None
    lose(model, pod, False)
    model.is_lost = model.networks[pod.network].is_cut = True
    record.unlink()
    return f"{record.relative_to(model.node.state)} is removed"


@step("a record is cut", 1)
def record_is_cut(model, draw):
    pod, record = a_record(model, draw)
    if not pod or record.stat().st_size == 0:
        return None
    lose(model, pod, False)
    model.is_lost = model.networks[pod.network].is_cut = True
    with open(record, "r+b") as file:
        file.truncate(draw.randrange(record.stat().st_size))
    return f"{record.relative_to(model.node.state)} is cut to {record.stat().st_size} bytes"


@step("network.json is damaged", 1)
def network_file_is_damaged(model, draw):
    found = sorted(model.node.state.glob("*/network.json"))
    if not found:
        return None
    record = draw.choice(found)
    network = model.networks[record.parent.name]
    network.is_cut = True
    model.is_lost = True
    text = draw.choice(["", "{", "[]", '{"backend": "ebtables"}', record.read_text()[:-2]])
    record.write_text(text)
    return f"{record.relative_to(model.node.state)} says {text!r}"


@step("a stray file", 1)
def stray_file(model, draw):
    folders = [folder for folder in (model.node.state, *(model.node.state / name for name in model.networks)) if folder.is_dir()]
    if not folders:
        return None
    stray = draw.choice(folders) / draw.choice(["network.json~", ".swp", "notes.txt"])
    stray.write_text(draw.choice(["", "{}", "something\n"]))
    return f"{stray.relative_to(model.node.state)} is written"


# ---- conflists, and the program


@step("a conflist is written", 2)
def conflist_is_written(model, draw):
    name, text = draw.choice(NAMES), draw.choice(TEXTS)
    model.folder.write(name, text)
    return f"{name} says {text!r}"


@step("a conflist goes", 1)
def conflist_goes(model, draw):
    if not model.folder.written:
        return None
    name = draw.choice(sorted(model.folder.written))
    model.folder.remove(name)
    return f"there is no {name}"


@step("the program is gone", 1)
def program_is_gone(model, draw):
    program = model.node.bin_dir / "ip-masq"
    if not program.exists():
        return None
    program.unlink()
    return f"there is no {program}"


def must_be_installed(model, reply):
    """It adopts pods as well, and says where it could not."""
    model.can_apply()
    if model.folder.loaded is None:
        if reply.status != 1:
            model.wrong(f"install where there is no conflist: {reply}")
    elif not model.folder.is_installed() or reply.status != 0 and model.are_rules_well():
        model.wrong(f"install into {model.folder.loaded}: {reply}")


@step("install", 3)
def install(model, draw):
    reply = model.node.install("install")
    must_be_installed(model, reply)
    return f"install: {model.told(reply)}"


@step("install --dry-run", 1)
def install_pretends(model, draw):
    if model.folder.is_kept:
        return None
    before, had_program = model.folder.texts(), model.node.has_program()
    verb = draw.choice(["install", "uninstall"])
    reply = model.node.install(verb, "--dry-run")
    if (model.folder.texts(), model.node.has_program()) != (before, had_program):
        model.wrong(f"{verb} --dry-run changed something: {reply}")
    return f"{verb} --dry-run: {model.told(reply)}"


@step("uninstall", 2)
def uninstall(model, draw):
    reply = model.node.install("uninstall")
    if reply.status != 0:
        model.wrong(f"uninstall: {reply}")
    if not model.folder.is_kept and model.folder.texts() != model.folder.written:
        model.wrong(f"uninstall left {model.folder.texts()}, their owners wrote {model.folder.written}: {reply}")
    return f"uninstall: {model.told(reply)}"


OF_INSTALL = (("openat", 30), ("rename", 3), ("renameat2", 3), ("fsync", 5), ("unlink", 3), ("write", 5), ("close", 20), ("linkat", 2), ("fchmod", 3))


@step("install is killed", 2)
def install_is_killed(model, draw):
    verb = draw.choice(["install", "uninstall"])
    syscall, most = draw.choice(OF_INSTALL)
    killed_at = syscall, draw.randint(1, most)
    reply = model.node.install(verb, killed_at=killed_at)
    told = f"{verb}, killed at {syscall} {killed_at[1]}: {model.told(reply)}"
    # The next one mends what is left.
    reply = model.node.install(verb)
    if verb == "install":
        must_be_installed(model, reply)
    elif reply.status != 0:
        model.wrong(f"uninstall: {reply}")
    return told


# ---- who mends

def start_agent(model, draw):
    keeps_installed = draw.random() < 0.5
    model.can_apply()
    model.node.start_agent(keeps_installed)
    model.can_apply()
    model.folder.is_kept = keeps_installed
    return f"the agent is started{' with --keep-installed' if keeps_installed else ''}"


@step("agent on", 1)
def agent_on(model, draw):
    if model.node.agent is not None or not model.pods:
        return None
    return start_agent(model, draw)


@step("agent off", 2)
def agent_off(model, draw):
    if model.node.agent is None:
        return None
    model.can_apply()
    status = model.node.stop_agent()
    model.folder.is_kept = False
    if status != 0:
        model.wrong(f"the agent ended with {status}")
    return "the agent is ended"


@step("hostile clients come", 1)
def hostile_clients_come(model, draw):
    """Beside them an agent has to mend, answer and end as without them; one that is started has to as well."""
    if not model.pods:
        return None
    kind = draw.choice(sorted(CLIENTS))
    told = start_agent(model, draw) if model.node.agent is None else "the agent is on"
    model.node.stop_clients()
    model.node.start_clients(kind)
    return f"{told}, its clients are {kind}"


@step("hostile clients go", 2)
def hostile_clients_go(model, draw):
    if model.node.clients is None:
        return None
    model.node.stop_clients()
    return "no more hostile clients"


@step("sync", 7)
def sync(model, draw):
    return f"sync: {model.sync()}"


@step("all files are good again", 2)
def files_are_good_again(model, draw):
    if model.is_good():
        return None
    write_config(model, {}, "")
    write_flannel(model, None, "")
    return "there is neither a file nor a subnet.env"
