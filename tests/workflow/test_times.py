import logging

import pytest

from d2sfm.report.history import read_times
from d2sfm.workflow.times import Times
from d2sfm.workflow.values import run_values


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


def test_the_list_of_stages_fills(tmp_path, said):
    times = Times(tmp_path, run_values(None, None))
    for stage in ("extract", "refine"):  # nothing was to be matched
        with times.of(stage):
            pass
    for stage in ("georeference", "report"):
        with times.listed(stage):
            pass
    assert said() == [
        "stage 1 of 5: extract; to come: match, refine, reconstruct, report",
        "stage 3 of 5: refine; done: extract 0.0 s; to come: reconstruct, report",
        "stage 5 of 5: report; done: extract 0.0 s, refine 0.0 s",
    ]
    assert read_times(tmp_path).keys() == {"extract", "refine"}


def test_what_is_asked_for_is_listed(tmp_path, said):
    values = run_values(None, None, georeferenced=True, layout="colmap")
    with Times(tmp_path, values).of("reconstruct"):
        pass
    assert said() == ["stage 4 of 7: reconstruct; to come: georeference, report, undistort"]


def test_a_stage_that_fails_is_not_done_but_took_its_time(tmp_path, said):
    times = Times(tmp_path, run_values(None, None))
    with pytest.raises(ValueError, match="broken"), times.of("match"):
        raise ValueError("broken")
    with times.of("match"):
        pass
    assert said()[1] == "stage 2 of 5: match; to come: refine, reconstruct, report"
    assert read_times(tmp_path).keys() == {"match"}
