"""The notebook of the examples runs as it stands."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples/quickstart.ipynb"
SHOWN = {"image/png": 5, "text/html": 4}  # pictures, and results with their displays


def test_the_notebook_is_kept_without_what_a_run_left():
    nbformat = pytest.importorskip("nbformat", reason="nbformat is one of the extras for tests")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


@pytest.mark.slow
def test_the_notebook_runs_and_shows_its_results(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="nbclient and ipykernel are among the extras for tests")
    pytest.importorskip("ipykernel")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    results = [output.data for output in outputs if output.output_type == "execute_result"]
    for kind, count in SHOWN.items():
        assert sum(kind in data for data in results) == count
    [mapped] = [data["text/html"] for data in results if "reconstruct: " in data.get("text/html", "")]
    assert "reconstruct: 6 of 6 images" in mapped
    assert "<img " in mapped
