"""Which way the answer leans: one number that stands for the answer, its gradient, and Grad-CAM on top of it.

With the score E = sum_i i * p_i of an age network, whose probabilities p are the softmax of its scores z, the gradient
begins with dE/dz_i = p_i * (i - E); `backward` takes it from there to any layer.

Grad-CAM then asks of each feature map of the last layer that still has places how much the score would rise if the
whole map rose, and adds the maps up with these answers as weights. The paper keeps the positive part of the sum; here
the sign stays, since an age has two directions and both are of interest.

Source: Ramprasaath R. Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017, equations 1 and 2 (section 3.1 has the negative direction, "counterfactual explanations").
"""

from __future__ import annotations

import numpy as np

from ..zoo.labels import UNKNOWN, Labels


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
    """The gradient of `score` with respect to the softmax's input.

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


def grad_cam(activations: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Where a layer's feature maps push the score, signed.

    Parameters
    ----------
    activations : ndarray [N, C, H, W]
        In VGG-16 conv5_3 after its ReLU.
    gradient : ndarray [N, C, H, W]
        Of the score with respect to them.

    Returns
    -------
    ndarray [N, H, W]
        Positive where the image raises the score, negative where it lowers it.
    """
    weights = gradient.mean(axis=(2, 3))  # [N, C]
    return np.einsum("nc,nchw->nhw", weights, activations)
