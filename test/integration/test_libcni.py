"""What libcni makes of a folder of network configurations, asked of it (cnitool), and what install makes of the same."""

import os
import shutil
import subprocess

import pytest
from harness.host import TOOLS
from harness.node import BINARY

MAKER = '{"type":"maker"}'
OURS = '{"type":"ip-masq"}'


def conflist(keys="", plugins=MAKER, version='"cniVersion":"1.0.0",'):
    return f'{{{version}"name":"n",{keys}"plugins":[{plugins}]}}'


def maker(keys):
    return conflist(plugins=f'{{"type":"maker",{keys}}}')


# {file: text}, what libcni runs ("" for nothing: it refuses), what it runs once install was there; or what install says.
REFUSED = "", "10.conflist: "
PLAIN = "maker", "maker ip-masq"
BESIDE = '{"cniVersion":"1.0.0","name":"n"}'
FOLDERS = {
    "a list": (conflist(), *PLAIN),
    # keys whatever their case
    "Type": (conflist(plugins='{"Type":"maker"}'), *PLAIN),
    "TYPE and type": (conflist(plugins='{"type":"maker","TYPE":"other"}'), *PLAIN),
    "type and TYPE": (conflist(plugins='{"TYPE":"maker","type":"other"}'), "other", '"maker"'),
    "Type and ours": (conflist(plugins=MAKER + ',{"TYPE":"ip-masq"}'), "maker ip-masq", "maker ip-masq"),
    "Plugins": (conflist().replace("plugins", "Plugins"), *REFUSED),
    "Name": (conflist().replace("name", "Name"), *REFUSED),
    "IPAM": (maker('"IPAM":{"TYPE":7}'), *REFUSED),
    "a list in a map": (conflist('"DisableCheck":7,'), *PLAIN),
    # bytes
    "no UTF-8": (conflist('"x":"\udcff",'), *PLAIN),
    "no UTF-8 in a key": (conflist('"x\udce4\udcbd":"\udced\udca0\udc80",'), *PLAIN),
    "no UTF-8 in a type": (conflist(plugins=MAKER + ',{"type":"x\udcff"}'), None, "maker x\udcff ip-masq"),
    "no UTF-8 outside": (conflist() + "\udcff", *REFUSED),
    "half a pair": (conflist(r'"x":"\ud800","y":"\udc00\\ud800","z":"\ud83d\ude00",'), *PLAIN),
    "half a pair, and more": (conflist(r'"x":"\ud800\u0041\ud800\ud800\udc00",'), *PLAIN),
    "half an escape": (conflist(r'"x":"\ud8",'), *REFUSED),
    "NUL behind": (conflist() + "\0\0", *REFUSED),
    "NUL within": (conflist('"x":"\0",'), *REFUSED),
    "NUL escaped": (conflist(r'"x":"\u0000",'), *PLAIN),
    "a mark before": ("\ufeff" + conflist(), *REFUSED),
    "more behind": (conflist() + "{}", *REFUSED),
    "1e999": (conflist('"x":1e999,'), *REFUSED),
    "seventy levels": (conflist(f'"x":{"[" * 70}{"]" * 70},'), "maker", "10.conflist: it is nested deeper than 64 levels"),
    # types
    "disableCheck": (conflist('"disableCheck":"TRUE",'), *PLAIN),
    "disableCheck maybe": (conflist('"disableCheck":"maybe",'), *REFUSED),
    "disableGC 1": (conflist('"disableGC":1,'), *REFUSED),
    "disableGC null": (conflist('"disableGC":null,'), *REFUSED),
    "cniVersions": (conflist('"cniVersions":["0.4.0","1.1.0","9.0.0"],'), *PLAIN),
    "cniVersions 7": (conflist('"cniVersions":7,'), *REFUSED),
    "cniVersions of four": (conflist('"cniVersions":["1.0.0.0"],'), *REFUSED),
    "cniVersions of none": (conflist('"cniVersions":["1..0"],'), *REFUSED),
    "cniVersions beside junk": (conflist('"cniVersions":["1.0.0"],', version='"cniVersion":"x",'), *REFUSED),
    "capabilities": (maker('"capabilities":{"a":"b"}'), *REFUSED),
    "ipam": (maker('"ipam":[]'), *REFUSED),
    "dns": (maker('"dns":{"search":"x"}'), *REFUSED),
    "a plugin's name": (maker('"name":7'), *REFUSED),
    "prevResult": (maker('"prevResult":7'), *REFUSED),
    "args": (maker('"args":7'), *PLAIN),
    "a plugin of null": (conflist(plugins="null," + MAKER), *REFUSED),
    "plugins of null": (conflist().replace(f"[{MAKER}]", "null"), *REFUSED),
    # plugins in a folder
    "more beside": ({"10.conflist": conflist(), "n/b.conf": '{"type":"third"}', "n/a.conf": '{"Type":"other"}', "n/c.conflist": "{", "n/d.json": "{"},
                    "maker other third", "maker ip-masq other third"),
    "all beside": ({"10.conflist": BESIDE, "n/10.conf": MAKER}, "maker",
                   f'10.conflist: its plugin "maker" stands in FOLDER/n/10.conf, and so comes behind all that the list itself has: an entry of ip-masq there '
                   'would be the first\n  write {"type": "ip-masq", "capabilities": {"io.kubernetes.cri.pod-annotations": true}} to FOLDER/n/zz-ip-masq.conf\n'),
    "all beside, and ours": ({"10.conflist": BESIDE, "n/10.conf": MAKER, "n/20.conf": OURS}, "maker ip-masq", "maker ip-masq"),
    "ours beside": ({"10.conflist": conflist(), "n/20.conf": OURS}, "maker ip-masq", "maker ip-masq"),
    "ours beside, before all": ({"10.conflist": BESIDE, "n/10.conf": OURS, "n/20.conf": MAKER}, "ip-masq maker",
                                '10.conflist: with ip-masq in it no pod would start: the entry of ip-masq comes before "maker"'),
    "only inlined": ({"10.conflist": conflist('"loadOnlyInlinedPlugins":"True",'), "n/20.conf": "{"}, *PLAIN),
    "only inlined, and none": ({"10.conflist": '{"cniVersion":"1.0.0","name":"n","loadOnlyInlinedPlugins":true}', "n/20.conf": MAKER}, *REFUSED),
    "a folder without any": ({"10.conflist": conflist(), "n/README": ""}, *PLAIN),
    "junk beside": ({"10.conflist": conflist(), "n/20.conf": "{"}, *REFUSED),
    "a list beside": ({"10.conflist": conflist(), "n/20.conf": conflist()}, *REFUSED),
    "no type beside": ({"10.conflist": conflist(), "n/20.conf": "{}"}, *REFUSED),
    "a file of its name": ({"10.conflist": conflist(), "n": ""}, *REFUSED),
    # single ones
    "a single one": ({"10.conf": '{"cniVersion":"1.0.0","name":"n","type":"maker"}'}, *PLAIN),
    "a single one in capitals": ({"10.conf": '{"CNIVERSION":"1.0.0","Name":"n","TYPE":"maker"}'}, *PLAIN),
    "a single one with plugins": ({"10.json": '{"cniVersion":"1.0.0","name":"n","type":"maker","plugins":7}'}, *PLAIN),
}


