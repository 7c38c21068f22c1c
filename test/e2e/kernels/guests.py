"""What the guests said, one of each kernel."""

import json
from pathlib import Path

import pytest
from harness.virtual_machine import AMD64, ARM64, KERNELS, Kernel, run_guest

import guest


class Said:
    """What the guest of a kernel said, by case."""

    def __init__(self, machine, suite, folder):
        lines, self.console = run_guest(machine, Kernel(suite), Path(guest.__file__), guest.MODULES, folder)
        self.cases = {name: rest for name, *rest in map(json.loads, lines.splitlines())}

    def __getitem__(self, name):
        assert name in self.cases, f"the guest did not come to it:\n{self.console}"
        seen, *trouble = self.cases[name]
        assert not trouble, f"{trouble[0]}\n{self.console}"
        return seen


def said_on(suite, tmp_path_factory):
    """What the one guest of a kernel said."""
    machine = ARM64 if suite.endswith("arm64") else AMD64
    if not (KERNELS / suite).exists() or not machine.programs.exists():
        pytest.skip("the kernel is not there: scripts/install-kernels could not fetch Debian's kernels")
    if not machine.ip_masq.exists():
        pytest.skip("there is no static program: scripts/build-static could not get Debian's source package")
    return Said(machine, suite, tmp_path_factory.mktemp(suite))
