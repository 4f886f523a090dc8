"""Scores of benchmarks: readers on small folders in each layout, measures against other libraries, runs."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import pickle
import shutil
import signal
import statistics
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from numpyvgg.cli import main
from numpyvgg.errors import ArgumentError, NumpyVggError
from numpyvgg.score import FORMATS, Scorer, metrics, read
from numpyvgg.score.groups import group_of, span
from numpyvgg.score.published import OTHER_WEIGHTS
from numpyvgg.score.shards import Run

PORTRAIT = Path(__file__).parents[1] / "numpyvgg" / "data" / "eileen_collins.jpg"


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def reasons(table) -> Counter[str]:
    return Counter(reason for _, reason in table.unused)


def touch(folder: Path, *names: str) -> Path:
    """Readers look at names and lists, never into photographs."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


# ---------------------------------------------------------------------- readers: columns


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (PORTRAIT.read_bytes(), "is a photograph or another binary file, and no text with columns"),
        ("image,age\na.jpg,3\n".encode("utf-16"), "is a text in UTF-16: save it as UTF-8"),
        (b"<html>" + b"moved, " * 500, r"names no column image or .* but <html>moved, moved.* \.\.\.$"),
        (None, "this is a pipe, not a file"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, content, reason):
    path = tmp_path / "list.csv"
    os.mkfifo(path) if content is None else path.write_bytes(content)
    with pytest.raises(ArgumentError, match=reason) as caught:
        read("csv", path)
    assert len(str(caught.value)) < 250 + len(str(path))


def test_a_table_tells_what_it_cannot_use(tmp_path):
    lines = ["image;age;std;gender;fold;subject", "a.jpg;31;2.5;f;0;p1", "b.jpg;old;;m;1;p1", "c.jpg;200;;m;1;p2"]
    lines += ["d.jpg;;;;;", "a.jpg;32;;f;0;p1", "e.jpg", "f.jpg;40;;diverse;1;p3", "g.jpg;7;-1;m;0;p4"]
    (tmp_path / "list.csv").write_text("\n".join(lines), "utf-8-sig")
    table = read("csv", tmp_path / "list.csv")
    assert [(row.image, row.age, row.std, row.gender, row.fold, row.subject) for row in table.rows] == [
        ("a.jpg", 31, 2.5, "female", "0", "p1"),
        ("f.jpg", 40, None, "", "1", "p3"),
    ]
    assert reasons(table) == {
        "its age is no number": 1,
        "an age that is impossible: not from 0 to 122": 1,
        "no label": 1,
        "an image that an earlier row has": 1,
        "a row with fewer cells than there are columns": 1,
        "a standard deviation that is impossible": 1,
    }
    assert table.lost == {"gender 'diverse' is neither female nor male": 1}


def test_boxes_of_a_table_are_its_corners(tmp_path):
    (tmp_path / "clean.csv").write_text("filename,age,x_min,y_min,x_max,y_max\na.jpg,3,10,20,30,50\nb.jpg,4,9,9,9,20\n")
    table = read("csv", tmp_path / "clean.csv")
    assert [row.box for row in table.rows] == [(10, 20, 30, 50)]
    assert len(table.unused) == 1


def test_lap_is_read_with_and_without_names_of_columns(tmp_path):
    (tmp_path / "test_gt.csv").write_text("image,mean,stdv\n000001.jpg,24.5,3.1\n")
    (tmp_path / "gt.txt").write_text("image_1.jpg;24.5;3.1\nimage_2.jpg;30;0\n")
    assert [(row.age, row.std) for row in read("lap2016", tmp_path).rows] == [(24.5, 3.1)]
    table = read("lap2015", tmp_path / "gt.txt")
    assert [(row.age, row.std) for row in table.rows] == [(24.5, 3.1), (30, 0)]
    assert "taken as image, age, std" in table.remarks[0]


def test_appa_real_has_two_ages_and_crops(tmp_path):
    head = "file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age"
    (tmp_path / "gt_avg_test.csv").write_text(f"{head}\n1.jpg,38,5.05,1.5,4\n2.jpg,40,60,3,66\n")
    touch(tmp_path, "test/1.jpg_face.jpg", "test/2.jpg")
    apparent, real = read("appa-real", tmp_path), read("appa-real", tmp_path, "test-real")
    assert [(Path(row.image).name, row.age, row.std) for row in apparent.rows] == [
        ("1.jpg_face.jpg", 5.05, 1.5),
        ("2.jpg", 60, 3),
    ]
    assert [(row.age, row.std) for row in real.rows] == [(4, None), (66, None)]


