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


@pytest.mark.parametrize("text, wanted", [
    ("[Unit]\nA=1\n[Service]\nA=2 \n", [("A", "2")]),
    ("[Service]\nA=1 \\\n# not this\n; nor this\n  2\nB=\n", [("A", "1    2"), ("B", "")]),
    ("[Service]\r\nA=1\r\n", [("A", "1")]),
    ("[Service]\nA=1\x0c2\u20283\x854\n", [("A", "1\x0c2\u20283\x854")]),  # lines end at newlines alone
])
def test_lines_of_a_unit(text, wanted):
    code = f"import units; assert units.settings({text!r}) == {wanted!r}, units.settings({text!r})"
    done = subprocess.run(["python3", "-B", "-c", code], capture_output=True, text=True, cwd=ROOT / "scripts")
    assert (done.returncode, done.stderr) == (0, "")


def test_folders_of_drop_ins():
    """systemd.unit(5): those of the name, of each beginning of it up to a dash, of all services."""
    code = "import units; print(*units.drop_in_folders('kube-flannel-ds.service'))"
    done = subprocess.run(["python3", "-B", "-c", code], capture_output=True, text=True, cwd=ROOT / "scripts", check=True)
    assert done.stdout == "kube-flannel-ds.service.d kube-flannel-.service.d kube-.service.d service.d\n"
