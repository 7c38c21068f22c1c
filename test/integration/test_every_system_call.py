"""Every system call fails once, and is once the last one: done or not done, never between, and the next call mends it."""

import errno
import json
import os
import queue
import re
import threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pytest
from harness.network import Outside, Pod, ask, make_bridge
from harness.node import BINARY, Node
from harness.system_calls import MEMORY, SANITIZED, Ground, State, places_of, points_of

WORKERS = len(os.sched_getaffinity(0))

ONE, TWO, ELSEWHERE = "10.244.1.5/24", "10.244.1.6/24", "10.244.2.5/24"
SIX = {ONE: "fd00:10:244:1::5/64", TWO: "fd00:10:244:1::6/64", ELSEWHERE: "fd00:10:244:2::5/64"}

# Each pod is of the namespace of its own name.
POLICIES = [{"name": "first", "namespaces": ["pod-1"], "nonMasqueradeCIDRs": ["172.16.0.0/12"]},
            {"name": "second", "namespaces": ["pod-2"], "nonMasqueradeCIDRs": ["203.0.113.0/24", "2001:db8:9::/48"]}]
OTHER_LIST = json.dumps({"nonMasqueradeCIDRs": ["10.0.0.0/8", "203.0.113.0/24", "fc00::/7", "2001:db8:9::/48"], "policies": POLICIES[:1]})
FOREIGN = "table ip theirs { chain post { type nat hook postrouting priority srcnat; }; }"

# Kept by the default list, by the other list alone, by none.
DESTINATIONS = ["10.9.9.9", "203.0.113.9", "172.20.1.1", "100.64.0.9", "fd00:9::9", "2001:db8:9::9", "2001:db8:7::9"]

# How a call that could not undo everything says so.
SAYS_WHAT_IS_LEFT = re.compile(r"\bleft\b|\bstays?\b|\bremains?\b|\bmends?\b")

# What libiptc calls an error.
IPTABLES_TEXTS = {"ENOMEM": ["Memory allocation problem"], "EPERM": ["Permission denied (you must be root)"]}


# ---- what happens

# And what runs them. An agent that was told to end before it begins makes the one round of its start.
COMMANDS = {"sync": [], "agent": ["env", "--block-signal=TERM", "sh", "-c", 'kill -TERM $$; exec "$0" "$@"']}


@dataclass(frozen=True)
class Call:
    """Of the plugin. `keys`: of the netconf; the verbs of COMMANDS are the program's commands."""

    verb: str
    pod: str = None
    ips: tuple = None
    keys: dict = field(default_factory=dict, hash=False)

    def of(self, ground):
        """(argv, environment, standard input)"""
        if self.verb in COMMANDS:
            return [*COMMANDS[self.verb], BINARY, self.verb, "--state-dir", ground.state], {**os.environ, **ground.env}, ""
        keys = {"lockTimeout": "3s", "backend": ground.backend, **self.keys}
        netconf = ground.netconf(ips=self.ips, version="1.1.0", **keys)
        args = f"K8S_POD_NAMESPACE={self.pod};K8S_POD_NAME=x" if self.pod else None
        return [BINARY], ground.environment(self.verb, self.pod, ASAN_OPTIONS="detect_leaks=0", CNI_ARGS=args), json.dumps(netconf)

    def make(self, ground):
        argv, env, text = self.of(ground)
        return ground.plain(argv, env, text)


@dataclass(frozen=True)
class Configure:
    """The configuration file."""

    text: str

    def make(self, ground):
        (ground.folder / "no-config").write_text(self.text)


@dataclass(frozen=True)
class Somebody:
    """Another program's doing, by back end."""

    commands: dict = field(hash=False)

    def make(self, ground):
        for argv, text in self.commands[ground.backend]:
            ground.run(*argv, input=text)


FOREIGN_CHAIN = Somebody(dict.fromkeys(("iptables", "nftables", "auto"), [(["nft", "-f", "-"], FOREIGN)]))
DAMAGE = Somebody({"iptables": [(["iptables-legacy", "-w", "-t", "nat", "-F", "IP-MASQ-PODS"], "")],
                   "nftables": [(["nft", "flush", "chain", "inet", "ip-masq", "postrouting"], "")]})


@dataclass(frozen=True)
class Scenario:
    """`call`: the one that is disturbed. `alive`: the pods afterwards, each with the call that added it."""

    name: str
    before: tuple
    call: Call
    alive: tuple = ()
    backend: str = None

    @property
    def pods(self):
        """The ADDs of every pod that ever was."""
        return [step for step in (*self.before, self.call) if isinstance(step, Call) and step.verb == "ADD"]


