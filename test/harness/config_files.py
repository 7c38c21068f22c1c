"""Configuration files of ip-masq-agent, good and broken."""

from harness.texts import DEFAULT

REST = ("169.254.0.0/16", "224.0.0.0/4")
RESERVED = ("100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "240.0.0.0/4")
NETWORKS = "expected a network such as 10.0.0.0/8 or fd00::/8"

# What ip-masq-agent's README documents, flags as the keys that stand for them here.
FILES = [
    ("", {}),
    ("# nothing but a comment\n", {}),
    ("nonMasqueradeCIDRs:\n  - 10.0.0.0/8\nresyncInterval: 60s\n", {"kept": ("10.0.0.0/8", *REST)}),
    ("nonMasqueradeCIDRs:\n- 10.0.0.0/8\n- 172.16.0.0/12\n- 192.168.0.0/16\nmasqLinkLocal: false\nresyncInterval: 60s\n", {}),
    ("nonMasqueradeCIDRs: []\n", {"kept": ("10.244.1.0/24", *REST)}),
    ("nonMasqueradeCIDRs:\n", {"kept": ("10.244.1.0/24", *REST)}),
    ("masqLinkLocal: true\n", {"kept": DEFAULT[4][1:], "masqueraded": ("169.254.0.0/16",)}),
    ("masqLinkLocal: yes\n", {"kept": DEFAULT[4][1:], "masqueraded": ("169.254.0.0/16",)}),
    ("masqLinkLocal:\nresyncInterval: 1h30m\n", {}),
    ("masqlinklocal: true\nNONMASQUERADECIDRS: ['10.0.0.0/8']\n",
     {"kept": ("10.0.0.0/8", "224.0.0.0/4"), "masqueraded": ("169.254.0.0/16",)}),
    ('{"nonMasqueradeCIDRs": ["10.0.0.0/8", "192.0.2.0/24"], "masqLinkLocal": false}',
     {"kept": ("10.0.0.0/8", "192.0.2.0/24", *REST)}),
    ('{\n\t"nonMasqueradeCIDRs": [\n\t\t"10.0.0.0/8"\n\t]\n}\n', {"kept": ("10.0.0.0/8", *REST)}),
    ("cidrLimit: 1\nnonMasqueradeCIDRs: [10.0.0.0/8]\n", {"kept": ("10.0.0.0/8", *REST)}),
    ("masqLinkLocalIPv6: true\n", {}),
    ("nonMasqueradeCIDRs: [fd00::/8]\n", {}),
    ("nonMasqueradeReserved: true  # --nomasq-all-reserved-ranges\n", {"kept": (*DEFAULT[4], *RESERVED)}),
    ("randomFully: false  # --random-fully=false\n", {"random_fully": False}),
    ("toPorts: 1024-1123,2000-2299  # --to-ports\n", {"ports": ("1024-1123", "2000-2299")}),
    ("masqueradeCIDRs: [10.1.2.0/24]\ncatchAll: false\n", {"masqueraded": ("10.1.2.0/24",), "catch_all": False}),
    ("snatTo: ['203.0.113.7']\nexemption: return\n", {"to": "203.0.113.7", "exemption": "return"}),
    ("unknown: {a: [1, 2]}\nnonMasqueradeCIDRs: [10.0.0.0/8]\n", {"kept": ("10.0.0.0/8", *REST)}),
    ("---\nnonMasqueradeCIDRs: [10.0.0.0/8]\n---\nnonMasqueradeCIDRs: []\n", {"kept": ("10.0.0.0/8", *REST)}),
]

# What is wrong, and what is said of it after "FILE, line N: ".
BROKEN = [
    ("nonMasqueradeCIDRs: [10.0.0.0/8\n", 2, "not YAML: "),
    ("nonMasqueradeCIDRs: [10.0.0.0/8]]\n", 1, "not YAML: "),
    ("a: b: c\n", 1, "not YAML: "),
    ("\tnonMasqueradeCIDRs: []\n", 1, "not YAML: "),
    ('{"nonMasqueradeCIDRs": ["10.0.0.0/8"', 1, "not YAML: "),
    ("a: *nowhere\n", 1, "not YAML: "),
    ("- 10.0.0.0/8\n", 1, "expected keys such as nonMasqueradeCIDRs"),
    ("10.0.0.0/8\n", 1, "expected keys such as nonMasqueradeCIDRs"),
    ("nonMasqueradeCIDRs: 10.0.0.0/8\n", 1, 'nonMasqueradeCIDRs is "10.0.0.0/8": expected a list of networks'),
    ("nonMasqueradeCIDRs: {a: b}\n", 1, 'nonMasqueradeCIDRs is {"a":"b"}: expected a list of networks'),
    ("nonMasqueradeCIDRs: [10]\n", 1, "nonMasqueradeCIDRs is [10]: expected a list of networks"),
    ("nonMasqueradeCIDRs:\n- 10.0.0.0/8\n- 10.1.0.0/8\n", 3,
     'nonMasqueradeCIDRs is "10.1.0.0/8": expected an aligned network, 10.0.0.0/8'),
    ("nonMasqueradeCIDRs:\n- 10.0.0.0\n", 2, f'nonMasqueradeCIDRs is "10.0.0.0": {NETWORKS}'),
    ("nonMasqueradeCIDRs:\n- ten\n", 2, f'nonMasqueradeCIDRs is "ten": {NETWORKS}'),
    ("nonMasqueradeCIDRs: ['']\n", 1, f'nonMasqueradeCIDRs is "": {NETWORKS}'),
    ("nonMasqueradeCIDRs:\n" + "".join(f"- 10.{n}.0.0/16\n" for n in range(65)), 1,
     "nonMasqueradeCIDRs and masqueradeCIDRs have 65 entries: expected at most 64 (cidrLimit)"),
    ("cidrLimit: 1\nnonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12]\n", 2,
     "nonMasqueradeCIDRs and masqueradeCIDRs have 2 entries: expected at most 1 (cidrLimit)"),
    ("cidrLimit: -1\n", 1, "cidrLimit is -1: expected a whole number"),
    ("cidrLimit: many\n", 1, 'cidrLimit is "many": expected a whole number'),
    ("\nmasqueradeCIDRs: [10.0.0.0/8]\n", 2, 'masqueradeCIDRs is "10.0.0.0/8": expected a network that nonMasqueradeCIDRs does not list'),
    ("masqLinkLocal: perhaps\n", 1, 'masqLinkLocal is "perhaps": expected true or false'),
    ("masqLinkLocal: 'true'\n", 1, 'masqLinkLocal is "true": expected true or false'),
    ("masqLinkLocal: 1\n", 1, "masqLinkLocal is 1: expected true or false"),
    ("masqLinkLocalIPv6: []\n", 1, "masqLinkLocalIPv6 is []: expected true or false"),
    ("resyncInterval: 60\n", 1, "resyncInterval is 60: expected a duration"),
    ("resyncInterval: soon\n", 1, 'resyncInterval is "soon": expected a duration'),
    ("catchAll: 'no'\n", 1, 'catchAll is "no": expected true or false'),
    ("randomFully: fully\n", 1, 'randomFully is "fully": expected true or false'),
    ("toPorts: 99999\n", 1, "toPorts is 99999: expected ports"),
    ("toPorts: 5-1\n", 1, 'toPorts is "5-1": expected ports'),
    ("snatTo: 203.0.113.7\n", 1, 'snatTo is "203.0.113.7": expected a list of'),
    ("snatTo:\n- 203.0.113.7\n- 203.0.113.8\n", 3, 'snatTo is "203.0.113.8": expected an address'),
    ("exemption: never\n", 1, 'exemption is "never": expected "hold" or "return"'),
    ("a: &a [x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\ncidrLimit: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
     "toPorts: [" + ",".join(["*c"] * 200) + "]\n", None, "too much for a list of networks"),
    ("toPorts: [[[[[[[[[[[[1]]]]]]]]]]]]\n", 1, "too much for a list of networks"),
]
