"""What a person runs: each script says what it is for, and does nothing where it is told what it does not know."""

import os
import subprocess

import pytest
from harness.node import ROOT

SCRIPTS = [ROOT / ".ci/run", *sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file() and os.access(path, os.X_OK))]


def run(script, *argv):
    return subprocess.run([script, *argv], capture_output=True, text=True, cwd="/")


def test_there_are_some():
    assert {"ospf-node", "run", "snat-off", "test"} <= {script.name for script in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_help(script):
    for word in ("--help", "-h"):
        done = run(script, word)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout) > 80 and "set -" not in done.stdout
    # Wherever it stands.
    assert run(script, "--help", "nonsense").returncode == 0


@pytest.mark.parametrize("words", [["nonsense"], ["--nonsense"], [""], ["nonsense", "nonsense", "nonsense"]], ids=" ".join)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_word_that_is_not_known(script, words):
    done = run(script, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: " in done.stderr or done.stderr.startswith(f"{script}: ")