def scenarios_of(is_dual):
    def ips(*addresses):
        return tuple(each for address in addresses for each in ((address, SIX[address]) if is_dual else (address,)))

    def add(pod, address, **keys):
        return Call("ADD", pod, ips(address), keys)

    one, two, elsewhere = add("pod-1", ONE), add("pod-2", TWO), add("pod-2", ELSEWHERE)
    of_policies = add("pod-1", ONE, policies=POLICIES), add("pod-2", ELSEWHERE, policies=POLICIES)
    delete_one = Call("DEL", "pod-1", ips(ONE))
    valid = {"cni.dev/valid-attachments": [{"containerID": "pod-1", "ifname": "eth0"}]}
    other = {"iptables": "nftables", "nftables": "iptables"}
    moves = [Scenario(f"ADD that moves to {new}", (add("pod-1", ONE, backend=old),), add("pod-2", TWO, backend=new),
                      (add("pod-1", ONE, backend=new), add("pod-2", TWO, backend=new)), new) for old, new in other.items()]
    return [
        Scenario("ADD, the first", (), one, (one,)),
        Scenario("ADD, the second of a subnet", (one,), two, (one, two)),
        Scenario("ADD of another subnet, with another policy", of_policies[:1], of_policies[1], of_policies),
        Scenario("ADD with a changed list", (one, Configure(OTHER_LIST)), two, (one, two)),
        *moves,
        Scenario("ADD that moves away from a foreign chain", (one, FOREIGN_CHAIN), two, (one, two), "auto"),
        Scenario("DEL, not the last", (one, two), Call("DEL", "pod-2", ips(TWO)), (one,)),
        Scenario("DEL, the last of a subnet and of a policy", of_policies, Call("DEL", "pod-2", ips(ELSEWHERE)), of_policies[:1]),
        Scenario("DEL, the last", (one,), delete_one),
        Scenario("CHECK", (one, two), Call("CHECK", "pod-1", ips(ONE)), (one, two)),
        Scenario("CHECK of damaged rules", (one, DAMAGE), Call("CHECK", "pod-1", ips(ONE)), (one,)),
        Scenario("GC with a stale attachment", (one, elsewhere), Call("GC", None, None, valid), (one,)),
        Scenario("STATUS", (one,), Call("STATUS"), (one,)),
        Scenario("sync with a changed list", (one, two, Configure(OTHER_LIST)), Call("sync"), (one, two)),
        Scenario("sync of damaged rules", (one, DAMAGE), Call("sync"), (one,)),
        Scenario("agent, one round with a changed list", (one, two, Configure(OTHER_LIST)), Call("agent"), (one, two)),
        Scenario("agent, one round over damaged rules", (one, DAMAGE), Call("agent"), (one,)),
    ]


def every_scenario():
    """Of both families those that commit to both."""
    for is_dual in (False, True):
        for scenario in scenarios_of(is_dual):
            if is_dual and not re.fullmatch("ADD, the first|ADD with.*|ADD that moves to.*|DEL, the last|GC.*|sync with.*", scenario.name):
                continue
            if SANITIZED and not re.fullmatch("ADD, the first|DEL, the last|GC.*|sync with.*", scenario.name):
                continue
            name = scenario.name + (", dual stack" if is_dual else "")
            for backend in ([scenario.backend] if scenario.backend else ["iptables", "nftables"]):
                yield pytest.param(replace(scenario, name=name, backend=backend), id=f"{backend}: {name}")


# ---- what packets see

