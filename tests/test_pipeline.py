"""Many photographs: in order, each with its own error, in bounded memory, and a run that can be stopped and resumed."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import kill_runs
import numpy as np
import pyarrow.parquet
import pytest
from conftest import PORTRAIT
from make_standin import Layout, write_standin
from PIL import Image
from test_estimator import pixels, runtime, saved, text_network

import numpyvgg
from numpyvgg import ArgumentError, Predictor, cli
from numpyvgg.cli import progress
from numpyvgg.photo import pipeline
from numpyvgg.photo.faces.search import Face, choose
from numpyvgg.photo.images import load_image
from numpyvgg.photo.pipeline import AHEAD, BATCH
from numpyvgg.photo.predictor import WINOGRAD_FROM


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A small network that answers by how red, green or blue a photograph is."""
    folder = tmp_path_factory.mktemp("network")
    return saved(text_network("y = Softmax(s)", classes=3), folder / "net.onnx")


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    layout = Layout(opset=17, initializers_as_inputs=False, batch="N")
    return str(write_standin(tmp_path_factory.mktemp("vgg") / "vgg.onnx", layout, width=1 / 8, classes=101))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Forty different photographs, of which the eighth cannot be read."""
    folder = tmp_path_factory.mktemp("photographs") / "album"
    folder.mkdir()
    portrait = Image.open(PORTRAIT)
    paths = []
    for i in range(40):
        path = folder / f"{i:02}.png"
        portrait.crop((100 + 2 * i, 50, 300, 200 + i)).resize((60, 60)).save(path)
        paths.append(str(path))
    Path(paths[7]).write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return paths


# ---------------------------------------------------------------------- in Python


def test_answers_come_in_the_order_of_the_photographs_and_errors_in_their_place(network, photographs):
    predictions = list(Predictor([network]).many(photographs))
    assert [prediction.source for prediction in predictions] == photographs
    assert [i for i, prediction in enumerate(predictions) if prediction.error] == [7]
    assert photographs[7] in str(predictions[7])
    model = text_network("y = Softmax(s)", classes=3)
    good = [i for i in range(40) if i != 7]
    x = np.concatenate([pixels(load_image(photographs[i]), 32, 32) for i in good])
    given = [predictions[i].answers[network].probabilities for i in good]
    np.testing.assert_allclose(given, runtime(model, x), rtol=1e-4, atol=1e-6)


def test_arrays_images_and_bytes_are_photographs_too(network, photographs):
    image = load_image(photographs[0])
    sources = [photographs[0], image, np.asarray(image), Path(photographs[0]).read_bytes()]
    first, *others = Predictor([network]).many(sources)
    assert all(each.answers[network] == first.answers[network] for each in others)


def test_winograd_computes_from_four_photographs_on_and_differs_by_rounding(vgg, photographs):
    predictor = Predictor([vgg], labels="age")
    paths = photographs[10 : 10 + WINOGRAD_FROM]
    few = list(predictor.many(paths[:-1]))
    one = [predictor(load_image(path)) for path in paths]
    many = list(predictor.many(iter(paths)))
    assert {prediction.conv for prediction in few} == {one[0].conv}
    assert {prediction.conv for prediction in many} == {"winograd"} == {predictor.conv}
    for alone, among in zip(one, many, strict=True):
        difference = np.abs(alone.answers[vgg].probabilities - among.answers[vgg].probabilities).max()
        assert 0 < difference <= 1e-6


def test_no_more_photographs_are_taken_than_are_needed_soon(network, photographs):
    taken = 0

    def source():
        nonlocal taken
        for i in range(1000):
            taken = i + 1
            yield photographs[i % 7]

    answers = Predictor([network]).many(source())
    for given in range(1, 100):
        next(answers)
        assert taken <= given + BATCH + AHEAD
    answers.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("numpyvgg-decode")]


def test_each_photograph_is_decoded_once_for_all_networks(network, vgg, photographs, monkeypatch):
    decoded = []
    monkeypatch.setattr(
        pipeline, "load_image", lambda source, at_least: decoded.append(source) or load_image(source, at_least)
    )
    list(Predictor([network, vgg, "small"]).many(photographs[:6]))
    assert sorted(decoded) == photographs[:6]


def test_photographs_are_decoded_while_filters_are_transformed(vgg, photographs, monkeypatch):
    begun = threading.Event()
    predictor, compute_by = Predictor([vgg]), Predictor.compute_by

    def load(source, *size):
        begun.set()
        return load_image(source, *size)

    def transform(self, conv):
        assert begun.wait(10)
        compute_by(self, conv)

    monkeypatch.setattr(pipeline, "load_image", load)
    monkeypatch.setattr(Predictor, "compute_by", transform)
    assert len(list(predictor.many(photographs[:5]))) == 5


@pytest.mark.parametrize("possible", [0, 1])
def test_where_threads_cannot_be_started_photographs_are_prepared_when_their_turn_comes(
    possible, network, photographs, monkeypatch
):
    expected = [prediction.answers for prediction in Predictor([network]).many(photographs)]
    started = []

    def start(thread, start=threading.Thread.start):
        if len(started) == possible:
            raise RuntimeError("can't start new thread")  # what Pyodide says
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    assert [prediction.answers for prediction in Predictor([network]).many(photographs)] == expected


def test_large_jpegs_are_decoded_smaller_where_that_changes_next_to_nothing(tmp_path, network):
    path = tmp_path / "large.jpg"
    Image.open(PORTRAIT).resize((2560, 2048), Image.Resampling.BICUBIC).save(path, quality=92)
    predictor = Predictor([network])
    (prediction,) = predictor.many([path])
    whole = Image.open(path)
    reduced = load_image(path, pipeline.smallest_side(predictor.networks))
    assert reduced.width * 2 == whole.width
    assert np.abs(pixels(reduced, 32, 32) - pixels(whole.convert("RGB"), 32, 32)).max() <= 2
    expected = runtime(text_network("y = Softmax(s)", classes=3), pixels(whole, 32, 32))[0]
    np.testing.assert_allclose(prediction.answers[network].probabilities, expected, atol=0.02)


def test_a_run_that_is_asked_to_stop_answers_its_batch_and_no_more(network, photographs):
    stop = threading.Event()
    given = []
    for prediction in Predictor([network]).many(photographs[:5] * 40, stop=stop):
        given.append(prediction)
        stop.set()
    assert len(given) == BATCH


# ---------------------------------------------------------------------- faces


def dark_and_bright(photo, name):
    """In every photograph a large dark face and a small bright one."""
    return [Face(np.full((224, 224, 3), grey, np.uint8), 0.0, np.zeros((4, 2)), score=1.0) for grey in (20, 230)]


@pytest.mark.parametrize(("which", "numbers"), [(None, [0, 1]), (1, [0]), (2, [1])])
def test_all_faces_are_answered_or_the_nth(which, numbers, network, photographs):
    given = list(
        Predictor([network]).many(
            photographs[:2], faces=lambda photo, name: choose(dark_and_bright(photo, name), which, name)
        )
    )
    expected = [np.full((1, 3, 32, 32), (20, 230)[number], np.float32) for number in numbers] * 2
    wanted = runtime(text_network("y = Softmax(s)", classes=3), np.concatenate(expected))
    found = [prediction.answers[network].probabilities for prediction in given]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_a_face_that_is_not_there_is_that_photographs_error(network, photographs):
    faces = [dark_and_bright(None, ""), dark_and_bright(None, "")[:1]]
    given = list(
        Predictor([network]).many(
            photographs[:2], faces=lambda photo, name: choose(faces[name.endswith("1.png")], 2, name)
        )
    )
    assert given[0].error is None
    assert str(given[1].error) == f"{photographs[1]}: has 1 face: there is no face 2"


def test_a_photograph_without_a_face_says_so_in_every_output(network, tmp_path, capsys):
    path = tmp_path / "sky.png"
    Image.new("RGB", (200, 100), "skyblue").save(path)
    words = ["predict", str(path), "--faces", "--model", network]
    assert cli.main(words) == 0
    assert "no face found" in capsys.readouterr().out
    assert cli.main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faces"][0]["found"] is False
    assert cli.main([*words, "--csv"]) == 0
    assert next(csv.DictReader(io.StringIO(capsys.readouterr().out)))["found"] == "False"
    assert cli.main([*words, "-o", str(tmp_path / "out.parquet")]) == 0
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()[0]["found"] is False


def test_what_is_asked_for_wrongly_is_no_photographs_fault(network, photographs):
    def find(photo, name):
        raise ArgumentError("min_size=2: too small")

    with pytest.raises(ArgumentError, match="min_size=2"):
        list(Predictor([network]).many(photographs, faces=find))


# ---------------------------------------------------------------------- files


def rows(path):
    """The rows of a file of answers, as dictionaries of text."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path).to_pylist()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [{**record, **answer} for record in records for answer in record["answers"]]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_file_has_what_would_be_printed_and_errors_one_of_their_own(suffix, network, photographs, tmp_path, capsys):
    output = tmp_path / f"ages{suffix}"
    assert cli.main(["predict", *photographs, "--model", network, "-o", str(output)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "40 of 40 photographs, 1 errors" in captured.err
    assert "from 4 photographs on" in captured.err
    assert cli.main(["predict", *photographs, "--model", network, "--csv", "--top", "1"]) == 1
    printed = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    written = rows(output)
    assert [row["image"] for row in written] == [row["image"] for row in printed] == photographs[:7] + photographs[8:]
    np.testing.assert_allclose(
        [float(row["probability"]) for row in written], [float(row["probability"]) for row in printed], atol=1e-6
    )
    (error,) = csv.DictReader((tmp_path / f"ages{suffix}.errors.csv").open())
    assert error["image"] == photographs[7]
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob("*.rows.jsonl"))


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_run_goes_on_with_what_is_not_answered_yet(suffix, network, photographs, tmp_path, monkeypatch, capsys):
    output = tmp_path / f"ages{suffix}"
    words = ["--model", network, "-o", str(output), "--resume"]
    assert cli.main(["predict", *photographs[10:20], *words]) == 0
    begun = rows(output)
    asked = []
    monkeypatch.setattr(pipeline, "load_image", lambda source, *size: asked.append(source) or load_image(source, *size))
    Path(photographs[7]).touch()
    assert cli.main(["predict", *photographs[8:22], *words]) == 0
    assert sorted(asked) == photographs[8:10] + photographs[20:22]
    assert rows(output)[:10] == begun
    assert sorted(row["image"] for row in rows(output)) == photographs[8:22]
    capsys.readouterr()
    assert cli.main(["predict", *photographs[8:22], *words]) == 0
    assert capsys.readouterr().err == f"numpyvgg: {output}: all 14 photographs are answered already\n"
    assert len(rows(output)) == 14


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_what_a_run_left_half_written_is_cut_off(suffix, network, photographs, tmp_path):
    output = tmp_path / f"ages{suffix}"
    words = ["--model", network, "-o", str(output), "--resume"]
    assert cli.main(["predict", *photographs[:5], *words]) == 0
    whole = rows(output)
    with output.open("ab") as file:
        file.write(b'{"image": "half' if suffix == ".jsonl" else f'{photographs[5]},"half'.encode())
    assert cli.main(["predict", *photographs[:6], *words]) == 0
    assert rows(output)[:5] == whole
    assert [row["image"] for row in rows(output)] == photographs[:6]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("ages.csv.run.json", b'{"settings"', "ages.csv.run.json is damaged"),
        ("ages.csv.run.json", b"[]", "ages.csv.run.json is damaged"),
        ("ages.csv.run.json", b'{"settings": {"networks": {"a": 1}, "conv": "im2col"}, "bytes": 5}', "is damaged"),
        ("ages.csv", b"image,network\n", "ages.csv: was changed after it was written"),
        ("ages.csv", b"x" * 9999, "ages.csv: was changed after it was written"),
        ("ages.jsonl", b"[1]\n" * 9999, "ages.jsonl: was changed after it was written"),
        ("ages.parquet", b"x\n" * 9999, "ages.parquet: was changed after it was written"),
    ],
)
def test_what_somebody_else_changed_is_refused_and_left(name, content, reason, network, photographs, tmp_path, capsys):
    output = tmp_path / name.removesuffix(".run.json")
    words = ["--model", network, "-o", str(output), "--resume"]
    assert cli.main(["predict", *photographs[:5], *words]) == 0
    size = json.loads((tmp_path / f"{output.name}.run.json").read_text())["bytes"]
    content = content[-size:]  # a line ends where one ended
    (tmp_path / name).write_bytes(content)
    capsys.readouterr()
    assert cli.main(["predict", *photographs[:7], *words]) == 2
    assert reason in capsys.readouterr().err
    assert (tmp_path / name).read_bytes() == content


