"""Proves that architecture.py sees what it should: deliberately bad files in a temporary folder."""

import pathlib
import sys
import tempfile
import unittest

import architecture

COMPILER = "cc"


class Offences(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)
        self.write("tiling/base/base.h", "#include <stddef.h>\n")
        self.write("tiling/grid/grid.h", '#include "tiling/base/base.h"\n')
        self.write("tiling/grid/parts.h", '#include "tiling/base/base.h"\n')
        self.write("tiling/scene/scene.c", "#include <gdal.h>\n")
        self.write("tiling/stitch/stitch.h", '#include "tiling/grid/grid.h"\n')
        self.write("engine/engine.h", '#include "tiling/base/base.h"\n')
        self.write("engine/graph/graph.h", '#include "engine/ops/ops.h"\n')
        self.write("engine/ops/ops.h", '#include "tiling/base/base.h"\n')
        self.write("coordinator/protocol/link.h", '#include "tiling/base/base.h"\n')
        self.write("worker/loop/loop.c", '#include "engine/engine.h"\n#include "coordinator/protocol/link.h"\n')
        self.write("cli/main.c", '#include "engine/engine.h"\n#include "tiling/stitch/stitch.h"\n')

    def tearDown(self):
        self.folder.cleanup()

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def expect(self, name, text, says, compiler=None):
        self.write(name, text)
        found = architecture.offences(self.root, compiler)
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(name + ": "), found)
        self.assertIn(says, found[0])

    def test_a_good_tree_passes(self):
        self.assertEqual(architecture.offences(self.root, COMPILER), [])

    def test_an_empty_tree_does_not(self):
        with tempfile.TemporaryDirectory() as empty:
            self.assertEqual(len(architecture.offences(empty)), 1)

    def test_arrows_that_are_not_in_the_table(self):
        for name, included in (
            ("tiling/grid/bad.c", "tiling/stitch/stitch.h"),
            ("tiling/evaluate/bad.c", "tiling/grid/grid.h"),
            ("tiling/base/bad.c", "tiling/grid/grid.h"),
            ("tiling/scene/bad.c", "engine/engine.h"),
            ("engine/bad.c", "tiling/grid/grid.h"),
            ("engine/ops/bad.c", "engine/graph/graph.h"),
            ("engine/kernels/bad.c", "engine/ops/ops.h"),
            ("coordinator/assemble/bad.c", "engine/engine.h"),
            ("coordinator/protocol/bad.c", "tiling/stitch/stitch.h"),
            ("worker/loop/bad.c", "tiling/stitch/stitch.h"),
            ("worker/loop/bad.c", "engine/graph/graph.h"),
            ("cli/bad.c", "engine/graph/graph.h"),
        ):
            with self.subTest(name=name, included=included):
                self.expect(name, f' #  include "{included}"\n', "may not include")
                (self.root / name).unlink()

    def test_nothing_includes_tests(self):
        self.write("tests/support.h", "")
        self.expect("cli/bad.c", '#include "tests/support.h"\n', "may not include tests")

    def test_private_headers(self):
        self.expect("tiling/stitch/bad.c", '#include "tiling/grid/parts.h"\n', "private to tiling/grid")

    def test_libraries(self):
        self.expect("tiling/stitch/bad.c", "#include <geos_c.h>\n", "only tiling/scene")
        (self.root / "tiling/stitch/bad.c").unlink()
        self.expect("cli/bad.c", '#include "ogr_api.h"\n', "only tiling/scene")
        (self.root / "cli/bad.c").unlink()
        self.expect("worker/loop/bad.c", "#include <sys/socket.h>\n", "only coordinator/protocol")

    def test_paths_that_are_not_from_the_root(self):
        self.expect("tiling/grid/bad.c", '#include "grid.h"\n', "no path from the root")
        self.expect("tiling/grid/bad.c", '#include "../grid/grid.h"\n', "no path from the root")

    def test_folders_that_the_table_does_not_know(self):
        self.expect("tiling/new/new.c", "", "does not know")

    def test_long_files(self):
        self.expect("cli/long.c", "\n" * 601, "601 lines")

    def test_headers_that_lean_on_others(self):
        self.expect("cli/lean.h", "size_t lean(void);\n", "does not compile alone", COMPILER)
        self.expect("cli/lean.h", "struct twice { int a; };\n", "does not compile alone", COMPILER)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        COMPILER = sys.argv.pop(1)
    unittest.main()
