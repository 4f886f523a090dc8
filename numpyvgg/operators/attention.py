"""Scaled dot product attention.

Sources: A. Vaswani et al., "Attention Is All You Need", 2017; heads that share keys: J. Ainslie et al., "GQA", 2023.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

#: softmax_precision, a TensorProto.DataType -> what is computed in; bfloat16's range is float32's.
_PRECISIONS: dict[int | None, str] = {1: "float32", 10: "float16", 11: "float64", 16: "float32"}


def Attention_23(
    Q: np.ndarray,
    K: np.ndarray,
    V: np.ndarray,
    attn_mask: np.ndarray | None = None,
    past_key: np.ndarray | None = None,
    past_value: np.ndarray | None = None,
    nonpad_kv_seqlen: np.ndarray | None = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
    output_count: int = 1,
) -> Any:
    flat = Q.ndim == 3
    if flat:
        Q, K, V = _heads(Q, q_num_heads), _heads(K, kv_num_heads), _heads(V, kv_num_heads)
    if past_key is not None and past_value is not None:
        K, V = np.concatenate([past_key, K], axis=2), np.concatenate([past_value, V], axis=2)
    offset: Any = 0 if past_key is None else past_key.shape[2]  # of the first query among the keys
    if nonpad_kv_seqlen is not None:
        offset = nonpad_kv_seqlen.reshape(-1, 1, 1, 1) - Q.shape[2]
    reach = left_window_size, 0 if is_causal else right_window_size
    bias = _bias(attn_mask, (Q.shape[2], K.shape[2]), offset, nonpad_kv_seqlen, reach, Q.dtype)
    root = Q.dtype.type(math.sqrt(1 / math.sqrt(max(Q.shape[3], 1)) if scale is None else scale))
    shared = Q.shape[1] // K.shape[1]  # queries' heads for each of the keys'
    keys, values = (np.repeat(x, shared, axis=1) if shared > 1 else x for x in (K, V))
    scores = [(Q * root) @ (keys * root).swapaxes(2, 3)]  # [N, heads, queries, keys]
    scores.append(np.tanh(scores[0] / Q.dtype.type(softcap)) * Q.dtype.type(softcap) if softcap > 0 else scores[0])
    scores.append(scores[1] + bias)
    precision = _PRECISIONS.get(softmax_precision, Q.dtype)
    blind = np.asarray(np.isneginf(bias).all(axis=-1, keepdims=True))  # queries that see no key
    weights = _softmax(scores[2].astype(precision), blind).astype(Q.dtype)
    Y = weights @ values
    if flat:
        Y = Y.swapaxes(1, 2).reshape(len(Y), Y.shape[2], -1)
    return Y if output_count == 1 else (Y, K, V, [*scores, weights][qk_matmul_output_mode])[:output_count]


def _heads(x: np.ndarray, count: int | None) -> np.ndarray:
    """``[N, S, heads * size] -> [N, heads, S, size]``"""
    return x.reshape(*x.shape[:2], count or 1, -1).swapaxes(1, 2)


def _bias(
    mask: np.ndarray | None,
    shape: tuple[int, int],
    offset: Any,
    valid: np.ndarray | None,
    reach: tuple[int, int],
    dtype: np.dtype,
) -> np.ndarray:
    """What is added to the scores ``[..., queries, keys]``: -inf where a query does not see a key."""
    queries, keys = shape
    ahead = np.arange(keys) - np.arange(queries)[:, None] - offset  # how far a key lies behind its query
    seen = np.ones_like(ahead, bool)
    if reach[0] >= 0:
        seen &= ahead >= -reach[0]
    if reach[1] >= 0:
        seen &= ahead <= reach[1]
    if valid is not None:
        seen = seen & (np.arange(keys) < valid.reshape(-1, 1, 1, 1))
    bias = np.where(seen, dtype.type(0), dtype.type(-np.inf))
    if mask is not None:
        mask = np.where(mask, dtype.type(0), dtype.type(-np.inf)) if mask.dtype == bool else mask.astype(dtype)
        missing = [(0, 0)] * (mask.ndim - 1) + [(0, keys - mask.shape[-1])]
        bias = bias + np.pad(mask, missing, constant_values=-np.inf)
    return bias


def _softmax(scores: np.ndarray, blind: np.ndarray) -> np.ndarray:
    """Along the keys; the weights of a `blind` query are zero."""
    highest = scores.max(axis=-1, keepdims=True)
    e = np.exp(scores - np.where(np.isneginf(highest), highest.dtype.type(0), highest))
    return np.where(blind, scores.dtype.type(0), e / np.where(blind, scores.dtype.type(1), e.sum(-1, keepdims=True)))
