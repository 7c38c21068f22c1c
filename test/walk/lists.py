"""What the keys of a network mean for a destination: a second hand beside the program's own."""

import fnmatch
import ipaddress

DEFAULT = {4: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"), 6: ("fc00::/7",)}
MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}
LINK_LOCAL = {4: ("169.254.0.0/16", "masqLinkLocal"), 6: ("fe80::/10", "masqLinkLocalIPv6")}

KEPT, MASQUERADED, LEFT_ALONE, DROPPED = "kept", "masqueraded", "left alone", "dropped"


def family_of(text):
    return 6 if ":" in text else 4


def frozen(value):
    """A netconf, a file, or a value of theirs, as something that sets can hold."""
    if isinstance(value, dict):
        return tuple(sorted((key, frozen(each)) for key, each in value.items()))
    return tuple(map(frozen, value)) if isinstance(value, list) else value


class Configuration:
    """The keys of a netconf, those of the file laid over them, and flannel's networks."""

    def __init__(self, netconf, file, flannel):
        self.keys = {**dict(netconf), **dict(file)}
        self.flannel = flannel

    def policies(self):
        return [dict(policy) for policy in self.keys.get("policies", ())]

    def under(self, policy):
        """What holds for pods that have it; None: the network's own keys."""
        found = Configuration((), (), self.flannel)
        found.keys = {**self.keys, **(policy or {})}
        return found

    def policy_of(self, space, asks):
        """Which policy a pod of that namespace has that asks for one, or for none ("")."""
        def holds(policy, key):
            return bool(space) and any(fnmatch.fnmatchcase(space, glob) for glob in policy.get(key, ()))

        for policy in self.policies():
            if asks and policy["name"] == asks and (holds(policy, "annotated") or holds(policy, "namespaces")):
                return policy
        return next((policy for policy in self.policies() if holds(policy, "namespaces")), None)

    def of_family(self, key, family):
        return [text for text in self.keys.get(key, ()) if family_of(text) == family]

    def not_masqueraded(self, family):
        if "nonMasqueradeCIDRs" not in self.keys:
            return DEFAULT[family]
        listed = self.of_family("nonMasqueradeCIDRs", family)
        names_another = bool(self.keys["nonMasqueradeCIDRs"]) and not listed
        return DEFAULT[family] if names_another else listed

    def entries(self, pod_subnet):
        """(network, what becomes of it); where two are equal, the first counts."""
        family = family_of(pod_subnet)
        link_local, key = LINK_LOCAL[family]
        entries = [(text, KEPT) for text in self.flannel if family_of(text) == family]
        entries += [(text, MASQUERADED) for text in self.of_family("masqueradeCIDRs", family)]
        entries += [(text, KEPT) for text in self.not_masqueraded(family)]
        entries += [(link_local, MASQUERADED if self.keys.get(key, False) else KEPT), (MULTICAST[family], KEPT)]
        return [(ipaddress.ip_network(text), fate) for text, fate in entries]

    def listed(self, pod_subnet, destination):
        """What the longest entry says; None where there is none."""
        address = ipaddress.ip_address(destination)
        entries = [(network.prefixlen, -number, fate) for number, (network, fate) in enumerate(self.entries(pod_subnet))
                   if address in network]
        return max(entries)[2] if entries else None

    def fate(self, pod_subnet, destination):
        listed = self.listed(pod_subnet, destination)
        if listed == KEPT:
            return KEPT
        own = ipaddress.ip_network(pod_subnet)
        if ipaddress.ip_address(destination) in own:
            longer = any(network.prefixlen >= own.prefixlen and ipaddress.ip_address(destination) in network
                         for network, _ in self.entries(pod_subnet))
            return listed if longer else KEPT
        return listed or (MASQUERADED if self.keys.get("catchAll", True) else LEFT_ALONE)

    def fate_of_invalid(self, fate):
        """Of a packet that belongs to no connection, where `fate` is that of others: nobody translates it."""
        return DROPPED if fate == MASQUERADED and self.keys.get("dropInvalid", True) else KEPT

    def source(self, family):
        """The address of `snatTo`; None where it is the interface's."""
        items = [{"address": item, "interface": None} if isinstance(item, str) else dict(item) for item in self.keys.get("snatTo", ())]
        by_way_out = {item["interface"]: item["address"] for item in items if family_of(item["address"]) == family}
        return by_way_out.get("uplink0", by_way_out.get(None))
