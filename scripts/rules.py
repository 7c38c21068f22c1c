"""NAT rules on this machine, and those who show and delete them."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

from files import Trouble, read, say


def tools():
    """The iptables programs whose nat tables there are; looking at a legacy table makes one."""
    for family, program in (("ip", "iptables"), ("ip6", "ip6tables")):
        names = read(Path(f"/proc/net/{family}_tables_names")) or ""
        for tool in (f"{program}-nft", *([f"{program}-legacy"] if "nat" in names.split() else [])):
            if not shutil.which(tool):
                raise Trouble(f"there is no {tool}, which shows and deletes rules: apt install iptables; nothing was changed")
            yield tool


def listing(tool, table="nat"):
    done = subprocess.run([tool, "-w", "-t", table, "-S"], capture_output=True, text=True, errors="surrogateescape")
    if done.returncode != 0:
        raise Trouble(f"cannot look at the rules: {tool} -t {table} -S: {done.stderr.strip()}")
    return done.stdout.splitlines()


def listed_by_nft(*what):
    done = subprocess.run(["nft", "-j", "list", *what], capture_output=True, text=True, errors="surrogateescape")
    if done.returncode != 0:
        raise Trouble(f"cannot look at the rules: nft list {' '.join(what)}: {done.stderr.strip()}")
    return json.loads(done.stdout)["nftables"]


def run(options, *command):
    say(f"{'would run' if options.dry_run else 'run'}: {shlex.join(command)}")
    if not options.dry_run:
        done = subprocess.run(command, capture_output=True, text=True, errors="surrogateescape")
        if done.returncode != 0:
            raise Trouble(f"{shlex.join(command)}: {done.stderr.strip()}")
