"""The demo shows what README says it shows."""

import subprocess
import sys

from harness.node import ROOT


def test_the_demo_prints_what_readme_shows(tools):
    shown = (ROOT / "README.md").read_text().split("The demo ends with\n\n```\n")[1].split("```")[0]
    printed = subprocess.run([sys.executable, ROOT / "test/e2e/demo.py"], capture_output=True, text=True, check=True).stdout
    assert printed == shown
