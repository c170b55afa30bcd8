"""One peer as a process of its own: loads the model, warms up, then times tiles when told to. bench/peers.py starts it.

    peer.py KIND MODEL TILE.ppm... [--streams N] [--precision f32|default]

KIND: torchvision, torchvision-rle (masks pasted into the tile and run-length encoded), onnxruntime, openvino. MODEL: a
.safetensors for torchvision, an ONNX file for the others. Speaks JSON lines: once ready, it says how many detections with masks
the tiles have; each `go` on standard input is answered with seconds a tile, on the clock and of all processors; `peak` with
its peak memory; `shape H W` with what the first tile of another shape costs beyond the next ones. What a peer does not need is
not imported, for it would count as its memory.
"""
import argparse
import json
import os
import sys
import time

import numpy as np

SCORE, DETECTIONS, PROPOSALS = 0.0, 100, 1000


def read_tile(path):
    with open(path, "rb") as file:
        data = file.read()
    width, height = map(int, data.split(maxsplit=3)[1:3])
    rgb = np.frombuffer(data[len(data) - 3 * width * height:], dtype=np.uint8).reshape(height, width, 3)
    return np.ascontiguousarray(rgb.transpose(2, 0, 1).astype(np.float32) / 255)


class Torchvision:
    def __init__(self, model, threads, encode):
        import torch
        from torchvision_model import build
        torch.set_num_threads(threads)
        self.torch, self.encode = torch, encode
        self.model = build(model, score=SCORE, detections=DETECTIONS, proposals=PROPOSALS)
        if not encode:
            self.model.transform.postprocess = lambda result, image_sizes, original_sizes: result
        else:
            from pycocotools import mask
            self.coco = mask

    def infer(self, tile):
        with self.torch.inference_mode():
            masks = self.model([self.torch.from_numpy(tile)])[0]["masks"]
            if self.encode:  # torchvision pasted the probabilities; objects are where they are above one half
                binary = (masks[:, 0] > 0.5).permute(1, 2, 0).to(self.torch.uint8).numpy()
                masks = self.coco.encode(np.asfortranarray(binary))
        return len(masks)

    def run(self, tiles):
        return [self.infer(tile) for tile in tiles]


class OnnxRuntime:
    def __init__(self, model, threads, shape):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        for name, value in zip("hw", shape):
            options.add_free_dimension_override_by_name(name, value)
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(self, tiles):
        return [len(self.session.run(["masks"], {"image": tile})[0]) for tile in tiles]


class OpenVino:
    def __init__(self, model, threads, shape, streams, precision):
        import openvino
        self.openvino, self.core, self.path, self.streams = openvino, openvino.Core(), model, streams
        self.options = {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": threads}
        if precision != "default":
            self.options["INFERENCE_PRECISION_HINT"] = precision
        self.compile(shape)

    def compile(self, shape):
        model = self.core.read_model(self.path)
        model.reshape([3, *shape])
        self.compiled = self.core.compile_model(model, "CPU", self.options)
        self.queue = self.openvino.AsyncInferQueue(self.compiled, self.streams)
        self.counts = []
        self.queue.set_callback(lambda request, _: self.counts.append(len(request.get_tensor("masks").data)))
        self.precision = self.compiled.get_property("INFERENCE_PRECISION_HINT").to_string()

    def run(self, tiles):
        self.counts.clear()
        for tile in tiles * self.streams:
            self.queue.start_async({0: tile}, share_inputs=True)
        self.queue.wait_all()
        return self.counts


def seconds_a_tile(peer, tiles):
    """On the clock, and of all threads' processor time."""
    begin, busy = time.perf_counter(), time.process_time()
    count = len(peer.run(tiles))
    return (time.perf_counter() - begin) / count, (time.process_time() - busy) / count


def peak_mib():
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def new_shape(peer, tile, shape):
    """Seconds until the first tile of a shape not seen before is done, less what a tile of that shape takes afterwards."""
    tiles = [np.ascontiguousarray(tile[:, :shape[0], :shape[1]])]
    begin = time.perf_counter()
    peer.compile(shape)
    peer.run(tiles)
    first = time.perf_counter() - begin
    return first - min(seconds_a_tile(peer, tiles)[0] for _ in range(2))


def open_peer(arguments, shape):
    if arguments.kind.startswith("torchvision"):
        return Torchvision(arguments.model, arguments.threads, arguments.kind.endswith("-rle"))
    if arguments.kind == "onnxruntime":
        return OnnxRuntime(arguments.model, arguments.threads, shape)
    return OpenVino(arguments.model, arguments.threads, shape, arguments.streams, arguments.precision)


def say(**what):
    print(json.dumps(what), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["torchvision", "torchvision-rle", "onnxruntime", "openvino"])
    parser.add_argument("model")
    parser.add_argument("tiles", nargs="+")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--precision", default="f32")
    arguments = parser.parse_args()
    tiles = [read_tile(path) for path in arguments.tiles]
    peer = open_peer(arguments, tiles[0].shape[1:])
    counts = list(peer.run(tiles))
    say(detections=min(counts), most=max(counts), precision=getattr(peer, "precision", "f32"))
    for line in sys.stdin:
        word, *values = line.split()
        if word == "go":
            seconds, busy = seconds_a_tile(peer, tiles)
            say(seconds=seconds, busy=busy)
        elif word == "peak":
            say(mib=peak_mib())
        elif word == "shape":
            say(seconds=new_shape(peer, tiles[0], tuple(map(int, values))))


if __name__ == "__main__":
    main()