def test_morph_and_fairface(tmp_path):
    head = "id_num,picture_num,dob,doa,race,gender,facial_hair,age,age_diff,glasses,photo"
    row = "000026,0,10/13/1968,12/30/2004,B,M,,36,0,,Album2/000026_0M36.JPG"
    (tmp_path / "morph_2008_nonCommercial.csv").write_text(f"{head}\n{row}\n")
    (tmp_path / "fairface_label_val.csv").write_text(
        "file,age,gender,race,service_test\nval/1.jpg,3-9,Male,East Asian,False\n"
    )
    (morph,) = read("morph2", tmp_path).rows
    assert (morph.age, morph.gender, morph.race, morph.subject) == (36, "male", "B", "000026")
    (face,) = read("fairface", tmp_path).rows
    assert (face.age, face.group, face.gender, face.race) == (None, "3-9", "male", "East Asian")


@pytest.mark.parametrize(("protocol", "with_group"), [("levi-hassner", 2), ("mivolo", 3)])
def test_adience_has_two_rules(tmp_path, protocol, with_group):
    head = "user_id\toriginal_image\tface_id\tage\tgender\tx\ty\tdx\tdy\ttilt_ang\tfiducial_yaw_angle\tfiducial_score\n"
    rest = "\t0\t0\t9\t9\t0\t0\t0\n"
    for fold in range(5):
        (tmp_path / f"fold_{fold}_data.txt").write_text(head)
    with (tmp_path / "fold_3_data.txt").open("a") as file:
        for name, age, gender in (("a", "(25, 32)", "f"), ("b", "35", "m"), ("c", "None", "u"), ("d", "None", "m")):
            file.write(f"30601258@N03\t{name}.jpg\t1\t{age}\t{gender}{rest}")
        file.write(f"30601258@N03\ta.jpg\t1\t(25, 32)\tf{rest}" + f"30601258@N03\te.jpg\t2\t(25, 23)\tm{rest}")
    table = read("adience", tmp_path, protocol)
    image = "aligned/30601258@N03/landmark_aligned_face.1.a.jpg"
    assert (table.rows[0].image, table.rows[0].fold, table.rows[0].group) == (image, "3", "(25-32)")
    repeated = protocol == "mivolo"
    assert sum(bool(row.group) for row in table.rows) == with_group - repeated
    assert reasons(table) == {"no label": 1, **({"a face that an earlier row has": 1} if repeated else {})}
    assert table.lost["its age is none of the eight groups"] == (3 if repeated else 4)


#: Of the fold files of github.com/GilLevi/AgeGenderDeepLearning at commit 2d591d4, counted: how often each text of an
#: age occurs, the eight groups first; by fold the rows, those with a group, those with a gender; 117 rows repeat a face
ADIENCE_AGES = {
    **{"(25, 32)": 4950, "(0, 2)": 2519, "(38, 43)": 2300, "(4, 6)": 2163, "(8, 12)": 2132, "(15, 20)": 1655},
    **{"(60, 100)": 875, "(48, 53)": 830, "None": 753, "35": 294, "13": 169, "22": 149, "34": 105, "23": 96, "45": 88},
    **{"55": 77, "(27, 32)": 77, "(25, 23)": 72, "36": 57, "(38, 42)": 50, "57": 24, "3": 18, "29": 12, "(38, 48)": 6},
    **{"58": 5, "2": 3, "32": 3, "56": 2, "(8, 23)": 1, "42": 1, "46": 1},
}
ADIENCE_GENDERS = {"f": 9411, "m": 8192, "u": 1100, "": 784}
ADIENCE_FOLDS = [(4496, 4316, 4007), (3745, 3101, 3624), (3953, 3339, 3191), (3459, 2975, 3318), (3834, 3693, 3463)]


def write_adience(folder: Path) -> None:
    """Five folds with as many rows, groups and genders as the real ones; which row has which is invented."""
    ages = [age for age, count in ADIENCE_AGES.items() for _ in range(count)]
    genders = [gender for gender, count in ADIENCE_GENDERS.items() for _ in range(count)]
    known, unknown = iter(ages[:17424]), iter(ages[17424:])
    said, unsaid = iter(genders[:17603]), iter(genders[17603:])
    for fold, (rows, groups, gendered) in enumerate(ADIENCE_FOLDS):
        lines = ["user_id\toriginal_image\tface_id\tage\tgender\tx\ty\tdx\tdy\ttilt_ang\tyaw\tscore"]
        for i in range(rows):
            image = i - 117 if fold == 0 and 117 <= i < 234 else i
            age, gender = next(known if i < groups else unknown), next(said if i < gendered else unsaid)
            lines.append(f"{fold}@N0\t{image}.jpg\t1\t{age}\t{gender}\t0\t0\t9\t9\t0\t0\t0")
        (folder / f"fold_{fold}_data.txt").write_text("\n".join(lines) + "\n")


