"""The tour: each of fifteen ways to break a node is told by doctor, and its fix, as it stands, mends it."""

import subprocess
import sys

from harness.node import ROOT

END = """
What the two hosts saw, listed and not listed, what doctor said, and what they saw after its fix:

                                        broken                        doctor                    mended
  somebody flushes the rules            the pod / no answer           rules-not-right           the pod / the node
  a masquerade rule comes before ours   the node / the node           jump-not-first            the pod / the node
  ip-masq-agent left its rules behind   the node / the node           ip-masq-agent-leftover    the pod / the node
  a new nftables table masquerades      the node / the node           undone-by-nftables        the pod / the node
  the node does not forward             no answer / no answer         ip-forward-off            the pod / the node
  a firewall drops what it forwards     no answer / no answer         forward-drops-pods        the pod / the node
  answers come back by another link     no answer / the node          rp-filter-strict          the pod / the node
  connections are not tracked           the pod / no answer           pods-not-tracked          the pod / the node
  a rule sets kube-proxy's mark         the node / the node           yield-mark-set            the pod / the node
  all records and rules are lost        the node / the node           pods-not-adopted          the pod / the node
  another conflist comes first          the pod / no answer           entry-missing             the pod / the node
  the file has a typo                   the pod / the node            config-wrong              the pod / the node
  the list holds everybody              the pod / no answer           everything-exempt         the pod / the node
  a key of the conflist is misspelt     the node / the node           key-misspelt              the pod / the node
  the program is gone                   no pod starts / no pod starts program-missing           the pod / the node
"""


def test_the_tour_tells_and_mends_everything(tools):
    done = subprocess.run([sys.executable, ROOT / "test/e2e/tour.py"], capture_output=True, text=True)
    assert done.stdout[done.stdout.index("\nWhat the two hosts saw"):] == END
    assert (done.returncode, done.stderr) == (0, "")
