#!/usr/bin/python3
"""Makes a large scene out of a small one, and a layer of rectangles on it: OUT.vrt repeats SCENE side by side to SIZE x SIZE
pixels, OUT.gpkg holds COUNT seeded rectangles of 4 to 60 metres at any angle. Needs Debian's python3-gdal."""
import argparse
import math
import random

from osgeo import gdal, ogr, osr

gdal.UseExceptions()


def write_vrt(scene, size, path):
    source = gdal.Open(scene)
    width, height = source.RasterXSize, source.RasterYSize
    transform = ", ".join(repr(v) for v in source.GetGeoTransform())
    bands = []
    for band in (1, 2, 3):
        parts = []
        for y in range(0, size, height):
            for x in range(0, size, width):
                w, h = min(width, size - x), min(height, size - y)
                parts.append(
                    f'<SimpleSource><SourceFilename relativeToVRT="0">{scene}</SourceFilename>'
                    f'<SourceBand>{band}</SourceBand>'
                    f'<SourceProperties RasterXSize="{width}" RasterYSize="{height}" DataType="Byte"/>'
                    f'<SrcRect xOff="0" yOff="0" xSize="{w}" ySize="{h}"/>'
                    f'<DstRect xOff="{x}" yOff="{y}" xSize="{w}" ySize="{h}"/></SimpleSource>')
        bands.append(f'<VRTRasterBand dataType="Byte" band="{band}">{"".join(parts)}</VRTRasterBand>')
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}"><SRS>{source.GetProjection()}</SRS>'
                   f'<GeoTransform>{transform}</GeoTransform>{"".join(bands)}</VRTDataset>')
    return source.GetGeoTransform(), source.GetProjection()


def write_rectangles(transform, projection, size, count, path):
    random.seed(7)
    reference = osr.SpatialReference(wkt=projection)
    dataset = ogr.GetDriverByName("GPKG").CreateDataSource(path)
    layer = dataset.CreateLayer("truth", reference, ogr.wkbPolygon)
    side = math.ceil(math.sqrt(count))
    cell = size * transform[1] / side
    layer.StartTransaction()
    for i in range(count):
        column, row = i % side, i // side
        length = random.uniform(4, min(60, cell * 0.9))
        width = random.uniform(4, length) if length > 4 else 4
        angle = random.uniform(0, math.pi)
        x = transform[0] + (column + 0.5) * cell
        y = transform[3] - (row + 0.5) * cell
        ring = ogr.Geometry(ogr.wkbLinearRing)
        for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)):
            a, b = u * length / 2 * 0.7, v * width / 2 * 0.7
            ring.AddPoint_2D(x + a * math.cos(angle) - b * math.sin(angle), y + a * math.sin(angle) + b * math.cos(angle))
        polygon = ogr.Geometry(ogr.wkbPolygon)
        polygon.AddGeometry(ring)
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetGeometry(polygon)
        layer.CreateFeature(feature)
    layer.CommitTransaction()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene")
    parser.add_argument("out")
    parser.add_argument("--size", type=int, default=40000)
    parser.add_argument("--count", type=int, default=20000)
    arguments = parser.parse_args()
    transform, projection = write_vrt(arguments.scene, arguments.size, arguments.out + ".vrt")
    write_rectangles(transform, projection, arguments.size, arguments.count, arguments.out + ".gpkg")


if __name__ == "__main__":
    main()
