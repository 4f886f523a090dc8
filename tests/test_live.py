"""The live page: its numbers are the forward pass's, and its server answers nobody but the page."""

from __future__ import annotations

import http.client
import itertools
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import onnx
import pytest
from browsing import complaints, inaccessible, overflow, requests, visit
from conftest import MODERN, PORTRAIT
from make_standin import standin_model
from onnx import TensorProto, helper, numpy_helper
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from test_memory import linux, status

from numpyvgg.errors import ArgumentError
from numpyvgg.parity import compare
from numpyvgg.photo.estimator import open_estimator
from numpyvgg.report import explain, explanation
from numpyvgg.report.explanation import tensors_of
from numpyvgg.report.live import Live, Server

# ---------------------------------------------------------------------- networks


def write_mixed(path: Path) -> Path:
    """A small network with a layer of every kind that is taken apart, and one (the padded mean) that is not."""
    rng = np.random.default_rng(7)
    shapes = {
        "w1": (8, 3, 3, 2),
        "b1": (8,),
        "w2": (8, 2, 3, 3),
        "w3": (4, 8, 1, 1),
        "b3": (4,),
        "w4": (6, 20),
        "b4": (6,),
    }
    shapes |= {"w5": (6, 5), "s": (8,), "B": (8,), "m": (8,), "by": (8, 1, 1)}
    constants = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    constants["v"] = rng.uniform(0.5, 2, 8).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 0, 1, 1], strides=[2, 1]),
        helper.make_node("BatchNormalization", ["c1", "s", "B", "m", "v"], ["n1"]),
        helper.make_node("Relu", ["n1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], group=4, dilations=[2, 2], auto_pad="SAME_UPPER"),
        helper.make_node("Mul", ["c2", "by"], ["m2"]),
        helper.make_node("Add", ["m2", "r1"], ["a2"]),
        helper.make_node("Relu", ["a2"], ["h2"]),
        helper.make_node("MaxPool", ["h2"], ["p3"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        helper.make_node("Conv", ["p3", "w3", "b3"], ["c3"]),
        helper.make_node("Relu", ["c3"], ["r3"]),
        helper.make_node("Concat", ["p3", "r3", "p3"], ["j3"], axis=1),
        helper.make_node("AveragePool", ["j3"], ["a4"], kernel_shape=[2, 2], pads=[1, 1, 0, 0]),
        helper.make_node("AveragePool", ["a4"], ["i4"], kernel_shape=[2, 2], pads=[1, 1, 0, 0], count_include_pad=1),
        helper.make_node("GlobalAveragePool", ["i4"], ["g4"]),
        helper.make_node("Flatten", ["g4"], ["f4"]),
        helper.make_node("Gemm", ["f4", "w4", "b4"], ["d4"], transB=1),
        helper.make_node("Relu", ["d4"], ["r4"]),
        helper.make_node("MatMul", ["r4", "w5"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mixed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module", autouse=True)
def nothing_hidden():
    """Leave the 37 passes of occlusion out of `explain`; `test_report` has a test of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explanation, "occlusion", lambda net, x, labels: np.arange(36.0).reshape(6, 6))
        yield


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    path = write_mixed(tmp_path_factory.mktemp("live") / "mixed.onnx")
    return Live([explain(open_estimator(path), PORTRAIT)], "portrait.jpg")


@pytest.fixture(scope="module")
def served(mixed):
    server = Server(mixed)
    threading.Thread(target=server.run, daemon=True).start()
    return server


# ---------------------------------------------------------------------- numbers


def unexplained(live: Live, places) -> list[str]:
    """The layers whose sums at these places, as the server tells them, parity does not explain by rounding.

    Each is judged by what it reads in the trace, in which the sums replace what the layer's first node made of it.
    """
    network, x = live._explanations[0].network, live._explanations[0].x
    trace = tensors_of(network, x)
    tensors = {name: value.copy() for name, value in trace.items()}
    for number, layer in enumerate(live._layers):
        for place in places(layer.output_shape):
            found = live.pixel(f"layer={number}&index={','.join(map(str, place))}")
            whole = found["sum"] + (found["bias"] or {"value": 0.0})["value"]
            tensors[layer.nodes[0].outputs[0]][(0, *place)] = whole
            assert found["value"] == trace[layer.output][(0, *place)]
    judged = {layer.nodes[0].outputs[0] for layer in live._layers}
    rows = [row for row in compare(network.model, x, lambda x: tensors).layers if row.tensor in judged]
    assert {row.op_type for row in rows} >= {"Conv", "MaxPool", "Gemm"}
    return [row.tensor for row in rows if not row.explained]


def all_places(shape):
    return itertools.product(*map(range, shape))


def some_places(shape):
    """The corners, where padding is, and twenty places between."""
    rng = np.random.default_rng(3)
    yield from {tuple(corner) for corner in itertools.product(*((0, size - 1) for size in shape))}
    yield from (tuple(int(rng.integers(size)) for size in shape) for _ in range(20))


@pytest.mark.thorough
def test_every_value_of_every_layer_is_that_of_the_trace_within_paritys_bound(mixed):
    assert unexplained(mixed, all_places) == []
    assert {"Conv", "Add", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool", "Gemm", "MatMul"} <= {
        layer.nodes[0].op_type for layer in mixed._layers
    }


@pytest.mark.thorough
def test_vggs_values_are_those_of_the_trace_within_paritys_bound(tmp_path):
    path = tmp_path / "vgg.onnx"
    onnx.save(standin_model(MODERN, width=1 / 32), path)
    live = Live([explain(open_estimator(path, "age"), PORTRAIT)], "portrait.jpg")
    assert len(live._layers) == 21
    assert unexplained(live, some_places) == []


def test_the_parts_add_up_and_the_bytes_are_those_of_the_file(mixed):
    content = Path(mixed._explanations[0].name).read_bytes()
    shown = 0
    for number, layer in enumerate(mixed._layers):
        found = mixed.pixel(f"layer={number}&index={','.join(str(size - 1) for size in layer.output_shape)}")
        if found["op"] in ("Conv", "Gemm", "MatMul"):
            products = [np.dot(each["pixels"], each["weights"]) for each in found["channels"]]
            np.testing.assert_allclose(sum(products) + found["others"]["sum"], found["sum"], rtol=1e-12)
        for _, value, offset, hexadecimal in found["bytes"]:
            assert content[offset : offset + 4].hex(" ") == hexadecimal
            assert np.frombuffer(content, "<f4", 1, offset)[0] == np.float32(value)
            shown += 1
    assert shown > 40


def test_what_is_covered_is_the_networks_answer_without_it(mixed):
    (found,) = mixed.covered("top=4&left=0&side=8")
    network, x = mixed._explanations[0].network.network, mixed._explanations[0].x
    x = x.copy()
    x[:, :, 4:12, :8] = x.mean(axis=(2, 3), keepdims=True)
    after, before = network(x)[0], network(mixed._explanations[0].x)[0]
    top = before.argmax()
    assert found["change"] == pytest.approx(np.log(after[top]) - np.log(before[top]), abs=1e-6)
    assert found["network"] == "mixed.onnx"
    assert found["answer"] == f"class {after.argmax()} ({after.max():.1%})"


# ---------------------------------------------------------------------- whom it answers


def ask(served, target: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | None = None):
    """One request -> status, headers, body."""
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(served.address).port, timeout=30)
    connection.putrequest(method, target, skip_host=headers is not None, skip_accept_encoding=True)
    for name, value in (headers or {}).items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def path_of(served, rest: str = "") -> str:
    return urlsplit(served.address).path + rest


def test_the_page_comes_with_headers_that_keep_it_to_itself(served):
    status_, headers, body = ask(served, path_of(served))
    assert status_ == 200
    assert b"microscope-data" in body
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Server" not in headers


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", "", None]
)
def test_a_page_under_another_name_is_not_answered_even_with_the_token(served, host):
    port = urlsplit(served.address).port
    status_, _, body = ask(served, path_of(served), headers={} if host is None else {"Host": host.format(port=port)})
    assert status_ == 403
    assert body == f"this server is http://127.0.0.1:{port} and nothing else".encode()


TRICKS = [
    *(
        "/",
        "/wrong/",
        "//",
        "/{token}",
        "/{token}x/",
        "/x{token}/",
        "/../{token}/../etc/passwd",
        "/{token}/../../etc/passwd",
    ),
    *("/{token}/%2e%2e/%2e%2e/etc/passwd", "/{token}//etc/passwd", "/{token}/pixel/", "/{token}/pixel/../page.html"),
    *("/{token}/page.html", "/{token}/%00", "/{token}/..%5c..%5cfile", "/{token}/file:///etc/passwd", "/%ff%fe/"),
]


@pytest.mark.parametrize("trick", TRICKS)
def test_other_paths_do_not_exist_and_nothing_is_opened_for_them(served, trick, monkeypatch):
    opened = []
    monkeypatch.setattr("builtins.open", lambda *args, **kwargs: opened.append(args))
    token = path_of(served).strip("/")
    status_, _, body = ask(served, trick.format(token=token))
    if trick == "/{token}":
        assert status_ == 200
        return
    assert (status_, body) == (404, b"there is no such page")
    assert opened == []


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "OPTIONS", "DELETE"])
def test_only_get_is_answered(served, method):
    assert ask(served, path_of(served), method)[0] == 405


def test_a_body_and_long_headers_are_refused_before_they_are_read(served):
    host = urlsplit(served.address).netloc
    assert ask(served, path_of(served), headers={"Host": host, "Content-Length": "999999999999"})[0] == 413
    assert ask(served, path_of(served), headers={"Host": host, "X": "x" * 20_000})[0] == 431


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("layer=99&index=0,0,0", "layer 99 does not exist"),
        ("layer=0&index=0,0,999999", "index 999999 does not exist; they are numbered 0 to"),
        ("layer=0&index=0,0", "layer 0 has 3 axes, and 2 are given"),
        ("layer=0&index=0,0,0,0,0,0,0,0,0", "index takes whole numbers"),
        ("layer=0&index=" + "9" * 5000, "index takes whole numbers of at most six digits"),
        ("layer=-1&index=0,0,0", "layer takes whole numbers"),
        ("layer=1e3&index=0,0,0", "layer takes whole numbers"),
        ("layer=%D9%A1&index=0,0,0", "layer takes whole numbers"),
        ("layer=0,1&index=0,0,0", "layer takes one number"),
        ("layer=0&layer=1&index=0,0,0", "ask with layer, index, each once"),
        ("layer=0", "ask with layer, index, each once"),
        ("layer=0&index=0,0,0&path=/etc/passwd", "ask with layer, index, each once"),
        ("", "ask with layer, index, each once"),
        ("&".join(["layer=0"] * 1000), "ask with layer, index, each once"),
    ],
)
def test_a_query_that_is_none_is_refused_with_its_reason(mixed, served, query, reason):
    with pytest.raises(ArgumentError, match=re.escape(reason)):
        mixed.pixel(query)
    status_, _, body = ask(served, path_of(served, f"pixel?{query}"))
    assert (status_, reason.encode() in body) == (400, True)


@pytest.mark.parametrize(
    "query", ["top=0&left=0&side=0", "top=9&left=0&side=8", "top=0&left=9&side=8", "top=0&left=0&side=999999"]
)
def test_a_square_that_is_not_in_the_crop_is_refused(mixed, query):
    with pytest.raises(ArgumentError, match="no square of"):
        mixed.covered(query)


def all_at_once(count: int, ask) -> list[bytes]:
    """What so many threads are answered that begin together."""
    start = threading.Barrier(count)

    def one(_: int) -> bytes:
        start.wait()
        return ask()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def answer_of(address: tuple[str, int], request: bytes) -> bytes:
    """What a connection of its own is answered, to the end; empty where the server refuses."""
    try:
        with socket.create_connection(address, timeout=60) as connection:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError:
        return b""


@pytest.mark.thorough
@linux
def test_a_thousand_requests_at_once_are_served_or_refused_and_memory_stays_flat(served):
    address = ("127.0.0.1", urlsplit(served.address).port)
    host = urlsplit(served.address).netloc
    target = path_of(served, "pixel?layer=0&index=1,2,3")
    request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    right = ask(served, target)[2]
    held = []
    for _ in range(3):
        answers = all_at_once(1000, lambda: answer_of(address, request))
        assert all(not answer or answer.endswith(right) for answer in answers)
        assert sum(answer.startswith(b"HTTP/1.1 200") for answer in answers) > 500
        held.append(status("VmRSS", Path("/proc/self/status").read_text()))
    assert held[2] - held[1] < 16 << 20
    assert ask(served, target)[2] == right


def test_connections_that_say_nothing_do_not_keep_others_out_for_ever(served):
    assert 0 < served._server.adj.channel_timeout <= 60
    assert served._server.adj.connection_limit <= 100
    silent = [socket.create_connection(("127.0.0.1", urlsplit(served.address).port)) for _ in range(20)]
    assert ask(served, path_of(served))[0] == 200
    for connection in silent:
        connection.close()


@pytest.mark.thorough
def test_the_command_serves_until_it_is_interrupted_and_frees_the_port(tmp_path):
    path = write_mixed(tmp_path / "mixed.onnx")
    command = [
        sys.executable,
        "-m",
        "numpyvgg",
        "explain",
        str(PORTRAIT),
        "--model",
        str(path),
        "--live",
        "--no-browser",
    ]

    def heed_interrupts() -> None:  # a shell's job in the background ignores them, and so does what it starts
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, preexec_fn=heed_interrupts, **pipes) as run:
        address = run.stdout.readline().split()[0]
        port = urlsplit(address).port
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(f"GET {urlsplit(address).path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
            assert connection.recv(15) == b"HTTP/1.0 200 OK"
        run.send_signal(signal.SIGINT)
        rest, errors = run.communicate(timeout=30)
    assert (run.returncode, rest, errors) == (0, "", "")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


# ---------------------------------------------------------------------- in the browser


@pytest.mark.thorough
def test_the_page_asks_for_deep_pixels_units_and_covered_parts(browser, served, mixed):
    visit(browser, served.address, 390)

    def told(place: str, part: str) -> str:
        """A status line, once it says so."""
        script = f"return document.querySelector('{place} [role=status]').textContent"
        said = WebDriverWait(browser, 60, 0.05)
        return said.until(lambda _: part in (text := browser.execute_script(script)) and text)

    last = len(mixed._layers) - 1
    browser.execute_script(f"document.querySelector('#layer{last} .opener').focus()")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert "sum of 6 products" in told(".microscope", "y[0, ")
    deep = next(i for i, layer in enumerate(mixed._layers) if layer.title == "c2")
    browser.execute_script(f"document.querySelector('#layer{deep} .lens').focus()")
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    assert "sum of" in told(".microscope", "c2[0, ")
    browser.find_elements("css selector", ".chooser input")[0].send_keys(Keys.ARROW_UP)
    assert told(".microscope", "c2[0, 1, ")
    browser.execute_script("document.querySelector('#cover .lens').focus()")
    browser.switch_to.active_element.send_keys(Keys.ARROW_LEFT)
    assert "class" in told("#cover", "in log-probability")
    assert all(address.startswith(served.address) for address in requests(browser))
    assert overflow(browser) <= 0
    assert inaccessible(browser) == []
    assert complaints(browser) == []
