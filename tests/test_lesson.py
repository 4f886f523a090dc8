"""Every exercise takes its reference solution, and answers known mistakes with their hints.

Solutions and mistakes are written here as learners write them, with loops, not by calling the package.
"""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from numpyvgg.cli import main
from numpyvgg.errors import ArgumentError
from numpyvgg.lesson import EXERCISES, check, exercise

PAGE = Path(__file__).parents[1] / "docs" / "lesson" / "exercises.md"


# ---------------------------------------------------------------------- files


def read_varint(data, position, groups=7, mask=0x7F, order=1, returned="position"):
    parts, start = [], position
    while True:
        parts.append(data[position] & mask)
        position += 1
        if data[position - 1] < 0x80:
            break
    value = 0
    for i, part in enumerate(parts[::order]):
        value |= part << (groups * i)
    return value, position if returned == "position" else position - start


def write_varint(value, stop=0, more=0x80, last=0):
    out = []
    while value > 0x7F:
        out.append(value & 0x7F | more)
        value >>= 7
    return bytes([*out, value | last])


def write_backwards(value):
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F)
        value >>= 7
    groups = [*groups, value][::-1]
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])


def find_field(message, number, one_byte=False, any_number=False, prefix=False):
    position = 0
    while position < len(message):
        key, position = read_varint(message, position)
        before = position
        if key & 7 == 0:
            position = read_varint(message, position)[1]
            continue
        size, position = (message[position], position + 1) if one_byte else read_varint(message, position)
        if any_number or key >> 3 == number:
            return message[before if prefix else position : position + size]
        position += size
    raise IndexError("no such field")


def read_weights(raw_data, dims, code="<"):
    count = 1
    for size in dims:
        count *= size
    return np.array(struct.unpack(f"{code}{count}f", raw_data), np.float32).reshape(dims)


# ---------------------------------------------------------------------- convolutions


def output_size(size, kernel, stride, pad):
    return len([start for start in range(0, size + 2 * pad, stride) if start + kernel <= size + 2 * pad])


def receptive_field(windows):
    """Backwards: how many inputs each layer needs for so many outputs."""
    pixels = 1
    for kernel, stride in reversed(windows):
        pixels = (pixels - 1) * stride + kernel
    return pixels


def conv2d(x, weight, bias, stride, pad, flip=False, strides=None, swap=False, mode="constant", channels=None):
    down, right = strides or (stride, stride)
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)), mode)
    k = weight.shape[-1]
    rows, columns = (x.shape[1] - k) // down + 1, (x.shape[2] - k) // right + 1
    y = np.zeros((len(weight), rows, columns))
    for m in range(len(weight)):
        for row in range(rows):
            for column in range(columns):
                y[m, row, column] = bias[m]
                for c in range(channels or len(x)):
                    for i in range(k):
                        for j in range(k):
                            a, b = (k - 1 - i, k - 1 - j) if flip else (j, i) if swap else (i, j)
                            y[m, row, column] += weight[m, c, a, b] * x[c, row * down + i, column * right + j]
    return y


def im2col(x, kernel, order="cij", places="rows"):
    rows, columns = x.shape[1] - kernel + 1, x.shape[2] - kernel + 1
    starts = [(i, j) for i in range(rows) for j in range(columns)]
    if places == "columns":
        starts = [(i, j) for j in range(columns) for i in range(rows)]
    patches = [x[:, i : i + kernel, j : j + kernel] for i, j in starts]
    return np.array([(p if order == "cij" else p.transpose(1, 2, 0)).ravel() for p in patches]).T


def max_pool(x, of=np.max, step=2, up=0):
    rows, columns = (x.shape[1] - 2 + up) // step + 1, (x.shape[2] - 2 + up) // step + 1
    y = np.zeros((len(x), rows, columns))
    for c in range(len(x)):
        for i in range(rows):
            for j in range(columns):
                y[c, i, j] = of(x[c, i * step : i * step + 2, j * step : j * step + 2])
    return y


def conv_cost(inputs, outputs, kernel, height, width):
    products = sum(kernel * kernel * inputs for _ in range(outputs))
    return products + outputs, products * height * width


def fold_batch_norm(weight, bias, scale, shift, mean, variance, epsilon, root=lambda v, e: (v + e) ** 0.5):
    new_weight, new_bias = weight.copy(), bias.copy()
    for m in range(len(weight)):
        new_weight[m] = weight[m] * scale[m] / root(variance[m], epsilon)
        new_bias[m] = shift[m] + scale[m] * (bias[m] - mean[m]) / root(variance[m], epsilon)
    return new_weight, new_bias


