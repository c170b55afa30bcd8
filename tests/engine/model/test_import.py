"""tools/import_torchvision.py on seeded torchvision models and on files that must be refused.

    test_import.py IMPORTER OPEN_MODEL      (OPEN_MODEL: the C reader's test program)
"""
import contextlib
import importlib.util
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zipfile

import torch
from torchvision.models import mobilenet_v2
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN, mobilenet_backbone
from torchvision.models.resnet import Bottleneck, ResNet

IMPORTER, OPEN_MODEL = sys.argv[1:3]
RESNET50 = ["--arch", "maskrcnn_resnet50_fpn", "--num-classes", "3"]
MOBILENET = ["--arch", "maskrcnn_mobilenet_v2_fpn", "--num-classes", "2"]


def load_importer():
    spec = importlib.util.spec_from_file_location("import_torchvision", IMPORTER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


importer = load_importer()


def mask_rcnn(backbone, classes, levels):
    sizes = tuple((32 << i,) for i in range(levels))
    return MaskRCNN(backbone, classes, rpn_anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * levels))


def resnet(layer3=6):
    """ResNet with thin bottlenecks, to be quick; the depths are the real ones."""
    torch.manual_seed(1)
    body = ResNet(Bottleneck, [3, 4, layer3, 3], width_per_group=4)
    layers = {f"layer{i + 1}": str(i) for i in range(4)}
    return mask_rcnn(BackboneWithFPN(body, layers, [256, 512, 1024, 2048], 16), 3, 5)


def mobilenet(taps=(3, 6, 13, 17)):
    torch.manual_seed(2)
    body = mobilenet_v2(width_mult=0.35).features
    channels = [body[t].out_channels for t in taps]
    layers = {str(t): str(i) for i, t in enumerate(taps)}
    return mask_rcnn(BackboneWithFPN(body, layers, channels, 16), 2, len(taps) + 1)


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack("<Q", data[:8])[0]
    assert length % 8 == 0
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__")
    return header, metadata, data[8 + length:]


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


class ImportTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.marker = self.path("marker")
        self.output = self.path("out.safetensors")

    def path(self, name):
        return os.path.join(self.folder, name)

    def save(self, thing, name="checkpoint.pth", **options):
        torch.save(thing, self.path(name), **options)
        return self.path(name)

    def run_importer(self, *arguments):
        """Exit code and what was said on standard error."""
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            try:
                code = importer.main([*arguments, "-o", self.output])
            except SystemExit as end:
                code = end.code
        return code, errors.getvalue()

    def refuse(self, *arguments, says):
        code, message = self.run_importer(*arguments)
        self.assertEqual(code, 2, message)
        self.assertIn(says, message)
        self.assertFalse(os.path.exists(self.output))
        self.assertFalse(os.path.exists(self.output + ".partial"))

    def accept(self, *arguments):
        code, message = self.run_importer(*arguments)
        self.assertEqual((code, message), (0, ""))
        opened = subprocess.run([OPEN_MODEL, self.output], capture_output=True, text=True, check=False)
        self.assertEqual(opened.returncode, 0, opened.stderr)
        return opened.stdout.strip()

    def check_weights(self, state):
        header, _, data = read_safetensors(self.output)
        wanted = {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}
        self.assertEqual(set(header), set(wanted))
        for name, tensor in wanted.items():
            begin, end = header[name]["data_offsets"]
            self.assertEqual(data[begin:end], tensor.numpy().tobytes(), name)

    def test_resnet50(self):
        state = resnet().state_dict()
        count = sum(t.numel() for name, t in state.items() if not name.endswith("num_batches_tracked"))
        line = self.accept(self.save(state), *RESNET50, "--class-names", "roof,field", "--gsd", "0.25", "--name", "thin")
        self.assertEqual(line, f"thin resnet50_fpn F32 {count} field 5 100 0.25")
        self.check_weights(state)

    def test_resnet101(self):
        line = self.accept(self.save(resnet(23).state_dict()), "--arch", "maskrcnn_resnet101_fpn", "--num-classes", "3",
                           "--bn-eps", "0.0", "--detections", "7")
        self.assertRegex(line, r"^out resnet101_fpn F32 \d+ class_2 5 7 0$")
        self.assertEqual(json.loads(read_safetensors(self.output)[1]["pantile"])["bn_eps"], 0.0)

    def test_mobilenet(self):
        line = self.accept(self.save(mobilenet().state_dict()), *MOBILENET, "--fp16")
        self.assertRegex(line, r"^out mobilenet_v2_fpn F16 \d+ class_1 5 100 0$")

    def test_torchvisions_own_mobilenet_backbone(self):
        torch.manual_seed(3)
        try:
            backbone = mobilenet_backbone(backbone_name="mobilenet_v2", weights=None, fpn=True)
        except TypeError:  # before 0.13
            backbone = mobilenet_backbone("mobilenet_v2", pretrained=False, fpn=True)
        path = self.save(mask_rcnn(backbone, 2, 3).state_dict())
        self.assertRegex(self.accept(path, *MOBILENET, "--anchor-sizes", "32;64;128"), "^out mobilenet_v2_fpn F32")

    def test_wrappings_and_old_names(self):
        state = mobilenet().state_dict()
        old = {}
        for name, tensor in state.items():
            for part in ("rpn.head.conv", *(f"backbone.fpn.{kind}_blocks.{i}" for kind in ("inner", "layer") for i in range(4))):
                name = name.replace(f"{part}.0.0." if part.startswith("rpn") else f"{part}.0.", f"{part}.")
            for i in range(4):
                name = name.replace(f"mask_head.{i}.0.", f"mask_head.mask_fcn{i + 1}.")
            old[name] = tensor
        self.assertIn("roi_heads.mask_head.mask_fcn4.bias", old)
        self.assertIn("rpn.head.conv.weight", old)
        for wrapped in (old, {"model": old, "epoch": 3}, {"state_dict": {f"module.{n}": t for n, t in old.items()}},
                        {"model_state_dict": old, "optimizer": {"steps": [7]}}):
            with contextlib.suppress(FileNotFoundError):
                os.remove(self.output)
            self.accept(self.save(wrapped), *MOBILENET)
            self.check_weights(state)

    def test_legacy_format(self):
        self.accept(self.save(mobilenet().state_dict(), _use_new_zipfile_serialization=False), *MOBILENET)

    def test_wrong_models(self):
        state = mobilenet().state_dict()
        path = self.save(state)
        self.refuse(path, *MOBILENET[:2], "--num-classes", "5", says="--num-classes 5: tensor roi_heads.box_predictor")
        self.refuse(path, *RESNET50, says="missing tensors for resnet50_fpn: backbone.body.bn1.bias")
        self.refuse(path, *MOBILENET, "--taps", "2,6,13,18", says="--taps: the FPN has inputs")
        self.refuse(path, *MOBILENET, "--anchor-sizes", "1;2", says="--anchor-sizes: 2 levels, the model has 5")
        self.refuse(path, *MOBILENET, "--anchor-ratios", "1", says="has 3 anchors per cell")
        self.refuse(path, *MOBILENET, "--class-names", "a,b,c", says="--class-names: 1 names needed")
        self.refuse(self.save({**state, "extra.weight": torch.zeros(1)}), *MOBILENET,
                    says="unknown tensors for mobilenet_v2_fpn: extra.weight")
        gone = {name: t for name, t in state.items() if name != "roi_heads.box_head.fc7.bias"}
        self.refuse(self.save(gone), *MOBILENET, says="missing tensors for mobilenet_v2_fpn: roi_heads.box_head.fc7.bias")
        self.refuse(self.save({"a": torch.zeros(1)}), *MOBILENET, says="is not a Mask R-CNN with FPN")
        self.refuse(self.save({"a": 1}), *MOBILENET, says="holds no state_dict")
        self.refuse(self.save([1]), *MOBILENET, says="holds a list, not a state_dict")
        for name in ("roi_heads.mask_predictor.mask_fcn_logits.weight", "backbone.body.17.conv.2.weight",
                     "backbone.fpn.inner_blocks.1.0.weight", "rpn.head.cls_logits.weight"):
            self.refuse(self.save({**state, name: torch.tensor(1.0)}), *MOBILENET, says=f"tensor {name}: has 0 dimensions")
        name = "rpn.head.bbox_pred.bias"
        self.refuse(self.save({**state, name: torch.full((12,), 1e6)}), *MOBILENET, "--fp16",
                    says=f"tensor {name}: holds an infinity or NaN in FP16")
        self.refuse(self.save({**state, name: torch.zeros(12, dtype=torch.int64)}), *MOBILENET, says=f"tensor {name}: its dtype")

    def test_inputs_of_the_fpn_that_a_resnet_lacks(self):
        state = resnet().state_dict()
        self.refuse(self.save(state), *RESNET50, "--taps", "0,1,2,3", says="--taps: the FPN has inputs")
        self.refuse(self.save(state), *RESNET50, "--taps", "2,3,4,5", says="--taps: the FPN has inputs")
        for part in ("inner", "layer"):
            for kind in ("weight", "bias"):
                state[f"backbone.fpn.{part}_blocks.4.0.{kind}"] = state[f"backbone.fpn.{part}_blocks.3.0.{kind}"]
        self.refuse(self.save(state), *RESNET50, says="--taps: the FPN has inputs")

    def test_whole_model_is_refused(self):
        self.refuse(self.save(mobilenet()), *MOBILENET, says="holds more than weights, and was not run")

    def refuse_evil(self, path, says):
        self.refuse(path, *MOBILENET, says=says)
        self.assertFalse(os.path.exists(self.marker), "the pickle ran")

    def test_evil_pickles_are_not_run(self):
        evil = Evil(self.marker)
        for thing in (evil, {"model": evil}, {"a": torch.zeros(1), "b": evil}):
            self.refuse_evil(self.save(thing), "was not run")
            self.refuse_evil(self.save(thing, _use_new_zipfile_serialization=False), "was not run")
        with open(self.path("plain.pth"), "wb") as file:
            pickle.dump(evil, file)
        self.refuse_evil(self.path("plain.pth"), "plain.pth: ")
        pickle.loads(pickle.dumps(evil))
        self.assertTrue(os.path.exists(self.marker), "the test's own pickle is harmless")

    def test_formats_that_bypass_the_restriction_are_refused(self):
        with zipfile.ZipFile(self.path("script.pth"), "w") as archive:
            archive.writestr("script/data.pkl", pickle.dumps(Evil(self.marker)))
            archive.writestr("script/constants.pkl", pickle.dumps(Evil(self.marker)))
        self.refuse_evil(self.path("script.pth"), "is a TorchScript archive")
        with tarfile.open(self.path("old.pth"), "w") as archive:
            for name in ("storages", "tensors", "pickle"):
                data = pickle.dumps(Evil(self.marker))
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
        self.refuse_evil(self.path("old.pth"), "old tar format")

    def test_no_checkpoint(self):
        self.refuse(self.path("none.pth"), *MOBILENET, says="none.pth: No such file or directory")
        for content in (b"", b"PK\x03\x04 no zip", b"text\n", os.urandom(100)):
            with open(self.path("bad.pth"), "wb") as file:
                file.write(content)
            self.refuse(self.path("bad.pth"), *MOBILENET, says="bad.pth: ")

    def test_no_torch(self):
        sys.modules["torch"] = None  # as if it were not installed
        self.addCleanup(sys.modules.__setitem__, "torch", torch)
        path = self.path("weights.pth")
        with open(path, "wb") as file:
            file.write(b"PK\x03\x04")
        code, message = self.run_importer(path, *MOBILENET)
        self.assertEqual(code, 2)
        self.assertIn("needs Python's torch", message)
        self.assertIn("apt install python3-torch", message)

    def test_existing_output(self):
        path = self.save(mobilenet().state_dict())
        self.accept(path, *MOBILENET)
        code, message = self.run_importer(path, *MOBILENET)
        self.assertEqual(code, 2)
        self.assertIn("exists already; say --overwrite", message)
        self.accept(path, *MOBILENET, "--overwrite")

    def test_embedding(self):
        self.accept(self.save(mobilenet().state_dict()), *MOBILENET)
        header, _, data = read_safetensors(self.output)
        source = self.path("in.safetensors")
        os.rename(self.output, source)
        description = {"name": "embedded \u00e9", "fpn_channels": 16}
        with open(self.path("in.json"), "w", encoding="utf-8") as file:
            json.dump(description, file)
        self.accept("--from-safetensors", source, "--description", self.path("in.json"))
        again, metadata, same = read_safetensors(self.output)
        self.assertEqual((again, same, json.loads(metadata["pantile"])), (header, data, description))
        os.remove(self.output)
        self.refuse("--from-safetensors", source, "--description", source, says="is not valid JSON")
        self.refuse("--from-safetensors", source, says="needs --description")
        self.refuse(*MOBILENET, says="CHECKPOINT.pth, --arch and --num-classes are needed")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
