"""What should be: which pods live, which configurations can be in force, and whose word counts. Judges each answer of the program
and each packet."""

import collections
import ipaddress
import json
import time
from dataclasses import dataclass, field

from folder import Folder
from lists import DROPPED, KEPT, LEFT_ALONE, MASQUERADED, Configuration, family_of, frozen
from node_under_walk import UPLINK, is_record
from wire import FIN, TCP, UDP

DESTINATIONS = {
    4: ("10.9.9.9", "10.1.2.3", "172.16.5.5", "192.168.7.7", "203.0.113.9", "198.18.0.50", "10.244.2.5", "10.245.2.5", "100.64.1.1",
        "169.254.9.9", "8.8.8.8", "10.244.1.77", "10.245.1.77"),
    6: ("fd00:9::9", "fd00:1:2::3", "2001:db8:9::9", "2001:db8:18::50", "fd00:10:244:2::5", "fc00:5::5", "fd00:10:244:1::77"),
}
ON_UPLINK = [ipaddress.ip_network(text) for text in ("10.244.1.0/24", "10.245.1.0/24", "10.246.1.0/24", "fd00:10:244:1::/64",
                                                     "fd00:10:245:1::/64")]  # all but these
GATEWAY = {4: "10.244.1.1", 6: "fd00:10:244:1::1"}
SAY_NOTHING_OF_RULES = {"config-wrong", "record-damaged", "key-misspelt", "both-iptables-in-use", "entry-missing",
                        "program-missing"}  # of doctor's findings
CHECKS = ("opened tables",)  # what is held beside the steps
AGENT_PATIENCE = 5  # seconds
TRY_AGAIN, WRONG_CONFIG = 11, 7


class Wrong(Exception):
    def __init__(self, model, what):
        super().__init__(what)
        self.model = model


@dataclass
class Pod:
    name: str
    network: str
    addresses: tuple  # with the length of the pod subnet
    space: str = ""   # its namespace, where the runtime says it
    asks: str = ""    # for a policy
    is_recorded: bool = True
    # Nobody damaged the rules of its own addresses since a call put them right: what an ADD costs does not grow with other pods, so
    # that it looks at no rule of those that have a pod subnet of their own.
    is_whole: bool = True
    # Of a pod whose record is lost: whether its rules must stay, and what they can be made of.
    is_protected: bool = False
    before: frozenset = frozenset()

    def __hash__(self):
        return hash(self.name)

    @property
    def has_own_subnet(self):
        return all(ipaddress.ip_interface(text).network.num_addresses == 1 for text in self.addresses)

    @property
    def args(self):
        """CNI_ARGS"""
        return f"K8S_POD_NAMESPACE={self.space};K8S_POD_NAME={self.name}" if self.space else ""

    @property
    def told(self):
        """What the runtime gives beside it, as keys of the netconf."""
        return {"runtimeConfig": {"io.kubernetes.cri.pod-annotations": {"ip-masq/policy": self.asks}}} if self.asks else {}

    @property
    def pairs(self):
        """(address, its pod subnet)"""
        return [(text.split("/")[0], str(ipaddress.ip_interface(text).network)) for text in self.addresses]


@dataclass
class Network:
    name: str
    keys: dict = field(default_factory=dict)       # of its netconf, as the next call has it
    recorded: set = field(default_factory=set)     # netconfs of which one is the recorded one
    candidates: set = field(default_factory=set)   # (netconf, file, flannel's networks), of which one is in force
    is_intact: bool = True                         # nobody damaged its rules since a call put them right
    is_cut: bool = False                           # a file of its records is damaged, or gone
    is_lost: bool = False                          # its records were removed


@dataclass
class Question:
    pod: Pod
    source: str
    pod_subnet: str
    destination: str
    protocol: int | str

    def __str__(self):
        return f"{self.source} -> {self.destination} ({ {UDP: 'udp', TCP: 'tcp', FIN: 'fin'}[self.protocol]}), pod {self.pod.name} of {self.pod.network}"


