import logging
import sys
from pathlib import Path

import pytest
from support.loss_rows import step_columns, write_run

from d2sfm.training.loss_tables import LossRecord


def an_hour_older(folder: Path) -> None:
    """Rename event files: TensorBoard orders by name, in which the second comes first, then a counter as text."""
    for events in (folder / "tensorboard").iterdir():
        second, rest = events.name.removeprefix("events.out.tfevents.").split(".", 1)
        events.rename(events.with_name(f"events.out.tfevents.{int(second) - 3600}.{rest}"))


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a run: (step, value) of each tag."""
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulators.EventAccumulator(str(folder / "tensorboard")).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_shows_losses_and_skipped_pairs(tmp_path):
    pytest.importorskip("tensorboard")
    write_run(tmp_path, steps=5, tensorboard=True)
    found = scalars(tmp_path)
    assert set(found) == {"loss/training", "loss/validation", "pairs/skipped"}
    assert found["loss/training"] == [(step, pytest.approx(1 / step)) for step in range(1, 6)]
    assert found["loss/validation"] == [(0, 2.0), (4, 1.0)]
    assert found["pairs/skipped"] == [(step, step % 3) for step in range(1, 6)]


def test_tensorboard_leaves_out_what_a_resume_drops(tmp_path):
    pytest.importorskip("tensorboard")
    write_run(tmp_path, steps=9, tensorboard=True)
    an_hour_older(tmp_path)
    with LossRecord(tmp_path, resume_step=6) as record:
        record.step(**step_columns(7) | {"loss": 5.0})
    found = scalars(tmp_path)
    assert [step for step, _ in found["loss/training"]] == list(range(1, 8))
    assert found["loss/training"][-1] == (7, 5.0)
    assert found["loss/validation"] == [(0, 2.0), (4, 1.0)]


def test_tensorboard_of_an_old_run_is_replaced_and_other_files_are_left(tmp_path):
    pytest.importorskip("tensorboard")
    write_run(tmp_path, steps=9, tensorboard=True)
    (tmp_path / "tensorboard" / "notes.txt").write_text("mine")
    with LossRecord(tmp_path) as record:
        record.step(**step_columns(1))
    assert [step for step, _ in scalars(tmp_path)["loss/training"]] == [1]
    assert (tmp_path / "tensorboard" / "notes.txt").read_text() == "mine"


def test_a_step_without_a_loss_is_left_out_of_the_curve_only(tmp_path):
    pytest.importorskip("tensorboard")
    with LossRecord(tmp_path) as record:
        record.step(**step_columns(1))
        record.step(**step_columns(2) | {"loss": float("nan"), "pairs": 0})
        assert [row.step for row in record.steps()] == [1, 2]
    assert [step for step, _ in scalars(tmp_path)["loss/training"]] == [1]
    assert [step for step, _ in scalars(tmp_path)["pairs/skipped"]] == [1, 2]


def test_without_tensorboard_the_csv_is_written_and_a_line_says_how_to_get_it(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    caplog.set_level(logging.INFO)
    write_run(tmp_path, tensorboard=True)
    assert [entry.getMessage().partition("pip install ")[2] for entry in caplog.records] == ["'d2sfm[train]'"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epochs.csv", "steps.csv"]
    assert (tmp_path / "steps.csv").read_text().count("\n") == 11
