"""Pods whose network namespaces are mounted where a container does not see it: nobody says that none is there."""

import json
import subprocess

import pytest


def in_container(site, pod, *argv):
    """(exit status, output, errors) where mounts do not come to, and that of the pod did not."""
    script = f'mount --make-rprivate /; umount {pod.path}; exec "$@"'
    done = subprocess.run(site.inside("unshare", "-m", "sh", "-ec", script, "sh", site.bin / "ip-masq", *argv), capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def unseen(site, pod):
    """What is said of it."""
    name, = site.run("ls", "/var/lib/cni/results").split()
    yield (f'whether the pod of {name} lives: its network namespace "{pod.path}" is no namespace here, and what the runtime mounts there '
           "does not come to this container (a hostPath of it needs mountPropagation HostToContainer, and on the node a shared mount: mount "
           "--make-rshared /)")


def test_a_pod_whose_mount_does_not_come_here(site, pod, unseen):
    site.run("rm", "-r", "/run/cni/ip-masq")
    for command in (["adopt"], ["adopt", "--dry-run"]):
        assert in_container(site, pod, *command) == (1, "", f"ip-masq: pods may be left that are not adopted: {unseen}\n")
    status, output, _ = in_container(site, pod, "doctor", "-o", "json")
    said = json.loads(output)
    assert (status, said["node"], said["notLooked"]) == (3, "not known", [unseen])
    assert site.tool("adopt").startswith("adopted bridge-net: ")
    assert in_container(site, pod, "adopt") == (0, "every pod that lives is recorded\n", "")


def test_what_is_left_of_a_pod_where_mounts_come_to(site, pod):
    """A file that no namespace is mounted on any more is no pod."""
    site.run("sh", "-ec", f"touch /run/cni/left; cd /var/lib/cni/results; sed -i s,{pod.path},/run/cni/left,g *; rm -r /run/cni/ip-masq")
    assert site.tool("adopt") == ("every pod that is seen to live is recorded; the network namespace of others that the runtime tells of is "
                                  "no namespace: they are coming, or have ended\n")
