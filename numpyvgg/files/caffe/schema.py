"""What is read of caffe.proto: each message's fields with their numbers, and a message as its values by name.

A ``.caffemodel`` (binary) and a ``.prototxt`` (text) are the same message, `NetParameter`, written in two ways: the one
names its fields by number, the other by name. Both become `Fields`, and nobody further on knows which it was.

Caffe has had two forms of layers: ``layers`` (V1LayerParameter, 2013 to 2014, the type an enum) and ``layer``
(LayerParameter, the type a string). Where both have a field, it has the same name here.

Source: https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto
"""

from __future__ import annotations

from typing import Any, NoReturn

from ...errors import ModelFormatError

#: The old form's words for layer types, in the order of their numbers -> the new form's names
# fmt: off
OLD_TYPES = {
    "NONE": "None", "ACCURACY": "Accuracy", "BNLL": "BNLL", "CONCAT": "Concat", "CONVOLUTION": "Convolution",
    "DATA": "Data", "DROPOUT": "Dropout", "EUCLIDEAN_LOSS": "EuclideanLoss", "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output", "IM2COL": "Im2col", "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss", "INNER_PRODUCT": "InnerProduct", "LRN": "LRN",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss", "POOLING": "Pooling", "RELU": "ReLU",
    "SIGMOID": "Sigmoid", "SOFTMAX": "Softmax", "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split", "TANH": "TanH",
    "WINDOW_DATA": "WindowData", "ELTWISE": "Eltwise", "POWER": "Power",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss", "HINGE_LOSS": "HingeLoss", "MEMORY_DATA": "MemoryData",
    "ARGMAX": "ArgMax", "THRESHOLD": "Threshold", "DUMMY_DATA": "DummyData", "SLICE": "Slice", "MVN": "MVN",
    "ABSVAL": "AbsVal", "SILENCE": "Silence", "CONTRASTIVE_LOSS": "ContrastiveLoss", "EXP": "Exp",
    "DECONVOLUTION": "Deconvolution",
}
# fmt: on
#: Words of an enum, in the order of their numbers
ENUMS: dict[str, dict[str, int]] = {
    "Phase": {"TRAIN": 0, "TEST": 1},
    "PoolMethod": {"MAX": 0, "AVE": 1, "STOCHASTIC": 2},
    "RoundMode": {"CEIL": 0, "FLOOR": 1},
    "EltwiseOp": {"PROD": 0, "SUM": 1, "MAX": 2},
    "NormRegion": {"ACROSS_CHANNELS": 0, "WITHIN_CHANNEL": 1},
    "LayerType": {word: number for number, word in enumerate(OLD_TYPES)},
}

