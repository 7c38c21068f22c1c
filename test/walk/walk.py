#!/usr/bin/env python3
"""A random walk over what happens to a node: pods come and go, files change for good and for bad, others' rules come and go, tables
are damaged, locks held, calls killed, records lost, conflists written, installed into and taken out of. After every step, what an outside
host sees is what ip-masq says, and so does the page of an agent that is on; no byte of a conflist's owner is lost.

  walk.py [--backend auto|iptables|nftables] [--seed SEED] [--steps N] [--only KIND,...] [--without KIND,...] [--trace FILE]
  walk.py --replay FILE     the steps of a trace; lines may be taken out of it
  walk.py --kinds           what can happen, and how often

The same seed and steps walk the same way (an agent, which runs beside it, aside). Ends with 0 where all was well, and with 1 and
everything that is needed to find out where something was not. As root; all in namespaces of its own."""

import argparse
import collections
import json
import random
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from model import CHECKS, Model, Wrong  # noqa: E402
from node_under_walk import NodeUnderWalk  # noqa: E402
from steps import STEPS  # noqa: E402

SHOWN = 30  # steps that a report repeats
ALL_EVERY = 25  # steps between two looks at every question


def choose(seed, number, kinds):
    draw = random.Random(f"{seed} kind {number}")
    return draw.choices(kinds, [STEPS[kind].weight for kind in kinds])[0]


class Trace:
    """What was done, a line a step, to be replayed."""

    def __init__(self, head):
        self.head = head
        self.steps = []

    def write(self, path):
        with open(path, "w") as file:
            for line in (self.head, *self.steps):
                file.write(json.dumps(line) + "\n")

    @staticmethod
    def read(path):
        head, *steps = [json.loads(line) for line in Path(path).read_text().splitlines() if line.strip()]
        return head, steps


def walk(options, node):
    """Goes the steps; a Wrong carries the walk so far."""
    if options.replay:
        head, planned = Trace.read(options.replay)
    else:
        head = {"backend": options.backend, "seed": options.seed, "cache": random.Random(f"{options.seed} cache").random() < 0.5}
        kinds = [kind for kind in STEPS if (not options.only or kind in options.only) and kind not in options.without]
        planned = ({"number": number, "kind": choose(head["seed"], number, kinds)} for number in range(1, options.steps + 1))
    seed, trace = head["seed"], Trace(head)
    model = Model(node, head["backend"], head["cache"], trace, options.without)
    counts = collections.Counter()
    for step in planned:
        draw = random.Random(f"{seed} step {step['number']}")
        trace.steps.append(step)
        done = STEPS[step["kind"]].do(model, draw)
        step["did"] = done or "nothing"
        counts[step["kind"]] += done is not None
        model.look(draw, everything=step["number"] % ALL_EVERY == 0)
    trace.steps.append({"number": 0, "kind": "everyone leaves"})
    trace.steps[-1]["did"] = STEPS["everyone leaves"].do(model, random.Random(f"{seed} step 0"))
    return model, counts


def report(wrong, model, trace):
    print(f"\nWRONG at step {trace.steps[-1]['number']}: {wrong}\n")
    print(f"the last {SHOWN} steps:")
    for step in trace.steps[-SHOWN:]:
        print(f"  {step['number']:5} {step['kind']}: {step.get('did', '(this one)')}")
    for title, text in model.evidence():
        print(f"\n== {title}\n{text}")


def list_of_kinds(text):
    kinds = text.split(",") if text else []
    for kind in kinds:
        if kind not in (*STEPS, *CHECKS):
            raise argparse.ArgumentTypeError(f"{kind!r} is none of: {', '.join((*STEPS, *CHECKS))}")
    return kinds


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["auto", "iptables", "nftables"], default="auto")
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(10**9)))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--only", type=list_of_kinds, default=[])
    parser.add_argument("--without", type=list_of_kinds, default=[])
    parser.add_argument("--trace", default=Path(__file__).resolve().parents[2] / "build/walk.jsonl")
    parser.add_argument("--replay")
    parser.add_argument("--kinds", action="store_true")
    return parser.parse_args()


def main():
    options = read_options()
    if options.kinds:
        for kind, step in STEPS.items():
            print(f"{step.weight:4}  {kind}")
        for check in CHECKS:
            print(f"      {check} (held after each step)")
        return 0
    print(f"walk: back end {options.backend}, seed {options.seed}, {options.steps} steps" if not options.replay else f"walk: {options.replay}",
          flush=True)
    began = time.monotonic()
    trace_path = Path(options.trace).absolute()
    node = NodeUnderWalk()
    try:
        model, counts = walk(options, node)
    except Wrong as wrong:
        wrong.model.trace.write(trace_path)
        report(wrong, wrong.model, wrong.model.trace)
        print(f"\nto go the same way: {sys.argv[0]} --replay {trace_path}")
        return 1
    except Exception:
        traceback.print_exc()
        return 3
    finally:
        node.close()
    spent = time.monotonic() - began
    print(f"walk: {sum(counts.values())} steps, {model.asked} questions, {model.explained} explained, {model.named} named by doctor, "
          f"in {spent:.0f} s ({sum(counts.values()) / spent:.1f} steps/s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