class Site:
    """A node with two pods and the world outside; the rules come from elsewhere."""

    def __init__(self, folder):
        folder.mkdir()
        self.node = Node(folder)
        self.lock = threading.Lock()
        self.known = {}
        make_bridge(self.node, "10.244.1.1/24", "10.244.2.1/24", "fd00:10:244:1::1/64", "fd00:10:244:2::1/64")
        self.outside = Outside(self.node, DESTINATIONS, ["10.244.1.0/24", "10.244.2.0/24", "fd00:10:244:1::/64", "fd00:10:244:2::/64"])
        self.pods = {}
        for number, address in enumerate((ONE, TWO, ELSEWHERE)):
            pod = Pod(self.node, f"pod-{number}", address, SIX[address])
            subnet = 2 if address == ELSEWHERE else 1
            pod.route_through(f"10.244.{subnet}.1", f"fd00:10:244:{subnet}::1")
            self.pods[address] = pod

    def put(self, state):
        self.node.nft("-f", "-", input="flush ruleset\n" + state.nft)
        for family, text in ((4, state.iptables), (6, state.ip6tables)):
            self.node.restore(text or "*nat\nCOMMIT\n", family)

    def seen(self, state, adds):
        """{(address of a pod, destination): the source that the destination sees}"""
        key = state.rules, tuple(adds)
        with self.lock:
            self.put(state)
            if key not in self.known:
                self.known[key] = dict(self.answers(adds))
            return self.known[key]

    def answers(self, adds):
        """As seen(), under the rules that stand."""
        for address in [ip for add in adds for ip in add.ips if ip in self.pods]:
            is_dual = any(SIX[address] in add.ips for add in adds)
            asked = [to for to in DESTINATIONS if is_dual or ":" not in to]
            answers = ask(self.pods[address].namespace, *(f"tcp:{to}" for to in asked))
            for to in asked:
                source = SIX[address] if ":" in to else address
                yield (source.split("/")[0], to), answers[f"tcp:{to}"]

    def explained(self, ground, state, pairs):
        """{(source, destination): whether it is kept} by explain, on this node with the ground's records; without those of
        which it does not know, or warns that it may not be so."""
        told = {}
        with self.lock:
            self.put(state)
            for source, to in pairs:
                _, output, _ = self.node.tool_status("explain", source, to, "-o", "json", "--state-dir", ground.state)
                told[source, to] = json.loads(output or "{}")
        return {pair: answer["fate"] == "kept" for pair, answer in told.items()
                if answer.get("fate") in ("kept", "masqueraded") and "warning" not in answer}

    def close(self):
        for pod in self.pods.values():
            pod.close()
        self.outside.close()
        self.node.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("site") / "node")
    yield made
    made.close()


@pytest.fixture(scope="module")
def known():
    """Places whose refusals an agent's round has met."""
    return set()


# ---- the judge

class Undisturbed:
    """What the call does where nothing goes wrong."""

    def __init__(self, ground, scenario, known):
        prepare(ground, scenario)
        self.before = ground.look()
        ground.put(self.before)  # as at every point
        self.reply, calls = ground.record(*scenario.call.of(ground))
        self.after = ground.look()
        # An agent's other rounds come the same way to most calls.
        self.points = points_of(calls, known if scenario.call.verb == "agent" else ())
        if scenario.call.verb == "agent":
            known.update(places_of(calls))


def prepare(ground, scenario):
    for step in scenario.before:
        reply = step.make(ground)
        assert reply is None or reply.status == 0, (step, reply)


def in_short(reply):
    return " ".join((reply.output + reply.errors).split())[:160]


class Findings:
    """{kind: [where]}, of every worker."""

    def __init__(self, folder):
        self.folder = folder
        self.kinds = defaultdict(list)
        self.points = 0
        self.lock = threading.Lock()

    def add(self, kind, where):
        with self.lock:
            self.kinds[self.shortened(kind)].append(self.shortened(where))

    def shortened(self, text):
        """Without the folders of the test."""
        return re.sub(rf"{re.escape(str(self.folder))}/[\w-]+/", "", str(text)).strip()

    def text(self, shown=12):
        lines = []
        for kind, places in sorted(self.kinds.items()):
            lines.append(f"{kind} ({len(places)}):")
            lines += [f"    {place}" for place in places[:shown]] + ([f"    and {len(places) - shown} more"] if places[shown:] else [])
        return "\n".join(lines)


