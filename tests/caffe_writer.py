"""Caffe files for the tests, written with Google's protobuf from caffe.proto's field numbers, and read by OpenCV.

Nothing here comes from the package: names, numbers and defaults are caffe.proto's, sizes are computed by Caffe's
formulas, and the reader is OpenCV's.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.wrappers_pb2 import BytesValue

#: message: field number type, ...; `*` repeated, `!` repeated and packed
PROTO = """
BlobShape: dim 1 int64!
BlobProto: num 1 int32, channels 2 int32, height 3 int32, width 4 int32, data 5 float!, diff 6 float!,
    shape 7 BlobShape, double_data 8 double!
NetStateRule: phase 1 Phase, min_level 2 int32, max_level 3 int32, stage 4 string*, not_stage 5 string*
FillerParameter: type 1 string, value 2 float, std 6 float
TransformationParameter: scale 1 float, mirror 2 bool, crop_size 3 uint32, mean_file 4 string, mean_value 5 float*
DataParameter: source 1 string, scale 2 float, mean_file 3 string, batch_size 4 uint32,
    crop_size 5 uint32, mirror 6 bool
ConcatParameter: concat_dim 1 uint32, axis 2 int32
ConvolutionParameter: num_output 1 uint32, bias_term 2 bool, pad 3 uint32*, kernel_size 4 uint32*, group 5 uint32,
    stride 6 uint32*, weight_filler 7 FillerParameter, pad_h 9 uint32, pad_w 10 uint32, kernel_h 11 uint32,
    kernel_w 12 uint32, stride_h 13 uint32, stride_w 14 uint32, dilation 18 uint32*
DropoutParameter: dropout_ratio 1 float
ELUParameter: alpha 1 float
EltwiseParameter: operation 1 EltwiseOp, coeff 2 float*
FlattenParameter: axis 1 int32, end_axis 2 int32
InnerProductParameter: num_output 1 uint32, bias_term 2 bool, axis 5 int32, transpose 6 bool
InputParameter: shape 1 BlobShape*
LRNParameter: local_size 1 uint32, alpha 2 float, beta 3 float, norm_region 4 NormRegion, k 5 float
MemoryDataParameter: batch_size 1 uint32, channels 2 uint32, height 3 uint32, width 4 uint32
PoolingParameter: pool 1 PoolMethod, kernel_size 2 uint32, stride 3 uint32, pad 4 uint32, kernel_h 5 uint32,
    kernel_w 6 uint32, stride_h 7 uint32, stride_w 8 uint32, pad_h 9 uint32, pad_w 10 uint32, global_pooling 12 bool,
    round_mode 13 RoundMode
PowerParameter: power 1 float, scale 2 float, shift 3 float
ReLUParameter: negative_slope 1 float
ReshapeParameter: shape 1 BlobShape, axis 2 int32, num_axes 3 int32
SliceParameter: slice_dim 1 uint32, slice_point 2 uint32*, axis 3 int32
SoftmaxParameter: axis 2 int32
PReLUParameter: channel_shared 2 bool
BatchNormParameter: use_global_stats 1 bool, eps 3 float
ScaleParameter: axis 1 int32, num_axes 2 int32, bias_term 4 bool
BiasParameter: axis 1 int32, num_axes 2 int32
V0LayerParameter: name 1 string, type 2 string
V1LayerParameter: layer 1 V0LayerParameter, bottom 2 string*, top 3 string*, name 4 string, type 5 LayerType,
    blobs 6 BlobProto*, blobs_lr 7 float*, weight_decay 8 float*, concat_param 9 ConcatParameter,
    convolution_param 10 ConvolutionParameter, data_param 11 DataParameter, dropout_param 12 DropoutParameter,
    inner_product_param 17 InnerProductParameter, lrn_param 18 LRNParameter, pooling_param 19 PoolingParameter,
    power_param 21 PowerParameter, memory_data_param 22 MemoryDataParameter, eltwise_param 24 EltwiseParameter,
    relu_param 30 ReLUParameter, slice_param 31 SliceParameter, include 32 NetStateRule*, exclude 33 NetStateRule*,
    loss_weight 35 float*, transform_param 36 TransformationParameter, softmax_param 39 SoftmaxParameter
