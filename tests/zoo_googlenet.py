"""The zoo's GoogLeNets of ages and genders, rebuilt with seeded weights as the zoo's converter wrote them.

Structure and names are BVLC's GoogLeNet with one more fully connected layer in the end's place; the file is as facts
about the published ones have it: opset 11, IR 6, producer `caffe`, weights as float_data, value_info for each node.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from caffe_networks import INCEPTIONS
from onnx import TensorProto, helper


class Converter:
    """Writes layers as the zoo's converter did; each method returns the name of its output."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes, self.initializers, self.infos = [], [], []
        self.shapes = {"input": (3, 224, 224)}

    def node(self, op_type, name, inputs, shape, **attributes):
        output = f"{name}_Y"
        self.nodes.append(helper.make_node(op_type, inputs, [output], name, **attributes))
        self.infos.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, (1, *shape)))
        self.shapes[output] = shape
        return output

    def weight(self, name, shape, scale):
        values = self.random.normal(0, scale, shape).astype(np.float32)
        self.initializers.append(helper.make_tensor(name, TensorProto.FLOAT, shape, values.ravel()))
        return name

    def conv(self, x, name, filters, kernel, stride=1):
        c, h, w = self.shapes[x]
        pad, scale = kernel // 2, math.sqrt(2 / (c * kernel**2))
        weights = [self.weight(f"{name}_W", (filters, c, kernel, kernel), scale)]
        weights.append(self.weight(f"{name}_b", (filters,), 0.1))
        window = {"kernel_shape": [kernel] * 2, "pads": [pad] * 4, "strides": [stride] * 2}
        attributes = {"dilations": [1, 1], "group": 1, **window}
        shape = (filters, h // stride, w // stride)
        conv = self.node("Conv", name, [x, *weights], shape, **attributes)
        head, _, tail = name.removesuffix("_s2").rpartition("/")
        return self.node("Relu", f"{head}/relu_{tail}", [conv], shape)

    def pool(self, x, name, kernel, stride, pads, op_type="MaxPool"):
        c, h, _ = self.shapes[x]
        size = (h + pads[0] + pads[2] - kernel) // stride + 1
        window = {"kernel_shape": [kernel] * 2, "pads": pads, "strides": [stride] * 2}
        return self.node(op_type, name, [x], (c, size, size), **window)

    def lrn(self, x, name):
        return self.node("LRN", name, [x], self.shapes[x], alpha=1e-4, beta=0.75, bias=1.0, size=5)

    def inception(self, x, name, sizes):
        one, reduce3, three, reduce5, five, projection = sizes
        branches = [self.conv(x, f"{name}/1x1", one, 1)]
        for kernel, reduced, filters in ((3, reduce3, three), (5, reduce5, five)):
            before = self.conv(x, f"{name}/{kernel}x{kernel}_reduce", reduced, 1)
            branches.append(self.conv(before, f"{name}/{kernel}x{kernel}", filters, kernel))
        branches.append(self.conv(self.pool(x, f"{name}/pool", 3, 1, [1] * 4), f"{name}/pool_proj", projection, 1))
        channels = sum(self.shapes[branch][0] for branch in branches)
        return self.node("Concat", f"{name}/output", branches, (channels, *self.shapes[x][1:]), axis=1)


def zoo_googlenet(file, classes, seed=0):
    """One of the two networks as an `onnx.ModelProto`."""
    net = Converter(seed)
    x = net.conv("input", "conv1/7x7_s2", 64, 7, 2)
    x = net.lrn(net.pool(x, "pool1/3x3_s2", 3, 2, [0, 0, 1, 1]), "pool1/norm1")
    x = net.conv(net.conv(x, "conv2/3x3_reduce", 64, 1), "conv2/3x3", 192, 3)
    x = net.pool(net.lrn(x, "conv2/norm2"), "pool2/3x3_s2", 3, 2, [0, 0, 1, 1])
    for number, sizes in INCEPTIONS.items():
        if number in ("4a", "5a"):
            x = net.pool(x, f"pool{int(number[0]) - 1}/3x3_s2", 3, 2, [0, 0, 1, 1])
        x = net.inception(x, f"inception_{number}", sizes)
    x = net.pool(x, "pool5/7x7_s1", 7, 1, [0] * 4, "AveragePool")
    x = net.node("Dropout", "pool5/drop_7x7_s1", [x], net.shapes[x], ratio=0.4)
    name = "loss3/classifier_agexgender"
    net.initializers.append(helper.make_tensor(f"{name}_shape", TensorProto.INT64, (2,), [1, 1024]))
    x = net.node("Reshape", f"{name}_Reshape", [x, f"{name}_shape"], (1024,))
    weights = [net.weight(f"{name}_W", (classes, 1024), 0.0006), net.weight(f"{name}_B", (classes,), 0.1)]
    x = net.node("Gemm", f"{name}_Gemm", [x, *weights], (classes,), alpha=1.0, beta=1.0, transA=0, transB=1)
    net.node("Softmax", "loss3/loss3", [x], (classes,), axis=1)
    graph = helper.make_graph(
        net.nodes,
        file,
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 3, 224, 224))],
        [net.infos[-1]],
        net.initializers,
        value_info=net.infos[:-1],
    )
    opset = helper.make_opsetid("", 11)
    opset.ClearField("domain")
    model = helper.make_model(graph, opset_imports=[opset], producer_name="caffe", ir_version=6)
    onnx.checker.check_model(model)
    return model
