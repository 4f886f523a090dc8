"""Which way the answer leans: the backward pass from the answer to conv5_3, written by hand, and Grad-CAM on top of it.

The chain rule, one layer at a time. Each function takes the gradient of the score with respect to a layer's output and
returns it with respect to the layer's input; in between, all that is needed are the values of the forward pass:

    layer       y =                          gradient with respect to x
    fc          x @ W.T + b                  dy @ W
    relu        max(x, 0)                    dy where x > 0, else 0
    max_pool    largest of each 2x2 window   dy at that pixel, 0 at the three others
    softmax     e^x_i / sum_j e^x_j          with the score E = sum_i i * y_i on top:  y_i * (i - E)

Grad-CAM then asks of each of conv5_3's 512 feature maps how much the score would rise if the whole map rose, and adds
the maps up with these answers as weights. The paper keeps the positive part of the sum; here the sign stays, since
an age has two directions and both are of interest.

Source: Ramprasaath R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017, equations 1 and 2 (section 3.1 has the negative direction, "counterfactual explanations").
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..vgg.network import VGG
from ..zoo.labels import UNKNOWN, Labels


def linear_backward(dy: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Through ``y = x @ weight.T + bias``: dy [N, M], weight [M, K] -> dx [N, K]."""
    return dy @ weight


def relu_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Through ``y = max(x, 0)``: the gradient passes where x was positive.

    `x` may be the output as well as the input: both are positive at the same places.
    """
    return np.where(x > 0, dy, dy.dtype.type(0))


def max_pool_backward(dy: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Through 2x2 max pooling of stride 2: the gradient goes to the pixel that won, to the first of equals.

    Parameters
    ----------
    dy : ndarray [N, C, H / 2, W / 2]
    x : ndarray [N, C, H, W]
        What was pooled.

    Returns
    -------
    ndarray [N, C, H, W]
    """
    n, channels, height, width = dy.shape
    taps = x.reshape(n, channels, height, 2, width, 2).transpose(0, 1, 2, 4, 3, 5)  # [N, C, H/2, W/2, 2, 2]
    winners = taps.reshape(*dy.shape, 4).argmax(axis=-1)[..., None]
    dx = np.zeros((*dy.shape, 4), dy.dtype)
    np.put_along_axis(dx, winners, dy[..., None], axis=-1)
    return dx.reshape(*dy.shape, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(x.shape)


# ---------------------------------------------------------------------- the score


def score(probabilities: np.ndarray, labels: Labels = UNKNOWN) -> np.ndarray:
    """The one number that is explained: what it is depends on what the classes mean.

    Parameters
    ----------
    probabilities : ndarray [N, classes]
        Of a network with one output its numbers.
    labels : Labels

    Returns
    -------
    ndarray, float64 [N]
        Of ages: the expected age in years. Of genders: the log-odds of male over female. Of one output: itself. Of
        others: the logarithm of the first image's most probable class.
    """
    p = np.asarray(probabilities, np.float64)
    if p.shape[1] == 1:
        return p[:, 0]
    if labels.kind == "age":
        return p @ np.array(labels.years)
    p = p.clip(np.finfo(np.float32).tiny)  # a probability may have been rounded to 0
    if labels.kind == "gender":
        male = labels.names.index("male")
        return np.log(p[:, male] / p[:, 1 - male])
    return np.log(p[:, p[0].argmax()])


def score_gradient(probabilities: np.ndarray, labels: Labels = UNKNOWN) -> np.ndarray:
    """The gradient of `score` with respect to fc8's output, the softmax's input.

    Parameters
    ----------
    probabilities : ndarray [N, classes]
    labels : Labels

    Returns
    -------
    ndarray [N, classes]
        In the dtype of `probabilities`.
    """
    p = np.asarray(probabilities)
    n, classes = p.shape
    if classes == 1:
        return np.ones_like(p)
    if labels.kind == "age":  # sum_j y_j * dp_j/dz_i  with  dp_j/dz_i = p_j * ((i == j) - p_i)
        years = np.array(labels.years, p.dtype)
        return p * (years - (p @ years)[:, None])
    if labels.kind == "gender":  # log(p_1 / p_0) = z_1 - z_0
        male = labels.names.index("male")
        return np.tile(np.array([1 - 2 * male, 2 * male - 1], p.dtype), (n, 1))
    one_hot = np.zeros_like(p)
    one_hot[:, p[0].argmax()] = 1
    return one_hot - p


# ---------------------------------------------------------------------- backward


def backward(net: VGG, values: Mapping[str, np.ndarray], labels: Labels = UNKNOWN) -> dict[str, np.ndarray]:
    """The gradient of the score with respect to every value from conv5_3's ReLU to fc8.

    Parameters
    ----------
    net : VGG
    values : mapping of str to ndarray
        The forward pass's values by title: ``relu5_3``, ``pool5``, ``relu6``, ``relu7`` and ``prob`` are used.
    labels : Labels
        What the classes mean.

    Returns
    -------
    dict of str to ndarray
        By title, each in its value's shape: ``fc8``, ``relu7``, ``fc7``, ``relu6``, ``fc6``, ``pool5``, ``relu5_3``.
    """
    weights = {layer.title: layer.load()[0] for layer in net.layers if layer.kind == "fc" and layer.load}
    gradients = {"fc8": score_gradient(values["prob"], labels)}
    gradients["relu7"] = linear_backward(gradients["fc8"], weights["fc8"])
    gradients["fc7"] = relu_backward(gradients["relu7"], values["relu7"])
    gradients["relu6"] = linear_backward(gradients["fc7"], weights["fc7"])
    gradients["fc6"] = relu_backward(gradients["relu6"], values["relu6"])
    gradients["pool5"] = linear_backward(gradients["fc6"], weights["fc6"]).reshape(values["pool5"].shape)
    gradients["relu5_3"] = max_pool_backward(gradients["pool5"], values["relu5_3"])
    return gradients


def grad_cam(activations: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Where conv5_3's feature maps push the score, signed.

    Parameters
    ----------
    activations : ndarray [N, C, H, W]
        conv5_3 after its ReLU.
    gradient : ndarray [N, C, H, W]
        Of the score with respect to them.

    Returns
    -------
    ndarray [N, H, W]
        Positive where the image raises the score, negative where it lowers it.
    """
    weights = gradient.mean(axis=(2, 3))  # [N, C]
    return np.einsum("nc,nchw->nhw", weights, activations)
