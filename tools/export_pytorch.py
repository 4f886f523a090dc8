"""Export VGG networks from PyTorch, in each of its ways, as graphs without weights: tests/data/pytorch.

The tests fill in weights of their own, so that the graphs take a few kilobytes each and no test needs PyTorch. Needs
`pip install torch onnxscript`; run again when PyTorch's exporters change:

    python tools/export_pytorch.py tests/data/pytorch
"""

from __future__ import annotations

import io
import math
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import onnx
import torch
from torch import nn

from numpyvgg.vgg.layer import CONFIGURATIONS

FILTERS = (4, 8, 16, 32, 32)
UNITS = 64
KEPT = 16  # tensors of at most this many numbers are part of the graph: shapes and axes


class Features(nn.Sequential):
    """The convolutions, as torchvision arranges them."""

    def __init__(self, configuration: str, batch_norm: bool):
        layers: list[nn.Module] = []
        channels = 3
        for count, filters in zip(CONFIGURATIONS[configuration], FILTERS, strict=True):
            for _ in range(count):
                layers += [nn.Conv2d(channels, filters, 3, padding=1)]
                layers += [nn.BatchNorm2d(filters)] if batch_norm else []
                layers += [nn.ReLU(inplace=True)]
                channels = filters
            layers += [nn.MaxPool2d(2, 2)]
        super().__init__(*layers)


class Torchvision(nn.Module):
    """Adaptive average pooling to 7x7 (which has nothing to do here), three linear layers, no softmax."""

    def __init__(self, configuration: str, batch_norm: bool = False, classes: int = 10):
        super().__init__()
        self.features = Features(configuration, batch_norm)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(FILTERS[-1] * 49, UNITS), nn.ReLU(True), nn.Dropout(),
            nn.Linear(UNITS, UNITS), nn.ReLU(True), nn.Dropout(), nn.Linear(UNITS, classes),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class View(Torchvision):
    """As people wrote it before `flatten`: a view of the size that the batch turns out to have; and a softmax."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x)
        return torch.softmax(self.classifier(x.view(x.size(0), -1)), dim=1)


class Timm(nn.Module):
    """timm's arrangement: the first two fully connected layers as 7x7 and 1x1 convolutions, then a global average."""

    def __init__(self, configuration: str, batch_norm: bool = False, classes: int = 10):
        super().__init__()
        self.features = Features(configuration, batch_norm)
        self.fc1, self.act1 = nn.Conv2d(FILTERS[-1], UNITS, 7), nn.ReLU(True)
        self.drop = nn.Dropout(0.0)
        self.fc2, self.act2 = nn.Conv2d(UNITS, UNITS, 1), nn.ReLU(True)
        self.global_pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten(1)
        self.fc = nn.Linear(UNITS, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act2(self.fc2(self.drop(self.act1(self.fc1(self.features(x))))))
        return self.fc(self.flatten(self.global_pool(x)))


class Fast(Timm):
    """timm's other global average: the mean over both axes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act2(self.fc2(self.drop(self.act1(self.fc1(self.features(x))))))
        return self.fc(x.mean((2, 3)))


def exports() -> Iterator[tuple[str, nn.Module, dict[str, Any]]]:
    """Name, network and options of each export."""
    script, dynamo = {"dynamo": False}, {"dynamo": True}
    unfolded = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    for configuration, opset in zip("ABDE", (9, 11, 13, 17), strict=True):
        net, normalised = Torchvision(configuration), Torchvision(configuration, batch_norm=True)
        yield f"torchvision-{configuration}-script", net, {**script, "opset_version": opset}
        yield f"torchvision-{configuration}-bn-script-folded", normalised, {**script, "opset_version": opset}
        yield f"torchvision-{configuration}-bn-script", normalised, {**script, **unfolded, "opset_version": opset}
    for configuration, opset in zip("ABDE", (18, 20, 21, 22), strict=True):
        net, normalised = Torchvision(configuration), Torchvision(configuration, batch_norm=True)
        yield f"torchvision-{configuration}-dynamo", net, {**dynamo, "opset_version": opset}
        yield f"torchvision-{configuration}-bn-dynamo-folded", normalised, {**dynamo, "opset_version": opset}
        yield (
            f"torchvision-{configuration}-bn-dynamo",
            normalised,
            {**dynamo, "optimize": False, "opset_version": opset},
        )
    yield "torchvision-D-1000-dynamo", Torchvision("D", classes=1000), {**dynamo, "opset_version": 18}
    batch = {"input_names": ["x"], "dynamic_axes": {"x": {0: "N"}}}
    yield "view-D-script-batch", View("D"), {**script, **batch, "opset_version": 17}
    shapes = {"dynamic_shapes": ({0: torch.export.Dim("N")},)}
    yield "torchvision-D-dynamo-batch", Torchvision("D"), {**dynamo, **shapes, "opset_version": 20}
    for name, timm in (("timm", Timm("D")), ("timm-fast", Fast("D"))):
        yield f"{name}-D-script", timm, {**script, "opset_version": 17}
        yield f"{name}-D-dynamo", timm, {**dynamo, "opset_version": 20}


def export(net: nn.Module, options: dict[str, Any]) -> onnx.ModelProto:
    """The exported graph, its weights left out."""
    # PyTorch would write one tensor where several are equal, as those of new batch normalisations are.
    for parameter in (*net.parameters(), *(b for b in net.buffers() if b.is_floating_point())):
        parameter.data.uniform_(0.5, 1.5).div_(math.sqrt(parameter.numel()))
    example = torch.rand((2, 3, 224, 224) if "dynamic_shapes" in options else (1, 3, 224, 224))
    file = io.BytesIO()
    program = torch.onnx.export(net.eval(), (example,), cast(Any, file), external_data=False, **options)
    model = program.model_proto if program is not None else onnx.load_from_string(file.getvalue())
    for tensor in model.graph.initializer:
        if tensor.dims and (math.prod(tensor.dims) > KEPT or tensor.data_type == onnx.TensorProto.FLOAT):
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
    for item in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
    del model.graph.value_info[:]
    return model


def main() -> None:
    folder = Path(sys.argv[1])
    warnings.filterwarnings("ignore")
    for name, net, options in exports():
        model = export(net, options)
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
        print(name, model.opset_import[0].version, model.ByteSize())


if __name__ == "__main__":
    main()
