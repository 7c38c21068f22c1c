"""Packages for dpkg and rpm, made by nfpm. Which file comes from where stands here; what runs when they come and go in
conf/package."""

import json
import re
import subprocess
import textwrap
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import format_datetime
from pathlib import Path

from dist.archives import compressed

ROOT = Path(__file__).resolve().parents[2]
MAINTAINER = "The ip-masq developers <ip-masq@users.noreply.github.com>"
SUMMARY = "CNI chained plugin by which pods keep their own IP address"
DESCRIPTION = """Chained behind flannel, or any plugin that gives pods their addresses, it lets the networks that are listed see which pod
called, and masquerades everything else, in nftables or legacy iptables. With an agent that lets running pods follow the list, a
doctor that finds what hides pods, and scripts that switch the source NAT of docker and flannel off, and announce a node's pods by
OSPF."""
# Where the scripts find each other, and the configuration that they bring.
SHARED = "/usr/share/ip-masq"
SCRIPTS = {"snat-off": "ip-masq-snat-off", "ospf-node": "ip-masq-ospf-node"}
MODULES = sorted(path.name for path in (ROOT / "scripts").glob("*.py"))
COMPLETIONS = {
    "bash": dict.fromkeys(("deb", "rpm"), "/usr/share/bash-completion/completions/ip-masq"),
    "zsh": {"deb": "/usr/share/zsh/vendor-completions/_ip-masq", "rpm": "/usr/share/zsh/site-functions/_ip-masq"},
    "fish": dict.fromkeys(("deb", "rpm"), "/usr/share/fish/vendor_completions.d/ip-masq.fish"),
}
DOCUMENTS, LICENCES = "/usr/share/doc/ip-masq", "/usr/share/licenses/ip-masq"
EXAMPLES = ["10-bridge-ip-masq.conflist", "10-flannel-ip-masq.conflist", "frr/router.conf", "frr/router-acl.nft"]


@dataclass(frozen=True)
class Release:
    """`time`: when all of its files were made, in seconds since 1970."""
    version: str
    time: int


def wrapped(text, indent=" "):
    return textwrap.fill(" ".join(text.split()), 78, initial_indent=indent, subsequent_indent=indent)


def copyright_of(release, materials):
    """In Debian's format, with the licence of what is compiled in."""
    compiled = "".join(f"  {each.name} {each.version}: {each.licence}\n" for each in materials)
    return f"""Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: ip-masq
Comment: The program is static. Compiled in are, from Debian's sources of these names and
 versions, by their own licences:
{compiled}
Files: *
Copyright: {datetime.fromtimestamp(release.time, timezone.utc).year} The ip-masq developers
License: Apache-2.0
 On Debian systems the text of the licence is in
 /usr/share/common-licenses/Apache-2.0.
"""


def changelog_of(release):
    made = format_datetime(datetime.fromtimestamp(release.time, timezone.utc))
    return f"ip-masq ({release.version}-1) stable; urgency=medium\n\n  * What changed is in changelog.gz beside this.\n\n -- {MAINTAINER}  {made}\n"


