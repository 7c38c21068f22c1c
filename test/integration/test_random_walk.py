"""A random walk over what happens to a node: whatever it is, what an outside host sees is what ip-masq says. See test/walk/walk.py.

WALK_SEED and WALK_STEPS walk the same way again, WALK_WITHOUT leaves kinds of steps out (test/walk/walk.py --kinds)."""

import os
import subprocess
import sys

import pytest
from harness.node import ROOT

WALK = ROOT / "test/walk/walk.py"


@pytest.mark.parametrize("backend", ["iptables", "nftables", "auto"])
def test_what_it_says_is_what_packets_do(backend, tmp_path):
    trace = ROOT / f"build/walk-{backend}.jsonl"
    argv = [sys.executable, WALK, "--backend", backend, "--steps", os.environ.get("WALK_STEPS", "200"), "--trace", trace]
    for option, variable in (("--seed", "WALK_SEED"), ("--without", "WALK_WITHOUT")):
        if variable in os.environ:
            argv += [option, os.environ[variable]]
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