def bias_not_scaled(weight, bias, scale, shift, mean, variance, epsilon):
    new, _ = fold_batch_norm(weight, bias, scale, shift, mean, variance, epsilon)
    return new, bias + shift - scale * mean / (variance + epsilon) ** 0.5


def winograd_filter(g, half=2, sign=1):
    return [g[0], (g[0] + sign * g[1] + g[2]) / half, (g[0] - sign * g[1] + g[2]) / half, g[2]]


# ---------------------------------------------------------------------- pixels and answers


def to_tensor(pixels, order=(2, 1, 0), divide=1):
    out = np.zeros((1, 3, *pixels.shape[:2]), np.float32)
    for to, channel in enumerate(order):
        out[0, to] = pixels[:, :, channel] / divide
    return out


def linear(x, weight, bias, layout=(0, 1, 2)):
    flat = np.transpose(x, layout).flatten()
    return np.array([sum(w * v for w, v in zip(row, flat, strict=True)) for row in weight]) + bias


def softmax(x):
    rows = []
    for row in x:
        e = [np.exp(value - max(row)) for value in row]
        rows.append([value / sum(e) for value in e])
    return np.array(rows)


def expected_age(probabilities, first=0):
    mean = sum((first + i) * p for i, p in enumerate(probabilities))
    return mean, sum((first + i - mean) ** 2 * p for i, p in enumerate(probabilities)) ** 0.5


def error_bound(x, w, u=2.0**-24):
    n = len(x)
    return n * u / (1 - n * u) * sum(abs(a * b) for a, b in zip(x, w, strict=True))


# ---------------------------------------------------------------------- derivatives


def softmax_gradient(scores, label):
    """By differences, in float64."""
    loss = lambda s: -np.log(np.exp(s[label]) / np.exp(s).sum())  # noqa: E731
    steps = 1e-5 * np.eye(len(scores))
    return np.array([(loss(scores + step) - loss(scores - step)) / 2e-5 for step in steps])


def conv_gradient(x, dy):
    k, columns = x.shape[1] - dy.shape[1] + 1, x.shape[2] - dy.shape[2] + 1
    dw = np.zeros((k, columns))
    for n, p, q in np.ndindex(*dy.shape):
        for i in range(k):
            for j in range(columns):
                dw[i, j] += dy[n, p, q] * x[n, p + i, q + j]
    return dw


