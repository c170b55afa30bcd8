"""INT8 on a machine with many cores: OpenVINO and ours with several images side by side, alternating, as bench/peers.py does it.

    many_cores.py OURS.int8.safetensors OPENVINO.onnx --tiles TILE.ppm --program build/release/bench/bench_engine
        [--threads 16] [--streams 1 4 16] [--rounds 5]

OPENVINO.onnx: of `peer_models.py --preset performance`, or an OpenVINO IR of it. With NNCF's other preset activations have zero
points, and OpenVINO 2026.4 then computes its 3x3 layers without AMX, or refuses the network. Runs in the environment of
bench/peers.sh; the program needs neither GDAL nor a network.
"""
import argparse
import os

from peers import DETECTIONS, PROPOSALS, Ours, Peer, print_table, rotate


def ours(arguments, streams):
    images = [word for tile in arguments.tiles for word in ("--image", tile)]
    command = [arguments.program, "--model", arguments.ours, "--threads", str(arguments.threads), "--precision", "int8",
               "--score", "0", "--detections", str(DETECTIONS), "--proposals", str(PROPOSALS), "--rounds", "3",
               "--streams", str(streams), "--batch", str(streams), "--json", *images]
    return Ours(f"Pantile, {streams} at once", command)


def openvino(arguments, streams, precision):
    return Peer(f"OpenVINO, {streams} at once, {precision}", arguments, "openvino", arguments.openvino, "--streams", str(streams),
                "--precision", precision)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours")
    parser.add_argument("openvino")
    parser.add_argument("--tiles", nargs="+", required=True)
    parser.add_argument("--program", required=True)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    sides = [ours(arguments, streams) for streams in arguments.streams]
    sides += [openvino(arguments, streams, precision) for precision in ("default", "f32") for streams in arguments.streams]
    rotate(sides, arguments.rounds)
    print_table(f"{arguments.threads} threads", sides)
    for side in sides:
        side.end()


if __name__ == "__main__":
    main()
