"""Workers of a cluster are those of this machine or those of a scheduler, for every command that has them."""

import pytest

from d2sfm.cli import main

WORKERS = ["--num-workers", "2"]


def require_one(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "not allowed with argument --num-workers" in capsys.readouterr().err


def test_run(capsys):
    require_one(["run", "photos", *WORKERS, "--scheduler", "tls://head:8786"], capsys)


def test_extract(capsys):
    require_one(["extract", "--images", "photos", *WORKERS, "--scheduler", "tls://head:8786"], capsys)


def test_match(capsys):
    require_one(["match", *WORKERS, "--scheduler", "tls://head:8786"], capsys)


def test_refine(capsys):
    require_one(["refine", *WORKERS, "--scheduler", "tls://head:8786"], capsys)
