"""What a graph means, decided once: recogniser, session and parity all ask here.

It imports from `files`, `layers` and `operators`.
"""
