"""Completion and man page name every option that the help knows, and are well-formed."""
import re
import shutil
import subprocess

from harness import Case, PROGRAM, main

COMMANDS = ("run", "worker", "verify", "plan", "detect", "info", "eval", "calibrate", "tune", "bench", "keygen")


class Docs(Case):
    def options(self, command):
        text = self.pantile("help", command).stdout
        return re.findall(r"^  (?:-\w, )?--([a-z-]+)", text, re.MULTILINE)

    def test_man_page(self):
        page = self.pantile("__man").stdout
        sections = re.split(r"^\.SS pantile ", page, flags=re.MULTILINE)[1:]
        self.assertEqual([s.split()[0] for s in sections], list(COMMANDS))
        for command, section in zip(COMMANDS, sections):
            self.assertIn("help", self.options(command))
            for option in self.options(command):
                self.assertIn("\\-\\-" + option.replace("-", "\\-"), section)
        if shutil.which("groff"):
            done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=page, capture_output=True, text=True,
                                  check=True)
            self.assertEqual(done.stderr, "")

    def complete(self, *words):
        """What bash would offer for the last word."""
        with open(self.path("completion"), "w", encoding="utf-8") as file:
            file.write(self.pantile("__completion").stdout)
        line = " ".join(f"'{w}'" for w in words)
        script = (f"compopt() {{ :; }}; source {self.path('completion')}; COMP_WORDS=({line}); "
                  f"COMP_CWORD={len(words) - 1}; _pantile; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.split()

    def test_completion(self):
        self.assertEqual(self.complete("pantile", ""), list(COMMANDS))
        for command in COMMANDS:
            self.assertEqual(self.complete("pantile", command, "--"), ["--" + o for o in self.options(command)])
        self.assertEqual(self.complete("pantile", "run", "--log", ""), ["text", "json"])
        self.assertEqual(self.complete("pantile", "run", "--gsd", "n"), ["native"])
        self.assertEqual(self.complete("pantile", "run", "--mod"), ["--model"])


if __name__ == "__main__":
    main()