def test_a_second_run_that_would_write_to_the_same_file_is_refused(network, photographs, tmp_path, capsys):
    fcntl = pytest.importorskip("fcntl", reason="Windows has other locks")
    output = tmp_path / "ages.csv"
    words = ["--model", network, "-o", str(output), "--resume"]
    assert cli.main(["predict", *photographs[:5], *words]) == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with output.open("ab") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        assert cli.main(["predict", *photographs[:7], *words]) == 2
        assert f"-o {output}: another run writes to it" in capsys.readouterr().err
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert cli.main(["predict", *photographs[:7], *words]) == 0
    assert [row["image"] for row in rows(output)] == photographs[:7]


@pytest.mark.parametrize("room", [300, 700])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_full_disk_leaves_whole_rows_and_the_run_goes_on(suffix, room, network, photographs, tmp_path, capsys):
    resource = pytest.importorskip("resource", reason="Windows has no limit on the size of files")
    output = tmp_path / f"ages{suffix}"
    command = ["predict", *photographs[:7], "--model", network, "-o", str(output), "--resume"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        assert cli.main(command) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"-o {output}: cannot be written: File too large" in capsys.readouterr().err
    written = tmp_path / (f"{output.name}.rows.jsonl" if suffix == ".parquet" else output.name)
    assert not written.exists() or written.read_bytes()[-1:] in (b"", b"\n")
    assert cli.main(command) == 0
    assert [row["image"] for row in rows(output)] == photographs[:7]
    assert not list(tmp_path.glob("*.part"))


def test_the_method_of_a_run_stays_when_it_goes_on_with_few_photographs(vgg, photographs, tmp_path, capsys):
    output = tmp_path / "ages.csv"
    words = ["--model", vgg, "-o", str(output), "--resume"]
    assert cli.main(["predict", *photographs[:4], *words]) == 0
    assert cli.main(["predict", *photographs[:5], *words]) == 0
    assert [row["conv"] for row in rows(output)] == ["winograd"] * 5


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--model", "age-small"], "by net.onnx, not by age-small"),
        (
            ["--model", "net.onnx", "--mean", "128"],
            "with another preparation of net.onnx: 32x32 bgr, not 32x32 bgr, mean 128",
        ),
        (["--model", "net.onnx", "--labels", "labels.txt"], "with other labels of net.onnx: unknown, not 0 a"),
        (["--model", "net.onnx", "--top", "1"], "without --top, not with --top 1"),
        (["--model", "net.onnx", "--faces", "--min-size", "40"], "without --faces, not with --faces"),
        (["changed", "--model", "net.onnx"], "with other weights of net.onnx"),
        (["newer", "--model", "net.onnx"], "by version 0.0.1, not by "),
    ],
)
def test_another_network_preparation_or_version_is_refused_by_name(
    options, reason, network, photographs, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("net.onnx").write_bytes(Path(network).read_bytes())
    Path("labels.txt").write_text("a\nb\nc\n")
    common = ["predict", *photographs[:5], "-o", "ages.csv"]
    if "newer" in options:
        monkeypatch.setattr("numpyvgg.cli.predict.__version__", "0.0.1")
    assert cli.main([*common, "--model", "net.onnx"]) == 0
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    if "changed" in options:
        model = text_network("y = Softmax(s)", classes=3)
        model.graph.initializer[1].raw_data = np.ones(3, np.float32).tobytes()
        saved(model, tmp_path / "net.onnx")
    before = Path("ages.csv").read_bytes()
    capsys.readouterr()
    words = [word for word in options if word not in ("changed", "newer")]
    assert cli.main([*common, *words, "--resume"]) == 2
    assert f"--resume ages.csv: was begun {reason}" in capsys.readouterr().err
    assert Path("ages.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("begun", "then", "reason"),
    [
        (["--faces"], [], "with --faces, not without --faces"),
        (["--faces"], ["--faces", "--min-size", "40"], "without --min-size, not with --min-size 40"),
        (["--faces", "--face", "largest"], ["--faces"], "with --face largest, not without --face"),
        (["--faces", "--face", "2"], ["--faces", "--face", "1"], "with --face 2, not with --face 1"),
        (["--faces", "--face", "all", "--detector", "mtcnn"], ["--faces"], ""),
    ],
)
def test_a_run_with_other_options_for_faces_names_the_one_that_differs(
    begun, then, reason, network, photographs, tmp_path, capsys
):
    command = ["predict", photographs[0], "--model", network, "-o", str(tmp_path / "ages.csv")]
    cli.main([*command, *begun])
    capsys.readouterr()
    assert cli.main([*command, *then, "--resume"]) == (2 if reason else 0)
    assert (f": was begun {reason}: go on as it was begun" in capsys.readouterr().err) == bool(reason)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ages.txt", "does not end in .csv or .jsonl or .parquet"),
        ("there.csv", "is there already"),
        ("missing/ages.csv", "no folder missing"),
    ],
)
def test_a_file_that_cannot_take_answers_is_refused_before_any_work(
    name, reason, network, photographs, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("there.csv").write_text("somebody's\n")
    monkeypatch.setattr("numpyvgg.cli.predict.Predictor", None)
    assert cli.main(["predict", *photographs, "--model", network, "-o", name]) == 2
    assert reason in capsys.readouterr().err
    assert Path("there.csv").read_text() == "somebody's\n"


def test_parquet_without_pyarrow_says_what_to_install(network, photographs, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert cli.main(["predict", *photographs, "--model", network, "-o", str(tmp_path / "ages.parquet")]) == 2
    assert "pip install 'numpyvgg[parquet]'" in capsys.readouterr().err


# ---------------------------------------------------------------------- ends


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_with_everything_answered_on_the_disk(number, tmp_path):
    photographs, output = tmp_path / "photographs", tmp_path / "ages.csv"
    kill_runs.write_photographs(photographs, 400)
    command = kill_runs.command(photographs, output, "--model", "small")
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not output.exists() or output.stat().st_size < 5000:
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "go on with --resume" in err
    state = json.loads((tmp_path / "ages.csv.run.json").read_text())
    assert state["bytes"] == output.stat().st_size
    assert all(row["conv"] for row in rows(output))
    assert len(rows(output)) < 2 * 392


@pytest.mark.thorough
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_kills_lose_double_and_tear_nothing(suffix, tmp_path):
    """`tools/kill_runs.py` has a hundred of them."""
    import random

    photographs = tmp_path / "photographs"
    kill_runs.write_photographs(photographs, 100)
    reference, output = tmp_path / f"reference{suffix}", tmp_path / f"ages{suffix}"
    begin = time.perf_counter()
    assert subprocess.run(kill_runs.command(photographs, reference), stderr=subprocess.DEVNULL).returncode == 1
    seconds = time.perf_counter() - begin
    kill_runs.kill_and_resume(photographs, output, seconds, 3, random.Random(1))
    assert kill_runs.compare(output, reference) == (0, 0, 0)


# ---------------------------------------------------------------------- progress


def test_without_a_terminal_there_is_a_line_from_time_to_time(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    told = progress.Progress(total=3)
    told.step(failed=False)
    told.step(failed=True)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("numpyvgg: 1 of 3 photographs, ")
    assert "2 of 3 photographs, 1 errors, " in second
    assert second.endswith(" left")


def test_no_file_stays_open_and_no_thread_alive(network, photographs):
    list(Predictor([network]).many(photographs[:5]))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("numpyvgg-decode")]
    assert numpyvgg.predict(photographs[0], [network]).conv
    assert os.path.exists(photographs[0])