def max_pool_gradient(x, dy, give=lambda block: [int(np.argmax(block))], share=1):
    dx = np.zeros_like(x)
    for i, j in np.ndindex(*dy.shape):
        block = x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        for place in give(block.ravel()):
            dx[2 * i + place // 2, 2 * j + place % 2] += dy[i, j] / share
    return dx


#: number -> the solution, and (part of the hint, a mistake) for each that must be known
SOLUTIONS = {
    1: (read_varint, [
        ("goes on while", lambda data, position: (data[position] & 0x7F, position + 1)),
        ("other way round", lambda data, position: read_varint(data, position, order=-1)),
        ("mask it", lambda data, position: read_varint(data, position, mask=0xFF)),
        ("not eight", lambda data, position: read_varint(data, position, groups=8)),
        ("not how many bytes", lambda data, position: read_varint(data, position, returned="length")),
    ]),
    2: (write_varint, [
        ("zero has a byte", lambda value: write_varint(value) if value else b""),
        ("lowest seven bits come first", write_backwards),
        ("yours have none", lambda value: write_varint(value, more=0)),
        ("last byte's high bit is clear", lambda value: write_varint(value, last=0x80)),
    ]),
    3: (find_field, [
        ("you read one", lambda message, number: find_field(message, number, one_byte=True)),
        ("without it", lambda message, number: find_field(message, number, prefix=True)),
        ("whatever its number", lambda message, number: find_field(message, number, any_number=True)),
    ]),
    4: (read_weights, [
        ("little-endian", lambda raw_data, dims: read_weights(raw_data, dims, ">")),
        ("first one fastest", lambda raw_data, dims: read_weights(raw_data, dims[::-1]).T),
        ("yours is reversed", lambda raw_data, dims: read_weights(raw_data, dims[::-1])),
        ("reshape them", lambda raw_data, dims: list(read_weights(raw_data, [len(raw_data) // 4]))),
    ]),
    5: (output_size, [
        ("fits once", lambda size, kernel, stride, pad: int((size - kernel + 2 * pad) / stride)),
        ("both ends", lambda size, kernel, stride, pad: (size - kernel + pad) // stride + 1),
        ("round down", lambda size, kernel, stride, pad: int(np.ceil((size - kernel + 2 * pad) / stride)) + 1),
    ]),
    6: (receptive_field, [
        ("further apart", lambda windows: sum(kernel - 1 for kernel, _ in windows) + 1),
        ("from the next layer on", lambda windows: 1 + sum(
            (kernel - 1) * int(np.prod([s for _, s in windows[: i + 1]])) for i, (kernel, _) in enumerate(windows)
        )),
        ("sees nothing more", lambda windows: sum(
            kernel * int(np.prod([s for _, s in windows[:i]])) for i, (kernel, _) in enumerate(windows)
        )),
    ]),
    7: (conv2d, [
        ("cross-correlation", lambda *case: conv2d(*case, flip=True)),
        ("has a bias", lambda x, weight, bias, *others: conv2d(x, weight, [0] * len(bias), *others)),
        ("not around the result", lambda x, weight, bias, stride, pad: np.pad(
            conv2d(x, weight, bias, stride, 0), ((0, 0), (pad, pad), (pad, pad))
        )),
        ("along both axes", lambda x, weight, bias, stride, pad: conv2d(x, weight, bias, 0, pad, strides=(stride, 1))),
        ("exchanged with the columns", lambda *case: conv2d(*case, swap=True)),
        ("you use the first", lambda *case: conv2d(*case, channels=1)),
        ("repeat the border", lambda *case: conv2d(*case, mode="edge")),
    ]),
    8: (im2col, [
        ("transpose", lambda x, kernel: im2col(x, kernel).T),
        ("channel, row, column", lambda x, kernel: im2col(x, kernel, order="ijc")),
        ("column moves fastest", lambda x, kernel: im2col(x, kernel, places="columns")),
    ]),
    9: (max_pool, [
        ("not its average", lambda x: max_pool(x, of=np.mean)),
        ("do not overlap", lambda x: max_pool(x, step=1)),
        ("left over", lambda x: max_pool(x, up=1)),
        ("largest magnitude", lambda x: max_pool(x, of=lambda block: max(block.ravel(), key=abs))),
    ]),
    10: (conv_cost, [
        ("has a bias too", lambda i, o, k, h, w: (i * o * k * k, i * o * k * k * h * w)),
        ("not for each input channel", lambda i, o, k, h, w: (i * o * k * k + i, i * o * k * k * h * w)),
        ("for every input channel", lambda i, o, k, h, w: (o * (k * k + 1), o * k * k * h * w)),
        ("once for each pixel", lambda i, o, k, h, w: (i * o * k * k + o, i * o * k * k)),
    ]),
    11: (fold_batch_norm, [
        ("a root is missing", lambda *case: fold_batch_norm(*case, root=lambda v, e: v + e)),
        ("below the root", lambda *case: fold_batch_norm(*case, root=lambda v, e: v**0.5 + e)),
        ("is scaled too", bias_not_scaled),
        ("does not vanish", lambda weight, bias, *others: fold_batch_norm(weight, np.zeros_like(bias), *others)),
    ]),
    12: (winograd_filter, [
        ("halved", lambda g: winograd_filter(g, half=1)),
        ("not turned round", lambda g: winograd_filter([g[2], g[1], g[0]])),
        ("exchanged", lambda g: winograd_filter(g, sign=-1)),
    ]),
    13: (to_tensor, [
        ("blue, green, red", lambda pixels: to_tensor(pixels, order=(0, 1, 2))),
        ("not 0 to 1", lambda pixels: to_tensor(pixels, divide=255)),
        ("transpose", lambda pixels: to_tensor(pixels).transpose(0, 2, 3, 1)),
        ("jumble", lambda pixels: pixels[..., [2, 1, 0]].astype("f4").reshape(1, 3, *pixels.shape[:2])),
        ("axis of the batch", lambda pixels: to_tensor(pixels)[0]),
    ]),
    14: (linear, [
        ("yours is row, column, channel", lambda x, weight, bias: linear(x, weight, bias, (1, 2, 0))),
        ("has a bias", lambda x, weight, bias: linear(x, weight, 0)),
        ("no ReLU", lambda x, weight, bias: [max(value, 0) for value in linear(x, weight, bias)]),
    ]),
    15: (softmax, [
        ("subtract", lambda x: np.array([np.exp(row) / sum(np.exp(row)) for row in x])),
        ("sums to 1", lambda x: np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x)))),
        ("columns sum to 1", lambda x: softmax(x.T).T),
        ("logarithm", lambda x: x - x.max(1, keepdims=True) - np.log(
            np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True)
        )),
    ]),
    16: (expected_age, [
        ("age of 0", lambda probabilities: expected_age(probabilities, first=1)),
        ("weigh all", lambda probabilities: (np.argmax(probabilities), expected_age(probabilities)[1])),
        ("years squared", lambda probabilities: (expected_age(probabilities)[0], expected_age(probabilities)[1] ** 2)),
    ]),
    17: (error_bound, [
        ("half a unit", lambda x, w: error_bound(x, w, u=2.0**-23)),
        ("magnitudes are summed", lambda x, w: len(x) * 2.0**-24 / (1 - len(x) * 2.0**-24) * abs(np.dot(x, w))),
        ("grows with n", lambda x, w: 2.0**-24 * np.dot(np.abs(x), np.abs(w))),
    ]),
    18: (softmax_gradient, [
        ("other way round", lambda scores, label: -softmax_gradient(scores, label)),
        ("other scores matter", lambda scores, label: [
            value if i == label else 0 for i, value in enumerate(softmax_gradient(scores, label))
        ]),
        ("derivative of the probability", lambda scores, label: (
            -softmax_gradient(scores, label) * np.exp(scores[label]) / sum(np.exp(scores))
        )),
    ]),
    19: (conv_gradient, [
        ("turned round", lambda x, dy: np.flip(conv_gradient(x, dy))),
        ("no mean", lambda x, dy: conv_gradient(x, dy / len(dy))),
        ("you use the first", lambda x, dy: conv_gradient(x[:1], dy[:1])),
        ("weighed by dy", lambda x, dy: conv_gradient(x, 0 * dy + 1)),
    ]),
    20: (max_pool_gradient, [
        ("only the largest", lambda x, dy: max_pool_gradient(x, dy, give=lambda block: range(4))),
        ("average pooling", lambda x, dy: max_pool_gradient(x, dy, give=lambda block: range(4), share=4)),
        ("you give dy to each", lambda x, dy: max_pool_gradient(x, dy, give=lambda b: np.flatnonzero(b == b.max()))),
        ("not the last", lambda x, dy: max_pool_gradient(x, dy, give=lambda b: [np.flatnonzero(b == b.max())[-1]])),
    ]),
}  # fmt: skip


def test_there_is_a_solution_to_each_exercise_and_three_mistakes_at_least():
    assert sorted(SOLUTIONS) == sorted(EXERCISES)
    assert min(len(mistakes) for _, mistakes in SOLUTIONS.values()) >= 3


@pytest.mark.parametrize("number", SOLUTIONS)
def test_the_solution_is_right(number):
    verdict = check(number, SOLUTIONS[number][0])
    assert verdict.passed, verdict


@pytest.mark.parametrize(("number", "part"), [(n, part) for n, (_, all_) in SOLUTIONS.items() for part, _ in all_])
def test_a_known_mistake_gets_its_own_hint(number, part):
    verdict = check(number, dict(SOLUTIONS[number][1])[part])
    hint = verdict.text.rpartition("Hint: ")[2]
    assert not verdict.passed
    assert part in hint, verdict
    assert [one for one, _ in SOLUTIONS[number][1] if one in hint] == [part]


def test_a_mistake_that_nobody_knows_gets_no_hint():
    verdict = check(15, lambda x: x * 0)
    assert not verdict.passed
    assert "Hint" not in verdict.text


def test_the_case_shown_is_the_smallest_that_fails():
    """One channel, one filter, two columns of weights: the least that tells a turned filter."""
    text = check(7, lambda *case: conv2d(*case, flip=True)).text
    assert "weight = [[[[" in text
    assert "shape (1, 1, 2, 2)" in text
    assert text == check(7, lambda *case: conv2d(*case, flip=True)).text  # the same each time


def test_what_a_function_raises_is_shown_with_its_line():
    verdict = check(5, lambda size, kernel, stride, pad: size / 0)
    assert not verdict.passed
    assert f"raised ZeroDivisionError in line {verdict_line()}" in verdict.text


def verdict_line() -> int:
    lines = Path(__file__).read_text("utf-8").splitlines()
    return next(i for i, line in enumerate(lines, 1) if "size / 0" in line)


def test_a_function_that_changes_its_arguments_is_judged_by_its_answer():
    def in_place(x, weight, bias, stride, pad):
        answer = conv2d(x, weight, bias, stride, pad)
        x[:], weight[:] = 0, 0
        return answer

    assert check(7, in_place).passed


@pytest.mark.parametrize("answer", [None, "text", [[1], [1, 2]], b"x", (1, 2, 3), object(), float("nan")])
def test_an_answer_of_another_kind_is_wrong_and_no_error(answer):
    for number in (1, 4, 7, 16):  # whose right answers are numbers, arrays, pairs
        assert not check(number, lambda *case: answer).passed


def in_another_thread(run):
    """What `run()` returns, called in a thread that is not the main one."""
    results = []
    thread = threading.Thread(target=lambda: results.append(run()))
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize("call", [lambda run: run(), in_another_thread], ids=["main thread", "another thread"])
def test_a_loop_without_an_end_is_stopped(call, monkeypatch):
    """Also where Ctrl-C is ignored, and where the loop catches every `Exception`."""
    monkeypatch.setattr(exercise, "SECONDS", 0.3)

    def endless(value):
        while True:
            try:
                value += 1
            except Exception:
                value = 0

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        verdict = call(lambda: check(2, endless))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not verdict.passed
    assert "stopped after 0.3 s in case 1 of 40" in verdict.text


def test_another_thread_may_check_too():
    assert in_another_thread(lambda: check(5, output_size)).passed


@pytest.mark.parametrize("number", [0, 21, -1])
def test_a_number_that_there_is_not_is_refused_with_the_range(number):
    with pytest.raises(ArgumentError, match="numbered 1 to 20"):
        check(number, len)


def test_what_cannot_be_called_is_refused():
    with pytest.raises(ArgumentError, match="takes a function, not int"):
        check(5, 3)


# ---------------------------------------------------------------------- the command


def run_check(tmp_path, capsys, number: int, text: str) -> tuple[int, str, str]:
    path = tmp_path / "my.py"
    path.write_text(text, "utf-8")
    code = main(["check", str(number), str(path)])
    return code, *capsys.readouterr()


def test_the_command_answers_a_file(tmp_path, capsys):
    right = "def output_size(size, kernel, stride, pad):\n    return (size - kernel + 2 * pad) // stride + 1\n"
    code, out, err = run_check(tmp_path, capsys, 5, right)
    assert (code, out, err) == (0, "exercise 5, output_size: right, in all of 40 cases.\n", "")
    code, out, err = run_check(tmp_path, capsys, 5, right.replace(" + 1", ""))
    assert (code, err) == (1, "")
    assert "fits once" in out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def output_size(:\n", "line 1: invalid syntax"),
        ("x = 1\ny = x / 0\n", "line 2 raises ZeroDivisionError"),
        ("import sys\nsys.exit(3)\n", "line 2 raises SystemExit"),
        ("def size():\n    pass\n", "defines no output_size"),
        ("output_size = 3\n", "takes a function, not int"),
        (
            "x = 1\nwhile True:\n    try:\n        x = x / 0\n    except Exception:\n        x = 1\n",
            "stopped after 0.3 s",
        ),
        ("def turn():\n    while True: pass\nturn()\n", "line 2 is where it was stopped after 0.3 s"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path, capsys, monkeypatch, text, reason):
    monkeypatch.setattr(exercise, "SECONDS", 0.3 if "stopped" in reason else 10)
    code, out, err = run_check(tmp_path, capsys, 5, text)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert reason in err


@pytest.mark.thorough
@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(600)\n",
        "import time\nwhile True:\n    try:\n        while True: time.sleep(0.01)\n    except BaseException: pass\n",
    ],
    ids=["asleep", "catches everything"],
)
def test_a_file_that_cannot_be_stopped_ends_the_program(tmp_path, text):
    path = tmp_path / "my.py"
    path.write_text(text, "utf-8")
    code = "from numpyvgg.cli import main; from numpyvgg.lesson import exercise; exercise.SECONDS = 0.3; "
    code += f"main(['check', '5', {str(path)!r}])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (2, f"numpyvgg: {path}: does not end, and cannot be stopped\n")


def test_a_missing_file_is_one_line(capsys):
    assert main(["check", "5", "nowhere.py"]) == 2
    assert capsys.readouterr().err == "numpyvgg: nowhere.py: there is no such file\n"


def test_without_a_file_the_task_is_printed_and_without_a_number_the_list(capsys):
    assert main(["check", "7"]) == 0
    assert "def conv2d(x, weight, bias, stride, pad)" in capsys.readouterr().out
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert all(one.signature in out for one in EXERCISES.values())


def test_the_page_has_each_task_and_its_row_of_the_teachers_table():
    text = " ".join(PAGE.read_text("utf-8").split())
    for number, one in EXERCISES.items():
        assert f"**{number}. `{one.signature}`** {one.task}" in text
        assert f"| {number} | `{one.name}` |" in text
        assert f"| {one.minutes} |" in text.split(f"| {number} | `{one.name}` |")[1][:150]