class Model:
    def __init__(self, node, backend, has_cache, trace, without=()):
        self.node, self.backend, self.has_cache, self.trace = node, backend, has_cache, trace
        self.networks = {name: Network(name) for name in ("cbr0", "second")}
        self.pods = {}      # living, by name
        self.limbo = {}     # whose ADD or DEL was killed
        self.born = 0
        self.file = ()      # what it means, frozen; None where it is wrong
        self.flannel = ()
        self.users = collections.defaultdict(set)  # of pod subnets: networks that had pods there
        self.foreign = {}   # {name: (place, how it goes)}
        self.others = node.rules()[1]
        self.without = without
        self.folder = Folder(node)
        self.may_be_open = set()  # families whose legacy nat table somebody had to open
        self.is_lost = False
        self.is_strict = False  # sync has just returned 0
        self.newest = None      # pods that the last step was about
        self.added = None       # the one that it added
        self.asked = self.explained = self.named = 0
        self.about = "nothing"

    def wrong(self, what):
        raise Wrong(self, what)

    # -- what can be in force

    def is_good(self):
        return self.file is not None and self.flannel is not None

    def flannels(self, network):
        """What can be in force of flannel's networks: those of a family that the file has lost stay while pods have it."""
        found = {self.flannel}
        if not self.flannel:
            return found
        for *_, before in network.candidates:
            lost = tuple(text for text in before if family_of(text) not in {family_of(each) for each in self.flannel})
            families = {family_of(text) for text in lost}
            if not lost or not families & self.families(network, [*self.pods.values(), *self.limbo.values()]) and not self.is_lost:
                continue
            found.add(self.flannel + lost)
        return found

    @staticmethod
    def families(network, pods):
        return {family_of(address) for pod in pods if pod.network == network.name for address in pod.addresses}

    def has_lost_a_family(self):
        return self.is_good() and any(len(self.flannels(network)) > 1 for network in self.networks.values())

    def combinations(self, network, netconfs=None):
        netconfs = network.recorded if netconfs is None else netconfs
        if self.is_good():
            return {(netconf, self.file, flannel) for netconf in netconfs for flannel in self.flannels(network)}
        # A network of which nothing good is known (any more) takes what another one knows of the same files.
        known = set(network.candidates)
        if not known or network.is_cut or network.is_lost:
            known |= {each for other in self.networks.values() for each in other.candidates}
        return {(netconf, file if self.file is None else self.file, flannel if self.flannel is None else self.flannel)
                for netconf in netconfs for _, file, flannel in known}

    def can_apply(self):
        """A call may bring every network to what is written now."""
        for network in self.networks.values():
            network.candidates |= self.combinations(network)

    def has_applied(self, network, netconfs, pods):
        """A call says that this network's rules are in force, and those of `pods` alone."""
        for pod in pods:
            pod.is_whole = True
        if self.is_good():
            network.candidates = self.combinations(network, netconfs)
            network.recorded = set(netconfs)
        else:
            network.recorded |= set(netconfs)
            network.candidates |= self.combinations(network)
        # What was good last was in the records: where they are gone and the files are wrong, nobody knows it.
        network.is_intact = self.is_good() or not (network.is_cut or network.is_lost)

    def damaged(self):
        for network in self.networks.values():
            network.is_intact = False
        for pod in self.pods.values():
            pod.is_protected = False
            pod.is_whole = not (pod.has_own_subnet or self.shares_subnet(pod) or self.may_have_policy(pod))

    def may_have_policy(self, pod):
        """Its own address leads to a policy's rules."""
        network = self.networks[pod.network]
        return any(policy for candidate in network.candidates | pod.before for policy in self.policies(pod, Configuration(*candidate)))

    def policies(self, pod, configuration):
        """Which one it may have, None for none: of a pod whose namespace nobody knows any more any."""
        if pod.space and (not pod.is_recorded or self.networks[pod.network].is_cut):
            return [None, *configuration.policies()]
        return [configuration.policy_of(pod.space, pod.asks)]

    def shares_subnet(self, pod):
        """Its own address leads to its network's rules."""
        return any(len(self.users[subnet]) > 1 for _, subnet in pod.pairs)

    def others_changed(self):
        self.others = self.node.rules()[1]

    def is_contradicted(self):
        """Somebody else's rule decides before ours, whatever we do."""
        places = {place for place, _ in self.foreign.values()}
        return "before" in places or self.backend == "iptables" and bool(places - {"legacy"})

    def is_healthy(self):
        """Nothing is there that doctor could name."""
        return (self.are_rules_well() and self.folder.is_healthy())

    def are_rules_well(self):
        return (self.is_good() and not self.has_lost_a_family() and not self.foreign and not self.is_lost and not self.limbo and
                not any(network.is_cut for network in self.networks.values()))

    # -- calls

    def netconf(self, network, version="1.0.0", timeout="5s", **keys):
        return {"cniVersion": version, "name": network.name, "type": "ip-masq", "stateDir": str(self.node.state),
                "subnetFile": str(self.node.subnet_file), "configFile": str(self.node.config), "backend": self.backend,
                "lockTimeout": timeout, **(network.keys if not keys else keys)}

    def result(self, pod):
        """As the bridge plugin prints it, and for single addresses the ptp plugin."""
        ips = []
        for text in pod.addresses:
            interface = ipaddress.ip_interface(text)
            gateway = interface.network[1] if interface.network.num_addresses > 1 else ipaddress.ip_address(GATEWAY[interface.version])
            ips.append({"address": text, "gateway": str(gateway), "interface": 2})
        return {"cniVersion": "1.0.0", "ips": ips,
                "interfaces": [{"name": "cni0"}, {"name": "port"}, {"name": "eth0", "sandbox": self.node.netns}]}

    def refused(self, call, reply, may):
        if reply.code not in may:
            self.wrong(f"{call} was refused: {reply}")

    def may_refuse(self, network):
        if self.is_good() or network.candidates and not (network.is_lost or network.is_cut):
            return []
        return [] if self.is_known(network.name) else [WRONG_CONFIG]

    def is_known(self, network):
        """What is in force stands on disk."""
        file = self.node.network_file(network)
        return file.exists() and is_record(file)

    def add(self, pod, timeout="5s", killed_at=None, may=()):
        network = self.networks[pod.network]
        netconf = frozen(network.keys)
        for _, subnet in pod.pairs:
            self.users[subnet].add(network.name)
        if self.backend != "nftables":
            self.may_be_open |= {family_of(address) for address in pod.addresses}
        may = [*may, *self.may_refuse(network)]
        reply = self.node.call("ADD", self.netconf(network, timeout=timeout), pod.name, args=pod.args, prevResult=self.result(pod),
                               killed_at=killed_at, **pod.told)
        self.newest = [pod]
        if killed_at and is_killed(reply):
            if self.node.network_file(network.name).exists():
                network.recorded.add(netconf)  # else nothing good is known of it yet
            if pod.name not in self.pods:
                self.limbo[pod.name] = pod
        elif reply.status == 0:
            if json.loads(reply.output) != self.result(pod):
                self.wrong(f"ADD printed {reply.output}")
            pod.is_recorded = True
            self.pods[pod.name] = self.added = pod  # before what can be in force is worked out: its families count
            self.limbo.pop(pod.name, None)
            self.can_apply()
            self.has_applied(network, {netconf}, [pod])
            if self.has_cache:
                self.node.remember(self.netconf(network), pod.name, self.result(pod), pod.args, pod.told)
        else:
            self.refused(f"ADD of {pod.name} in {pod.network}", reply, may)
        self.can_apply()
        return self.told(reply)

    def delete(self, pod, timeout="5s", killed_at=None, may=()):
        network = self.networks[pod.network]
        bring_back = self.node.hide(network.name, pod.name)
        reply = self.node.call("DEL", self.netconf(network, timeout=timeout), pod.name, killed_at=killed_at)
        if reply.status != 0:
            bring_back()
        if killed_at and is_killed(reply):
            self.pods.pop(pod.name, None)
            self.limbo[pod.name] = pod
        elif reply.status == 0:
            self.forget([pod])
        else:
            self.refused(f"DEL of {pod.name} in {pod.network}", reply, may)
        self.can_apply()
        return self.told(reply)

    def forget(self, pods):
        for pod in pods:
            self.pods.pop(pod.name, None)
            self.limbo.pop(pod.name, None)
            self.node.forget(pod.network, pod.name)
        living = {pod.network for pod in self.pods.values()}
        for network in self.networks.values():
            if network.name not in living and not self.node.network_file(network.name).exists():
                network.recorded, network.candidates = set(), set()
        if not living and not self.limbo and not self.is_lost:
            self.look_for_leftovers("after the last DEL")

    def check(self, pod, timeout="5s", may=()):
        network = self.networks[pod.network]
        reply = self.node.call("CHECK", self.netconf(network, timeout=timeout), pod.name, args=pod.args, prevResult=self.result(pod), **pod.told)
        self.newest = [pod]
        if reply.status == 0:
            # That the rules which its own packets meet would be put there now as well says nothing of the other family's.
            is_of_all = self.families(network, self.pods.values()) <= self.families(network, [pod])
            may_have_to_move = self.backend == "auto" and any(place != "legacy" for place, _ in self.foreign.values())
            if pod.is_recorded and not self.is_contradicted() and (is_of_all or not may_have_to_move):
                network.is_intact = pod.is_whole = True
            network.candidates |= self.combinations(network)
        elif self.must_check(pod):
            self.refused(f"CHECK of {pod.name} in {pod.network}", reply, may)
        return self.told(reply)

    def check_another(self, draw):
        """What an ADD did costs no pod of another network its CHECK."""
        if self.added is None:
            return
        half_done = {self.added.network, *(pod.network for pod in self.limbo.values())}
        others = [pod for pod in self.pods.values() if pod.network not in half_done and self.must_check(pod)]
        if others:
            self.check(draw.choice(others))

    def must_check(self, pod):
        network = self.networks[pod.network]
        return (pod.is_recorded and network.is_intact and pod.is_whole and not network.is_cut and self.is_good() and len(network.candidates) == 1 and
                network.candidates == self.combinations(network) == self.combinations(network, [frozen(network.keys)]))

    def collect(self, network, gone=(), more=(), keys=("cni.dev/valid-attachments", "cni.dev/attachments"), timeout="5s", killed_at=None, may=()):
        """GC with the list of living pods but `gone`, and with `more` names."""
        names = [pod.name for pod in self.pods.values() if pod.network == network.name and pod not in gone] + list(more)
        valid = [{"containerID": name, "ifname": "eth0"} for name in names]
        may = [*may, *self.may_refuse(network)]
        was_known = self.is_known(network.name)
        reply = self.node.call("GC", self.netconf(network, "1.1.0", timeout), **{key: valid for key in keys}, killed_at=killed_at)
        if not was_known and self.is_known(network.name):
            network.recorded.add(frozen(network.keys))  # what nothing good is recorded of is made of what the call says
        if reply.status == 0:
            for pod in self.pods.values():
                pod.is_protected = False
            gone = [*gone, *(pod for pod in self.limbo.values() if pod.network == network.name)]
            self.forget(gone)
        elif not (killed_at and is_killed(reply)):
            self.refused(f"GC of {network.name}", reply, may)
        elif gone:
            self.limbo.update({pod.name: self.pods.pop(pod.name) for pod in gone})
        self.can_apply()
        return self.told(reply)

    def status(self, network):
        """Must succeed where nothing is wrong."""
        reply = self.node.call("STATUS", self.netconf(network, "1.1.0"))
        if reply.status != 0 and self.is_healthy():
            self.wrong(f"STATUS of {network.name}: {reply}")
        return self.told(reply)

    def sync(self, killed_at=None):
        reply = self.node.sync(killed_at)
        recorded = {pod.network for pod in self.pods.values() if pod.is_recorded}
        with_pods = [network for network in self.networks.values() if network.name in recorded]
        if reply.status == 0:
            if with_pods and not self.is_good():
                self.wrong(f"sync returned 0 though a file is wrong: {reply}")
            self.can_apply()
            for network in with_pods:
                self.has_applied(network, network.recorded, [pod for pod in self.pods.values() if pod.is_recorded])
            self.is_strict = True
        elif not (killed_at and is_killed(reply)):
            if self.is_good() and not self.has_lost_a_family() and not any(network.is_cut for network in self.networks.values()):
                self.wrong(f"sync failed: {reply}")
        self.can_apply()
        return self.told(reply)

    @staticmethod
    def told(reply):
        text = " ".join(str(reply).split())
        return text if len(text) < 200 else text[:200] + "…"

    # -- what is seen

    def must_be_right(self, pod):
        """Whether nothing is between the lists and its packets."""
        network = self.networks[pod.network]
        return (network.is_intact and pod.is_whole and not self.is_contradicted() and (pod.is_recorded or pod.is_protected))

    def listed(self, question):
        """The set of (fate, source or None) that the lists allow; None where they do not tell."""
        pod = question.pod
        if len(self.users[question.pod_subnet]) > 1 and not pod.is_recorded:
            return None  # what nothing is recorded of cannot be told apart from the other network's pods
        found = set()
        destination = ipaddress.ip_address(question.destination)
        # What leads by its own address reaches itself only when somebody redirected it.
        is_redirected = question.source == question.destination and (self.shares_subnet(pod) or self.may_have_policy(pod))
        for candidate in self.networks[pod.network].candidates | pod.before:
            whole = Configuration(*candidate)
            for configuration in map(whole.under, self.policies(pod, whole)):
                fate = configuration.fate(question.pod_subnet, question.destination)
                if fate != KEPT and destination in ipaddress.ip_network(question.pod_subnet):
                    return None
                if fate != KEPT and any(destination in subnet for subnet in ON_UPLINK):
                    return None  # whether a network keeps to its other pod subnets is not for the lists to say
                if question.protocol == FIN:
                    found.add((configuration.fate_of_invalid(fate), None))
                    continue
                if is_redirected:
                    found.add((LEFT_ALONE, None))
                    continue
                source = configuration.source(family_of(question.source)) or UPLINK[family_of(question.source)]
                found.add((fate, source if fate == MASQUERADED else None))
        return found or None

    def fits(self, question, seen, fate, source=None):
        if seen is None or fate == DROPPED:
            return seen is None and fate == DROPPED
        if fate == KEPT:
            return seen == question.source
        if fate == MASQUERADED:
            return seen != question.source if source is None else seen == source
        return fate == LEFT_ALONE and (seen == question.source or bool(self.foreign))

    def questions(self, draw, count, pods=None):
        pods = list(self.pods.values()) if pods is None else [pod for pod in pods if pod.name in self.pods]
        pairs = [(pod, *pair) for pod in pods for pair in pod.pairs]
        if not pairs:
            return []
        found = []
        for _ in range(count):
            pod, source, subnet = draw.choice(pairs)
            found.append(Question(pod, source, subnet, draw.choice(DESTINATIONS[family_of(source)]), draw.choice([UDP, UDP, TCP, FIN])))
        return found

    def every_question(self):
        return [Question(pod, source, subnet, destination, protocol) for pod in self.pods.values() for source, subnet in pod.pairs
                for destination in DESTINATIONS[family_of(source)] for protocol in (UDP, FIN)]

    def look(self, draw, everything=False):
        """Asks, and raises Wrong where packets, lists, explain and doctor are not of one mind."""
        for network in self.networks.values():
            network.is_cut = network.is_cut and bool(self.node.damaged_records(network.name))
        if self.node.agent is not None:
            if not self.node.agent_is_on():
                self.wrong(f"the agent ended with {self.node.agent.returncode}")
            self.can_apply()
        self.look_at_opened_tables()
        asked = self.questions(draw, 4, self.newest or []) + self.questions(draw, 4)
        explained = len(asked)
        if everything:
            rest = self.every_question()
            draw.shuffle(rest)
            asked, explained = asked + rest, explained + 16
        deadline = time.monotonic() + (AGENT_PATIENCE if self.node.agent_is_on() else 0)
        while trouble := self.trouble(asked, explained):
            if time.monotonic() >= deadline:
                self.about = trouble
                self.wrong(trouble.splitlines()[0])
            time.sleep(0.05)
        self.check_another(draw)
        if everything:
            self.look_at_others()
        self.look_at_folder()
        self.look_at_health()
        if self.is_strict and self.is_healthy() and (found := self.node.findings()):
            self.wrong(f"after a sync that returned 0, on a node where all is well, doctor finds {found}")
        self.is_strict, self.newest, self.added = False, None, None

    def trouble(self, questions, explained):
        sources = self.node.wire.ask([(each.source, each.destination, each.protocol) for each in questions])
        self.asked += len(questions)
        unlike_listed = []
        for number, (question, seen) in enumerate(zip(questions, sources)):
            listed = self.listed(question)
            if listed is not None and not any(self.fits(question, seen, *each) for each in listed):
                told = f"{question}: seen as {seen}, the lists say {sorted(listed, key=str)}"
                if self.must_be_right(question.pod):
                    return f"{told}\n{self.node.explain(question.source, question.destination)[-1]}"
                # Where network.json is damaged, nobody knows the lists: that the record is damaged is all that doctor can say.
                if question.pod.is_recorded and self.is_known(question.pod.network):
                    unlike_listed.append(told)
            if number < explained and question.protocol != FIN:
                self.explained += 1
                fate, source, answer = self.node.explain(question.source, question.destination)
                if not self.fits(question, seen, fate, source):
                    return f"{question}: seen as {seen}, explain says {fate}{f' as {source}' if source else ''}\n{answer}"
        if not unlike_listed:
            return None
        found = self.node.findings()
        if found <= SAY_NOTHING_OF_RULES:
            return f"{unlike_listed[0]}, doctor finds nothing that could be why: {found}\n{self.node.doctor()}"
        self.named += len(unlike_listed)
        return None

    def until(self, is_right):
        """Whether it is so; an agent that is on may be on its way there."""
        deadline = time.monotonic() + (AGENT_PATIENCE if self.node.agent_is_on() else 0)
        while not is_right():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        return True

    def look_at_folder(self):
        """No byte of anybody's is lost, and what an agent keeps is there."""
        if not self.until(lambda: self.folder.trouble() is None):
            self.wrong(f"in {self.node.conf_dir} {self.folder.trouble()}")
        if self.folder.is_kept and self.folder.loaded and not self.until(self.folder.is_installed):
            self.wrong(f"an agent with --keep-installed is on, and {self.folder.loaded} has no entry, or there is no program")

    def health_must_be(self):
        """What a sync would say; None where that is not known."""
        if self.folder.is_kept and self.folder.loaded is None:
            return None
        is_recorded = any(pod.is_recorded for pod in self.pods.values())
        if is_recorded and not self.is_good() and self.node.state.is_dir():
            return False
        return True if is_recorded and self.are_rules_well() and not any(network.is_lost for network in self.networks.values()) else None

    def look_at_health(self):
        """Where an agent is on, its page says what a sync would say."""
        if not self.node.agent_is_on():
            return
        wanted = self.health_must_be()
        if wanted is None or self.until(lambda: self.node.is_well() == wanted):
            return
        if wanted:
            self.sync()  # what nobody tells an agent of, it finds at its next resync
            if self.until(self.node.is_well):
                return
        self.wrong(f"/healthz says {self.node.health()}, a sync {'is' if wanted else 'is not'} content")

    def look_at_opened_tables(self):
        """To look at a legacy table opens it for good: nobody does who has no rules for it."""
        if "opened tables" in self.without:
            return
        for family in self.node.legacy_families():
            if family not in self.may_be_open:
                self.wrong(f"the legacy nat table of IPv{family} was opened for nothing")

    def look_at_others(self):
        others = self.node.rules()[1]
        if others != self.others:
            self.about = "\n".join(f"{place}: was\n" + "\n".join(self.others[place]) + "\nis\n" + "\n".join(others[place])
                                   for place in others if others[place] != self.others[place])
            self.wrong("somebody else's rules were changed")

    def look_for_leftovers(self, when):
        deadline = time.monotonic() + (AGENT_PATIENCE if self.node.agent_is_on() else 0)
        while any((ours := self.node.rules()[0]).values()):
            if time.monotonic() >= deadline:
                self.about = "\n".join(line for lines in ours.values() for line in lines)
                self.wrong(f"something of ours is left {when}")
            time.sleep(0.05)
        self.look_at_others()

    # -- what a report shows

    def evidence(self):
        node = self.node
        yield "what it is about", self.about
        yield "the last call", node.last_call
        yield "doctor", str(node.doctor())
        yield "conflists", "\n".join(f"{name}: {text!r}" for name, text in self.folder.texts().items())
        yield "health", str(node.health())
        yield "pods", "\n".join(map(repr, (*self.pods.values(), *self.limbo.values())))
        yield "networks", "\n".join(map(repr, self.networks.values()))
        yield "the file means", f"{self.file}\nflannel's networks: {self.flannel}\nothers: {dict((k, v[0]) for k, v in self.foreign.items())}"
        yield "configuration files", "\n".join(f"{path}:\n{path.read_text(errors='replace')}" for path in (node.subnet_file, *node.folder.glob("config/**/*"))
                                               if path.is_file())
        for family in node.legacy_families():
            yield f"iptables-legacy, IPv{family}", node.save(family)
        yield "nft -s list ruleset", node.ruleset()
        yield "state", "\n".join(f"{name}: {text}" for name, text in node.files().items())
        log = node.folder / "agent.log"
        if log.exists():
            yield "the agent's log", "\n".join(log.read_text().splitlines()[-20:])
        yield "sync, now", str(node.sync())


def is_killed(reply):
    return reply.status in (-9, 137)
