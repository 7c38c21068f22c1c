"""The node's folder of conflists, and the program beside its plugins: what their owners wrote, and what install and uninstall may make of
that."""

import json

OURS, BACKUP = "ip-masq", ".before-ip-masq"
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}


def a_list(*plugins, **keys):
    return {"cniVersion": "1.0.0", "name": "third", "plugins": [{"type": "bridge", "bridge": "cni9", "ipam": {"type": "host-local"}}, *plugins], **keys}


# As their owners write them, to the byte.
TEXTS = (json.dumps(a_list()), json.dumps(a_list(PORTMAP), indent=2) + "\n", json.dumps(a_list(PORTMAP, disableCheck=True), indent="\t"),
         json.dumps(a_list({"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}}), indent=4).replace("\n", "\r\n"),
         json.dumps(a_list(), separators=(",", ":")).replace("[", "[ "))
NAMES = ("05-first.conflist", "10-net.conflist", "90-last.conflist")


def without_ours(conf):
    return {**conf, "plugins": [plugin for plugin in conf.get("plugins", []) if plugin["type"] != OURS]}


def has_ours(text):
    """Whether our entry is there, behind the plugin that gives addresses."""
    types = [plugin["type"] for plugin in json.loads(text)["plugins"]]
    return OURS in types and types.index("bridge") < types.index(OURS)


class Folder:
    def __init__(self, node):
        self.node = node
        self.written = {}   # {name: text}, as their owners left it
        self.is_kept = False  # by an agent that is on

    def texts(self):
        """Of all but what install keeps beside a file, as it was."""
        found = {}
        for path in (path for path in self.node.conf_dir.iterdir() if not path.name.endswith(BACKUP)):
            try:
                found[path.name] = path.read_bytes().decode()
            except FileNotFoundError:
                continue  # of an agent that is at it
        return found

    def write(self, name, text):
        self.written[name] = text
        self.node.write_conflist(name, text)

    def remove(self, name):
        del self.written[name]
        (self.node.conf_dir / name).unlink()

    @property
    def loaded(self):
        """The name of what a runtime takes; None where there is nothing."""
        return min(self.written, default=None)

    def trouble(self):
        """What of the files is neither their owners' nor ours to be; None where all is."""
        texts = self.texts()
        if not self.is_kept and texts.keys() != self.written.keys():
            return f"there are {sorted(texts)}, of {sorted(self.written)}"
        for name, text in self.written.items():
            found = texts.get(name, "{}")
            if found != text and without_ours(json.loads(found)) != json.loads(text):
                return f"{name} says {found!r}, its owner wrote {text!r}"
        return None

    def is_installed(self):
        return self.loaded is not None and has_ours(self.texts()[self.loaded]) and self.node.has_program()

    def is_there_at_all(self):
        return any(has_ours(text) for text in self.texts().values())

    def is_healthy(self):
        """doctor can name nothing of it."""
        return self.is_installed() or not self.is_there_at_all()
