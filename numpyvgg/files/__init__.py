"""From bytes to arrays and graphs.

`wire` walks protobuf's fields, `source` and `external` find a file's bytes, `tensor` turns one stored tensor into an
array without copying it, `onnx` reads a model, `functions` puts those that a file defines in place of their calls,
`caffe` reads a Caffe model as the same graph, `kinds` names what is none of these, `write` writes ONNX; `cache` is the
folder for large files and how a file gets into it whole. This room imports `numpyvgg.errors` only.
"""