def test_adience_counts_as_levi_and_hassner_and_as_mivolo(tmp_path):
    write_adience(tmp_path)
    table = read("adience", tmp_path)
    groups, genders = (Counter(row.fold for row in table.rows if getattr(row, of)) for of in ("group", "gender"))
    assert [groups[str(fold)] for fold in range(5)] == [groups for _, groups, _ in ADIENCE_FOLDS]
    assert [genders[str(fold)] for fold in range(5)] == [genders for _, _, genders in ADIENCE_FOLDS]
    assert (groups.total(), genders.total()) == (17424, 17603)
    assert len(table.rows) + len(table.unused) == 19487
    mivolo = read("adience", tmp_path, "mivolo")
    repeated = reasons(mivolo)["a face that an earlier row has"]
    assert repeated == 117
    assert len(mivolo.rows) + len(mivolo.unused) - repeated == 19370  # MiVOLO's own count of faces
    strays = (
        1310 - ADIENCE_AGES["(25, 23)"]
    )  # of ages outside the groups, the one text that MiVOLO's rule does not know
    assert sum(bool(row.group) for row in mivolo.rows) == 17424 + strays - 117


# ---------------------------------------------------------------------- readers: names


@pytest.mark.parametrize(
    ("form", "good", "bad", "rows"),
    [
        ("fgnet", ["001A02.JPG", "010A07a.jpg"], ["readme.jpg"], [(2, "", "001"), (7, "", "010")]),
        (
            "agedb",
            ["1_MariaCallas_35_f.jpg", "2_Ann Lee_40_m.jpg"],
            ["3_x.jpg"],
            [(35, "female", "MariaCallas"), (40, "male", "Ann Lee")],
        ),
        (
            "utkface",
            ["100_0_0_20170112213500903.jpg.chip.jpg", "1_1_4_20170109150557335.jpg"],
            [
                "61_1_20170109142408075.jpg",
                "61_3_20170109150557335.jpg",
                "39_1_20170116174525125.jpg.chip.jpg",
                "53__0_20170116184028385.jpg",
            ],
            [(100, "male", ""), (1, "female", "")],
        ),
        ("afad", ["18/111/7-0.jpg", "19/112/8-1.jpg"], ["18/113/9-0.jpg"], [(18, "male", "7"), (19, "female", "8")]),
        ("cacd", ["53_Robin_Williams_0001.jpg"], ["Robin.jpg"], [(53, "", "Robin_Williams")]),
    ],
)
def test_names_tell_labels(tmp_path, form, good, bad, rows):
    table = read(form, touch(tmp_path, *good, *bad, "notes.txt"))
    assert sorted((row.age, row.gender, row.subject) for row in table.rows) == sorted(rows)
    assert {what for what, _ in table.unused} == {*bad, "notes.txt"}


def test_megaage_is_read_line_by_line(tmp_path):
    touch(tmp_path, "list/test_name.txt", "list/test_age.txt")
    (tmp_path / "list" / "test_name.txt").write_text("1.jpg\n2.jpg\n")
    (tmp_path / "list" / "test_age.txt").write_text("23\n31\n")
    assert [(row.image, row.age) for row in read("megaage", tmp_path).rows] == [("test/1.jpg", 23), ("test/2.jpg", 31)]
    (tmp_path / "list" / "test_age.txt").write_text("23\n")
    with pytest.raises(ArgumentError, match="2 names and 1 ages"):
        read("megaage", tmp_path)


# ---------------------------------------------------------------------- readers: MATLAB


def cells(values: list) -> np.ndarray:
    column = np.empty((1, len(values)), object)
    column[0] = values
    return column


def datenum(year: int, month: int, day: int) -> float:
    return float((np.datetime64(f"{year:04}-{month:02}-{day:02}") - np.datetime64("0000-01-01")).astype(int) + 1)


