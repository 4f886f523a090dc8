"""Networks that were published in Caffe, layer by layer as their definitions have them, with seeded weights.

`width` divides the numbers of filters, so that a test takes seconds; sizes, strides, groups and the order of layers
are the published ones.
"""

from __future__ import annotations

from caffe_writer import Writer


def levi_hassner(classes=8, width=1, gain=0.004, **options):
    """Levi and Hassner 2015: 227 x 227, three convolutions, pooling before normalisation."""
    net = Writer("CaffeNet", size=(3, 227, 227), **options)
    top = net.relu(net.conv("data", "conv1", 96 // width, 7, stride=4, relu=False), "relu1")
    top = net.lrn(net.pool(top, "pool1", 3, 2), "norm1")
    top = net.relu(net.conv(top, "conv2", 256 // width, 5, pad=2, relu=False), "relu2")
    top = net.lrn(net.pool(top, "pool2", 3, 2), "norm2")
    top = net.relu(net.conv(top, "conv3", 384 // width, 3, pad=1, relu=False), "relu3")
    top = net.pool(top, "pool5", 3, 2)
    for i in (6, 7):
        top = net.dropout(net.relu(net.fc(top, f"fc{i}", 512 // width), f"relu{i}"), f"drop{i}")
    net.softmax(net.fc(top, "fc8", classes, gain=gain))
    return net


def alexnet(width=8, **options):
    """Krizhevsky 2012, in two groups as on two cards; old layers."""
    net = Writer("AlexNet", size=(3, 227, 227), **{"form": "old", "shapes": "old", **options})
    top = net.lrn(net.conv("data", "conv1", 96 // width, 11, stride=4), "norm1")
    top = net.conv(net.pool(top, "pool1", 3, 2), "conv2", 256 // width, 5, pad=2, group=2)
    top = net.pool(net.lrn(top, "norm2"), "pool2", 3, 2)
    top = net.conv(top, "conv3", 384 // width, 3, pad=1)
    top = net.conv(top, "conv4", 384 // width, 3, pad=1, group=2)
    top = net.pool(net.conv(top, "conv5", 256 // width, 3, pad=1, group=2), "pool5", 3, 2)
    for i in (6, 7):
        top = net.dropout(net.relu(net.fc(top, f"fc{i}", 4096 // width)), f"drop{i}")
    net.softmax(net.fc(top, "fc8", 1000 // width, gain=0.01))
    return net


#: Szegedy 2014, table 1: 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool projection
INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64), "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip


def googlenet(width=8, classes=1000, **options):
    """Szegedy 2014: nine inception modules, LRN, pooling rounded up."""
    net = Writer("GoogleNet", size=(3, 224, 224), **options)
    top = net.pool(net.conv("data", "conv1/7x7_s2", 64 // width, 7, stride=2, pad=3), "pool1/3x3_s2", 3, 2)
    top = net.conv(net.lrn(top, "pool1/norm1"), "conv2/3x3_reduce", 64 // width, 1)
    top = net.lrn(net.conv(top, "conv2/3x3", 192 // width, 3, pad=1), "conv2/norm2")
    top = net.pool(top, "pool2/3x3_s2", 3, 2)
    for number, sizes in INCEPTIONS.items():
        if number in ("4a", "5a"):
            top = net.pool(top, f"pool{int(number[0]) - 1}/3x3_s2", 3, 2)
        name = f"inception_{number}"
        one, reduce3, three, reduce5, five, projection = (size // width for size in sizes)
        branches = [net.conv(top, f"{name}/1x1", one, 1)]
        for kernel, reduced, filters in ((3, reduce3, three), (5, reduce5, five)):
            before = net.conv(top, f"{name}/{kernel}x{kernel}_reduce", reduced, 1)
            branches.append(net.conv(before, f"{name}/{kernel}x{kernel}", filters, kernel, pad=kernel // 2))
        pooled = net.pool(top, f"{name}/pool", 3, 1, pad=1)
        branches.append(net.conv(pooled, f"{name}/pool_proj", projection, 1))
        top = net.concat(branches, f"{name}/output")
    top = net.dropout(net.pool(top, "pool5/7x7_s1", 7, 1, method=1), "pool5/drop_7x7_s1", 0.4)
    net.softmax(net.fc(top, "loss3/classifier", classes, gain=0.02))
    return net


def squeezenet(width=4, **options):
    """Iandola 2016, version 1.1: fire modules, and a global average of the last convolution."""
    net = Writer("SqueezeNet", size=(3, 227, 227), **options)
    top = net.pool(net.conv("data", "conv1", 64 // width, 3, stride=2), "pool1", 3, 2)
    squeezed = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}
    for number, size in squeezed.items():
        if number in (4, 6):
            top = net.pool(top, f"pool{number - 1}", 3, 2)
        name = f"fire{number}"
        top = net.conv(top, f"{name}/squeeze1x1", size // width, 1)
        branches = [net.conv(top, f"{name}/expand1x1", 4 * size // width, 1)]
        branches.append(net.conv(top, f"{name}/expand3x3", 4 * size // width, 3, pad=1))
        top = net.concat(branches, f"{name}/concat")
    top = net.conv(net.dropout(top, "drop9"), "conv10", 1000 // width, 1)
    net.softmax(net.layer("tamed", "Power", net.global_pool(top, "pool10"), power_param={"scale": 0.02}))
    return net


def resnet(width=8, **options):
    """He 2015, ResNet-50: bottlenecks of three convolutions, each with BatchNorm and Scale in place."""
    net = Writer("ResNet-50", size=(3, 224, 224), **options)

    def unit(bottom, name, filters, kernel=1, stride=1, relu=True):
        top = net.conv(bottom, f"res{name}", filters, kernel, stride, kernel // 2, bias=False, relu=False)
        net.batch_norm(top, name)
        return net.relu(top) if relu else top

    top = net.pool(unit("data", "1", 64 // width, 7, 2), "pool1", 3, 2)
    for stage, (blocks, filters) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=2):
        for block in "abcdef"[:blocks]:
            stride = 2 if block == "a" and stage > 2 else 1
            name, narrow, wide = f"{stage}{block}", filters // width, 4 * filters // width
            shortcut = unit(top, f"{name}_branch1", wide, 1, stride, relu=False) if block == "a" else top
            inner = unit(top, f"{name}_branch2a", narrow, 1, stride)
            inner = unit(inner, f"{name}_branch2b", narrow, 3)
            inner = unit(inner, f"{name}_branch2c", wide, relu=False)
            top = net.relu(net.layer(f"res{name}", "Eltwise", [shortcut, inner]))
            net.shapes[f"res{name}"] = net.shapes[inner]
    top = net.pool(top, "pool5", 7, 1, method=1)
    net.softmax(net.fc(top, "fc1000", 1000 // width, gain=0.0003))
    return net


def mobilenet(width=4, **options):
    """Howard 2017: depthwise convolutions, one filter a channel (group = channels), then 1 x 1."""
    net = Writer("MOBILENET", size=(3, 224, 224), **options)

    def unit(bottom, name, filters, kernel, stride=1, group=1):
        top = net.conv(bottom, name, filters, kernel, stride, kernel // 2, group=group, bias=False, relu=False)
        net.batch_norm(top, f"_{name}")
        return net.relu(top)

    top = unit("data", "conv1", 32 // width, 3, 2)
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    filters = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    for i, (stride, count) in enumerate(zip(strides, filters, strict=True)):
        channels = net.shapes[top][0]
        top = unit(unit(top, f"conv{i}/dw", channels, 3, stride, channels), f"conv{i}/sep", count // width, 1)
    top = net.conv(net.global_pool(top, "pool6"), "fc7", 1000 // width, 1, relu=False)
    net.softmax(net.layer("tamed", "Power", top, power_param={"scale": 0.05}))
    return net


def vgg_face(width=16, **options):
    """Parkhi 2015: VGG-16 of 2622 people."""
    net = Writer("VGG_FACE_16_layers", size=(3, 224, 224), **options)
    top = "data"
    for block, (count, filters) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), start=1):
        for i in range(1, count + 1):
            top = net.conv(top, f"conv{block}_{i}", filters // width, 3, pad=1)
        top = net.pool(top, f"pool{block}", 2, 2)
    for i in (6, 7):
        top = net.dropout(net.relu(net.fc(top, f"fc{i}", 4096 // width)), f"drop{i}")
    net.softmax(net.fc(top, "fc8", 2622, gain=0.01))
    return net


PUBLISHED = {
    "AlexNet": alexnet,
    "GoogLeNet": googlenet,
    "SqueezeNet 1.1": squeezenet,
    "ResNet-50": resnet,
    "MobileNet": mobilenet,
    "VGG-Face": vgg_face,
}
