"""An image for several processors, as an OCI image layout (image-spec 1.0) in one archive, made from a Containerfile that only
copies files into an empty image."""

import hashlib
import json
import shlex
from datetime import datetime, timezone
from pathlib import PurePosixPath

from dist.archives import compressed, tar

OF_IMAGE = "application/vnd.oci.image"


class Layout:
    """What is in the archive, by its path there."""

    def __init__(self):
        self.blobs = {}

    def add(self, kind, content, **more):
        """Its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        self.blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"{OF_IMAGE}.{kind}", "digest": f"sha256:{digest}", "size": len(content), **more}

    def add_json(self, kind, value, **more):
        return self.add(kind, text(value), **more)


def text(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def read_containerfile(path):
    """({target: source}, {"Env": …, "Entrypoint": …})"""
    copied, config = {}, {"Env": []}
    for line in path.read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "COPY":
            source, target = shlex.split(rest)
            copied[target] = source
        elif word == "ENV":
            config["Env"].append(rest)
        elif word == "ENTRYPOINT":
            config["Entrypoint"] = json.loads(rest)
        elif line and not line.startswith("#") and line != "FROM scratch":
            raise ValueError(f"{path}: {line}: only FROM scratch, COPY, ENV and ENTRYPOINT are known here")
    return copied, config


def layer(copied, folder, time):
    """The bytes of an archive of the files, and of the folders above each."""
    members = {}
    for target, source in copied.items():
        path = PurePosixPath(target.lstrip("/"))
        for above in reversed(path.parents[:-1]):
            members[f"{above}/"] = (0o755, b"")
        members[str(path)] = (0o755, (folder / source).read_bytes())
    return tar([(name, *rest) for name, rest in members.items()], time)


def image(layout, containerfile, folder, architecture, labels, time):
    """The descriptor of one processor's image, of the files in `folder`."""
    copied, config = read_containerfile(containerfile)
    made = datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    files = layer(copied, folder, time)
    manifest = {
        "schemaVersion": 2, "mediaType": f"{OF_IMAGE}.manifest.v1+json",
        "config": layout.add_json("config.v1+json", {
            "architecture": architecture, "os": "linux", "created": made, "config": {**config, "Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(files).hexdigest()}"]},
            "history": [{"created": made, "created_by": "scripts/release"}]}),
        "layers": [layout.add("layer.v1.tar+gzip", compressed(files))]}
    return layout.add_json("manifest.v1+json", manifest, platform={"architecture": architecture, "os": "linux"})


def write(path, name, containerfile, folders, labels, time):
    """Writes the archive; `name`: "ip-masq:0.1.0", `folders`: {architecture: where its files are}. The digest of the whole."""
    layout = Layout()
    images = [image(layout, containerfile, folder, architecture, labels, time) for architecture, folder in sorted(folders.items())]
    whole = layout.add_json("index.v1+json", {"schemaVersion": 2, "mediaType": f"{OF_IMAGE}.index.v1+json", "manifests": images})
    # The first is for podman, buildah and skopeo; the second for ctr and what asks containerd.
    names = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": f"docker.io/library/{name}"}
    files = {"oci-layout": text({"imageLayoutVersion": "1.0.0"}),
             "index.json": text({"schemaVersion": 2, "manifests": [{**whole, "annotations": names}]}), **layout.blobs}
    path.write_bytes(tar([("blobs/", 0o755, b""), ("blobs/sha256/", 0o755, b""),
                          *((each, 0o644, content) for each, content in sorted(files.items()))], time))
    return whole["digest"]
