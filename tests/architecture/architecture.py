"""Holds the table of who may include whom, and a few rules of layout.

Usage: architecture.py ROOT [--cc COMPILER] [--include DIR;DIR...]
Prints one line per offence and exits 1 when there is any.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

LAYERS = ("engine", "tiling", "coordinator", "worker", "cli")
MAX_LINES = 600

# From a folder -> the folders that it may include from, besides itself. "x/*" stands for all below x.
# Inside engine, data goes model -> graph -> ops -> kernels and backend: a folder knows those after it, and graph, where
# the two meet, knows the model. Nothing below knows graph or model.
TABLE = {
    "tiling/base": [],
    "tiling/grid": ["tiling/base"],
    "tiling/instance": ["tiling/base"],
    "tiling/scene": ["tiling/base", "tiling/instance"],
    "tiling/stitch": ["tiling/base", "tiling/grid", "tiling/instance"],
    "tiling/vectorise": ["tiling/base", "tiling/instance"],
    "tiling/writer": ["tiling/base", "tiling/instance"],
    "tiling/evaluate": ["tiling/base"],
    "engine": ["tiling/base", "engine/*"],
    "engine/model": ["tiling/base", "engine", "engine/quant"],
    "engine/calibrate": ["tiling/base", "engine", "engine/model", "engine/graph", "engine/quant", "engine/kernels"],
    "engine/graph": ["tiling/base", "engine", "engine/model", "engine/ops", "engine/kernels", "engine/backend",
                     "engine/quant"],
    "engine/measure": ["tiling/base", "engine", "engine/backend", "engine/kernels"],
    "engine/quant": ["tiling/base", "engine/kernels"],
    "engine/ops": ["tiling/base", "engine/kernels", "engine/backend"],
    "engine/backend": ["tiling/base", "engine/kernels"],
    "engine/backend/native": ["tiling/base", "engine/kernels", "engine/backend"],
    "engine/backend/onednn": ["tiling/base", "engine/kernels", "engine/backend"],
    "engine/kernels": ["tiling/base"],
    "coordinator/protocol": ["tiling/base", "tiling/grid", "tiling/instance"],
    "coordinator/dispatch": ["tiling/base"],
    "coordinator/ledger": ["tiling/base", "coordinator/protocol"],
    "coordinator/launch": ["tiling/base", "coordinator/protocol"],
    "coordinator/assemble": ["tiling/*", "coordinator/protocol"],
    "coordinator/control": ["tiling/base", "tiling/grid", "coordinator/protocol", "coordinator/dispatch",
                            "coordinator/ledger", "coordinator/assemble"],
    "coordinator/service": ["tiling/base", "coordinator/control"],
    "worker/*": ["engine", "tiling/base", "tiling/scene", "tiling/grid", "tiling/instance", "coordinator/protocol",
                 "worker/*"],
    "cli": ["tiling/*", "engine", "engine/model", "engine/backend", "engine/calibrate", "engine/measure",
            "engine/quant", "coordinator/*", "worker/*"],
}

# What other folders may include of one whose public headers are not just its namesake. None: all of them.
PUBLIC = {
    "tiling/base": None,
    "engine/quant": ["precision.h"],
    "tiling/instance": ["instance.h", "feature.h", "georef.h"],
    "coordinator/protocol": ["link.h", "message.h", "job_spec.h", "keys.h", "door.h"],
    "coordinator/assemble": ["assemble.h", "feed.h", "coverage.h"],
    "coordinator/service": ["metrics.h"],
    "worker/detect": ["detector.h"],
    "worker/job": ["worker_job.h"],
}

# Headers of libraries -> the folders that may know them.
LIBRARIES = [
    (r"(gdal|ogr_|cpl_|geos|proj|geodesic)", ["tiling/scene", "tiling/writer", "tiling/vectorise", "tiling/evaluate"]),
    (r"(cblas|openblas)", ["engine/*"]),
    (r"(dnnl|oneapi/dnnl|omp\.h)", ["engine/backend/onednn"]),
    (r"(zmq|czmq|sys/socket|netinet/|arpa/|protobuf-c)", ["coordinator/protocol"]),
    (r"mpi", ["coordinator/launch"]),
    (r"sqlite3", ["coordinator/ledger"]),
    (r"microhttpd", ["coordinator/service"]),
]

# Headers that are no header alone: bodies that are compiled once per instruction set, and vectors of one set.
PARTS = re.compile(r"engine/kernels/(.*_tmpl|vec_.*|u8_vnni)\.h$")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)


def matches(folder, pattern):
    if pattern.endswith("/*"):
        return folder.startswith(pattern[:-1])
    return folder == pattern


def allowed_from(folder):
    """The row of the table for a folder: its own, else the first pattern that fits."""
    if folder in TABLE:
        return TABLE[folder]
    for pattern, row in TABLE.items():
        if matches(folder, pattern):
            return row
    return None


def is_public(source, target_folder, name):
    if source.startswith("engine") and target_folder.startswith("engine/"):
        return True
    public = PUBLIC.get(target_folder, [pathlib.PurePosixPath(target_folder).name + ".h"])
    return public is None or name in public


def check_own(root, source, included):
    """An include in quotes, from the file `source` (both relative to the root)."""
    if ".." in included.split("/") or not (root / included).is_file():
        return f'includes "{included}", which is no path from the root'
    folder = source.parent.as_posix()
    target = pathlib.PurePosixPath(included)
    target_folder = target.parent.as_posix()
    if folder == target_folder:
        return None
    row = allowed_from(folder)
    if row is None or not any(matches(target_folder, pattern) for pattern in row):
        return f'includes "{included}": {folder} may not include {target_folder}'
    if not is_public(folder, target_folder, target.name):
        return f'includes "{included}", which is private to {target_folder}'
    return None


def check_library(source, included):
    folder = source.parent.as_posix()
    for pattern, folders in LIBRARIES:
        if re.match(pattern, included) and not any(matches(folder, f) for f in folders):
            return f"includes <{included}>: only {', '.join(folders)} may"
    return None


def check_file(root, source):
    text = (root / source).read_text(encoding="utf-8")
    lines = text.count("\n")
    if lines > MAX_LINES:
        yield f"has {lines} lines, more than {MAX_LINES}"
    if allowed_from(source.parent.as_posix()) is None:
        yield f"lies in {source.parent}, a folder that the table does not know"
    for quote, included in INCLUDE.findall(text):
        # A library's header is one, however it is quoted.
        offence = check_library(source, included)
        if not offence and quote == '"':
            offence = check_own(root, source, included)
        if offence:
            yield offence


def compile_alone(root, header, compiler, includes):
    """What the compiler says of a file that holds nothing but this header, included twice; None when it is content."""
    command = [compiler, "-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-D_POSIX_C_SOURCE=200809L",
               "-D_DEFAULT_SOURCE", f"-I{root}", *[f"-isystem{path}" for path in includes if path], "-x", "c", "-"]
    text = f'#include "{header}"\n#include "{header}"\n'
    result = subprocess.run(command, input=text, capture_output=True, text=True, cwd=root)
    if result.returncode == 0:
        return None
    errors = [line for line in result.stderr.split("\n") if "error" in line] or [result.stderr.strip()]
    return "does not compile alone: " + errors[0]


def sources(root):
    for layer in LAYERS:
        for path in sorted((root / layer).rglob("*.[ch]")):
            yield pathlib.PurePosixPath(path.relative_to(root).as_posix())


def offences(root, compiler=None, includes=()):
    root = pathlib.Path(root)
    found = []
    files = list(sources(root))
    for source in files:
        found += [f"{source}: {offence}" for offence in check_file(root, source)]
    if compiler:
        headers = [source for source in files if source.suffix == ".h" and not PARTS.match(source.as_posix())]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            results = pool.map(lambda header: compile_alone(root, header, compiler, includes), headers)
            found += [f"{header}: {offence}" for header, offence in zip(headers, results) if offence]
    if not files:
        found.append(f"{root}: no sources here")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root")
    parser.add_argument("--cc")
    parser.add_argument("--include", default="")
    arguments = parser.parse_args()
    found = offences(arguments.root, arguments.cc, arguments.include.split(";"))
    print("\n".join(found) or "every include is in the table")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
