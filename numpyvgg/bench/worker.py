"""The measured process of `numpyvgg.bench`: one system, one network. Run as a program, it imports nothing it need not.

    python worker.py SYSTEM PATH THREADS BATCH

prints a JSON line when the first answer is there. Then for each line on standard input (a number of runs) it prints the
seconds that each took, and at the end its peak memory. The peers are used as their documentation has it, with as many
threads as asked for; nothing of this package is loaded beside them.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

if __name__ == "__main__":
    del sys.path[0]  # this folder, whose modules are the package's, not a program's

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
