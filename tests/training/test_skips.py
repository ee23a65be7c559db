import torch

from d2sfm.training.dataset import Batch, SkippedPair
from d2sfm.training.skips import SkipReport


def batch_of(*skipped: SkippedPair) -> Batch:
    return Batch([], torch.zeros(0, 0, 0, 3, dtype=torch.uint8), [], [], list(skipped))


FEW = SkippedPair("a - b", "fewer than 128 correspondences")
BROKEN = SkippedPair("a - c", "broken files", broken="c.h5 is not an HDF5 file")
OTHER = SkippedPair("a - d", "broken files", broken="d.h5 is not an HDF5 file")


def test_reasons_are_counted_and_a_broken_file_is_told_once(caplog):
    report = SkipReport()
    report.note([batch_of(FEW, BROKEN), batch_of(), batch_of(BROKEN, FEW, FEW)])
    assert str(report) == "2 with broken files, 3 with fewer than 128 correspondences"
    assert caplog.messages == ["pairs with this file are skipped: c.h5 is not an HDF5 file"]


def test_reports_of_processes_are_added():
    one, other = SkipReport(), SkipReport()
    one.note([batch_of(FEW, BROKEN)])
    other.note([batch_of(BROKEN, OTHER)])
    both = SkipReport.together([one, other])
    assert dict(both.reasons) == {FEW.reason: 1, BROKEN.reason: 3}
    assert list(both.broken) == [BROKEN.broken, OTHER.broken]
    assert str(SkipReport.together([])) == ""


def test_reports_of_one_run_tell_a_file_once(caplog):
    told = set()
    for _ in range(2):
        SkipReport(told).note([batch_of(BROKEN)])
    assert len(caplog.messages) == 1