class Judge:
    """Looks at what a disturbed call answered and left. What follows from a state is found out once."""

    def __init__(self, ground, scenario, undisturbed, findings, site):
        self.ground, self.scenario, self.undisturbed, self.findings, self.site = ground, scenario, undisturbed, findings, site
        self.before, self.after = undisturbed.before, undisturbed.after
        self.followed = {}

    def judge(self, point, reply, state):
        if reply.status is None:
            self.findings.add("hangs", point)
        elif point.error is None:
            self.killed(point, state)
        elif reply.status == 0:
            self.succeeded(point, reply, state)
        else:
            self.failed(point, reply, state)
        if state.legacy - self.before.legacy - self.after.legacy:
            self.findings.add("made a legacy nat table that nobody needs", point)
        if state not in self.followed:
            self.followed[state] = list(self.what_follows(state))
        for kind in self.followed[state]:
            self.findings.add(kind, point)

    def killed(self, point, state):
        if state.rules not in (self.before.rules, self.after.rules):
            for kind in self.between(state):
                self.findings.add(kind, point)

    def succeeded(self, point, reply, state):
        if self.undisturbed.reply.status != 0:
            self.findings.add("returned 0, which it does not undisturbed", point)
        elif self.scenario.call.verb == "agent" and state != self.after and not self.agent_tells(point, reply):
            self.findings.add("the agent does not say what came back", f"{point}: {reply.output}")
        elif self.scenario.call.verb == "agent" and state.rules not in (self.before.rules, self.after.rules):
            for kind in self.between(state):
                self.findings.add(kind, point)
        elif self.scenario.call.verb != "agent" and state != self.after and not (
                self.keeps_last_good(point, reply, state) or self.follows_later(point, reply, state)):
            self.findings.add(f"returned 0, but it is not as it should be: {state.difference(self.after)}", point)

    def agent_tells(self, point, reply):
        """It lives on, and tries again what it could not do."""
        return not point.call.must_be_repeated(point.error) and any(text in reply.output for text in self.texts_of(point))

    def keeps_last_good(self, point, reply, state):
        """A configuration file that cannot be read is told of, and the last good one stays in force; the pods are the new ones."""
        told = any(text in reply.errors for text in self.texts_of(point))
        there, wanted = ({name for name, _ in each.files} for each in (self.before, self.after))
        of_the_pod = {name for name in wanted - there if name.endswith(f"/{self.scenario.call.pod}:eth0")}
        return told and self.scenario.call.verb == "ADD" and state.rules == self.before.rules and {
            name for name, _ in state.files} == there | of_the_pod

    def follows_later(self, point, reply, state):
        """That connections that live are to follow the change is told of, and stays recorded."""
        told = any(text in reply.errors + reply.output for text in self.texts_of(point))
        return told and state.difference(self.after) == "cbr0/network.json" and '"changedFrom"' in dict(state.files)["cbr0/network.json"]

    def failed(self, point, reply, state):
        if reply.status not in (1, 2) or re.search(r"Sanitizer|runtime error", reply.errors):
            self.findings.add(f"crashed ({reply.status})", f"{point}: {reply.errors[-300:]}")
            return
        said = self.said(point, reply)
        if not said:
            self.findings.add("failed without an answer", f"{point}: {reply.output!r} {reply.errors!r}")
            return
        if point.error == "EAGAIN" and said.startswith("ip-masq: another agent runs on "):
            return
        if "unexpected: " in said:
            self.findings.add("an error that it does not know", f"{point}: {said}")
        if self.undisturbed.reply.status == 0:
            if point.call.must_be_repeated(point.error):
                self.findings.add("gave up what is to be tried again", f"{point}: {said}")
            if not any(text in said for text in self.texts_of(point)):
                self.findings.add("does not say what came back", f"{point}: {said}")
        if state != self.before and not (point.call.writes_answer and state == self.after):
            if not (SAYS_WHAT_IS_LEFT.search(said) or self.lists_changes(point, reply)):
                self.findings.add(f"failed, and something is left without a word: {state.difference(self.before)}", f"{point}: {said}")
            if state.rules not in (self.before.rules, self.after.rules):
                for kind in self.between(state):
                    self.findings.add(kind, point)

    def lists_changes(self, point, reply):
        """A command does what it can, prints what it changed, and fails where anything is wrong."""
        return self.scenario.call.verb in COMMANDS and (point.call.writes_answer or reply.output)

    @staticmethod
    def texts_of(point):
        """How a message may tell what came back."""
        if point.call.writes_answer or point.call.name in MEMORY:
            return [""]
        return [os.strerror(getattr(errno, point.error)), *IPTABLES_TEXTS.get(point.error, [])]

    def said(self, point, reply):
        """What it said of its failure, in the form that it must have; None where it has not."""
        errors = " ".join(reply.errors.split())
        if self.scenario.call.verb in COMMANDS:
            return errors or ("nowhere to say it" if point.call.writes_answer else None)
        try:
            return "{code}: {msg} ".format(**reply.json) + reply.json.get("details", "")
        except (ValueError, KeyError):
            return errors if point.call.writes_answer else None

    def between(self, state):
        """Each family of packets sees the old rules or the new ones; explain knows which."""
        if state.rules in self.followed:
            return self.followed[state.rules]
        kinds = set()
        there = {step.pod for step in self.scenario.before if isinstance(step, Call)}
        pods = [add for add in self.scenario.alive if add.pod in there]
        old, new, now = (self.site.seen(each, pods) for each in (self.before, self.after, state))
        for is_ipv6 in (False, True):
            asked = [pair for pair in now if (":" in pair[1]) == is_ipv6]
            if [now[pair] for pair in asked] not in ([old[pair] for pair in asked], [new[pair] for pair in asked]):
                kinds.add("between: packets meet neither the old rules nor the new ones: "
                          + ", ".join(f"{to} sees {now[source, to]}" for source, to in asked))
        for (source, to), is_kept in self.site.explained(self.ground, state, now).items():
            if is_kept != (now[source, to] == source):
                kinds.add(f"between: explain says of {to} that it is {'kept' if is_kept else 'masqueraded'}, and it is not")
        self.followed[state.rules] = sorted(kinds)
        return self.followed[state.rules]

    # -- the next call

    def what_follows(self, state):
        """Kinds of what is wrong after the call is repeated, and after the pods are gone."""
        ground, scenario = self.ground, self.scenario
        reply = scenario.call.make(ground)
        if reply.status != self.undisturbed.reply.status:
            yield f"the same call again fails: {in_short(reply)}"
        again = ground.look()
        if again != self.after:
            yield f"the same call again does not mend: {again.difference(self.after)}"
        if scenario.call.verb not in ("CHECK", "STATUS"):
            yield from self.all_is_well(again)
        yield from self.all_goes()
        if scenario.call.verb == "ADD":
            ground.put(state)
            reply = replace(scenario.call, verb="DEL").make(ground)
            if reply.status != 0:
                yield f"the DEL that follows fails: {in_short(reply)}"
            yield from self.all_goes()

    def all_is_well(self, state):
        for add in self.scenario.alive:
            reply = replace(add, verb="CHECK").make(self.ground)
            if reply.status != 0:
                yield f"CHECK after the same call again: {in_short(reply)}"
        reply = Call("sync").make(self.ground)
        if reply.status != 0 or self.ground.look() != state:
            yield f"sync after the same call again has something to do: {in_short(reply)}"

    def all_goes(self):
        for add in self.scenario.pods:
            reply = replace(add, verb="DEL").make(self.ground)
            if reply.status != 0:
                yield f"a DEL in the end fails: {in_short(reply)}"
        left = self.ground.look()
        foreign = "".join(f"{line}\n" for line in self.foreign())
        if left != State(nft=foreign):
            yield f"left after the last DEL: {left.difference(State(nft=foreign))}"

    def foreign(self):
        if FOREIGN_CHAIN not in self.scenario.before:
            return []
        return ["table ip theirs {", "chain post {", "type nat hook postrouting priority srcnat; policy accept;", "}", "}"]


