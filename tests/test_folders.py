"""Photographs in folders: all of them are found, what is none is counted and named, and nothing goes missing unsaid."""

from __future__ import annotations

import os

import pytest

from numpyvgg import ArgumentError
from numpyvgg.photo.folders import find_photographs
from numpyvgg.photo.formats import PHOTO_SUFFIXES

PHOTOGRAPHS = ["a.JPG", "b.png", "below/c.jpeg", "below/IMG_0001.HEIC", "below/d.tif", "e.webp", "f.avif"]
OTHERS = [
    "._a.JPG",
    "below/._c.jpeg",
    "form.pdf",
    "clip.mpg",
    "data.h5",
    "raw.NEF",
    "drawing.eps",
    "Thumbs.db",
    "README",
]


@pytest.fixture
def album(tmp_path):
    for name in PHOTOGRAPHS + OTHERS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_of_a_folder_every_photograph_is_found_and_all_else_is_named(album):
    found = find_photographs([str(album)])
    assert {os.path.relpath(path, album) for path in found.paths} == set(PHOTOGRAPHS)
    assert {os.path.relpath(path, album) for path in found.skipped} == set(OTHERS)
    assert f"skipped {len(OTHERS)} that are no photographs: " in found.remark
    for words in ("2 notes of macOS (._a.JPG, ._c.jpeg)", "1 .pdf files (form.pdf)", "README", "Thumbs.db"):
        assert words in found.remark
    assert "1 raw files .nef, to be developed first (raw.NEF)" in found.remark


def test_a_remark_names_a_few_of_many(tmp_path):
    for number in range(9):
        (tmp_path / f"{number}.json").touch()
    (tmp_path / "photo.jpg").touch()
    assert find_photographs([str(tmp_path)]).remark == (
        "skipped 9 that are no photographs: 9 .json files (0.json, 1.json, 2.json, ...)"
    )


def test_files_that_are_named_are_taken_whatever_they_are_called(album):
    names = [str(album / "form.pdf"), str(album / "missing.jpg"), str(album / "._a.JPG")]
    found = find_photographs(names)
    assert found.paths == names
    assert found.remark == ""


def test_each_photograph_comes_once_in_order(album):
    everything = find_photographs([str(album)]).paths
    found = find_photographs([str(album / "e.webp"), str(album), str(album / "*.png")])
    assert found.paths == [str(album / "e.webp"), *[path for path in everything if not path.endswith("e.webp")]]
    assert find_photographs([str(album / "**" / "*.jp*")]).paths == [str(album / "below" / "c.jpeg")]


@pytest.mark.parametrize("suffix", PHOTO_SUFFIXES)
def test_the_case_of_a_suffix_does_not_matter(suffix, tmp_path):
    (tmp_path / f"photo{suffix.upper()}").touch()
    assert len(find_photographs([str(tmp_path)]).paths) == 1


def test_what_stands_for_nothing_is_refused_with_the_reason(album, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "form.pdf").touch()
    for pattern, reason in (
        (str(tmp_path / "empty"), "there is no photograph in this folder$"),
        (str(tmp_path / "none"), r"no photograph in this folder; skipped 1 .*form\.pdf"),
        (str(album / "*.bmp"), "nothing matches this pattern"),
        ("", "name is empty"),
    ):
        with pytest.raises(ArgumentError, match=reason):
            find_photographs([pattern])


def test_a_name_with_the_signs_of_a_pattern_is_a_name(tmp_path):
    path = tmp_path / "photo[1].jpg"
    path.touch()
    assert find_photographs([str(path)]).paths == [str(path)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name")
def test_a_pipe_is_no_photograph_and_a_loop_of_links_ends(album):
    os.mkfifo(album / "pipe.jpg")
    (album / "loop").symlink_to(album)
    (album / "dangling.jpg").symlink_to("nowhere")
    found = find_photographs([str(album)])
    assert len(found.paths) == len(PHOTOGRAPHS)
    assert "1 links to nowhere (dangling.jpg)" in found.remark
    assert "1 that are no files, but pipes or devices (pipe.jpg)" in found.remark


def test_a_folder_that_cannot_be_read_is_named(album, monkeypatch):
    closed = album / "closed"
    closed.mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(closed))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert "1 folders that cannot be read (closed)" in find_photographs([str(album)]).remark
