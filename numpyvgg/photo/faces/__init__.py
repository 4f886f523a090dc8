"""Faces in a photograph: `detectors` find upright ones, `search` looks at all angles and crops, `geometry` is how."""
