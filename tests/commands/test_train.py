import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from support.hard_pairs import write_hard_pairs
from support.helpers import write_plane_scene
from support.plane_views import plane_views
from support.sequences import write_sequence
from support.training_runs import rows

from d2sfm.cli import main
from d2sfm.evaluation.hpatches import evaluate_hpatches
from d2sfm.evaluation.pairs import evaluate_pairs
from d2sfm.options import ComparisonOptions, ExtractionOptions, PairEvaluationOptions

pytestmark = pytest.mark.usefixtures("narrow_training")

QUICK = ("--image-size", "112", "--pairs-per-scene", "6", "--num-epochs", "1", "--device", "cpu", "--num-workers", "0")
FEW = ("--pairs-per-scene", "2")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("dataset")
    write_plane_scene(root)
    (root / "scenes.txt").write_text("0000\n")
    (root / "two.txt").write_text("0000\n0404\n")
    return root


def arguments(root, output, *more):
    paths = ("--dataset-path", root, "--scene-info-path", root / "info", "--output", output)
    lists = ("--train-scenes", root / "scenes.txt", "--valid-scenes", root / "scenes.txt")
    return [str(each) for each in ("train", *paths, *lists, *QUICK, *more)]


def test_training_from_the_command_line(root, tmp_path, capsys):
    assert main(arguments(root, tmp_path / "out", *FEW, "--use-validation", "--validation-pairs-per-scene", "2")) == 0
    assert "use them with: d2sfm extract --weights" in capsys.readouterr().out
    assert (tmp_path / "out" / "last.pth").exists()


@pytest.mark.slow
def test_matches_are_evaluated_after_each_epoch(root, tmp_path, capsys):
    write_sequence(tmp_path / "sequences" / "v_wall", plane_views(0, scale=1.0, count=2, size=(96, 72)))
    asked = ("--evaluate-hpatches", str(tmp_path / "sequences"))
    assert main(arguments(root, tmp_path / "out", *FEW, *asked)) == 0
    assert "epoch 1, hpatches: v 1 px " in capsys.readouterr().err
    [method] = evaluate_hpatches(
        tmp_path / "sequences",
        options=ExtractionOptions(weights=str(tmp_path / "out" / "last.pth")),
        comparison=ComparisonOptions(refine=False, sift=False),
    ).methods
    found = {row["figure"]: float(row["value"]) for row in rows(tmp_path / "out" / "evaluations.csv")}
    assert found["v 3 px"] == found["all 3 px"] == method.groups["all"].accuracy[2]
    (tmp_path / "sequences" / "v_wall" / "H_1_2").unlink()
    assert main(arguments(root, tmp_path / "other", *asked)) == 2
    assert "has no H_1_2" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_pairs_are_evaluated_after_each_epoch(root, tmp_path, capsys):
    asked = ("--evaluate-pairs", str(write_hard_pairs(tmp_path / "pairs", ["A/one"])))
    assert main(arguments(root, tmp_path / "out", *FEW, *asked)) == 0
    assert "epoch 1, pairs: mAA 1-10 px " in capsys.readouterr().err
    options = ExtractionOptions(weights=str(tmp_path / "out" / "last.pth"))
    plain = evaluate_pairs(tmp_path / "pairs", extraction=options, options=PairEvaluationOptions(sift=False))
    found = {row["figure"]: float(row["value"]) for row in rows(tmp_path / "out" / "evaluations.csv")}
    assert found == plain.methods["D2"].scores


@pytest.mark.slow
def test_every_option_is_taken(root, tmp_path):
    pairs = ("--max-scale-ratio", "4", "--depth-tolerance-relative", "0.02", "--preprocessing", "torch")
    steps = ("--accumulate", "2", "--batch-size", "1", "--lr", "0.002", "--precision", "bfloat16", "--seed", "3")
    log = ("--log-interval", "2", "--plot", "--checkpoint-interval", "1")
    assert main(arguments(root, tmp_path / "out", *FEW, *pairs, *steps, *log)) == 0
    assert list((tmp_path / "out" / "pictures").iterdir())
    noted = torch.load(tmp_path / "out" / "last.pth", weights_only=True)["training"]["settings"]
    expected = {"max_scale_ratio": "4.0", "depth_tolerance_relative": "0.02", "preprocessing": "torch", "lr": "0.002"}
    assert noted | expected | {"precision": "bfloat16", "seed": "3", "pairs in a step": "2"} == noted


