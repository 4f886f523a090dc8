"""From photographs to answers.

`images` (a file becomes pixels), `pillow` and `resampling` (with Pillow or without), `faces` (found, turned upright,
cropped), `tensors` (pixels become a network's input),
`classifier` (any network that gives a row of numbers), `estimator` (a network with its preparation and its labels),
`answers` (what outputs mean), `predictor` (networks asked together), `draw`. It imports from every room above it:
`files` to `zoo`.
"""
