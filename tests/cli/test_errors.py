"""Bad input by example: one line that names the thing and the remedy, the documented exit code, nothing left behind."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

from osgeo import gdal

from harness import (BUILDINGS, Case, PROGRAM, ZANZIBAR, box, features, json_lines, main, noise, small_disk,
                     write_scene, write_truth)


class Usage(Case):
    def test_command_lines(self):
        out = self.path("out.geojson")
        for arguments, says in (((), "no command"), (("walk",), "no command walk"), (("run", "--tiles"), "--tiles"),
                                (("run", ZANZIBAR), "-o"), (("run", "-o", out), "no scene"),
                                (("run", ZANZIBAR, "-o", out), "buildings_mnv2_fpn, fields_mnv2_fpn"),
                                (("run", ZANZIBAR, "-o", out, "--engine", "magic"), "oracle:FILE"),
                                (("run", ZANZIBAR, "-o", out, "-m", BUILDINGS, "--tile", 1000), "1024"),
                                (("run", ZANZIBAR, "-o", out, "-m", BUILDINGS, "--range", "3,2"), "--range"),
                                (("run", ZANZIBAR, "-o", out, "-m", BUILDINGS, "--gsd", "small"), "--gsd"),
                                (("run", ZANZIBAR, "-o", self.path("out.shp"), "-m", BUILDINGS), ".geojson"),
                                (("run", ZANZIBAR, "-o", out, "-m", BUILDINGS, "--keys", "a.key", "--insecure"), "--keys"),
                                (("run", ZANZIBAR, "-o", out, "-m", BUILDINGS, "--allow", "a.pub"), "add --keys"),
                                (("run", ZANZIBAR, "-o", out, "-m", BUILDINGS, "--backend", "abacus"), "native, onednn, portable"),
                                (("run", ZANZIBAR, "-o", out, "-m", BUILDINGS, "--backend", "abacus", "--no-local-worker"),
                                 "native, onednn, portable"),
                                (("run", ZANZIBAR, "-o", out, "--engine", "null", "--backend", "abacus"), "native, onednn, portable"),
                                (("plan", ZANZIBAR, "-m", BUILDINGS, "--backend", "abacus"), "native, onednn, portable"),
                                (("detect", ZANZIBAR, "-o", out, "-m", BUILDINGS, "--backend", "abacus"), "native, onednn, portable"),
                                (("eval", out), "two files"), (("info",), "one scene"), (("detect",), "no image"),
                                (("detect", ZANZIBAR), "-o"), (("plan",), "no scene")):
            with self.subTest(arguments=arguments):
                self.refused(1, ["pantile", says], *arguments, output=out)

    def test_help_fits_and_shows_an_example(self):
        for command in ("run", "worker", "verify", "plan", "detect", "info", "eval"):
            text = self.pantile(command, "--help").stdout.splitlines()
            self.assertLessEqual(len(text), 24, command)
            self.assertLessEqual(max(map(len, text)), 100, command)
            self.assertTrue(any(line.startswith("Example: pantile " + command) for line in text))
        self.assertRegex(self.pantile("--version").stdout, r"^pantile \d+\.\d+\.\d+\n$")
        self.assertIn("pantile help", self.pantile("help").stdout)


class BadInput(Case):
    def run_refused(self, code, says, scene, *more):
        return self.refused(code, says, "run", scene, "-o", self.path("out.geojson"), "-m", BUILDINGS, *more,
                            output=self.path("out.geojson"))

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def test_no_such_file(self):
        self.run_refused(2, ["nowhere.tif"], self.path("nowhere.tif"))

    def test_tiles_of_an_engine_that_reads_nothing(self):
        self.run_refused(1, ["--dump-tiles", "null"], ZANZIBAR, "--engine", "null", "--dump-tiles", self.path("tiles"))

    def test_text_named_tif(self):
        self.run_refused(2, ["text.tif"], self.write("text.tif", b"not a raster, but words\n" * 50))

    def test_tiff_cut_at_half(self):
        with open(ZANZIBAR, "rb") as file:
            data = file.read()
        self.run_refused(2, ["half.tif"], self.write("half.tif", data[:len(data) // 2]))

    def test_no_bands(self):
        path = self.write("none.vrt", b'<VRTDataset rasterXSize="64" rasterYSize="64"></VRTDataset>')
        self.run_refused(2, ["none.vrt", "band"], path)

    def test_other_driver_is_named(self):
        gdal.GetDriverByName("ENVI").Create(self.path("a.img"), 64, 64, 3).FlushCache()
        self.run_refused(2, ["a.img", "--driver"], self.path("a.img"))

    def test_aoi_outside(self):
        scene = write_scene(self.path("scene.tif"), noise(64, 64))
        area = write_truth(self.path("aoi.geojson"), [[box(5000, 5000, 5100, 5100)]])
        self.run_refused(2, ["aoi.geojson"], scene, "--aoi", area)
        self.run_refused(2, ["bbox"], scene, "--bbox", "0,0,10,10")

    def test_no_crs(self):
        scene = write_scene(self.path("plain.tif"), noise(200, 120), epsg=None)
        truth = write_truth(self.path("truth.gpkg"), [[[(20, -30), (60, -30), (60, -70), (20, -70)]]], epsg=None)
        out = self.path("out.geojson")
        done = self.pantile("run", scene, "-o", out, "--engine", "oracle:" + truth, "--simplify", 0)
        self.assertRegex(done.stderr, r"warn .*CRS")
        (properties, geometry), = features(out)
        self.assertNotIn("area_m2", {k for k, v in properties.items() if v is not None})
        self.assertEqual(geometry.GetEnvelope(), (20, 60, -70, -30))
        os.remove(out)
        self.refused(2, ["plain.tif", "CRS"], "run", scene, "-o", out, "--engine", "oracle:" + truth, "--require-crs",
                     output=out)

    def test_proj_without_its_database(self):
        lost = {**os.environ, "PROJ_LIB": self.dir, "PROJ_DATA": self.dir}
        done = self.pantile("run", ZANZIBAR, "-o", self.path("out.geojson"), "-m", BUILDINGS, code=2, env=lost)
        self.assertIn("zanzibar.tif: its CRS cannot be told", done.stderr)
        self.assertIn("PROJ_LIB", done.stderr)
        self.assertEqual(os.listdir(self.dir), [])

    def test_one_pixel(self):
        scene = write_scene(self.path("one.tif"), noise(1, 1))
        out = self.path("out.geojson")
        self.pantile("run", scene, "-o", out, "-m", BUILDINGS, "--gsd", "native")
        self.assertEqual(features(out), [])
        self.pantile("info", scene)
        self.pantile("plan", scene, "-m", BUILDINGS, "--gsd", "native")

    def test_wrong_models(self):
        scene = write_scene(self.path("scene.tif"), noise(64, 64))
        with open(BUILDINGS, "rb") as file:
            data = file.read()
        out = self.path("out.geojson")
        for name, bytes_ in (("model.json", b'{"name": "a model"}'), ("short.safetensors", data[:len(data) // 2]),
                             ("empty.safetensors", b"")):
            path = self.write(name, bytes_)
            self.refused(2, [name], "run", scene, "-o", out, "-m", path, output=out)
            self.refused(2, [name], "detect", scene, "-o", out, "-m", path, output=out)
        self.refused(2, ["scene.tif"], "run", scene, "-o", out, "-m", scene, output=out)
        self.refused(2, ["no_such_model", "buildings_mnv2_fpn"], "run", scene, "-o", out, "-m", "no_such_model")

    def test_folders(self):
        scene = write_scene(self.path("scene.tif"), noise(64, 64))
        self.refused(2, ["missing"], "run", scene, "-o", self.path("missing", "out.geojson"), "-m", BUILDINGS)
        self.refused(2, ["missing"], "detect", scene, "-o", self.path("missing", "out.json"), "-m", BUILDINGS)
        self.refused(2, ["missing"], "run", scene, "-o", self.path("out.geojson"), "-m", BUILDINGS, "--overlay",
                     self.path("missing", "look.png"))
        self.refused(2, ["/proc/out.geojson"], "run", scene, "-o", "/proc/out.geojson", "-m", BUILDINGS)

    def test_existing_output(self):
        scene = write_scene(self.path("scene.tif"), noise(64, 64))
        out = self.write("out.geojson", b"precious")
        self.refused(2, ["out.geojson", "--overwrite"], "run", scene, "-o", out, "-m", BUILDINGS)
        with open(out, "rb") as file:
            self.assertEqual(file.read(), b"precious")

    def test_outputs_apart(self):
        """An output over an input or another output would destroy it, and is refused before the work."""
        scene = write_scene(self.path("scene.png.tif"), noise(64, 64))
        picture = self.path("scene.png")
        gdal.Translate(picture, scene, format="PNG")
        out = self.path("out.geojson")
        for arguments in (("run", picture, "-o", out, "-m", BUILDINGS, "--overlay", picture),
                          ("run", scene, "-o", out, "-m", BUILDINGS, "--report", os.path.join(self.dir, ".", "out.geojson")),
                          ("run", scene, "-o", out, "--engine", "oracle:" + out),
                          ("detect", picture, "-o", picture, "-m", BUILDINGS)):
            self.refused(1, ["would be written over", "another output"], *arguments, "--overwrite", output=out)
        self.refused(1, ["look.jpg", ".png"], "run", scene, "-o", out, "-m", BUILDINGS, "--overlay", self.path("look.jpg"),
                     output=out)

    def test_scenes_with_and_without_crs(self):
        scenes = [write_scene(self.path(name), noise(64, 64), epsg=epsg) for name, epsg in (("a.tif", 32633), ("b.tif", None))]
        for command in (("run", "-o", self.path("out.geojson")), ("plan",)):
            self.refused(2, ["a.tif", "b.tif", "one by one"], *command, *scenes, "-m", BUILDINGS)

    def test_one_line_whatever_the_name(self):
        self.run_refused(2, ["new line.tif"], self.path("new\nline.tif"))

    def test_mistakes_as_json(self):
        for arguments in (("run", "--log", "json", "--bogus"), ("plan", "--log=json"), ("eval", "--log=json"),
                          ("detect", "--tile", "3", "--log=json"), ("info", "--log", "json")):
            line, = json_lines(self.pantile(*arguments, code=1).stderr)
            self.assertEqual((line["level"], line["command"]), ("error", arguments[0]))

    def test_config(self):
        scene = write_scene(self.path("scene.tif"), noise(64, 64))
        path = self.write("a.yaml", b"tile: 512\ntyle: 3\n")
        self.run_refused(2, ["a.yaml", "line 2", "tyle"], scene, "--config", path)
        self.run_refused(2, ["no.yaml", "buildings"], scene, "--config", self.path("no.yaml"))

    def test_replay_without_files(self):
        scene = write_scene(self.path("scene.tif"), noise(64, 64))
        self.refused(2, ["0.json", "docs/replay.md"], "run", scene, "-o", self.path("out.geojson"), "--engine",
                     "replay:" + self.dir)

    def test_plan_and_info_refuse_too(self):
        self.refused(2, ["nowhere.tif"], "info", self.path("nowhere.tif"))
        self.refused(2, ["nowhere.tif"], "plan", self.path("nowhere.tif"), "-m", BUILDINGS)
        self.refused(2, ["nowhere.geojson"], "eval", self.path("nowhere.geojson"), self.path("nowhere.geojson"))


class Streams(Case):
    def test_full_standard_output(self):
        truth = ZANZIBAR.replace(".tif", ".truth.geojson")
        for arguments in (("eval", truth, truth), ("info", ZANZIBAR), ("run", "--help"), ("--version",)):
            with open("/dev/full", "w", encoding="utf-8") as full:
                done = subprocess.run([PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual(done.returncode, 4, arguments)
            self.assertIn("no space", done.stderr)

    def test_nobody_reads_the_lines(self):
        """`pantile run ... 2>&1 | head -1` must still give the output."""
        scene = write_scene(self.path("scene.tif"), noise(64, 64))
        truth = write_truth(self.path("truth.gpkg"), [[box(20, 30, 60, 60)]])
        ends = os.pipe()
        os.close(ends[0])
        done = subprocess.run([PROGRAM, "run", scene, "-o", self.path("out.geojson"), "--engine", "oracle:" + truth],
                              stdout=ends[1], stderr=ends[1], check=False)
        os.close(ends[1])
        self.assertEqual(done.returncode, 0)
        self.assertEqual(len(features(self.path("out.geojson"))), 1)

    def test_without_standard_streams(self):
        """Their numbers must not go to files of the program's, where lines for people would end."""
        scene = write_scene(self.path("scene.tif"), noise(64, 64))
        truth = write_truth(self.path("truth.gpkg"), [[box(20, 30, 60, 60)]])
        for closed in ("<&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
            run = [PROGRAM, "run", scene, "-o", self.path("out.geojson"), "--overwrite", "--engine", "oracle:" + truth]
            self.assertEqual(subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *run], check=False).returncode, 0, closed)
            self.assertEqual(len(features(self.path("out.geojson"))), 1)

    def test_detect_asks_for_no_crs(self):
        scene = write_scene(self.path("plain.tif"), noise(64, 64), epsg=None)
        done = self.pantile("detect", scene, "-o", self.path("out.json"), "-m", BUILDINGS, "--quiet")
        self.assertEqual(done.stderr, "")


