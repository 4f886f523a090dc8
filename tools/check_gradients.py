"""Hold the hand-written backward pass to PyTorch's autograd, at full size, and print the difference of every gradient.

    python tools/check_gradients.py NETWORK.onnx IMAGE

PyTorch is too large for the test suite, which holds the same gradients to numerical differences; this needs
`pip install torch`.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import torch
import torch.nn.functional as F

from numpyvgg import VGG
from numpyvgg.photo.images import load_image, to_tensor
from numpyvgg.report import watch
from numpyvgg.report.gradients import backward
from numpyvgg.text import table
from numpyvgg.zoo.labels import ages

LIMIT = 1e-4


def autograd(net: VGG, relu5_3: np.ndarray) -> dict[str, np.ndarray]:
    """The same gradients as `backward`'s, from conv5_3's output on by PyTorch alone."""
    weights = {p.title: [torch.tensor(a) for a in p.load()] for p in net.layers if p.kind == "fc" and p.load}
    values = {"relu5_3": torch.tensor(relu5_3, requires_grad=True)}
    values["pool5"] = F.max_pool2d(values["relu5_3"], 2)
    values["fc6"] = F.linear(values["pool5"].flatten(1), *weights["fc6"])
    values["relu6"] = F.relu(values["fc6"])
    values["fc7"] = F.linear(values["relu6"], *weights["fc7"])
    values["relu7"] = F.relu(values["fc7"])
    values["fc8"] = F.linear(values["relu7"], *weights["fc8"])
    for value in values.values():
        value.retain_grad()
    probabilities = F.softmax(values["fc8"], dim=1)
    classes = probabilities.shape[1]
    if classes == 101:
        score = probabilities @ torch.arange(101.0)
    else:
        score = torch.log(probabilities[:, 1] / probabilities[:, 0])
    score.backward()
    gradients = {name: value.grad for name, value in values.items()}
    return {name: gradient.numpy() for name, gradient in gradients.items() if gradient is not None}


def main() -> int:
    """Print a table; the exit code says whether every difference is within the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("image")
    args = parser.parse_args()
    net = VGG.from_onnx(args.network)
    _, values = watch(net, to_tensor(load_image(args.image)))
    ours, theirs = backward(net, values, ages(101)), autograd(net, values["relu5_3"])
    rows, worst = [], 0.0
    for place, gradient in ours.items():
        difference = float(np.abs(gradient - theirs[place]).max() / np.abs(theirs[place]).max())
        worst = max(worst, difference)
        rows.append([place, "x".join(map(str, gradient.shape)), f"{difference:.1e}"])
    print(table(["gradient of", "shape", "largest difference / largest gradient"], rows, "<<>"))
    print(f"PyTorch {torch.__version__}: {worst:.1e}, limit {LIMIT:.0e}")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