#: date of birth, year, name, gender, face_score, second_face_score
WIKI = [
    ((1981, 5, 5), 2009, "17/10000217_1981-05-05_2009.jpg", 1.0, 4.3, math.nan),
    ((1981, 7, 1), 2009, "17/10000317_1981-07-01_2009.jpg", 0.0, 4.3, math.nan),  # born in July: a year younger
    ((1990, 1, 1), 2009, "17/10000417_1990-01-01_2009.jpg", 0.0, -math.inf, math.nan),
    ((1990, 1, 1), 2009, "17/10000517_1990-01-01_2009.jpg", 0.0, 2.0, 1.5),
    ((1990, 1, 1), 2009, "17/10000617_1990-01-01_2009.jpg", math.nan, 2.0, math.nan),
    ((1990, 1, 1), 1980, "17/10000717_1990-01-01_1980.jpg", 1.0, 2.0, math.nan),
    ((1880, 1, 1), 2009, "17/10000817_1880-01-01_2009.jpg", 1.0, 2.0, math.nan),
    ((0, 7, 31), 2015, "05/nm1002664_rm1109196544_0-7-31_2015.jpg", 1.0, 2.0, math.nan),
    ((1990, 1, 1), 2009, "17/10000917_1991-01-01_2009.jpg", 1.0, 2.0, math.nan),
    ((1981, 5, 5), 2009, "17/10000217_1981-05-05_2009.jpg", 1.0, 4.3, math.nan),
]


def write_wiki(path: Path) -> None:
    from scipy.io import savemat  # here, since each process that collects tests would import it

    count = len(WIKI)
    columns = {
        "dob": np.array([[datenum(*row[0]) + 0.25 for row in WIKI]]),
        "photo_taken": np.array([[row[1] for row in WIKI]], np.uint16),
        "full_path": cells([np.array([row[2]]) for row in WIKI]),
        "gender": np.array([[row[3] for row in WIKI]]),
        "name": cells([np.array([]) for _ in WIKI]),
        "face_location": cells([np.array([[11.0, 21.0, 50.0, 60.0]])] * count),
        "face_score": np.array([[row[4] for row in WIKI]]),
        "second_face_score": np.array([[row[5] for row in WIKI]]),
    }
    savemat(path, {"wiki": columns}, do_compression=True)


def test_wiki_leaves_out_what_it_cannot_mean(tmp_path):
    assert datenum(1981, 5, 5) == 723671  # of the file's own 1981-05-05
    write_wiki(tmp_path / "wiki.mat")
    table = read("wiki", tmp_path)
    assert [(row.age, row.gender, row.subject) for row in table.rows] == [
        (28, "male", "10000217"),
        (27, "female", "10000317"),
    ]
    assert table.rows[0].box == (10, 20, 50, 60)  # 1-based and inclusive, to edges of pixels
    assert reasons(table) == {
        "no face was found (face_score is not finite)": 1,
        "a second face (second_face_score)": 1,
        "no gender": 1,
        "an age below 0": 1,
        "an age above 100": 1,
        "a date of birth before the year 1": 1,
        "dates that are others in its name than in its row": 1,
        "an image that an earlier row has": 1,
    }
    assert len(read("wiki", tmp_path, "all").rows) == 5


