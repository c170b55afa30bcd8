"""What the end-to-end tests share: the program, small scenes, what it wrote. Run with Debian's /usr/bin/python3 (osgeo)."""
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy as np
from osgeo import gdal, ogr, osr

gdal.UseExceptions()
ogr.UseExceptions()

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ["PANTILE"]
ZANZIBAR = os.path.join(SOURCE, "examples", "zanzibar.tif")
BUILDINGS = os.path.join(SOURCE, "models", "buildings_mnv2_fpn.safetensors")


class Case(unittest.TestCase):
    """Each test has an empty folder, self.dir, as its place."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="pantile-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def pantile(self, *arguments, code=0, **more):
        done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=600, **more)
        if code is not None:
            self.assertEqual(done.returncode, code, f"{arguments}\n{done.stdout}\n{done.stderr}")
        return done

    def refused(self, code, says, *arguments, output=None):
        """Fails with one line on standard error that holds all of `says`, and leaves no output behind."""
        before = sorted(os.listdir(self.dir))
        done = self.pantile(*arguments, code=code)
        errors = [line for line in done.stderr.splitlines() if line.startswith("pantile")]
        self.assertEqual(len(errors), 1, done.stderr)
        for text in says:
            self.assertIn(text, errors[0])
        self.assertEqual(sorted(os.listdir(self.dir)), before)
        if output:
            self.assertFalse(os.path.exists(output))
        return done


def stopped(case, number, *arguments):
    """The exit code of a command that gets a signal once it has made some progress."""
    with subprocess.Popen([PROGRAM, *map(str, arguments), "--log", "json"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True) as run:
        case.assertTrue(any('"progress"' in line for line in run.stderr), arguments)
        run.send_signal(number)
        run.stderr.read()
        return run.wait(timeout=120)


def small_disk(case, size):
    """A folder of so many bytes at the most, on a file system of its own."""
    disk = case.path("disk")
    os.mkdir(disk)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", disk], stderr=subprocess.DEVNULL,
                      check=False).returncode:
        case.skipTest("cannot mount a small file system")
    case.addCleanup(subprocess.run, ["umount", disk], check=False)
    return disk


def write_uncalibrated(path, model=BUILDINGS):
    """The model without what calibration has added, which lies behind the weights."""
    with open(model, "rb") as file:
        data = file.read()
    length = struct.unpack("<Q", data[:8])[0]
    header, end = json.loads(data[8:8 + length]), 0
    del header["__metadata__"]["pantile.calibration"]
    for name in [name for name in header if name.startswith("calibration.")]:
        del header[name]
    for name in header.keys() - {"__metadata__"}:
        end = max(end, header[name]["data_offsets"][1])
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data[8 + length:8 + length + end])
    return path


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def crs(epsg):
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return reference


def write_scene(path, pixels, epsg=32633, gsd=0.5, options=(), nodata=None):
    """`pixels`: array (bands, height, width)."""
    bands, height, width = pixels.shape
    kind = {"uint8": gdal.GDT_Byte, "uint16": gdal.GDT_UInt16, "float32": gdal.GDT_Float32}[str(pixels.dtype)]
    dataset = gdal.GetDriverByName("GTiff").Create(path, width, height, bands, kind, list(options))
    if epsg:
        dataset.SetProjection(crs(epsg).ExportToWkt())
        dataset.SetGeoTransform((500000, gsd, 0, 5300000, 0, -gsd))
    for band in range(bands):
        if nodata is not None:
            dataset.GetRasterBand(band + 1).SetNoDataValue(nodata)
        dataset.GetRasterBand(band + 1).WriteArray(pixels[band])
    return path


def noise(width, height, bands=3, seed=1):
    return np.random.default_rng(seed).integers(1, 255, (bands, height, width), dtype=np.uint8)


def to_ground(ring, epsg, gsd):
    if not epsg:
        return ring  # pixels, y down
    return [(500000 + gsd * x, 5300000 - gsd * y) for x, y in ring]


def write_truth(path, shapes, epsg=32633, gsd=0.5):
    """`shapes`: lists of rings (exterior, holes) in pixels."""
    driver = ogr.GetDriverByName("GPKG" if path.endswith(".gpkg") else "GeoJSON")
    dataset = driver.CreateDataSource(path)
    layer = dataset.CreateLayer("truth", crs(epsg) if epsg else None, ogr.wkbPolygon)
    for rings in shapes:
        polygon = ogr.Geometry(ogr.wkbPolygon)
        for ring in rings:
            line = ogr.Geometry(ogr.wkbLinearRing)
            for x, y in to_ground(ring + ring[:1], epsg, gsd):
                line.AddPoint_2D(x, y)
            polygon.AddGeometry(line)
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetGeometry(polygon)
        layer.CreateFeature(feature)
    dataset = None
    return path


def box(x0, y0, x1, y1):
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def features(path):
    """List of (properties, geometry), every geometry checked to be valid."""
    dataset = gdal.OpenEx(path, gdal.OF_VECTOR)
    layer = dataset.GetLayer(0)
    found = []
    for feature in layer:
        geometry = feature.GetGeometryRef().Clone()
        assert geometry.IsValid(), geometry.ExportToWkt()
        found.append((feature.items(), geometry))
    return found


def burn(path, scene):
    """One boolean array per feature: the pixels of `scene` whose centres it covers."""
    raster = gdal.Open(scene)
    source = gdal.OpenEx(path, gdal.OF_VECTOR)
    layer = source.GetLayer(0)
    target = raster.GetSpatialRef()
    masks = []
    for feature in layer:
        geometry = feature.GetGeometryRef().Clone()
        place = layer.GetSpatialRef()
        if place and target:
            place = place.Clone()
            place.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
            target.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
            geometry.Transform(osr.CoordinateTransformation(place, target))
        memory = ogr.GetDriverByName("Memory").CreateDataSource("m")
        one = memory.CreateLayer("m", target)
        drawn = ogr.Feature(one.GetLayerDefn())
        drawn.SetGeometry(geometry)
        one.CreateFeature(drawn)
        out = gdal.GetDriverByName("MEM").Create("", raster.RasterXSize, raster.RasterYSize, 1)
        transform = raster.GetGeoTransform(can_return_null=True)
        out.SetGeoTransform(transform or (0, 1, 0, 0, 0, -1))
        gdal.RasterizeLayer(out, [1], one, burn_values=[1])
        masks.append(out.ReadAsArray().astype(bool))
    return masks


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]


def main():
    unittest.main(argv=sys.argv[:1], verbosity=2)