LayerParameter: name 1 string, type 2 string, bottom 3 string*, top 4 string*, loss_weight 5 float*, blobs 7 BlobProto*,
    include 8 NetStateRule*, exclude 9 NetStateRule*, phase 10 Phase, transform_param 100 TransformationParameter,
    concat_param 104 ConcatParameter, convolution_param 106 ConvolutionParameter, data_param 107 DataParameter,
    dropout_param 108 DropoutParameter, eltwise_param 110 EltwiseParameter,
    inner_product_param 117 InnerProductParameter,
    lrn_param 118 LRNParameter, memory_data_param 119 MemoryDataParameter, pooling_param 121 PoolingParameter,
    power_param 122 PowerParameter, relu_param 123 ReLUParameter, softmax_param 125 SoftmaxParameter,
    slice_param 126 SliceParameter, prelu_param 131 PReLUParameter, reshape_param 133 ReshapeParameter,
    flatten_param 135 FlattenParameter, batch_norm_param 139 BatchNormParameter, elu_param 140 ELUParameter,
    bias_param 141 BiasParameter, scale_param 142 ScaleParameter, input_param 143 InputParameter
NetParameter: name 1 string, layers 2 V1LayerParameter*, input 3 string*, input_dim 4 int32*, input_shape 8 BlobShape*,
    layer 100 LayerParameter*
"""
OLD_TYPES = {
    "Accuracy": ("ACCURACY", 1), "Concat": ("CONCAT", 3), "Convolution": ("CONVOLUTION", 4), "Data": ("DATA", 5),
    "Dropout": ("DROPOUT", 6), "Flatten": ("FLATTEN", 8), "InnerProduct": ("INNER_PRODUCT", 14), "LRN": ("LRN", 15),
    "Pooling": ("POOLING", 17), "ReLU": ("RELU", 18), "Sigmoid": ("SIGMOID", 19), "Softmax": ("SOFTMAX", 20),
    "SoftmaxWithLoss": ("SOFTMAX_LOSS", 21), "Split": ("SPLIT", 22), "TanH": ("TANH", 23), "Eltwise": ("ELTWISE", 25),
    "Power": ("POWER", 26), "Slice": ("SLICE", 33), "Silence": ("SILENCE", 36), "Deconvolution": ("DECONVOLUTION", 39),
}  # fmt: skip
ENUMS = {
    "Phase": [("TRAIN", 0), ("TEST", 1)],
    "EltwiseOp": [("PROD", 0), ("SUM", 1), ("ELTWISE_MAX", 2)],  # in caffe.proto MAX too, inside its message
    "NormRegion": [("ACROSS_CHANNELS", 0), ("WITHIN_CHANNEL", 1)],
    "PoolMethod": [("MAX", 0), ("AVE", 1), ("STOCHASTIC", 2)],
    "RoundMode": [("CEIL", 0), ("FLOOR", 1)],
    "LayerType": [("NONE", 0), *OLD_TYPES.values()],
}


def protobuf_classes(proto):
    """Caffe's messages as protobuf classes."""
    file = descriptor_pb2.FileDescriptorProto(name="caffe_for_tests.proto", package="caffe", syntax="proto2")
    for enum_name, words in ENUMS.items():
        enum = file.enum_type.add(name=enum_name)
        for word, number in words:
            enum.value.add(name=word, number=number)
    names = []
    for line in proto.replace("\n    ", " ").strip().splitlines():
        message_name, fields = line.split(": ", 1)
        names.append(message_name)
        message = file.message_type.add(name=message_name)
        for name, number, kind in (field.split() for field in fields.split(",")):
            plain = kind.rstrip("*!")
            field = message.field.add(name=name, number=int(number), label=1 if kind == plain else 3)
            if plain[0].isupper():
                field.type, field.type_name = (14 if plain in ENUMS else 11), f".caffe.{plain}"
            else:
                field.type = getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{plain.upper()}")
            if kind.endswith("!"):
                field.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}")) for name in names}


