"""Attention: queries, keys and values, whose heads are an axis of their own or lie one after the other."""

from __future__ import annotations

from typing import Any

from .sizes import Needing, Shape, Size, agree, broadcast_to, refuse, show, vector


def Attention(
    Q: Shape,
    K: Shape,
    V: Shape,
    attn_mask: Shape | None = None,
    past_key: Shape | None = None,
    past_value: Shape | None = None,
    nonpad_kv_seqlen: Shape | None = None,
    *,
    q_num_heads: int | None = None,
    kv_num_heads: int | None = None,
    output_count: int = 1,
    **attributes: Any,
) -> Needing:
    flat = len(Q) == 3
    queries, keys, values = _heads(Q, q_num_heads), _heads(K, kv_num_heads), _heads(V, kv_num_heads)
    agree(queries[3], keys[3], f"sizes of a head of queries {show(Q)} and keys {show(K)}")
    agree(keys[1], values[1], f"heads of keys {show(K)} and values {show(V)}")
    batch = agree(agree(queries[0], keys[0], "batches of queries and keys"), values[0], "batches of keys and values")
    if queries[1] is not None and keys[1] is not None and (keys[1] == 0 or queries[1] % keys[1]):
        refuse(f"{queries[1]} heads of queries do not share {keys[1]} heads of keys")
    if (past_key is None) != (past_value is None):
        refuse("past_key and past_value go together, and one is left out")
    if past_key is not None and past_value is not None:
        if nonpad_kv_seqlen is not None:
            refuse("nonpad_kv_seqlen does not go with past_key")
        keys, values = _longer(past_key, keys, "past_key"), _longer(past_value, values, "past_value")
    length = agree(keys[2], values[2], f"lengths of keys {show(K)} and values {show(V)}")
    scores = (batch, queries[1], queries[2], length)
    _check_mask(attn_mask, scores)
    if nonpad_kv_seqlen is not None:
        vector(nonpad_kv_seqlen, batch, "nonpad_kv_seqlen")
    size = values[3]
    heads = None if queries[1] is None or size is None else queries[1] * size
    Y = (batch, queries[2], heads) if flat else (batch, queries[1], queries[2], size)
    return Needing([Y, keys, values, scores][:output_count], scores)


def _heads(x: Shape, count: int | None) -> Shape:
    """``[N, S, heads * size]``, or ``[N, heads, S, size]`` already, as the latter."""
    if len(x) == 4:
        return x
    if len(x) != 3:
        refuse(f"{show(x)} has to have three axes, or four with one of the heads")
    if not count:
        refuse(f"{show(x)} has three axes, and its number of heads is not given")
    if x[2] is not None and x[2] % count:
        refuse(f"{x[2]} numbers do not make {count} heads")
    return x[0], count, x[1], None if x[2] is None else x[2] // count


def _longer(past: Shape, x: Shape, name: str) -> Shape:
    if len(past) != 4:
        refuse(f"{name} has shape {show(past)}, and has to have four axes")
    for i in (0, 1, 3):
        agree(past[i], x[i], f"{name} {show(past)} before {show(x)}")
    length: Size = None if past[2] is None or x[2] is None else past[2] + x[2]
    return x[0], x[1], length, x[3]


def _check_mask(mask: Shape | None, scores: Shape) -> None:
    """A mask broadcasts to the scores; it may end before the keys do."""
    if mask is None:
        return
    if not mask:
        refuse("attn_mask is a single number")
    if mask[-1] is not None and scores[3] is not None and mask[-1] > scores[3]:
        refuse(f"attn_mask {show(mask)} is for more than {scores[3]} keys")
    broadcast_to((*mask[:-1], 1), scores, "attn_mask")