def test_a_damaged_matlab_file_is_named(tmp_path):
    write_wiki(tmp_path / "wiki.mat")
    data = (tmp_path / "wiki.mat").read_bytes()
    (tmp_path / "wiki.mat").write_bytes(data[: len(data) // 2])
    with pytest.raises(ArgumentError, match=r"wiki\.mat: cannot be read as a MATLAB file"):
        read("wiki", tmp_path)


def test_cacd_is_split_by_rank(tmp_path):
    from scipy.io import savemat

    columns = {"age": np.array([[53], [30]]), "identity": np.array([[1], [2]]), "rank": np.array([[1], [4]])}
    names = cells([np.array(["53_A_0001.jpg"]), np.array(["30_B_0001.jpg"])]).T
    savemat(tmp_path / "celebrity2000_meta.mat", {"celebrityImageData": {**columns, "name": names}})
    assert [(row.image, row.subject) for row in read("cacd", tmp_path).rows] == [("30_B_0001.jpg", "2")]
    assert [row.age for row in read("cacd", tmp_path, "val").rows] == [53]


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_what_is_not_there_is_one_line(tmp_path, form):
    with pytest.raises(NumpyVggError, match="there is no such file or folder"):
        read(form, tmp_path / "missing")
    with pytest.raises(NumpyVggError):
        read(form, tmp_path)


# ---------------------------------------------------------------------- measures


@pytest.mark.thorough  # scikit-learn and SciPy's statistics take two seconds to import
def test_measures_of_ages_are_those_of_scikit_learn_and_formulas(rng):
    from scipy import stats
    from sklearn import metrics as sklearn_metrics

    n = 200
    truth = rng.integers(0, 90, n).astype(float)
    estimate, deviation = truth + rng.normal(0, 6, n), rng.uniform(1, 12, n)
    values = metrics.of_ages(estimate, deviation, truth, np.full(n, np.nan))
    got = {name: metrics.mean(name, numbers) for name, numbers in values.items()}
    assert got["mae"] == pytest.approx(sklearn_metrics.mean_absolute_error(truth, estimate), rel=1e-12)
    assert got["rmse"] == pytest.approx(sklearn_metrics.mean_squared_error(truth, estimate) ** 0.5, rel=1e-12)
    assert got["cs5"] == pytest.approx(100 * np.mean(np.abs(truth - estimate) <= 5))
    normal = stats.norm(estimate, deviation)
    assert got["log_score"] == pytest.approx(normal.logpdf(truth).mean(), rel=1e-12)
    assert got["expected_log_score"] == pytest.approx(-normal.entropy().mean(), rel=1e-12)
    assert got["within_1_sigma"] == pytest.approx(100 * np.mean(np.abs(truth - estimate) <= deviation))
    exactly = metrics.of_ages(np.array([25.0, 25.1]), np.full(2, np.nan), np.full(2, 20.0), np.full(2, np.nan))
    assert exactly["cs5"].tolist() == [100, 0]  # an error of 5 years counts as right


def test_the_epsilon_error_counts_what_is_missing():
    estimate, truth = np.array([20.0, 24, np.nan, 30, 31, 20]), np.array([20.0, 20, 20, 30, 30, 20])
    sigma = np.array([3.0, 2, 2, 0, 0, np.nan])
    got = metrics.epsilon_error(estimate, truth, sigma)
    np.testing.assert_allclose(got, [0, 1 - math.exp(-2), 1, 0, 1, np.nan], rtol=1e-12)


@pytest.mark.thorough
def test_confusion_exact_and_one_off_are_scikit_learns(rng):
    from sklearn import metrics as sklearn_metrics

    truth, answer = rng.integers(0, 8, 300), rng.integers(0, 8, 300)
    np.testing.assert_array_equal(
        metrics.confusion(answer, truth, 8), sklearn_metrics.confusion_matrix(truth, answer, labels=range(8))
    )
    values = metrics.of_groups(answer, truth)
    assert metrics.mean("exact", values["exact"]) == pytest.approx(100 * sklearn_metrics.accuracy_score(truth, answer))
    inside = (answer > 0) & (answer < 7)  # there the three nearest groups are those within one
    nearest = sklearn_metrics.top_k_accuracy_score(
        truth[inside], -np.abs(np.arange(8) - answer[inside, None]), k=3, labels=range(8)
    )
    assert metrics.mean("one_off", values["one_off"][inside]) == pytest.approx(100 * nearest)
    assert np.isnan(metrics.of_groups(np.array([-1, 2]), np.array([1, -1]))["exact"]).all()


def test_folds_have_a_mean_and_a_standard_error(rng):
    values, folds = rng.uniform(0, 10, 90), np.repeat([0, 1, 2], [20, 30, 40])
    folds[:3] = -1
    summary = metrics.summarise({"mae": values}, None, folds)["mae"]
    each = [values[folds == fold].mean() for fold in range(3)]
    assert summary.fold_mean == pytest.approx(np.mean(each))
    assert summary.standard_error == pytest.approx(statistics.stdev(each) / 3**0.5)


@pytest.mark.thorough
def test_the_interval_is_scipys_and_wider_over_persons(rng):
    from scipy import stats

    values = rng.gamma(2, 3, 400)
    none = np.full(400, -1)
    summary = metrics.summarise({"mae": values}, None, none)["mae"]
    wanted = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=1).confidence_interval
    width = wanted.high - wanted.low
    assert summary.low == pytest.approx(wanted.low, abs=0.1 * width)
    assert summary.high == pytest.approx(wanted.high, abs=0.1 * width)
    alike = metrics.summarise({"mae": np.repeat(values[:40], 10)}, np.repeat(np.arange(40), 10), none)["mae"]
    alone = metrics.summarise({"mae": np.repeat(values[:40], 10)}, None, none)["mae"]
    ratio = (alike.high - alike.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(10**0.5, rel=0.15)  # ten equal photographs a person tell as much as one


def test_groups_of_ages():
    assert [span(text) for text in ("(25-32)", "more than 70", "60+", "female", "(9, 3)")] == [
        (25, 32),
        (70, math.inf),
        (60, math.inf),
        None,
        None,
    ]
    spans = [(0.0, 2.0), (4.0, 6.0), (60.0, 100.0)]
    assert [group_of(age, spans) for age in (1, 3, 3.1, 110)] == [0, 0, 1, 2]
    assert [group_of(age, spans, (0, 4, 57)) for age in (3.9, 4, 58)] == [0, 1, 2]


# ---------------------------------------------------------------------- runs


@pytest.fixture
def album(tmp_path) -> Path:
    """Nine rows: six photographs, one that is a text, one that is missing, one without a label."""
    folder = tmp_path / "album"
    folder.mkdir()
    lines = ["image,age,std,gender,fold"]
    for i in range(6):
        shutil.copy(PORTRAIT, folder / f"{i}.jpg")
        lines.append(f"{i}.jpg,{30 + i},2,f,{i % 2}")
    (folder / "6.jpg").write_text("this page has moved")
    lines += ["6.jpg,36,2,f,0", "7.jpg,37,2,m,1", "8.jpg,,,,"]
    (folder / "list.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr("numpyvgg.score.shards.Run.__init__.__defaults__", (3,))


def score(album: Path, out: Path, *more: str) -> int:
    return main(["score", "csv", str(album / "list.csv"), "-o", str(out), "--model", "small", *more])


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in ("predictions.csv", "errors.csv", "scores.json", "unused.csv")}


def test_a_run_answers_everything_it_was_given(album, tmp_path, capsys, small_shards):
    assert score(album, tmp_path / "out") == 1  # two photographs cannot be read
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert result["rows"] == 8
    assert result["unused"] == [{"reason": "no label", "n": 1}]
    assert sum(each["n"] for each in result["errors"]) == 2
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ages = [(float(row["expected"]), float(row["age"])) for row in rows if row["network"] == "age-small"]
    assert len(rows) == 12
    assert len(ages) == 6
    age, gender = result["networks"]
    measures = {each["measure"]: each for each in age["measures"]}
    assert measures["mae"]["value"] == pytest.approx(np.mean([abs(x - y) for x, y in ages]))
    assert measures["mae"]["n"] == 6
    assert measures["epsilon_error"]["n"] == 8
    assert np.array(gender["confusion"]["counts"]).sum() == 6
    assert f"{measures['mae']['value']:.3f}" in printed


@pytest.mark.thorough
def test_shards_of_an_array_and_a_killed_run_end_in_the_same_bytes(album, tmp_path, capsys, small_shards):
    score(album, tmp_path / "whole")
    assert score(album, tmp_path / "parts", "--shard", "2/2") == 0
    assert "2 of 3 shards are left" in capsys.readouterr().err
    assert not (tmp_path / "parts" / "scores.json").exists()
    assert score(album, tmp_path / "parts", "--shard", "1/2") == 1
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    shards = tmp_path / "parts" / "shards"
    (shards / "00001.json").unlink()  # killed before the mark
    (shards / "00002.csv").write_bytes(b"row,")  # a disk that lost what it had said it wrote
    done = (shards / "00000.json").stat().st_mtime_ns
    assert score(album, tmp_path / "parts", "--resume") == 1
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert (shards / "00000.json").stat().st_mtime_ns == done, "a shard that was done was computed again"


def test_another_run_does_not_go_on_in_the_same_folder(album, tmp_path, capsys):
    score(album, tmp_path / "out")
    assert score(album, tmp_path / "out") == 2
    assert "holds a run already: add --resume" in capsys.readouterr().err
    with (album / "list.csv").open("a") as file:
        file.write("\n9.jpg,40,2,f,1")
    assert score(album, tmp_path / "out", "--resume") == 2
    assert "was begun with rows 8, not 9" in capsys.readouterr().err


def test_a_finished_run_is_scored_anew_without_its_networks(album, tmp_path, capsys, monkeypatch):
    score(album, tmp_path / "out")
    before = contents(tmp_path / "out")
    for name in ("predictions.csv", "scores.json"):
        (tmp_path / "out" / name).unlink()
    capsys.readouterr()
    assert score(album, tmp_path / "out", "--resume") == 1
    assert "all 8 photographs are answered already" in capsys.readouterr().err
    assert contents(tmp_path / "out") == before
    monkeypatch.setattr(Scorer, "open", lambda scorer: pytest.fail("a network was opened"))
    command = ["score", "csv", str(album / "list.csv"), "-o", str(tmp_path / "out"), "--resume"]
    assert main(command) == 1
    assert "all 8 photographs are answered already; no network is opened" in capsys.readouterr().err
    assert contents(tmp_path / "out") == before
    (album / "list.csv").write_text((album / "list.csv").read_text().replace("0.jpg,30", "0.jpg,31"))
    assert main(command) == 2
    assert "was begun with list" in capsys.readouterr().err


def test_the_same_as_parquet(album, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    score(album, tmp_path / "out")
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = parquet.read_table(tmp_path / "out" / "predictions.parquet").to_pylist()
    assert [row["expected"] for row in table] == [float(row["expected"]) if row["expected"] else None for row in rows]
    assert [row["image"] for row in table] == [row["image"] for row in rows]


def test_a_scorer_is_sent_without_its_networks():
    scorer = Scorer("age-small")
    first = scorer([str(PORTRAIT)])
    sent = pickle.dumps(scorer)
    assert len(sent) < 2000
    assert pickle.loads(sent)([str(PORTRAIT)]) == first


def test_a_box_is_cropped_before_it_is_answered(album):
    columns = Scorer("age-small")([str(PORTRAIT), str(album / "0.jpg")], [(20, 20, 80, 80), (9e3, 0, 9.1e3, 99)])
    assert columns["error"] == ["", "the box of its face is outside the photograph"]


# ---------------------------------------------------------------------- runs by Dask


@pytest.fixture
def cluster():
    """A scheduler in this process, and two workers of one thread in processes of their own."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
    ) as cluster:
        yield cluster


def after_the_first_shard(monkeypatch, action) -> None:
    """Do something once, when the first shard has been written."""
    write, done = Run.write, []

    def written(run, *args):
        write(run, *args)
        if not done:
            done.append(action())

    monkeypatch.setattr(Run, "write", written)


@pytest.mark.thorough
def test_dask_gives_the_same_bytes_even_where_a_worker_dies(album, tmp_path, small_shards, cluster, monkeypatch):
    score(album, tmp_path / "here")
    pids = [worker.pid for worker in cluster.workers.values()]
    after_the_first_shard(monkeypatch, lambda: os.kill(pids[0], signal.SIGKILL))
    assert score(album, tmp_path / "there", "--dask", cluster.scheduler_address) == 1
    assert pids != [worker.pid for worker in cluster.workers.values()], "no worker was killed"
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


@pytest.mark.thorough
def test_without_its_scheduler_a_run_stops_and_goes_on(album, tmp_path, capsys, small_shards, cluster, monkeypatch):
    score(album, tmp_path / "here")
    after_the_first_shard(monkeypatch, cluster.close)
    assert score(album, tmp_path / "there", "--dask", cluster.scheduler_address) == 2
    assert "lost the scheduler" in capsys.readouterr().err
    assert len([*(tmp_path / "there" / "shards").glob("*.json")]) == 1
    assert score(album, tmp_path / "there", "--resume") == 1
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_scheduler_that_is_not_there_is_one_line(album, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(pytest.importorskip("numpyvgg.score.cluster"), "PATIENCE", 1)
    assert score(album, tmp_path / "out", "--dask", "tcp://127.0.0.1:9") == 2
    assert "no scheduler answers there" in capsys.readouterr().err
    assert score(album, tmp_path / "out", "--dask", "csv") == 2
    assert "give the scheduler's address" in capsys.readouterr().err


def test_dask_shares_out_cores_by_memory(monkeypatch):
    cluster = pytest.importorskip("numpyvgg.score.cluster")
    monkeypatch.setattr(cluster, "available_cores", lambda: 8)
    for gigabytes, shared in ((64, (8, 1)), (1, (2, 4)), (0.2, (1, 8))):
        monkeypatch.setattr(cluster, "memory_limit", lambda gigabytes=gigabytes: int(gigabytes * 1e9))
        assert cluster.shared_out(Scorer("small")) == shared


@pytest.mark.parametrize("share", ["0/2", "3/2", "1", "a/b", "1/0"])
def test_a_share_that_there_is_not(album, tmp_path, share, capsys):
    assert score(album, tmp_path / "out", "--shard", share) == 2
    assert "give I/N" in capsys.readouterr().err


def test_published_figures_say_that_they_do_not_compare(tmp_path, capsys):
    shutil.copy(PORTRAIT, tmp_path / "31_1_0_20170112213500903.jpg")
    assert main(["score", "utkface", str(tmp_path), "-o", str(tmp_path / "out"), "--model", "age-small"]) == 0
    printed = capsys.readouterr().out
    table, below = printed.split("published")
    assert max(map(len, table.splitlines())) < 100
    assert f"[1] README of paplhjak/facial-age-estimation-benchmark: {OTHER_WEIGHTS}" in below
    assert "partly circular" in printed


# ---------------------------------------------------------------------- lists that are wrong


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('image,age\na.jpg,3\n"b.jpg,4\nc.jpg,5\n', "a quotation mark left open"),
        ("image,age,age\na.jpg,3,4\n", "two columns are called age"),
        ("image,age\n ,3\n", "row 1: a row that names no image"),
        ("image,age\n", "there are no rows"),
    ],
)
def test_a_list_that_would_lose_rows_in_silence_is_refused(tmp_path, text, reason):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(ArgumentError, match=reason):
        read("csv", tmp_path / "list.csv")


@pytest.mark.parametrize("path", [None, 3, b"list.csv"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ArgumentError, match="a path is needed"):
        read("csv", path)


def test_adience_without_a_column_of_ages_is_refused_by_its_name(tmp_path):
    for fold in range(5):
        (tmp_path / f"fold_{fold}_data.txt").write_text("user_id\toriginal_image\tface_id\tgender\nu\ta.jpg\t1\tm\n")
    with pytest.raises(ArgumentError, match="names no column age"):
        read("adience", tmp_path)


@pytest.mark.parametrize(("form", "file"), [("imdb", "imdb.mat"), ("megaage", "list/test_name.txt")])
def test_a_pipe_in_place_of_a_list_is_not_waited_for(tmp_path, form, file):
    pytest.importorskip("scipy")
    (tmp_path / "list").mkdir()
    os.mkfifo(tmp_path / file)
    with pytest.raises(ArgumentError, match="this is a pipe"):
        read(form, tmp_path)


@pytest.mark.parametrize("column", ["age", "identity", "rank"])
@pytest.mark.parametrize("cell", [np.nan, np.inf, "x", np.array([1.0, 2.0])], ids=str)
def test_a_cell_of_cacd_that_is_no_number_costs_its_row_at_most(tmp_path, column, cell):
    scipy_io = pytest.importorskip("scipy.io")
    columns = {"age": [3.0, 4.0], "identity": [1.0, 2.0], "rank": [3.0, 4.0], "name": ["a.jpg", "b.jpg"]}
    columns[column][0] = cell
    cells = {name: np.empty(2, object) for name in columns}
    for name, values in columns.items():
        cells[name][:] = values
    scipy_io.savemat(tmp_path / "celebrity2000_meta.mat", {"celebrityImageData": cells})
    table = read("cacd", tmp_path)
    assert "b.jpg" in [row.image for row in table.rows]
    assert len(table.rows) == (2 if column == "identity" else 1)


def test_a_photograph_that_a_list_has_twice_counts_once(tmp_path):
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "test_name.txt").write_text("a b.jpg\na b.jpg\n")
    (tmp_path / "list" / "test_age.txt").write_text("3\n4\n")
    table = read("megaage", tmp_path)
    assert [(row.image, row.age) for row in table.rows] == [("test/a b.jpg", 3.0)]
    assert table.unused == [("test/a b.jpg", "an image that an earlier row has")]


@pytest.mark.parametrize(
    ("boxes", "reason"),
    [
        ([], "for each of 2 photographs"),
        ("ab", "left, top, right, bottom are needed|could not convert"),
        ([(9, 9, 1, 1), None], "left, top, right, bottom are needed"),
        ([(float("nan"), 1, 2, 3), None], "left, top, right, bottom are needed"),
        ([(1, 2, 3), None], "left, top, right, bottom are needed"),
        ([(0, 0, 4, 4), (1, 1, 4, 4)], "is there twice, with two boxes"),
    ],
)
def test_boxes_that_are_none_are_refused_and_never_answered(boxes, reason):
    with pytest.raises(ArgumentError, match=reason):
        Scorer("age-small")(["a.jpg", "a.jpg"], boxes)