class FailedTiles(Case):
    def test_a_broken_block_costs_its_tiles_alone(self):
        path = write_scene(self.path("scene.tif"), noise(640, 640),
                           options=["TILED=YES", "BLOCKXSIZE=128", "BLOCKYSIZE=128", "COMPRESS=DEFLATE"])
        source = gdal.Open(path)
        band = source.GetRasterBand(1)
        offset = int(band.GetMetadataItem("BLOCK_OFFSET_2_2", "TIFF"))
        size = int(band.GetMetadataItem("BLOCK_SIZE_2_2", "TIFF"))
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(b"\xff" * size)
        truth = write_truth(self.path("truth.gpkg"), [[box(10, 10, 30, 30)], [box(300, 300, 320, 320)]])
        out, report = self.path("out.geojson"), self.path("report.json")
        done = self.pantile("run", path, "-o", out, "--engine", "oracle:" + truth, "--gsd", "native", "--tile", 192,
                            "--overlap", 64, "--report", report, "--log", "json", code=3)
        failed = [line for line in json_lines(done.stderr) if line["msg"] == "tile failed"]
        self.assertGreater(len(failed), 0)
        for line in failed:
            self.assertEqual(line["attempts"], 3)
            self.assertIn("scene.tif", line["reason"])
            self.assertTrue(line["x"] < 384 and line["x"] + line["width"] > 256)
        self.assertEqual(len(features(out)), 1)
        with open(report, encoding="utf-8") as file:
            told = json.load(file)
        self.assertEqual(told["counts"]["failed"], len(failed))
        self.assertEqual(told["counts"]["retries"], 2 * len(failed))
        self.assertEqual([t["tile"] for t in told["scenes"][0]["failed_tiles"]], sorted(t["tile"] for t in failed))


