"""Scenes and truths for the fault tests, made with Python alone: small enough for hundreds of tiles in a second, with blocks
at known places in the file."""
import json
import random
import struct
import zlib

BLOCK = 128
DEGREE = 1e-5  # per pixel; pixel (x, y) has its corner at longitude 30 + x * DEGREE, latitude -y * DEGREE
BYTE, ASCII, SHORT, LONG, DOUBLE = 1, 2, 3, 4, 12


class Scene:
    """A tiled GeoTIFF of noise in EPSG:4326 that was written to `path`; `blocks` holds the (offset, size) of each block."""

    def __init__(self, path, width=1280, height=960, compress=False, seed=1):
        self.path, self.width, self.height = path, width, height
        source = random.Random(seed)
        across, down = -(-width // BLOCK), -(-height // BLOCK)
        pieces = []
        for _ in range(across * down):
            # Five bits of noise, never 0: compresses a little, and no pixel looks like nodata.
            piece = bytes(128 | b >> 3 for b in source.randbytes(BLOCK * BLOCK * 3))
            pieces.append(zlib.compress(piece, 1) if compress else piece)
        head = _head(width, height, 8 if compress else 1, [len(p) for p in pieces])
        self.blocks = []
        with open(path, "wb") as file:
            file.write(head)
            for piece in pieces:
                self.blocks.append((file.tell(), len(piece)))
                file.write(piece)
        self.across, self.size = across, self.blocks[-1][0] + self.blocks[-1][1]

    def block_of(self, x, y):
        return self.blocks[y // BLOCK * self.across + x // BLOCK]

    def tiles(self, tile=128, overlap=64):
        """(columns, rows) of the grid that `pantile run --tile --overlap` lays."""
        step = tile - overlap
        return tuple(max(1, -(-(side - overlap) // step)) for side in (self.width, self.height))


def _head(width, height, compression, sizes):
    """Everything before the first block."""
    geo = [1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326]  # geographic, pixel is area, WGS 84
    entries = [(256, LONG, [width]), (257, LONG, [height]), (258, SHORT, [8, 8, 8]), (259, SHORT, [compression]),
               (262, SHORT, [2]), (277, SHORT, [3]), (284, SHORT, [1]), (322, SHORT, [BLOCK]), (323, SHORT, [BLOCK]),
               (324, LONG, [0] * len(sizes)), (325, LONG, sizes), (33550, DOUBLE, [DEGREE, DEGREE, 0.0]),
               (33922, DOUBLE, [0.0, 0.0, 0.0, 30.0, 0.0, 0.0]), (34735, SHORT, geo)]
    letters = {SHORT: "H", LONG: "I", DOUBLE: "d"}
    end = 8 + 2 + 12 * len(entries) + 4
    for tag, kind, values in entries:  # where the blocks begin depends on the size of everything before them
        size = struct.calcsize("<" + letters[kind]) * len(values)
        end += size if size > 4 else 0
    offsets, position = [], end
    for size in sizes:
        offsets.append(position)
        position += size
    directory, more, place = b"", b"", 8 + 2 + 12 * len(entries) + 4
    for tag, kind, values in entries:
        data = struct.pack(f"<{len(values)}{letters[kind]}", *(offsets if tag == 324 else values))
        field = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack("<I", place + len(more))
        more += data if len(data) > 4 else b""
        directory += struct.pack("<HHI", tag, kind, len(values)) + field
    return struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(entries)) + directory + struct.pack("<I", 0) + more


def write_truth(path, scene, count=400, seed=5):
    """Rectangles apart from each other, from 3 pixels to longer than any tile, on whole pixels. Returns how many."""
    source = random.Random(seed)
    rectangles = [(20, 210, scene.width - 30, 222), (500, 20, 512, scene.height - 20)]
    rectangles = [r for r in rectangles if r[2] - r[0] > 0 and r[3] - r[1] > 0][:1]
    for _ in range(count * 3):
        w, h = source.randint(3, 40), source.randint(3, 40)
        x, y = source.randint(0, scene.width - w), source.randint(0, scene.height - h)
        if all(x + w + 2 < a or c + 2 < x or y + h + 2 < b or d + 2 < y for a, b, c, d in rectangles):
            rectangles.append((x, y, x + w, y + h))
        if len(rectangles) == count:
            break
    features = []
    for x0, y0, x1, y1 in rectangles:
        ring = [[30 + x * DEGREE, -y * DEGREE] for x, y in ((x0, y0), (x0, y1), (x1, y1), (x1, y0), (x0, y0))]
        features.append({"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}})
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"type": "FeatureCollection", "features": features}, file)
    return len(rectangles)
