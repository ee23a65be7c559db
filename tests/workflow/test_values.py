"""Options of a run from a quality and a file, and back into a file."""

import pytest

from d2sfm.options import QUALITIES, STAGES, CameraOptions, ExtractionOptions, Quality, ReconstructionOptions
from d2sfm.workflow.values import run_values

ODD = 'a "b" \\ \t c\x7f ü 😀'


def test_defaults_are_those_of_the_stages_but_for_the_quality():
    values = run_values()
    assert values == run_values("medium")
    for stage, kinds in STAGES.items():
        for kind in kinds:
            medium = QUALITIES[Quality.MEDIUM].get(stage, {})
            assert values.of(stage, kind) == kind(**{k: v for k, v in medium.items() if hasattr(kind, k)})


@pytest.mark.parametrize("quality", list(Quality))
def test_a_file_repeats_the_values_as_they_were_given(tmp_path, quality):
    config = {
        "extract": {"camera_params": ODD, "max-keypoints": 500, "only": [ODD, "b/*"], "relu": False, "scales": [1]},
        "match": {"min_similarity": 1e-9},
        "reconstruct": {"time_budget": float("inf")},
    }
    values = run_values(quality, config, seed=3, num_threads=2)
    values.write(tmp_path / "run.toml")
    again = run_values(config=tmp_path / "run.toml")
    assert again == values
    assert not values.difference(again)
    assert again.stages["extract"]["camera_params"] == ODD
    assert again.stages["extract"]["precision"] == "auto"
    assert again.of("reconstruct", ReconstructionOptions) == ReconstructionOptions(
        time_budget=float("inf"), seed=3, num_threads=2
    )


def test_the_file_wins_over_its_quality_and_the_command_line_over_the_file(tmp_path):
    (tmp_path / "run.toml").write_text('quality = "low"\n[extract]\nmax_edge = 900\n[refine]\nseed = 5\n')

    def given(**keywords):
        values = run_values(config=tmp_path / "run.toml", **keywords)
        return values.stages["extract"]["max_edge"], values.stages["match"]["num_neighbours"]

    assert given() == (900, QUALITIES[Quality.LOW]["match"]["num_neighbours"])
    assert given(quality="extreme")[0] == QUALITIES[Quality.EXTREME]["extract"]["max_edge"]
    seeds = {
        stage: run_values(config=tmp_path / "run.toml", seed=7).stages[stage]["seed"] for stage in ("match", "refine")
    }
    assert seeds == {"match": 7, "refine": 7}
    assert run_values(config=tmp_path / "run.toml").stages["refine"]["seed"] == 5


def test_what_is_not_set_is_not_written_and_differences_are_told(tmp_path):
    values = run_values()
    assert "max_keypoints" not in values.stages["extract"]
    assert values.of("extract", ExtractionOptions).max_keypoints is None
    others = run_values(config={"extract": {"max_keypoints": 9}, "match": {"pairs": "sequential"}})
    assert values.difference(others) == "extract.max_keypoints None (there 9), match.pairs auto (there sequential)"
    others = run_values(config={"refine": {"continue": False}})
    assert values.difference(others) == "refine.continue True (there False)"


def test_a_number_of_neighbours_is_for_pairs_that_have_one():
    values = run_values("extreme", {"match": {"pairs": "sequential", "overlap": 3}})
    assert values.stages["match"]["overlap"] == 3
    with pytest.raises(ValueError, match="--num-neighbours goes with --pairs auto or"):
        run_values(config={"match": {"pairs": "sequential", "num-neighbours": 7}})


@pytest.mark.parametrize("quality", list(Quality))
def test_a_run_of_pairs_without_such_a_number_is_repeated_in_another_quality(tmp_path, quality):
    values = run_values(config={"match": {"pairs": "sequential"}})
    values.write(tmp_path / "run.toml")
    again = run_values(quality, config=tmp_path / "run.toml")
    assert again.stages["match"] == values.stages["match"]
    assert again.stages["extract"]["max_edge"] == QUALITIES[quality]["extract"]["max_edge"]


def test_cameras_are_those_of_the_file():
    values = run_values(config={"extract": {"camera_mode": "single", "default_focal_length_factor": 2}})
    assert values.of("extract", CameraOptions) == CameraOptions(camera_mode="single", default_focal_length_factor=2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[extract]\nmax_edg = 3", r"run\.toml, \[extract\]: unknown key max_edg: did you mean max_edge\?"),
        ("[extract]\nno_relu = true", r"unknown key no_relu: write relu = false below \[extract\]"),
        ("[extract]\nmultiscale = true", r"unknown key multiscale: write scales = \[0.5, 1.0, 2.0\] below \[extract\]"),
        ("[match]\nmax_edge = 3", r"\[match\]: unknown key max_edge: write max_edge = ... below \[extract\]"),
        ("[refine]\nxyzzy = 3", "unknown key xyzzy, expected one of .*, continue, "),
        ("[export]\nformat = 'npz'", r"unknown table \[export\]: expected one of extract, match, refine, reconstruct"),
        ("qualty = 'low'", r"the key qualty is not in a table: did you mean quality\?"),
        (
            "seed = 3",
            r"the key seed is not in a table: write seed = ... below \[match\] or \[refine\] or \[reconstruct\]",
        ),
        ("[extrct]\nmax_edge = 3", r"unknown table \[extrct\]: did you mean \[extract\]\?"),
        ("max_edge = 3", r"the key max_edge is not in a table: write max_edge = ... below \[extract\]"),
        ("extract = 3", r"expected a table \[extract\], found 3"),
        ("[extract]\nmax_edge = '3'", r"\[extract\], max_edge: expected a whole number, found '3'"),
        ("[extract]\nmax_edge = true", "expected a whole number, found True"),
        ("[extract]\nscales = ['1']", "expected a list, each a number"),
        ("[extract]\nscales = 1.0", "expected a list"),
        ("[extract]\nrelu = 1", "expected true or false, found 1"),
        ("[extract]\nprecision = 'float8'", r"\[extract\]: precision must be float32"),
        ("[refine]\nrounds = 0", r"\[refine\]: rounds must be 1 or more"),
        ("quality = 'best'", "quality must be one of low, medium, high, extreme, found 'best'"),
        ("[extract]\noutput_type = 'mat'", "unknown key output_type"),
        ("[extract", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, text, message):
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        run_values(config=tmp_path / "run.toml")


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"no configuration none\.toml"):
        run_values(config="none.toml")
