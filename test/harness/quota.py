"""A folder of which nobody may use more than so much: btrfs' quota, which no capability steps over."""

import os
import subprocess
from pathlib import Path

SIZE = 128 << 20


class Quota:
    """At `path` of a host, until that goes."""

    def __init__(self, host, path, limit):
        self.host, self.path, self.volume = host, Path(path), host.folder / "volume"
        image = host.folder / "volume.img"
        with open(image, "wb") as file:
            os.truncate(file.fileno(), SIZE)
        subprocess.run(["mkfs.btrfs", "-q", "--mixed", image], check=True, capture_output=True)
        self.volume.mkdir()
        host.run("mount", "-o", "loop", image, self.volume)
        host.run("btrfs", "quota", "enable", self.volume)
        host.run("btrfs", "subvolume", "create", self.volume / "limited")
        host.run("btrfs", "qgroup", "limit", str(limit), self.volume / "limited")
        host.run("mkdir", "-p", path)
        host.run("mount", "--bind", self.volume / "limited", path)

    def use_up(self):
        """Not even a folder can be made."""
        self.host.run("sh", "-c", f"""
          number=0
          for size in 64k 4k; do
            while dd if=/dev/zero of={self.path}/.used-$number bs=$size count=1 conv=fsync 2>/dev/null; do number=$((number + 1)); done
          done
          while mkdir {self.path}/.used-folder-$number 2>/dev/null; do number=$((number + 1)); done
          sync -f {self.path}""")
        assert "Disk quota exceeded" in self.host.run("sh", "-c", f"mkdir {self.path}/.one-more 2>&1; true")

    def give_back(self):
        self.host.run("sh", "-c", f"rm -rf {self.path}/.used-*; sync -f {self.path}; btrfs filesystem sync {self.path}")
