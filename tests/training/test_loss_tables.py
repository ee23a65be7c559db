import logging
import math
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.loss_rows import epoch_columns, step_columns, write_run

from d2sfm.training.loss_tables import EpochRow, LossRecord, StepRow

STEP_HEADER = "step,epoch,loss,pairs,skipped,learning_rate,seconds"
EPOCH_HEADER = "epoch,step,training_loss,validation_loss,pairs,skipped,validation_pairs,validation_skipped,seconds"


def test_rows_read_back_as_they_were_written(tmp_path):
    write_run(tmp_path)
    with LossRecord(tmp_path, resume_step=10, tensorboard=False) as record:
        assert record.steps() == [StepRow(**step_columns(step)) for step in range(1, 11)]
    assert record.epochs() == [EpochRow(**epoch_columns(epoch)) for epoch in range(3)]
    lines = (tmp_path / "steps.csv").read_text().split("\n")
    assert lines[:2] == [STEP_HEADER, "1,1,1.0,2,1,0.001,0.1"]
    assert lines[-1] == ""
    assert (tmp_path / "epochs.csv").read_text().split("\n")[:2] == [EPOCH_HEADER, "0,0,,2.0,0,0,5,0,0.0"]


def test_files_of_earlier_versions_are_read_and_left_as_they_were(tmp_path):
    steps = f"{STEP_HEADER}\n1,1,nan,0,2,0.001,1e-05\n2,1,0.30000000000000004,1,0,0.001,12.5\n"
    epochs = f"{EPOCH_HEADER}\n0,0,,2.0,0,0,5,0,0.0\n1,2,inf,,1,2,0,0,1e+16\n"
    (tmp_path / "steps.csv").write_text(steps)
    (tmp_path / "epochs.csv").write_text(epochs)
    with LossRecord(tmp_path, resume_step=2, tensorboard=False) as record:
        assert [row.loss for row in record.steps()] == [pytest.approx(math.nan, nan_ok=True), 0.1 + 0.2]
        assert [(row.training_loss, row.validation_loss) for row in record.epochs()] == [(None, 2.0), (math.inf, None)]
    assert (tmp_path / "steps.csv").read_bytes() == steps.encode()
    assert (tmp_path / "epochs.csv").read_bytes() == epochs.encode()


