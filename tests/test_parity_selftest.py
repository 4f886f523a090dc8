"""The self-test: faults that are made in each layer of a network, and a judge who is judged by them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from test_parity_handing import net

from numpyvgg.cli import main
from numpyvgg.parity import selftest
from numpyvgg.parity.selftest import CORRECT, OF_OUTPUTS, OF_PRODUCTS, self_test

__all__ = ["net"]


def test_correct_float32_is_explained_in_each_layer_and_every_fault_is_seen_where_it_is(net):
    path, x, _ = net
    tried = self_test(path, x)
    assert {each.layer for each in tried} == {"conv", "relu", "pool", "fc", "prob"}
    assert not [(each.layer, each.what) for each in tried if each.seen is each.correct]
    assert {each.what for each in tried} == {"float32", *CORRECT, *OF_PRODUCTS, *OF_OUTPUTS}


def test_the_command_prints_what_is_seen(net, capsys):
    path = net[0]
    assert main(["parity", path, "--self-test"]) == 0
    out = capsys.readouterr().out
    assert "correct float32 accused: 0; faults missed that must have been seen: 0" in out
    assert main(["parity", path, "--self-test", "--precision", "tf32"]) == 2
    assert "faults of float32" in capsys.readouterr().err


@pytest.mark.parametrize(("verdict", "line"), [("rounding", "accused: 0; faults missed"), ("wrong", "accused: 7; ")])
def test_a_judge_who_passes_everything_or_nothing_is_found_out(net, verdict, line, monkeypatch, capsys):
    judge = selftest.judge_numbers
    monkeypatch.setattr(selftest, "judge_numbers", lambda layer, y: replace(judge(layer, y), verdict=verdict))
    assert main(["parity", net[0], "--self-test"]) == 1
    assert line in capsys.readouterr().out
    assert main(["parity", net[0], "--self-test", "--json"]) == 1
    wrong = [record for record in json.loads(capsys.readouterr().out) if record["wrong"]]
    assert {record["correct"] for record in wrong} == {verdict == "wrong"}


def test_a_fault_below_what_is_stated_may_be_missed_and_one_beyond_it_may_not(net):
    path, x, _ = net
    for each in self_test(path, x):
        if each.what == "one weight x (1 + 1e-3)":
            assert 0 < each.size < np.inf
            assert replace(each, seen=False).wrong == (each.size > 1)