class Contents:
    """Of one package; what is not in the tree as it is to be installed is written into a folder."""

    def __init__(self, folder, release):
        self.folder, self.release, self.entries = folder, release, []
        self.folder.mkdir(parents=True)

    def file(self, target, source, mode=0o644, **more):
        self.entries.append({"src": str(source), "dst": target, **more,
                             "file_info": {"mode": mode, "owner": "root", "group": "root", "mtime": self.made}})

    def text(self, target, content, mode=0o644, **more):
        """`content`: of type str or bytes."""
        written = self.folder / target.strip("/").replace("/", "!")
        written.write_bytes(content.encode() if isinstance(content, str) else content)
        self.file(target, written, mode, **more)

    def link(self, target, to):
        self.entries.append({"src": to, "dst": target, "type": "symlink", "file_info": {"mode": 0o777, "mtime": self.made}})

    def folders(self, *more):
        """Those that are ours alone."""
        ours = (*more, SHARED, f"{SHARED}/scripts", f"{SHARED}/conf", f"{SHARED}/conf/frr", DOCUMENTS, f"{DOCUMENTS}/examples",
                f"{DOCUMENTS}/conf", f"{DOCUMENTS}/conf/guides")
        for each in ours:
            self.entries.append({"dst": each, "type": "dir", "file_info": {"mode": 0o755, "mtime": self.made}})

    @property
    def made(self):
        return datetime.fromtimestamp(self.release.time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def contents(kind, folder, release, program, completions, materials):
    """Of a "deb" or an "rpm"."""
    made = Contents(folder, release)
    made.folders(*([LICENCES] if kind == "rpm" else []))
    made.file("/usr/sbin/ip-masq", program, 0o755)
    made.file("/usr/lib/systemd/system/ip-masq.service" if kind == "rpm" else "/lib/systemd/system/ip-masq.service",
              ROOT / "conf/systemd/ip-masq.service")
    of_documents = {"type": "doc"} if kind == "rpm" else {}
    page = (ROOT / "conf/man/ip-masq.8").read_bytes()
    made.text("/usr/share/man/man8/ip-masq.8.gz", compressed(page), **of_documents)
    for shell, places in COMPLETIONS.items():
        made.text(places[kind], completions[shell])
    for script, name in SCRIPTS.items():
        # Without a search for an interpreter: the distribution's own.
        text = re.sub(r"\A#!.*", "#!/usr/bin/python3 -B", (ROOT / "scripts" / script).read_text())
        made.text(f"{SHARED}/scripts/{script}", text, 0o755)
        made.link(f"/usr/sbin/{name}", f"../share/ip-masq/scripts/{script}")
        made.link(f"/usr/share/man/man8/{name}.8.gz", "ip-masq.8.gz")
    for module in MODULES:
        made.file(f"{SHARED}/scripts/{module}", ROOT / "scripts" / module)
    made.file(f"{SHARED}/conf/frr/node.conf", ROOT / "conf/frr/node.conf")
    for example in EXAMPLES:
        made.file(f"{DOCUMENTS}/examples/{Path(example).name}", ROOT / "conf" / example, **of_documents)
    guides = sorted(f"conf/guides/{page.name}" for page in (ROOT / "conf/guides").glob("*.md"))
    for page in ["README.md", "README.zh-CN.md", "conf/who-sees-whom.svg", *guides]:
        made.file(f"{DOCUMENTS}/{page}", ROOT / page, **of_documents)
    if kind == "deb":
        made.text(f"{DOCUMENTS}/copyright", copyright_of(release, materials))
        made.text(f"{DOCUMENTS}/changelog.gz", compressed((ROOT / "CHANGELOG.md").read_bytes()))
        made.text(f"{DOCUMENTS}/changelog.Debian.gz", compressed(changelog_of(release).encode()))
        made.file("/usr/share/lintian/overrides/ip-masq", ROOT / "conf/package/lintian-overrides")
    else:
        made.file(f"{LICENCES}/LICENSE", ROOT / "LICENSE", type="licence")
        made.text(f"{LICENCES}/COPYRIGHT", copyright_of(release, materials), type="licence")
        made.file(f"{DOCUMENTS}/CHANGELOG.md", ROOT / "CHANGELOG.md", **of_documents)
    return made


def write(nfpm, path, folder, release, architecture, **of_contents):
    """Writes a package to `path`, whose ending says of which kind; `folder`: for what it is made of, and does not exist."""
    kind = path.suffix.removeprefix(".")
    made = contents(kind, folder, release, **of_contents)
    scripts = {name: str(ROOT / "conf/package" / name) for name in ("postinstall", "preremove", "postremove")}
    config = folder / "nfpm.yaml"
    config.write_text(json.dumps({
        "name": "ip-masq", "arch": architecture, "platform": "linux", "version": release.version, "version_schema": "semver", "release": "1",
        "section": "net", "priority": "optional", "maintainer": MAINTAINER, "license": "Apache-2.0", "homepage": "https://github.com/ip-masq/ip-masq",
        "description": f"{SUMMARY}\n{wrapped(DESCRIPTION, '')}", "mtime": made.made, "contents": made.entries, "scripts": scripts,
        "recommends": ["python3"], "deb": {"compression": "gzip"},
        "rpm": {"summary": SUMMARY, "group": "System Environment/Base", "compression": "gzip", "buildhost": "localhost", "packager": MAINTAINER}}, indent=1))
    subprocess.run([nfpm, "package", "--config", config, "--packager", kind, "--target", path], check=True, stdout=subprocess.DEVNULL)
