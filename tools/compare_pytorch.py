"""Export 27 families of networks from PyTorch and run them beside ONNX Runtime: the table of docs/session.md.

    pip install torch torchvision onnxruntime
    python tools/compare_pytorch.py FOLDER [NAME...]

Weights are those that PyTorch starts training from. Files go to FOLDER and are made once. Each network is measured in a
process of its own, one thread, in turns with ONNX Runtime; what counts is the least CPU time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import numpyvgg.session
from numpyvgg.text import table

try:
    import torch
    import torchvision
    from torch import nn
    from torch.nn import functional as F
except ImportError:
    sys.exit("pip install torch torchvision")


def convolution(channels: int, filters: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """As YOLO has it: convolution, batch normalisation, SiLU."""
    conv = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(filters), nn.SiLU())


class CrossStage(nn.Module):
    """Half of the channels go through bottlenecks, and every stage of that is kept."""

    def __init__(self, channels: int, filters: int):
        super().__init__()
        self.first, self.last = convolution(channels, filters, 1), convolution(3 * filters // 2, filters, 1)
        self.block = nn.Sequential(convolution(filters // 2, filters // 2), convolution(filters // 2, filters // 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.first(x).chunk(2, 1)
        return self.last(torch.cat([a, b, b + self.block(b)], 1))


class Yolo(nn.Module):
    """A feature pyramid up and down, a head on three scales, boxes decoded within the graph."""

    def __init__(self, width: int = 32, classes: int = 20):
        super().__init__()
        w = [width, 2 * width, 4 * width, 8 * width]
        self.stem = nn.Sequential(convolution(3, w[0], 3, 2), convolution(w[0], w[0], 3, 2))
        self.down = nn.ModuleList(nn.Sequential(convolution(a, b, 3, 2), CrossStage(b, b)) for a, b in pairwise(w))
        self.spread, self.gather = convolution(w[3], w[2], 1), convolution(4 * w[2], w[3], 1)
        self.up = nn.ModuleList([CrossStage(w[3] + w[2], w[2]), CrossStage(w[2] + w[1], w[1])])
        self.again = nn.ModuleList([convolution(w[1], w[1], 3, 2), convolution(w[2], w[2], 3, 2)])
        self.merge = nn.ModuleList([CrossStage(w[1] + w[2], w[2]), CrossStage(w[2] + w[3], w[3])])
        self.heads = nn.ModuleList(nn.Conv2d(channels, 64 + classes, 1) for channels in w[1:])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        p3 = self.down[0](self.stem(x))
        p4 = self.down[1](p3)
        pooled = [self.spread(self.down[2](p4))]
        for _ in range(3):
            pooled.append(F.max_pool2d(pooled[-1], 5, 1, 2))
        p5 = self.gather(torch.cat(pooled, 1))
        n4 = self.up[0](torch.cat([F.interpolate(p5, scale_factor=2), p4], 1))
        n3 = self.up[1](torch.cat([F.interpolate(n4, scale_factor=2), p3], 1))
        m4 = self.merge[0](torch.cat([self.again[0](n3), n4], 1))
        m5 = self.merge[1](torch.cat([self.again[1](m4), p5], 1))
        return torch.cat([self.decoded(head(y), y) for head, y in zip(self.heads, (n3, m4, m5), strict=True)], 1)

    def decoded(self, y: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Each side of a box is the mean of 16 distances, weighted by their softmax."""
        height, width = features.shape[2:]
        rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        sides, scores = y.flatten(2).transpose(1, 2).split([64, y.shape[1] - 64], 2)
        distances = sides.unflatten(2, (4, 16)).softmax(3) @ torch.arange(16.0)
        centre = torch.stack([columns, rows], 2).reshape(1, -1, 2)
        boxes = [centre - distances[..., :2], centre + distances[..., 2:], scores.sigmoid()]
        return torch.cat(boxes, 2)


