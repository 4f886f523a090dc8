"""A comparison in the form that build servers read: JUnit's XML, a test case for each layer."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from ..errors import printable
from .result import LayerParity, Parity


def junit_xml(parities: Sequence[tuple[str, Parity]]) -> bytes:
    """One test suite for each runtime.

    A layer that is not explained is a failure; one of which nothing can be told is an error, and so is a tensor under
    an unknown name; one that the runtime does not expose is skipped.

    Parameters
    ----------
    parities : sequence of (str, Parity)
        Each with the suite's name.
    """
    root = ElementTree.Element("testsuites")
    for name, parity in parities:
        suite = ElementTree.SubElement(root, "testsuite", name=printable(name))
        suite.set("tests", str(len(parity.layers) + len(parity.unknown)))
        suite.set("failures", str(len(parity.failures)))
        suite.set("errors", str(len(parity.undecided) + len(parity.unknown)))
        suite.set("skipped", str(sum(_is_skipped(layer) for layer in parity.layers)))
        for layer in parity.layers:
            _add_case(suite, name, layer)
        for tensor in parity.unknown:
            case = ElementTree.SubElement(suite, "testcase", classname=printable(name), name=printable(tensor))
            ElementTree.SubElement(case, "error", message="not judged: no tensor of the network has this name")
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _is_skipped(layer: LayerParity) -> bool:
    return layer.judgement.verdict == "not exposed"


def _add_case(suite: ElementTree.Element, name: str, layer: LayerParity) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=printable(name), name=printable(layer.name))
    verdict = printable(layer.verdict)
    if layer.failed:
        ElementTree.SubElement(case, "failure", message=verdict).text = printable(layer.worst_at)
    elif not layer.explained:
        ElementTree.SubElement(case, "error", message=verdict)
    elif _is_skipped(layer):
        ElementTree.SubElement(case, "skipped", message=verdict)
    else:
        ElementTree.SubElement(case, "system-out").text = verdict
