"""Two network namespaces with a cable between them that can be cut. Needs root, iproute2 and iptables; nothing of the host's
own network is touched."""
import os
import shutil
import subprocess

import harness

SERVER, CLIENT = "10.213.7.1", "10.213.7.2"


def _run(*words):
    subprocess.run(words, check=True, capture_output=True, text=True)


class Network:
    """Skips the test when this machine cannot have one."""

    def __init__(self, case):
        missing = [tool for tool in ("ip", "iptables") if not shutil.which(tool)]
        if os.geteuid() or missing:
            case.skipTest(f"SKIPPED: a network that is cut needs {', '.join(missing) or 'root'}")
        self.server, self.client = (f"pantile{os.getpid()}{end}" for end in "ab")
        for name in (self.server, self.client):
            try:
                _run("ip", "netns", "add", name)
            except subprocess.CalledProcessError as error:
                case.skipTest(f"SKIPPED: a network that is cut needs network namespaces: {error.stderr.strip()}")
            case.addCleanup(subprocess.run, ["ip", "netns", "del", name], check=False, capture_output=True)
        _run("ip", "-n", self.server, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", self.client)
        for name, address in ((self.server, SERVER), (self.client, CLIENT)):
            _run("ip", "-n", name, "addr", "add", address + "/24", "dev", "cable")
            _run("ip", "-n", name, "link", "set", "cable", "up")
            _run("ip", "-n", name, "link", "set", "lo", "up")

    def remove(self):
        for name in (self.server, self.client):
            _run("ip", "netns", "del", name)

    def at(self, name):
        """Prefix of a command that runs at that end, self.server or self.client."""
        return ["ip", "netns", "exec", name]

    def cut(self):
        """Packets vanish, in both directions, without a word to either end."""
        for chain, direction in (("INPUT", "-i"), ("OUTPUT", "-o")):
            _run(*self.at(self.server), "iptables", "-w", "-A", chain, direction, "cable", "-j", "DROP")

    def heal(self):
        _run(*self.at(self.server), "iptables", "-w", "-F")


class Proxy:
    """Passes messages on, some doubled, late or lost (of 1,000 each)."""

    def __init__(self, case, target, seed=1, doubled=0, late=0, late_ms=100, lost=0):
        self.url = f"tcp://127.0.0.1:{harness.free_port()}"
        self.process = case.start(os.path.join(harness.TOOLS, "fault_proxy"), self.url, target, seed, doubled, late, late_ms,
                                  lost)
        harness.wait_for("the proxy", lambda: "ready" in harness.read_file(self.process.out) or not self.process.running())
