"""The measured process of `numpyvgg.bench`: one system, one network. Run as a program, it imports nothing it need not.

    python worker.py SYSTEM PATH THREADS BATCH

prints a JSON line when the first answer is there. Then for each line on standard input (a number of runs) it prints the
seconds that each took, and at the end its peak memory. The peers are used as their documentation has it, with as many
threads as asked for; nothing of this package is loaded beside them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    del sys.path[0]  # this folder, whose modules are the package's, not a program's

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[[Any], Any]


def numpyvgg_im2col(path: str, threads: int) -> Run:
    from numpyvgg import VGG

    return VGG.from_onnx(path, conv="im2col", threads=threads)


def numpyvgg_winograd(path: str, threads: int) -> Run:
    from numpyvgg import VGG

    return VGG.from_onnx(path, conv="winograd", threads=threads)


def onnxruntime(path: str, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # it warns of every initializer that is listed as an input
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def openvino(path: str, threads: int) -> Run:
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    model.reshape([-1, *(int(str(size)) for size in list(model.inputs[0].partial_shape)[1:])])
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = core.compile_model(model, "CPU", config)
    return lambda x: compiled(x)[0]


def opencv(path: str, threads: int) -> Run:
    import cv2

    cv2.setNumThreads(threads)
    net = cv2.dnn.readNetFromONNX(path)

    def run(x: Any) -> Any:
        net.setInput(x)
        return net.forward()

    return run


def pytorch(path: str, threads: int) -> Run:
    import torch

    from numpyvgg.files.onnx import read_onnx
    from numpyvgg.vgg.recognise import recognise

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    layers, _ = recognise(read_onnx(path))
    steps: list[Any] = []
    for layer in layers:
        if layer.load is not None:
            weight, bias = layer.load()
            flat = weight.ndim == 2
            kind: Any = torch.nn.Linear if flat else torch.nn.Conv2d
            module = kind(*weight.shape[1::-1]) if flat else kind(*weight.shape[1::-1], 3, padding=1)
            module.weight.copy_(torch.tensor(weight.copy()))
            module.bias.copy_(torch.tensor(bias.copy()))
            steps += [torch.nn.Flatten(), module] if layer.title == "fc6" else [module]
        elif layer.op_type == "Softmax":
            steps.append(torch.nn.Softmax(1))
        else:
            steps.append(torch.nn.ReLU() if layer.op_type == "Relu" else torch.nn.MaxPool2d(2, 2))
    net = torch.nn.Sequential(*steps).eval()
    return lambda x: net(torch.from_numpy(x)).numpy()


def ncnn(path: str, threads: int) -> Run:
    """ncnn in full precision, from a network written down in its own two files."""
    import tempfile
    from pathlib import Path

    import ncnn
    import numpy as np

    net = ncnn.Net()
    options = net.opt
    options.num_threads = threads
    options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
    options.use_bf16_storage = False
    with tempfile.TemporaryDirectory() as folder:
        param, weights = Path(folder, "net.param"), Path(folder, "net.bin")
        _write_for_ncnn(path, param, weights)
        net.load_param(str(param))
        net.load_model(str(weights))

    def run(x: Any) -> Any:
        answers = []
        for image in x:  # it knows no batches
            extractor = net.create_extractor()
            extractor.input("input", ncnn.Mat(image))
            answers.append(np.array(extractor.extract("output")[1]))
        return np.stack(answers)

    return run


def _write_for_ncnn(path: str, param: Path, weights: Path) -> None:
    """A line a layer, ``kind name inputs outputs ...``, and its weights as float32 behind four zero bytes, and bias."""
    import numpy as np

    from numpyvgg.files.onnx import read_onnx
    from numpyvgg.vgg.recognise import recognise

    layers = recognise(read_onnx(path))[0]
    lines, top = ["Input input 0 1 input"], "input"
    with weights.open("wb") as file:
        for layer in layers:
            blob = "output" if layer is layers[-1] else layer.title
            size = int(np.prod(layer.weight_shape))
            what = {
                "conv": f"Convolution {{}} 0={layer.output_shape[0]} 1=3 4=1 5=1 6={size}",
                "relu": "ReLU {}",
                "pool": "Pooling {} 0=0 1=2 2=2",
                "fc": f"InnerProduct {{}} 0={layer.output_shape[0]} 1=1 2={size}",
                "prob": "Softmax {} 0=0",
            }[layer.kind]
            lines.append(what.format(f"{layer.title} 1 1 {top} {blob}"))
            if layer.load is not None:
                weight, bias = layer.load()
                file.write(bytes(4))
                for array in (weight, bias):
                    array.astype("<f4", copy=False).tofile(file)
            top = blob
    param.write_text("\n".join(["7767517", f"{len(lines)} {len(lines)}", *lines, ""]))


def mnn(path: str, threads: int) -> Run:
    """MNN with its highest precision, from a file that its own converter makes."""
    import os
    import tempfile

    import _tools
    import MNN
    import numpy as np

    folder = tempfile.mkdtemp()
    converted = os.path.join(folder, "net.mnn")
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", path, "--MNNModel", converted, "--bizCode", "bench"])
    interpreter = MNN.Interpreter(converted)
    os.unlink(converted)
    os.rmdir(folder)
    session = interpreter.createSession({"numThread": threads, "precision": "high", "backend": "CPU"})
    source = interpreter.getSessionInput(session)

    def run(x: Any) -> Any:
        if tuple(source.getShape()) != x.shape:
            interpreter.resizeTensor(source, x.shape)
            interpreter.resizeSession(session)
        images = MNN.Tensor(x.shape, MNN.Halide_Type_Float, x, MNN.Tensor_DimensionType_Caffe)
        source.copyFrom(images)
        interpreter.runSession(session)
        output = interpreter.getSessionOutput(session)
        answer = np.empty(output.getShape(), np.float32)
        host = MNN.Tensor(output.getShape(), MNN.Halide_Type_Float, answer, MNN.Tensor_DimensionType_Caffe)
        output.copyToHostTensor(host)
        return np.array(host.getNumpyData(), np.float32).reshape(output.getShape())

    return run


def onnx_reference(path: str, threads: int) -> Run:
    from onnx.reference import ReferenceEvaluator

    session: Any = ReferenceEvaluator(path)
    name = session.input_names[0]
    return lambda x: session.run(None, {name: x})[0]


def peak_bytes() -> int:
    """The most memory that this process had in use at a time, pages of mapped files included."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def blas_kernel() -> str:
    """Which of its kernels BLAS chose for this processor."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return ""
    found = [f"{lib['internal_api']} {lib['version']} {lib.get('architecture', '')}" for lib in threadpool_info()]
    return ", ".join(found)


def main() -> None:
    system, path, threads, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    began = time.perf_counter()
    run = globals()[system](path, threads)
    load = time.perf_counter() - began

    import numpy as np

    x = np.random.default_rng(0).integers(0, 256, (batch, 3, 224, 224)).astype(np.float32)
    answer = np.asarray(run(x))
    print(json.dumps({"load": load, "answer": answer[0].tolist(), "peak": peak_bytes()}), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            began = time.perf_counter()
            run(x)
            seconds.append(time.perf_counter() - began)
        print(json.dumps(seconds), flush=True)
    print(json.dumps({"peak": peak_bytes(), "blas": blas_kernel() if system.startswith("numpyvgg") else ""}))


if __name__ == "__main__":
    main()
