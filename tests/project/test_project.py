"""The project file: what cannot be meant is refused by the key that says it."""

from __future__ import annotations

import pytest

from mainstay.project import CANDIDATES, Project, ProjectError, load, parse

SMALLEST = """
name = "credit"
target = "class"
task = "binary"
[data]
path = "credit.csv"
[columns]
age = "number"
"""


def test_what_is_not_said_has_its_default():
    project = parse(SMALLEST)
    assert project.search.candidates == CANDIDATES
    assert project.threshold == 0.5
    assert project.split.kind == "stratified"


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ("treshold = 0.4", r"unknown key 'treshold'. Did you mean 'threshold'\?"),
        ("[search]\nbudgte = 5", r"unknown key 'budgte' in \[search\]. Did you mean 'budget'\?"),
        ("[search]\nzzz = 5", r"unknown key 'zzz' in \[search\]. Known: budget"),
        ("[serach]\nbudget = 5", r"unknown key 'serach'. Did you mean 'search'\?"),
        ("[search]\nfolds = 'five'", "search.folds: expected int, got str"),
        ("[search]\ncandidates = ['lightgmb']", "Did you mean 'lightgbm'?"),
        ("[search]\nbudget = -1", "must be more than 0 seconds"),
        ("[search]\ntrials = 0", "must be at least 1"),
        ("[search]\nfolds = 1", "must be at least 2"),
        ("[split]\ntest = 1.5", "must be a share between 0 and 1"),
        ("[split]\nkind = 'time'", 'needs by = "COLUMN"'),
        ("slices = ['sexx']\n", "slices names 'sexx', which is no column"),
        ("[left_out]\nage = 'why'", r"stands in \[columns\] and in \[left_out\]"),
        ("[left_out]\nclass = 'why'", "the target 'class' cannot stand"),
        ("[serve]\nworkers = 0", "at least 1"),
        ("x = = 3", "is not valid TOML"),
    ],
)
def test_what_cannot_be_meant_is_refused(said, refused):
    top, tables = (said + "\n", "") if not said.startswith("[") else ("", "\n" + said)
    with pytest.raises(ProjectError, match=refused):
        parse(top + SMALLEST + tables)


def test_data_has_one_source():
    with pytest.raises(ProjectError, match="needs either path or url"):
        parse(SMALLEST.replace('path = "credit.csv"', ""))
    with pytest.raises(ProjectError, match="needs a query"):
        parse(SMALLEST.replace('path = "credit.csv"', 'url = "sqlite:///x.db"'))


@pytest.mark.parametrize("name", ["", "Credit", "../x", "a b", "-x", "x" * 64])
def test_a_model_name_is_plain(name):
    with pytest.raises(ProjectError, match="name"):
        parse(SMALLEST.replace("credit", name, 1))


def test_a_folder_without_a_project_says_how_to_begin(tmp_path):
    with pytest.raises(ProjectError, match="run mainstay init"):
        load(tmp_path)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    (tmp_path / "mainstay.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ProjectError, match=r"not UTF-8 \(byte 8\)"):
        load(tmp_path)


def test_every_key_is_one_of_the_documented_ones():
    assert set(Project.__struct_fields__) >= {"name", "target", "threshold", "train", "gates", "search"}