class Interrupted(Case):
    def interrupt(self, *signals):
        out = self.path("out.geojson")
        run = subprocess.Popen([PROGRAM, "run", ZANZIBAR, "-o", out, "-m", BUILDINGS, "--gsd", "native", "--tile", "256",
                                "--overlap", "64", "--overlay", self.path("look.png"), "--log", "json"],
                               stderr=subprocess.PIPE, text=True)
        for line in run.stderr:
            if '"progress"' in line:
                break
        for number in signals:
            run.send_signal(number)
        rest = run.stderr.read()
        run.stderr.close()
        code = run.wait(timeout=120)
        if len(signals) == 1:  # what is done is kept, and nothing else
            self.assertEqual(os.listdir(self.dir), ["out.geojson.pantile"])
            self.assertIn("--resume", json_lines(rest)[-1]["msg"])
        return code, rest

    def test_interrupt(self):
        code, rest = self.interrupt(signal.SIGINT)
        self.assertEqual(code, 130)
        self.assertIn("SIGINT", json_lines(rest)[-1]["msg"])

    def test_terminate(self):
        code, rest = self.interrupt(signal.SIGTERM)
        self.assertEqual(code, 143)
        self.assertIn("SIGTERM", json_lines(rest)[-1]["msg"])

    def test_commands_without_outputs(self):
        """They have nothing to put in order and end at once; here while they wait for a file."""
        pipe = self.path("slow.geojson")
        os.mkfifo(pipe)
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            run = subprocess.Popen([PROGRAM, "eval", pipe, pipe], stderr=subprocess.DEVNULL)
            with open(pipe, "wb"):  # returns once the program opens the other end, so its handlers stand
                run.send_signal(number)
                self.assertEqual(run.wait(timeout=60), code)

    def test_twice(self):
        code, _ = self.interrupt(signal.SIGINT, signal.SIGTERM, signal.SIGINT)
        self.assertIn(code, (130, 143))


    def test_twice_while_nobody_reads_the_lines(self):
        """A terminal that was stopped: the first signal's thread waits for it, the second ends all the same."""
        scene = write_scene(self.path("scene.tif"), noise(64, 64))
        truth = write_truth(self.path("truth.gpkg"), [[box(20, 30, 60, 60)]])
        reads, writes = os.pipe()
        with subprocess.Popen([PROGRAM, "run", scene, "-o", self.path("out.geojson"), "--engine", "oracle:" + truth],
                              stderr=writes, env={**os.environ, "PANTILE_TEST_FAULTS": "slow@0:600"}) as run:
            while b"workers" not in os.read(reads, 4096):
                pass
            os.set_blocking(writes, False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(writes, b"x")
            os.set_blocking(writes, True)
            run.send_signal(signal.SIGTERM)
            time.sleep(0.2)  # the same signal twice at once is one
            run.send_signal(signal.SIGTERM)
            self.assertEqual(run.wait(timeout=60), 143)
        os.close(reads)
        os.close(writes)


class NoSpace(Case):
    def setUp(self):
        super().setUp()
        self.disk = small_disk(self, "64k")

    def test_output(self):
        scene = write_scene(self.path("scene.tif"), noise(1000, 1000))
        shapes = [[box(x, y, x + 5, y + 5)] for x in range(10, 990, 9) for y in range(10, 990, 9)]
        truth = write_truth(self.path("truth.gpkg"), shapes[:3000])
        for ending in ("geojson", "gpkg"):
            self.refused(4, ["disk", "space"], "run", scene, "-o", os.path.join(self.disk, "out." + ending), "--engine",
                         "oracle:" + truth, "--gsd", "native", "--quiet")
            name = "out.%s.pantile" % ending  # what is done is kept; nothing else takes room
            self.assertLessEqual(set(os.listdir(self.disk)), {name})
            shutil.rmtree(os.path.join(self.disk, name), ignore_errors=True)

    def test_detections(self):
        with open(os.path.join(self.disk, "filler"), "wb") as file:
            try:
                file.write(b"x" * 65536)
            except OSError:
                pass
        fixture = self.path("crop.tif")
        gdal.Translate(fixture, ZANZIBAR, srcWin=[0, 0, 640, 640])
        self.refused(4, ["disk", "space"], "detect", fixture, "-o", os.path.join(self.disk, "out.json"), "-m", BUILDINGS)
        self.assertEqual(os.listdir(self.disk), ["filler"])


if __name__ == "__main__":
    main()
