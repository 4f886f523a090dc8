"""THE network: how it is found in a graph, what its layers are, and its forward pass.

`layer` (a layer as tables see it), `recognise` (a graph held against Simonyan and Zisserman's table), `network` (the
forward pass), `standin` (a full-size file with random weights). It imports from `files`, `layers`, `kernels`, `graph`.
"""
