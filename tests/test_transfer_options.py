import pytest

from d2sfm.transfer_options import ExportedMatches, ExportFormat, ExportOptions, ImportOptions


@pytest.mark.parametrize(
    ("options", "values", "message"),
    [
        (ExportOptions, {"extension": "", "format": ExportFormat.NPZ}, "extension must be a suffix without '/'"),
        (ExportOptions, {"extension": "a/b", "format": ExportFormat.NPZ}, "extension must be a suffix without '/'"),
        (ExportOptions, {"extension": ".x"}, "--extension goes with --format npz or mat, not with --format hloc"),
        (
            ExportOptions,
            {"format": ExportFormat.MAT, "matches": ExportedMatches.NONE},
            "--matches goes with --format hloc, not with --format mat",
        ),
        (ImportOptions, {"extension": ""}, "extension must be a suffix without '/'"),
        (ImportOptions, {"max_edge": -1}, r"max_edge must be 0 \(no limit\) or more, found -1"),
        (ImportOptions, {"max_sum_edges": -1}, r"max_sum_edges must be 0 \(no limit\) or more, found -1"),
    ],
)
def test_what_options_refuse(options, values, message):
    with pytest.raises(ValueError, match=message):
        options(**values)
