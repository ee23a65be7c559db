"""d2sfm pairs, and d2sfm match --shard of what it chose."""

import pytest
from support.shard_folder import write_shard_folder

from d2sfm.cli import main
from d2sfm.shards import folder as shards
from d2sfm.shards import pairs as choosing
from d2sfm.shards.matching import matched_blocks


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shards, "BLOCK_PHOTOGRAPHS", 4)
    monkeypatch.setattr(choosing, "FEWEST_PAIRS", 5)
    return write_shard_folder(tmp_path / "shards")


@pytest.mark.slow
def test_pairs_by_what_looks_alike_and_their_matches(folder, capsys):
    alike = ["--pairs", "retrieval", "--num-neighbours", "1"]
    assert main(["pairs", "shards", "--shard", "2/2", *alike]) == 0
    assert "pairs: global descriptors of 4 images in 1 block" in capsys.readouterr().out
    assert not folder.pair_record.exists()
    assert main(["pairs", "shards", *alike]) == 0
    assert "pairs of 9 images in 2 blocks, each image is in " in capsys.readouterr().out
    options = ["--max-num-trials", "500", "--device", "cpu"]
    assert main(["match", "shards", "--shard", "1/2", *options]) == 0
    assert main(["match", "--database", "shards", "--shard", "2/2", *options]) == 0
    assert matched_blocks(folder) == [True, True]
    assert main(["pairs", "shards", *alike]) == 0
    assert capsys.readouterr().out.endswith(", as they were already\n")
    assert main(["pairs", "shards"]) == 2
    assert "begun with pairs retrieval, but this run asks for pairs auto: use the same" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pairs", "photographs"], "photographs is not a folder of shards: d2sfm extract --shard"),
        (["pairs", "shards", "--shard", "1/2", "--pairs", "exhaustive"], "--shard makes global descriptors"),
        (["pairs", "shards", "--pairs", "Retreival"], "no pairs file Retreival: did you mean retrieval?"),
        (["pairs", "shards", "--pairs", "retrieval", "--overlap", "3"], "--overlap goes with --pairs sequential"),
        (["pairs", "shards", "--loop-candidates", "3"], "--loop-candidates goes with --pairs sequential"),
        (["pairs", "shards", "--max-distance-m", "3"], "--max-distance-m goes with --pairs spatial"),
        (["pairs", "shards", "--use-altitude"], "--use-altitude goes with --pairs spatial"),
        (["pairs", "shards", "--max-angle-deg", "3"], "--max-angle-deg goes with --pairs poses"),
        (["pairs", "shards", "--global-descriptors", "g.h5"], "--global-descriptors goes with --pairs sequential or"),
        (["match", "--shard", "1/2"], "--shard goes with a folder: d2sfm match --shard J/M SHARDS"),
        (["match", "shards", "--shard", "1/2"], "shards has no pairs yet: run d2sfm pairs shards"),
        (["match", "shards", "--shard", "1/2", "--overwrite"], "--overwrite does not go with --shard"),
        (["match", "shards", "--shard", "1/2", "--pairs", "retrieval"], "--pairs and what goes with it does not go"),
        (["match", "shards", "--shard", "1/2", "--write-pairs", "p.txt"], "--write-pairs does not go with --shard"),
    ],
)
def test_what_can_not_be(folder, capsys, arguments, message):
    assert main(arguments) == 2
    [*_, line] = capsys.readouterr().err.splitlines()
    assert message in line
