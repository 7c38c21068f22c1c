"""What is compiled into a static program: the archives that its link read, and headers, each with the Debian package that it came
from; and a bill of that in SPDX 2.3."""

import hashlib
import json
import re
import subprocess
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

# By Debian's source package, as its /usr/share/doc/PACKAGE/copyright has it for what is linked.
LICENCES = {
    "cxxopts": "MIT",
    "gcc": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "glibc": "LGPL-2.1-or-later",
    "iptables": "GPL-2.0-or-later",
    "libnl3": "LGPL-2.1-only",
    "libyaml": "MIT",
    "nlohmann-json3": "MIT",
    "tomlplusplus": "MIT",
}
# No archive, but headers alone.
HEADERS = ["libcxxopts-dev", "libtomlplusplus-dev", "nlohmann-json3-dev"]


@dataclass(frozen=True, order=True)
class Material:
    """`name`: Debian's source package; `version`: its version."""
    name: str
    version: str
    files: tuple = ()

    @property
    def licence(self):
        return LICENCES[self.name]

    @property
    def identifier(self):
        return re.sub(r"[^A-Za-z0-9.-]+", "-", f"SPDXRef-{self.name}-{self.version}")


def told(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def source_of(name, version):
    """Of a cross compiler's packages the source that they were built from: gcc-12-cross is gcc-12's."""
    name = re.sub(r"-cross(-ports)?$", "", name)
    if re.fullmatch(r"gcc-\d+", name):
        name = "gcc"
    return name, re.sub(r"cross\d+$", "", version)


def installed(package):
    """(source, version)"""
    name, version = told("dpkg-query", "-W", "-f", "${source:Package} ${source:Version}\n", package).splitlines()[0].split()
    if name.startswith("cross-toolchain-base"):  # glibc's, by its own version
        name, version = "glibc", told("dpkg-query", "-W", "-f", "${Version}", package)
    return source_of(name, version)


def package_of(path):
    """dpkg knows what a package brought by the name that it had before /lib became a link to /usr/lib."""
    names = [str(path), str(path).removeprefix("/usr")]
    return subprocess.run(["dpkg-query", "-S", *names], capture_output=True, text=True).stdout.partition(": ")[0]


def unpacked(debs):
    """{file below /: (source, version)} of the packages that scripts/build-static unpacked."""
    owners = {}
    for deb in sorted(debs.glob("*.deb")):
        fields = dict(line.split(": ", 1) for line in told("dpkg-deb", "-f", deb, "Package", "Source", "Version").splitlines())
        name, _, version = fields.get("Source", fields["Package"]).partition(" ")
        owner = name, version.strip("()") or fields["Version"]
        owners[fields["Package"]] = owner
        for line in told("dpkg-deb", "-c", deb).splitlines():
            owners[line.split(maxsplit=5)[5].split(" -> ")[0].removeprefix(".")] = owner
    return owners


def linked(program, iptables, root=None, debs=None):
    """[Material] of a static program. `iptables`: the version of the source that libip4tc is built from; `root`, `debs`: where the
    libraries of another processor are, and their packages."""
    owners = unpacked(debs) if debs else {}
    found = {}
    for name in HEADERS:
        found.setdefault(owners.get(name) or installed(name), set())
    inputs = Path(f"{program}.linked").read_text().replace("\\\n", " ").split(":", 1)[1].split()
    for path in sorted({Path(each).resolve() for each in inputs if each.endswith((".a", ".o"))}):
        if path.name in ("libip4tc.a", "libip6tc.a"):
            owner = "iptables", iptables
        elif root and path.is_relative_to(root):
            owner = owners[str(Path("/") / path.relative_to(root))]
        elif path.is_relative_to("/usr") or path.is_relative_to("/lib"):
            owner = installed(package_of(path))
        else:
            continue  # our own
        found.setdefault(owner, set()).add(path.name)
    return sorted(Material(*owner, tuple(sorted(files))) for owner, files in found.items())


def bill(name, version, files, materials, time):
    """The text. `files`: {name: sha256} of the programs, `materials`: {name: [Material]} of each."""
    def package(identifier, called, its_version, licence, **more):
        return {"SPDXID": identifier, "name": called, "versionInfo": its_version, "licenseConcluded": licence, "licenseDeclared": licence,
                "copyrightText": "NOASSERTION", "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "supplier": "NOASSERTION", **more}

    every = sorted({material for each in materials.values() for material in each})
    merged = {each.identifier: each for each in every}
    programs = {program: f"SPDXRef-{program}" for program in sorted(materials)}
    packages = [package(identifier, program, version, "Apache-2.0", primaryPackagePurpose="APPLICATION",
                        checksums=[{"algorithm": "SHA256", "checksumValue": files[program]}])
                for program, identifier in programs.items()]
    packages += [package(identifier, each.name, each.version, each.licence, primaryPackagePurpose="LIBRARY", supplier="Organization: Debian",
                         externalRefs=[{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                                        "referenceLocator": f"pkg:deb/debian/{each.name}@{each.version.replace('+', '%2B')}?arch=source"}])
                 for identifier, each in sorted(merged.items())]
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", identifier, "the program") for identifier in programs.values()]
    relations += [(programs[program], "STATIC_LINK", each.identifier, " ".join(each.files) or "headers")
                  for program in sorted(materials) for each in materials[program]]
    document = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"{name}-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/{name}-{version}-{hashlib.sha256(''.join(sorted(files.values())).encode()).hexdigest()[:32]}",
        "creationInfo": {"created": datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": [f"Tool: scripts/release-{version}"]},
        "packages": packages,
        "relationships": [{"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other, "comment": comment}
                          for one, kind, other, comment in relations]}
    return json.dumps(document, indent=1) + "\n"