@pytest.fixture
def place(tmp_path, tools):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in (b"maker", b"other", b"third", b"ip-masq", "x\ufffd".encode()):
        path = os.path.join(os.fsencode(programs), name)
        with open(path, "w") as file:
            file.write(f"""#!/bin/sh
cat > /dev/null
if [ "$CNI_COMMAND" = VERSION ]; then
  echo '{{"cniVersion":"1.1.0","supportedVersions":["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}}'
else
  echo "${{0##*/}}" >> {tmp_path}/ran
  echo '{{"cniVersion":"1.0.0","ips":[{{"address":"10.1.1.1/24"}}]}}'
fi
""")
        os.chmod(path, 0o755)
    shutil.copytree(programs, tmp_path / "bin", ignore=shutil.ignore_patterns("ip-masq"))
    return tmp_path


def ran(place):
    """The plugins that an ADD runs, in their order."""
    (place / "ran").unlink(missing_ok=True)
    subprocess.run(["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /var/lib && exec "$0" add n /none', TOOLS / "cnitool"],
                   env={**os.environ, "CNI_PATH": str(place / "programs"), "NETCONFPATH": str(place / "net.d")}, capture_output=True, check=False)
    return " ".join((place / "ran").read_text().split()) if (place / "ran").exists() else ""


def files(place):
    return {path: path.read_bytes() for path in (place / "net.d").rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", FOLDERS)
def test_what_libcni_loads_is_what_install_sees(place, name):
    texts, loaded, then = FOLDERS[name]
    for path, text in (texts if isinstance(texts, dict) else {"10.conflist": texts}).items():
        path = place / "net.d" / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(errors="surrogateescape"))
    before = files(place)
    if loaded is not None:
        assert ran(place) == loaded

    def run(*argv):
        return subprocess.run([BINARY, *argv, "--conf-dir", place / "net.d"], capture_output=True, text=True)

    done = run("install", "--after", "maker", "--bin-dir", place / "bin")
    if done.returncode != 0:
        assert then.replace("FOLDER", str(place / "net.d")) in done.stderr and files(place) == before
        return
    assert ran(place) == then.replace("\udcff", "\ufffd")
    assert run("uninstall").returncode == 0
    after = files(place)
    if "ip-masq" not in (loaded or ""):
        assert after == before
    assert "ip-masq" not in ran(place)