_DATA_SOURCE = {"scale": (2, "float"), "mean_file": (3, "string"), "crop_size": (5, "int"), "mirror": (6, "bool")}
_PARAMETERS: dict[str, dict[str, tuple[int, str]]] = {
    "BlobShape": {"dim": (1, "ints")},
    "NetStateRule": {
        "phase": (1, "Phase"),
        "min_level": (2, "int"),
        "max_level": (3, "int"),
        "stage": (4, "strings"),
        "not_stage": (5, "strings"),
    },
    "TransformationParameter": {
        "scale": (1, "float"),
        "mirror": (2, "bool"),
        "crop_size": (3, "int"),
        "mean_file": (4, "string"),
        "mean_value": (5, "floats"),
    },
    "DataParameter": _DATA_SOURCE,
    "ConcatParameter": {"concat_dim": (1, "int"), "axis": (2, "int")},
    "ConvolutionParameter": {
        "num_output": (1, "int"),
        "bias_term": (2, "bool"),
        "pad": (3, "ints"),
        "kernel_size": (4, "ints"),
        "group": (5, "int"),
        "stride": (6, "ints"),
        "pad_h": (9, "int"),
        "pad_w": (10, "int"),
        "kernel_h": (11, "int"),
        "kernel_w": (12, "int"),
        "stride_h": (13, "int"),
        "stride_w": (14, "int"),
        "axis": (16, "int"),
        "dilation": (18, "ints"),
    },
    "EltwiseParameter": {"operation": (1, "EltwiseOp"), "coeff": (2, "floats")},
    "ELUParameter": {"alpha": (1, "float")},
    "FlattenParameter": {"axis": (1, "int"), "end_axis": (2, "int")},
    "InnerProductParameter": {
        "num_output": (1, "int"),
        "bias_term": (2, "bool"),
        "axis": (5, "int"),
        "transpose": (6, "bool"),
    },
    "InputParameter": {"shape": (1, "BlobShape*")},
    "LRNParameter": {
        "local_size": (1, "int"),
        "alpha": (2, "float"),
        "beta": (3, "float"),
        "norm_region": (4, "NormRegion"),
        "k": (5, "float"),
    },
    "MemoryDataParameter": {
        "batch_size": (1, "int"),
        "channels": (2, "int"),
        "height": (3, "int"),
        "width": (4, "int"),
    },
    "PoolingParameter": {
        "pool": (1, "PoolMethod"),
        "kernel_size": (2, "int"),
        "stride": (3, "int"),
        "pad": (4, "int"),
        "kernel_h": (5, "int"),
        "kernel_w": (6, "int"),
        "stride_h": (7, "int"),
        "stride_w": (8, "int"),
        "pad_h": (9, "int"),
        "pad_w": (10, "int"),
        "global_pooling": (12, "bool"),
        "round_mode": (13, "RoundMode"),
    },
    "PowerParameter": {"power": (1, "float"), "scale": (2, "float"), "shift": (3, "float")},
    "ReLUParameter": {"negative_slope": (1, "float")},
    "ReshapeParameter": {"shape": (1, "BlobShape"), "axis": (2, "int"), "num_axes": (3, "int")},
    "SliceParameter": {"slice_dim": (1, "int"), "slice_point": (2, "ints"), "axis": (3, "int")},
    "SoftmaxParameter": {"axis": (2, "int")},
    "PReLUParameter": {"channel_shared": (2, "bool")},
    "BatchNormParameter": {"use_global_stats": (1, "bool"), "eps": (3, "float")},
    "ScaleParameter": {"axis": (1, "int"), "num_axes": (2, "int"), "bias_term": (4, "bool")},
    "BiasParameter": {"axis": (1, "int"), "num_axes": (2, "int")},
}
#: Name of a layer's parameters -> their message, their number in `layers`, their number in `layer`
_LAYER_PARAMETERS = {
    "transform_param": ("TransformationParameter", 36, 100),
    "data_param": ("DataParameter", 11, 107),
    "image_data_param": ("DataParameter", 15, 115),
    "concat_param": ("ConcatParameter", 9, 104),
    "convolution_param": ("ConvolutionParameter", 10, 106),
    "eltwise_param": ("EltwiseParameter", 24, 110),
    "inner_product_param": ("InnerProductParameter", 17, 117),
    "lrn_param": ("LRNParameter", 18, 118),
    "memory_data_param": ("MemoryDataParameter", 22, 119),
    "pooling_param": ("PoolingParameter", 19, 121),
    "power_param": ("PowerParameter", 21, 122),
    "relu_param": ("ReLUParameter", 30, 123),
    "slice_param": ("SliceParameter", 31, 126),
    "softmax_param": ("SoftmaxParameter", 39, 125),
    "prelu_param": ("PReLUParameter", 0, 131),
    "reshape_param": ("ReshapeParameter", 0, 133),
    "flatten_param": ("FlattenParameter", 0, 135),
    "batch_norm_param": ("BatchNormParameter", 0, 139),
    "elu_param": ("ELUParameter", 0, 140),
    "bias_param": ("BiasParameter", 0, 141),
    "scale_param": ("ScaleParameter", 0, 142),
    "input_param": ("InputParameter", 0, 143),
}
MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    **_PARAMETERS,
    "V0LayerParameter": {},
    "NetParameter": {
        "name": (1, "string"),
        "layers": (2, "V1LayerParameter*"),
        "input": (3, "strings"),
        "input_dim": (4, "ints"),
        "input_shape": (8, "BlobShape*"),
        "layer": (100, "LayerParameter*"),
    },
    "V1LayerParameter": {
        "layer": (1, "V0LayerParameter"),
        "bottom": (2, "strings"),
        "top": (3, "strings"),
        "name": (4, "string"),
        "type": (5, "LayerType"),
        "blobs": (6, "blobs"),
        "include": (32, "NetStateRule*"),
        "exclude": (33, "NetStateRule*"),
        "loss_weight": (35, "floats"),
        **{name: (old, message) for name, (message, old, _) in _LAYER_PARAMETERS.items() if old},
    },
    "LayerParameter": {
        "name": (1, "string"),
        "type": (2, "string"),
        "bottom": (3, "strings"),
        "top": (4, "strings"),
        "loss_weight": (5, "floats"),
        "blobs": (7, "blobs"),
        "include": (8, "NetStateRule*"),
        "exclude": (9, "NetStateRule*"),
        "phase": (10, "Phase"),
        **{name: (new, message) for name, (message, _, new) in _LAYER_PARAMETERS.items()},
    },
}


class Fields:
    """A message's values by the names of its fields.

    Parameters
    ----------
    source, place : str
        The file, and where in it the message is; errors quote both.
    values : dict of str to list
        Every occurrence of each field that is read: int, float, bool, str, or `Fields`.
    """

    def __init__(self, source: str, place: str, values: dict[str, list[Any]]):
        self.source = source
        self.place = place
        self.values = values

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str, default: Any) -> Any:
        """The value of a field that occurs once; where it occurs more often, the last, as protobuf has it."""
        return self.values[name][-1] if self.values.get(name) else default

    def all(self, name: str) -> list[Any]:
        """The values of a repeated field."""
        return self.values.get(name, [])

    def message(self, name: str) -> Fields:
        """A message field; several occurrences are merged, none is an empty message."""
        merged: dict[str, list[Any]] = {}
        for part in self.values.get(name, []):
            for key, values in part.values.items():
                merged.setdefault(key, []).extend(values)
        return Fields(self.source, f"{self.place}.{name}", merged)

    def fail(self, reason: str) -> NoReturn:
        raise ModelFormatError(f"{self.source}: in {self.place}: {reason}")
