"""From photographs to answers.

`images` (a file becomes pixels, pixels a tensor), `faces` (found, turned upright, cropped), `answers` (what
probabilities mean), `small` (the two bundled networks), `predictor` (networks asked together), `draw`.
It imports from every room above it: `files` to `zoo`.
"""