@settings(max_examples=examples(30))
@given(st.floats(), st.none() | st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_floats_keep_every_bit(tmp_path_factory, loss, training_loss, seconds):
    with LossRecord(tmp_path_factory.mktemp("run"), tensorboard=False) as record:
        record.step(**step_columns(1) | {"loss": loss, "seconds": np.float64(seconds)})
        record.epoch(**epoch_columns(1) | {"training_loss": training_loss})
    (step,), (epoch,) = record.steps(), record.epochs()
    assert step.loss == loss or (math.isnan(step.loss) and math.isnan(loss))
    assert step.seconds == seconds
    assert epoch.training_loss == training_loss


def test_numbers_of_numpy_are_written_as_numbers(tmp_path):
    with LossRecord(tmp_path, tensorboard=False) as record:
        record.step(**step_columns(1) | {"loss": np.float32(0.1), "pairs": np.int64(3), "seconds": 2})
    assert (tmp_path / "steps.csv").read_text().split("\n")[1] == "1,1,0.10000000149011612,3,1,0.001,2.0"


def test_each_row_is_in_the_file_at_once(tmp_path):
    with LossRecord(tmp_path / "new" / "folder", tensorboard=False) as record:
        for step in (1, 2, 3):
            record.step(**step_columns(step))
            assert (tmp_path / "new" / "folder" / "steps.csv").read_text().count("\n") == 1 + step


def test_a_column_too_few_or_too_many_is_refused(tmp_path):
    with LossRecord(tmp_path, tensorboard=False) as record:
        with pytest.raises(TypeError, match="loss"):
            record.step(step=1, epoch=1, pairs=1, skipped=0, learning_rate=1e-3, seconds=0.0)
        with pytest.raises(TypeError, match="speed"):
            record.epoch(**epoch_columns(1), speed=3.0)
        assert record.steps() == []


@pytest.mark.parametrize(("resume_step", "epochs"), [(0, 1), (1, 1), (4, 2), (7, 2), (8, 3), (10, 3)])
def test_resume_drops_what_came_after_the_step(tmp_path, resume_step, epochs):
    write_run(tmp_path)
    with LossRecord(tmp_path, resume_step=resume_step, tensorboard=False) as record:
        assert [row.step for row in record.steps()] == list(range(1, resume_step + 1))
        assert [row.epoch for row in record.epochs()] == list(range(epochs))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epochs.csv", "steps.csv"]


def test_a_resumed_run_leaves_the_record_of_an_unbroken_one(tmp_path):
    write_run(tmp_path / "unbroken", steps=10)
    write_run(tmp_path / "killed", steps=9)
    with LossRecord(tmp_path / "killed", resume_step=6, tensorboard=False) as record:
        for step in range(7, 11):
            record.step(**step_columns(step))
            if step % 4 == 0:
                record.epoch(**epoch_columns(step // 4))
    for name in ("steps.csv", "epochs.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "unbroken" / name).read_bytes()


@pytest.mark.parametrize("cut", [1, 2, 5, 20])
def test_a_torn_last_line_is_dropped(tmp_path, caplog, cut):
    write_run(tmp_path)
    torn = tmp_path / "steps.csv"
    torn.write_bytes(torn.read_bytes()[:-cut])
    with LossRecord(tmp_path, resume_step=10, tensorboard=False) as record:
        assert "steps.csv ends in an incomplete line" in caplog.text
        record.step(**step_columns(10))
        assert [row.step for row in record.steps()] == list(range(1, 11))
    assert torn.read_text().count("\n") == 11


def test_a_file_without_even_a_whole_header_begins_anew(tmp_path):
    (tmp_path / "steps.csv").write_text("step,ep")
    (tmp_path / "epochs.csv").write_text("")
    with LossRecord(tmp_path, resume_step=0, tensorboard=False) as record:
        assert (record.steps(), record.epochs()) == ([], [])
    assert (tmp_path / "steps.csv").read_text() == f"{STEP_HEADER}\n"
    assert (tmp_path / "epochs.csv").read_text() == f"{EPOCH_HEADER}\n"


def test_missing_files_begin_empty_with_a_warning(tmp_path, caplog):
    with LossRecord(tmp_path, resume_step=7, tensorboard=False) as record:
        record.step(**step_columns(8))
        assert [row.step for row in record.steps()] == [8]
    warnings = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
    assert warnings == [
        f"{tmp_path / name} is missing: the record begins after step 7" for name in ("steps.csv", "epochs.csv")
    ]


def test_a_new_run_replaces_the_record_of_an_old_one_and_warns_of_nothing(tmp_path, caplog):
    write_run(tmp_path)
    (tmp_path / "epochs.csv").write_text("another file\n")
    with LossRecord(tmp_path, tensorboard=False) as record:
        assert (record.steps(), record.epochs()) == ([], [])
    assert not caplog.records


def test_figures_of_evaluations_are_kept_beside(tmp_path):
    figures = {"all 3 px": 0.25, "i 3 px": np.float64(0.5)}
    with LossRecord(tmp_path, tensorboard=False) as record:
        assert record.evaluations() == []
        for epoch in (1, 2, 3):
            record.evaluation(epoch, 4 * epoch, "planes", figures)
        record.evaluation(3, 12, "pairs, hard", {"share": 0.75})
        record.evaluation(3, 12, "planes", {"all 3 px": 0.3})  # again, as a killed run does
    lines = (tmp_path / "evaluations.csv").read_text().splitlines()
    assert lines[:3] == ["epoch,step,evaluation,figure,value", "1,4,planes,all 3 px,0.25", "1,4,planes,i 3 px,0.5"]
    assert lines[5:] == ['3,12,"pairs, hard",share,0.75', "3,12,planes,all 3 px,0.3"]
    with LossRecord(tmp_path, resume_step=8, tensorboard=False) as record:
        assert [(row.epoch, row.value) for row in record.evaluations()] == [(1, 0.25), (1, 0.5), (2, 0.25), (2, 0.5)]
    with LossRecord(tmp_path, tensorboard=False) as record:
        assert record.evaluations() == []


def test_an_epoch_that_is_recorded_again_takes_the_place_of_the_first(tmp_path):
    write_run(tmp_path, steps=8)
    with LossRecord(tmp_path, resume_step=8, tensorboard=False) as record:
        record.epoch(**epoch_columns(2) | {"seconds": 99.0})
        assert [(row.epoch, row.seconds) for row in record.epochs()] == [(0, 0.0), (1, 1.5), (2, 99.0)]
        record.epoch(**epoch_columns(3))
        assert [row.epoch for row in record.epochs()] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("line", "found"),
    [("3,1,0.5", "'3,1,0.5'"), ("3,1,half,1,0,0.1,1", "half"), ("3.5,1,1,1,0,0.1,1", "3.5"), ("", "''")],
)
def test_a_damaged_line_is_named(tmp_path, line, found):
    write_run(tmp_path, steps=2)
    damaged = tmp_path / "steps.csv"
    damaged.write_text(f"{damaged.read_text()}{line}\n")
    before = damaged.read_bytes()
    with pytest.raises(ValueError, match=r"steps\.csv, line 4: expected step,epoch") as caught:
        LossRecord(tmp_path, resume_step=2, tensorboard=False)
    assert found in str(caught.value)
    assert damaged.read_bytes() == before


def test_another_file_of_the_name_is_not_overwritten_by_a_resume(tmp_path):
    write_run(tmp_path)
    (tmp_path / "epochs.csv").write_text("name,weight\n")
    with pytest.raises(ValueError, match="found name,weight"):
        LossRecord(tmp_path, resume_step=4, tensorboard=False)
    assert (tmp_path / "epochs.csv").read_text() == "name,weight\n"
    assert (tmp_path / "steps.csv").read_text().count("\n") == 11


def test_a_negative_step_is_refused(tmp_path):
    with pytest.raises(ValueError, match="found -1"):
        LossRecord(tmp_path, resume_step=-1)


def test_the_csv_needs_no_torch(tmp_path):
    """In a process of its own, in which torch can't be imported."""
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from d2sfm.training.loss_tables import LossRecord\n"
        "with LossRecord(sys.argv[1]) as record:\n"
        f"    record.step(**{step_columns(1)!r})\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    with LossRecord(tmp_path, resume_step=1, tensorboard=False) as record:
        assert [asdict(row) for row in record.steps()] == [step_columns(1)]
