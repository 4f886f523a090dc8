"""See inside: one photograph's way through the network as data, as a page and as text in a terminal.

`explain` gives the data and needs no extra package; `page.render` makes the page of it (``pip install
jinja2 matplotlib``), `terminal.layer_table` and `terminal.answer_chart` the text.
"""

from .explanation import Explanation, LayerView, ReceptiveField, Unit, explain, watch

__all__ = ["Explanation", "LayerView", "ReceptiveField", "Unit", "explain", "watch"]