def disturb_each(folder, scenario, points, undisturbed, findings, site):
    """Takes points until there are none; in a thread of its own, whose namespace is changed."""
    ground = Ground(folder, scenario.backend)
    prepare(ground, scenario)
    before = undisturbed.before
    ground.put(before)
    judge = Judge(ground, scenario, undisturbed, findings, site)
    while True:
        try:
            point = points.get_nowait()
        except queue.Empty:
            return
        reply = ground.disturb(point, *scenario.call.of(ground))
        state = ground.look()
        if reply is not None:
            with findings.lock:
                findings.points += 1
            judge.judge(point, reply, state)
        if not ground.is_at(before):
            ground.put(before)


def in_a_thread(function, *arguments):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()


@pytest.mark.parametrize("scenario", list(every_scenario()))
def test_every_system_call(tmp_path, site, known, record_property, scenario):
    undisturbed = in_a_thread(lambda: Undisturbed(Ground(tmp_path / "undisturbed", scenario.backend), scenario, known))
    wanted = 1 if scenario.name.startswith("CHECK of damaged") else 0
    assert undisturbed.reply.status == wanted, undisturbed.reply
    findings = Findings(tmp_path)
    points = queue.Queue()
    for point in undisturbed.points:
        points.put(point)
    with ThreadPoolExecutor(WORKERS) as pool:
        workers = [pool.submit(disturb_each, tmp_path / f"ground-{number}", scenario, points, undisturbed, findings, site)
                   for number in range(WORKERS)]
        for worker in workers:
            worker.result()
    record_property("points", findings.points)
    assert findings.points >= len(undisturbed.points) * 9 // 10, "most of the points were not met"
    if findings.kinds:
        pytest.fail(f"{findings.points} points\n{findings.text()}", pytrace=False)