def test_scenes_left_out_make_the_exit_code_1(root, tmp_path, capsys):
    assert main(arguments(root, tmp_path / "out", *FEW, "--train-scenes", str(root / "two.txt"))) == 1
    assert ": 1 of 2 scenes (" in capsys.readouterr().err.partition("left out, without a file in ")[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--train-scenes", "nowhere.txt"), "nowhere.txt"),
        (("--dataset-path", "nowhere"), "no folder nowhere (dataset)"),
        (("--scene-info-path", "nowhere"), "no folder nowhere (scene info)"),
        (("--min-overlap", "2"), "overlaps must be"),
        (("--weights", "nowhere.pth"), "no weights at nowhere.pth"),
        (("--max-overlap", "0.9"), "no pair to draw from 1 scene"),
        (("--depth-tolerance", "nan"), "depth_tolerance must be above 0"),
    ],
)
def test_what_cannot_be_trained_on_is_told_in_one_line(root, tmp_path, capsys, change, message):
    assert main(arguments(root, tmp_path / "out", *change)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out" / "last.pth").exists()


def test_the_default_lists_are_the_papers(root, tmp_path, capsys):
    line = arguments(root, tmp_path / "out", *FEW)
    first = line.index("--train-scenes")
    del line[first : first + 2]
    assert main(line) == 1
    error = capsys.readouterr().err
    assert ": 116 of 117 scenes (" in error.partition("left out, without a file in ")[2]  # 0000 is there


def process(line, tmp_path, *launcher, **environment):
    command = [sys.executable, *launcher, "-m", "d2sfm", *line]
    return subprocess.Popen(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )


def weights_in(path):
    return torch.load(path, weights_only=True)["model"]


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_weights(root, tmp_path):
    settings = ("--checkpoint-interval", "1", "--pairs-per-scene", "16")
    whole = process(arguments(root, tmp_path / "whole", *settings), tmp_path)
    assert whole.wait(120) == 0
    line = arguments(root, tmp_path / "killed", *settings)
    killed = process(line, tmp_path)
    until = time.monotonic() + 120
    while not (tmp_path / "killed" / "last.pth").exists() and time.monotonic() < until:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait(60) == -signal.SIGKILL
    done = torch.load(tmp_path / "killed" / "last.pth", weights_only=True)["training"]["state"]["step"]
    assert 0 < done < 16
    assert process([*line, "--resume", "--num-workers", "2"], tmp_path).wait(120) == 0
    expected, found = weights_in(tmp_path / "whole" / "last.pth"), weights_in(tmp_path / "killed" / "last.pth")
    assert all(torch.equal(expected[key], found[key]) for key in expected)


@pytest.mark.slow
def test_two_processes_of_torchrun_train_as_one(root, tmp_path):
    options = ("--use-validation", "--validation-pairs-per-scene", "3", "--lr", "1e-5")
    alone = process(arguments(root, tmp_path / "alone", "--batch-size", "2", *options), tmp_path)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    both = process(arguments(root, tmp_path / "both", *options), tmp_path, *launcher)
    (out, error), (_, alone_error) = both.communicate(timeout=200), alone.communicate(timeout=200)
    assert both.returncode == 0, error
    assert alone.returncode == 0, alone_error
    assert out.count("use them with") == 1  # one process speaks
    for path in ("steps.csv", "epochs.csv"):
        tables = [(tmp_path / run / path).read_text().splitlines() for run in ("alone", "both")]
        assert len(tables[0]) == len(tables[1])
    expected, found = weights_in(tmp_path / "alone" / "last.pth"), weights_in(tmp_path / "both" / "last.pth")
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], rtol=0, atol=2e-5)