CAFFE = protobuf_classes(PROTO)
#: The same with each number in a field of its own, as protobuf 2 wrote numbers that were not said to be packed
LOOSE = protobuf_classes(PROTO.replace("!", "*"))


class Writer:
    """A network that is written layer by layer, with seeded weights; each method returns the blob that it makes.

    Parameters
    ----------
    form : {"new", "old"}
        Of the layers.
    shapes : {"new", "old"}
        Of the blobs.
    """

    def __init__(self, name="net", form="new", shapes="new", size=(3, 224, 224), seed=0, batch=10):
        self.net = CAFFE["NetParameter"](name=name)
        self.form, self.shape_form = form, shapes
        self.random = np.random.default_rng(seed)
        self.shapes = {"data": tuple(size)}
        if size:
            self.net.input.append("data")
            self.net.input_dim.extend([batch, *size])

    def layer(self, name, kind, bottom, top=None, arrays=(), **parameters):
        bottom = [bottom] if isinstance(bottom, str) else list(bottom)
        top = name if top is None else top
        top = [top] if isinstance(top, str) else list(top)
        layers = self.net.layer if self.form == "new" else self.net.layers
        layer = layers.add(name=name, bottom=bottom, top=top, **parameters)
        layer.type = kind if self.form == "new" else OLD_TYPES[kind][1]
        for array in arrays:
            blob = layer.blobs.add()
            numbers = BytesValue(value=array.astype("<f4").tobytes()).SerializeToString()
            blob.MergeFromString(b"\x2a" + numbers[1:])  # field 5, packed: sooner than number by number
            if self.shape_form == "new":
                blob.shape.dim.extend(array.shape)
            else:
                blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - array.ndim) + array.shape
        if bottom:
            self.shapes.update(dict.fromkeys(top, self.shapes.get(bottom[0])))
        return top[0]

    def normal(self, *shape, fan_in):
        return self.random.normal(0, math.sqrt(2 / fan_in), shape)

    def conv(self, bottom, name, filters, kernel, stride=1, pad=0, group=1, bias=True, relu=True, **more):
        c, h, w = self.shapes[bottom]
        weight = self.normal(filters, c // group, kernel, kernel, fan_in=c // group * kernel**2)
        arrays = [weight, self.random.normal(0, 0.1, filters)] if bias else [weight]
        p = {"num_output": filters, "kernel_size": [kernel], **more}
        p.update({k: [v] for k, v, usual in (("pad", pad, 0), ("stride", stride, 1)) if v != usual})
        p.update({"group": group} if group != 1 else {})
        p.update({} if bias else {"bias_term": False})
        self.layer(name, "Convolution", bottom, arrays=arrays, convolution_param=p)
        extent = more.get("dilation", [1])[0] * (kernel - 1) + 1
        self.shapes[name] = (filters, *((s + 2 * pad - extent) // stride + 1 for s in (h, w)))
        return self.relu(name) if relu else name

    def relu(self, blob, name=None, **parameters):
        """In place, as in nearly all of Caffe's networks."""
        return self.layer(name or f"relu_{blob}", "ReLU", blob, blob, **parameters)

    def pool(self, bottom, name, kernel, stride, pad=0, method=0, **more):
        c, h, w = self.shapes[bottom]
        p = {"pool": method, "kernel_size": kernel, "stride": stride, **({"pad": pad} if pad else {}), **more}
        self.layer(name, "Pooling", bottom, pooling_param=p)
        self.shapes[name] = (c, *(pooled_size(s, kernel, stride, pad, more.get("round_mode", 0)) for s in (h, w)))
        return name

    def global_pool(self, bottom, name):
        self.layer(name, "Pooling", bottom, pooling_param={"pool": 1, "global_pooling": True})
        self.shapes[name] = (self.shapes[bottom][0], 1, 1)
        return name

    def lrn(self, bottom, name, **parameters):
        return self.layer(name, "LRN", bottom, lrn_param={"local_size": 5, "alpha": 1e-4, "beta": 0.75, **parameters})

    def fc(self, bottom, name, units, bias=True, gain=1.0, **more):
        """`gain` keeps the last layer's scores small enough for probabilities that are neither 0 nor 1."""
        inputs = math.prod(self.shapes[bottom])
        arrays = [gain * self.normal(units, inputs, fan_in=inputs), self.random.normal(0, 0.1, units)][: 1 + bias]
        p = {"num_output": units, **({} if bias else {"bias_term": False}), **more}
        self.layer(name, "InnerProduct", bottom, arrays=arrays, inner_product_param=p)
        self.shapes[name] = (units,)
        return name

    def dropout(self, blob, name, ratio=0.5):
        return self.layer(name, "Dropout", blob, blob, dropout_param={"dropout_ratio": ratio})

    def concat(self, bottoms, name):
        self.layer(name, "Concat", bottoms)
        self.shapes[name] = (sum(self.shapes[b][0] for b in bottoms), *self.shapes[bottoms[0]][1:])
        return name

    def batch_norm(self, blob, name):
        """BatchNorm and Scale in place, as after each convolution of a ResNet."""
        c, factor = self.shapes[blob][0], 999.98
        mean, variance = self.random.normal(0, 0.3, c), self.random.uniform(0.5, 2, c)
        arrays = [mean * factor, variance * factor, np.array([factor])]
        self.layer(f"bn{name}", "BatchNorm", blob, blob, arrays, batch_norm_param={"use_global_stats": True})
        arrays = [self.random.uniform(0.5, 1.5, c), self.random.normal(0, 0.2, c)]
        return self.layer(f"scale{name}", "Scale", blob, blob, arrays, scale_param={"bias_term": True})

    def softmax(self, bottom, name="prob"):
        return self.layer(name, "Softmax", bottom)

    # ------------------------------------------------------------------ the files

    @property
    def prototxt(self):
        """The definition as text, without the weights."""
        net = CAFFE["NetParameter"].FromString(self.net.SerializeToString())
        for layer in (*net.layer, *net.layers):
            layer.ClearField("blobs")
        return text_format.MessageToString(net).replace("ELTWISE_MAX", "MAX")

    @property
    def caffemodel(self):
        return self.net.SerializeToString()

    def write(self, folder, stem="net"):
        """Both files -> the caffemodel's path."""
        (folder / f"{stem}.prototxt").write_text(self.prototxt)
        (folder / f"{stem}.caffemodel").write_bytes(self.caffemodel)
        return folder / f"{stem}.caffemodel"


def pooled_size(size, kernel, stride, pad, floor=0):
    """Caffe's pooling_layer.cpp: rounded up, and no window that begins beyond the image and its padding."""
    rounded = math.floor if floor else math.ceil
    count = rounded((size + 2 * pad - kernel) / stride) + 1
    return count - 1 if pad and (count - 1) * stride >= size + pad else count


def opencv_net(writer):
    """OpenCV's reader of Caffe models, without its fusing of layers."""
    files = (np.frombuffer(data, np.uint8) for data in (writer.prototxt.encode(), writer.caffemodel))
    net = cv2.dnn.readNetFromCaffe(*files)
    net.enableFusion(False)
    return net


def opencv_layers(net, x):
    """Every layer's first output by the layer's name."""
    net.setInput(x)
    names = [name for name in net.getLayerNames() if name != "_input"]
    return dict(zip(names, net.forward(names), strict=True))
