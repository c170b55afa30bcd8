"""pantile keygen: two files, none of them by accident."""
import os
import re
import stat

from harness import Case, json_lines, main


class Keygen(Case):
    def read(self, name):
        with open(self.path(name), encoding="ascii") as file:
            return dict(line.split() for line in file if not line.startswith("#"))

    def test_pair(self):
        self.pantile("keygen", self.path("coordinator"))
        self.assertEqual(sorted(os.listdir(self.dir)), ["coordinator.key", "coordinator.pub"])
        self.assertEqual(stat.S_IMODE(os.stat(self.path("coordinator.key")).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.path("coordinator.pub")).st_mode), 0o644)
        secret, public = self.read("coordinator.key"), self.read("coordinator.pub")
        self.assertEqual(set(secret), {"public", "secret"})
        self.assertEqual(public, {"public": secret["public"]})
        self.assertTrue(re.fullmatch(r"\S{40}", secret["secret"]))
        self.pantile("keygen", self.path("worker"), "--server", self.path("coordinator.pub"))
        worker = self.read("worker.key")
        self.assertEqual(worker["server"], public["public"])
        self.assertNotEqual(worker["secret"], secret["secret"])
        self.assertNotIn("server", self.read("worker.pub"))

    def test_secrets_are_not_told(self):
        done = self.pantile("keygen", self.path("a"), "--log", "json")
        self.assertNotIn(self.read("a.key")["secret"], done.stdout + done.stderr)
        self.assertEqual(json_lines(done.stderr)[-1]["key"], self.read("a.pub")["public"])
        done = self.pantile("keygen", self.path("b"))
        self.assertNotIn(self.read("b.key")["secret"], done.stdout + done.stderr)
        self.assertIn(self.path("b.key"), done.stderr)

    def test_nothing_is_replaced_unasked(self):
        self.pantile("keygen", self.path("a"))
        before = self.read("a.key")
        self.refused(2, ["a.key", "--overwrite"], "keygen", self.path("a"))
        os.remove(self.path("a.key"))
        self.refused(2, ["a.pub", "--overwrite"], "keygen", self.path("a"))
        self.pantile("keygen", self.path("a"), "--overwrite")
        self.assertNotEqual(self.read("a.key")["public"], before["public"])
        self.assertEqual(self.read("a.key")["public"], self.read("a.pub")["public"])

    def test_mistakes(self):
        self.refused(1, ["one name"], "keygen")
        self.refused(1, ["one name"], "keygen", self.path("a"), self.path("b"))
        self.refused(2, ["nowhere"], "keygen", self.path("nowhere", "a"))
        self.refused(2, ["missing.pub"], "keygen", self.path("a"), "--server", self.path("missing.pub"))
        self.pantile("keygen", self.path("s"))
        self.refused(2, ["s.key", "secret"], "keygen", self.path("a"), "--server", self.path("s.key"))
        with open(self.path("s.pub"), encoding="ascii") as file:
            text = file.read()
        with open(self.path("two.pub"), "w", encoding="ascii") as file:
            file.write(text + text)
        self.refused(2, ["two.pub", "2 keys"], "keygen", self.path("a"), "--server", self.path("two.pub"))


if __name__ == "__main__":
    main()
