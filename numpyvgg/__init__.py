"""VGG-16 face-age networks in plain NumPy."""
