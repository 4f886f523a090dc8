"""See inside: one photograph's way through the network as data, as a page and as text in a terminal.

`explain` gives the data and needs no extra package; `page.render` makes the page of it (``pip install
jinja2 matplotlib``), `live` serves it with every layer (``waitress`` besides), `terminal` has the text.
"""

from .explanation import Explanation, LayerView, Unit, crop_of, explain, watch
from .field import ReceptiveField
from .layer import Layer

__all__ = ["Explanation", "Layer", "LayerView", "ReceptiveField", "Unit", "crop_of", "explain", "watch"]