class UNet(nn.Module):
    """Ronneberger 2015, 16 filters at the full size; `up`: bilinear, nearest, or transposed (convolution)."""

    def __init__(self, up: str, width: int = 16, depth: int = 4):
        super().__init__()
        sizes = [width << i for i in range(depth + 1)]
        self.up = up
        self.first = self.block(3, width)
        self.down = nn.ModuleList(self.block(a, b) for a, b in pairwise(sizes))
        pairs = list(pairwise(sizes[::-1]))
        self.widen = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 2, 2)
            if up == "transposed"
            else nn.Sequential(nn.Upsample(scale_factor=2, mode=up), nn.Conv2d(a, b, 1))
            for a, b in pairs
        )
        self.merge = nn.ModuleList(self.block(2 * b, b) for _, b in pairs)
        self.last = nn.Conv2d(width, 2, 1)

    @staticmethod
    def block(channels: int, filters: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for a in (channels, filters):
            layers += [nn.Conv2d(a, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU()]
        return nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = [self.first(x)]
        for down in self.down:
            kept.append(down(F.max_pool2d(kept[-1], 2)))
        x = kept.pop()
        for widen, merge in zip(self.widen, self.merge, strict=True):
            x = merge(torch.cat([widen(x), kept.pop()], 1))
        return self.last(x).softmax(1)


class RepVGG(nn.Module):
    """Ding 2021 as it is trained: 3x3, 1x1 and identity side by side, each with its normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks, channels = nn.ModuleList(), 3
        for filters, count in ((48, 1), (48, 2), (96, 4), (192, 8)):
            for i in range(count):
                stride, same = 2 if i == 0 else 1, channels == filters and i > 0
                branches = [nn.Conv2d(channels, filters, k, stride, k // 2, bias=False) for k in (3, 1)]
                block = [nn.Sequential(branch, nn.BatchNorm2d(filters)) for branch in branches]
                self.blocks.append(nn.ModuleList([*block, nn.BatchNorm2d(channels)] if same else block))
                channels = filters
        self.last = nn.Linear(channels, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = F.relu(reduce(torch.add, (branch(x) for branch in block.children())))
        return self.last(x.mean((2, 3)))


class Style(nn.Module):
    """Johnson 2016: reflected borders, instance normalisation, nearest neighbours to grow."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(self.conv(3, 32, 9), self.conv(32, 64, 3, 2), self.conv(64, 128, 3, 2))
        self.blocks = nn.ModuleList(self.conv(128, 128, 3) for _ in range(5))
        self.outer = nn.ModuleList([self.conv(128, 64, 3), self.conv(64, 32, 3)])
        self.last = nn.Sequential(nn.ReflectionPad2d(4), nn.Conv2d(32, 3, 9))

    @staticmethod
    def conv(channels: int, filters: int, kernel: int, stride: int = 1) -> nn.Sequential:
        conv = [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(channels, filters, kernel, stride)]
        return nn.Sequential(*conv, nn.InstanceNorm2d(filters, affine=True), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.inner(x)
        for block in self.blocks:
            x = x + block(x)
        for grow in self.outer:
            x = grow(F.interpolate(x, scale_factor=2))
        return self.last(x)


def super_resolution() -> nn.Module:
    """Shi 2016: three times as large by moving channels to pixels."""
    layers: list[nn.Module] = []
    for channels, filters, kernel in ((1, 64, 5), (64, 64, 3), (64, 32, 3)):
        layers += [nn.Conv2d(channels, filters, kernel, padding=kernel // 2), nn.GELU()]
    return nn.Sequential(*layers, nn.Conv2d(32, 9, 3, padding=1), nn.PixelShuffle(3))


def vision_transformer() -> nn.Module:
    net = torchvision.models.VisionTransformer(224, 32, num_layers=6, num_heads=6, hidden_dim=384, mlp_dim=1536)
    nn.init.normal_(net.heads.head.weight, std=0.02)  # training starts from zeros
    return net


def segmenter(name: str) -> Callable[[], nn.Module]:
    class Out(nn.Module):
        """The masks alone: torchvision returns a dictionary."""

        def __init__(self) -> None:
            super().__init__()
            build = getattr(torchvision.models.segmentation, name)
            self.net = build(weights=None, weights_backbone=None, num_classes=21)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)["out"]

    return Out


def classifier(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: getattr(torchvision.models, name)(weights=None, **options)


#: name -> how the network is made, and the shape of its input
FAMILIES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    name: (classifier(name), (1, 3, 224, 224))
    for name in (
        "resnet18", "resnet50", "resnext50_32x4d", "regnet_y_400mf", "mobilenet_v2", "mobilenet_v3_small",
        "mobilenet_v3_large", "mnasnet1_0", "efficientnet_b0", "efficientnet_v2_s", "densenet121", "squeezenet1_1",
        "shufflenet_v2_x1_0", "convnext_tiny", "swin_t",
    )
}  # fmt: skip
FAMILIES |= {
    "googlenet": (classifier("googlenet", aux_logits=False, init_weights=False), (1, 3, 224, 224)),
    "inception_v3": (classifier("inception_v3", aux_logits=False, init_weights=False), (1, 3, 299, 299)),
    "RepVGG": (RepVGG, (1, 3, 224, 224)),
    "vision transformer": (vision_transformer, (1, 3, 224, 224)),
    "YOLO": (Yolo, (1, 3, 320, 320)),
    "U-Net, bilinear": (lambda: UNet("bilinear"), (1, 3, 256, 256)),
    "U-Net, nearest": (lambda: UNet("nearest"), (1, 3, 256, 256)),
    "U-Net, transposed": (lambda: UNet("transposed"), (1, 3, 256, 256)),
    "deeplabv3_mobilenet_v3_large": (segmenter("deeplabv3_mobilenet_v3_large"), (1, 3, 224, 224)),
    "lraspp_mobilenet_v3_large": (segmenter("lraspp_mobilenet_v3_large"), (1, 3, 224, 224)),
    "style transfer": (Style, (1, 3, 224, 224)),
    "super-resolution": (super_resolution, (1, 1, 112, 112)),
}


def export(name: str, path: Path) -> None:
    build, shape = FAMILIES[name]
    torch.manual_seed(0)
    part = path.with_suffix(".part")
    torch.onnx.export(build().eval(), (torch.rand(shape),), str(part), opset_version=17, dynamo=False)
    part.replace(path)


def measure(name: str, path: Path, seconds: float = 4.0) -> dict[str, float]:
    """The largest difference of any output, of its largest value, and each system's least milliseconds."""
    runs: dict[str, Callable[[dict[str, np.ndarray]], list[np.ndarray]]] = {}
    for system in ("onnxruntime", "im2col", "winograd"):
        runtime: Any = onnxruntime if system == "onnxruntime" else numpyvgg.session
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if system != "onnxruntime":
            options.add_session_config_entry("numpyvgg.conv", system)
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        runs[system] = lambda feed, session=session: session.run(None, feed)  # type: ignore[misc]
    x = np.random.default_rng(0).standard_normal(FAMILIES[name][1]).astype(np.float32)
    feed = {session.get_inputs()[0].name: x}
    answers = {system: run(feed) for system, run in runs.items()}
    apart = max(
        float(np.abs(a - b).max() / np.abs(b).max())
        for system in ("im2col", "winograd")
        for a, b in zip(answers[system], answers["onnxruntime"], strict=True)
    )
    least = dict.fromkeys(runs, float("inf"))
    end = time.process_time() + seconds
    while time.process_time() < end:
        for system, run in runs.items():
            begin = time.process_time()
            run(feed)
            least[system] = min(least[system], time.process_time() - begin)
    return {"difference": apart, **{system: 1e3 * value for system, value in least.items()}}


#: Prints milliseconds of opening, and megabytes of opening and one answer beyond those of the imports.
OPENING = """
import importlib, json, sys, time
import numpy as np
runtime = importlib.import_module(sys.argv[1])
def memory(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))
options = runtime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 3
before, begin = memory("VmRSS"), time.process_time()
session = runtime.InferenceSession(sys.argv[2], options, providers=["CPUExecutionProvider"])
opened = time.process_time() - begin
session.run(None, {session.get_inputs()[0].name: np.zeros(json.loads(sys.argv[3]), np.float32)})
print(json.dumps([opened * 1e3, (memory("VmHWM") - before) / 1000]))
"""


def opening(path: Path, shape: Sequence[int]) -> list[list[float]]:
    """[milliseconds, megabytes] of each system, in processes of their own."""
    found = []
    for runtime in ("onnxruntime", "numpyvgg.session"):
        command = [sys.executable, "-c", OPENING, runtime, str(path), json.dumps(shape)]
        found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return found


def row(name: str, folder: Path) -> list[str]:
    """A network's line in the table; the file is made where it is not there."""
    path = folder / f"{name}.onnx"
    command = [sys.executable, __file__, str(folder), name, "--one"]
    if not path.exists():
        subprocess.run([*command, "export"], check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run([*command, "measure"], check=False, capture_output=True, text=True)
    if done.returncode:
        return [name, done.stderr.strip().rpartition("\n")[2], "", "", "", "", ""]
    found = json.loads(done.stdout.splitlines()[-1])
    theirs = found["onnxruntime"]
    ratios = [f"{found[system] / theirs:.2f}" for system in ("im2col", "winograd")]
    opened = [f"{b:.0f} / {a:.0f}" for a, b in zip(*opening(path, FAMILIES[name][1]), strict=True)]
    return [name, f"{found['difference']:.0e}", f"{theirs:.1f} ms", *ratios, *opened]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of these families alone")
    parser.add_argument("--one", choices=("export", "measure"), help=argparse.SUPPRESS)  # for the child processes
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.one:
        (name,) = args.names
        path = args.folder / f"{name}.onnx"
        return export(name, path) if args.one == "export" else print(json.dumps(measure(name, path)))
    args.folder.mkdir(parents=True, exist_ok=True)
    header = ["network", "largest difference", "ONNX Runtime", "im2col", "Winograd", "opens, ms", "MB"]
    rows = [row(name, args.folder) for name in args.names or FAMILIES]
    return print(table(header, rows, "<>>>>>>"))


if __name__ == "__main__":
    main()
