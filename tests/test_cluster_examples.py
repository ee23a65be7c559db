"""The scripts for schedulers: each runs the same commands in the same order, and goes on after a failure."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.small_scene import write_small_scene

from d2sfm.colmap import read_model
from d2sfm.database import RefinementStore

FOLDER = Path(__file__).parents[1] / "examples/cluster"
SCRIPTS = ("parallel.sh", "slurm.sh", "kubernetes.sh")
SHARES = 3
STAGES = (  # arguments without folders, whether in shares
    ("extract --max-edge 320", True),
    ("pairs", False),
    ("match", True),
    ("assemble --descriptors", False),
    ("refine", False),
    *(("refine", True), ("refine", False)) * 2,  # of a refinement that has two stages
    ("reconstruct --no-refine", False),
)
# What stands for the program: it notes its arguments, makes the files that the scripts look for, leaves photographs
# out, and fails where it is told to.
PROGRAM = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in
    "${FAILS:-none}"*) exit 2 ;;
    extract*) exit 1 ;;
    assemble*) database=${*#*--database } && touch "${database%% *}" ;;
    *--shard*) ;;
    refine*)
        parts=${*#*--parts } && mkdir -p "$parts" && echo >>"$parts/gathered" && touch "$parts/plan.npz"
        [ "$(wc -l <"$parts/gathered")" -lt 3 ] || rm "$parts/gathered" "$parts/plan.npz"
        ;;
esac
"""
# As sbatch: a job runs at once, and those behind a failed one don't.
SBATCH = """#!/bin/sh
for argument; do
    case $argument in
        --array=1-*) last=${argument#--array=1-} ;;
        --dependency=afterok:*) before=${argument#*:} ;;
        --*=* | --parsable) ;;
        *) break ;;
    esac
    shift
done
id=$(($(cat "$CALLS.id" 2>/dev/null || echo 100) + 1))
echo "$id" >"$CALLS.id"
echo "$id;cluster"
[ -z "${before:-}" ] || [ -e "$CALLS.$before" ] || exit 0
for task in $(seq "${last:-1}"); do
    ${last:+env SLURM_ARRAY_TASK_ID="$task"} sh "$@" || failed=1
done
[ -n "${failed:-}" ] || touch "$CALLS.$id"
"""
# As kubectl: a job's containers run at once, each with its index.
KUBECTL = """#!/bin/sh
case $1 in
    apply) exec "$PYTHON" "$POD" ;;
    get) cat "$CALLS.status" ;;
esac
"""
POD = """
import os, subprocess, sys, yaml
job = yaml.safe_load(sys.stdin)
spec = job["spec"]
assert (job["apiVersion"], job["kind"], spec["completionMode"]) == ("batch/v1", "Job", "Indexed")
assert 1 <= spec["parallelism"] <= spec["completions"] and spec["template"]["spec"]["restartPolicy"] == "Never"
[container] = spec["template"]["spec"]["containers"]
mounted = {volume["name"] for volume in spec["template"]["spec"]["volumes"]}
assert {mount["name"] for mount in container["volumeMounts"]} == mounted
status = "Complete"
for index in range(spec["completions"]):
    environment = os.environ | {"JOB_COMPLETION_INDEX": str(index)}
    status = "Failed" if subprocess.run(container["command"], env=environment).returncode else status
with open(os.environ["CALLS"] + ".status", "w") as file:
    file.write(status)
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A PATH on which the schedulers are made-up ones, and the file of the calls of d2sfm."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "pod.py").write_text(POD)
    for name, text in (("d2sfm", PROGRAM), ("sbatch", SBATCH), ("kubectl", KUBECTL)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    calls = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"), "PAUSE": "0"}
    for name, value in (calls | {"PYTHON": sys.executable, "POD": str(tmp_path / "pod.py")}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("EXTRACT", "--max-edge 320")
    monkeypatch.setenv("DATA", str(tmp_path))  # with the folder ``work``
    (tmp_path / "work").mkdir()
    return tmp_path / "calls"


def run(script, work, **environment):
    folders = [] if script == "kubernetes.sh" else ["the photographs", str(work)]
    if script == "kubernetes.sh":
        pytest.importorskip("yaml", reason="pyyaml is one of the extras for tests")
    if script == "parallel.sh" and shutil.which("parallel") is None:
        pytest.skip("GNU parallel is not installed")
    command = ["sh", str(FOLDER / script), *folders, str(SHARES)]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=120)


def stages_of(calls):
    """The calls without folders, those of shares that came together as one, in which all numbers must be."""
    found, lines = [], calls.read_text().splitlines()
    while lines:
        of_stage = lines[:SHARES] if " --shard " in lines[0] else lines[:1]
        del lines[: len(of_stage)]
        numbers = sorted(number for line in of_stage for number in re.findall(rf" --shard (\d)/{SHARES} ", line))
        assert numbers in ([], [str(number) for number in range(1, SHARES + 1)])
        folders = r" --(shard|images|output|database|parts) (the photographs|\S+)| \S*/shards\b"
        [text] = {re.sub(folders, "", line) for line in of_stage}
        found.append((text, numbers != []))
    return tuple(found)


each_script = pytest.mark.parametrize(
    "script", [script if script == "slurm.sh" else pytest.param(script, marks=pytest.mark.slow) for script in SCRIPTS]
)


@each_script
def test_the_commands_come_in_their_order(programs, tmp_path, script):
    ran = run(script, tmp_path / "work")
    assert ran.returncode == 0, ran.stderr
    assert stages_of(programs) == STAGES
    text = programs.read_text()
    assert len(text.splitlines()) == sum(SHARES if is_shared else 1 for _, is_shared in STAGES)
    if script != "kubernetes.sh":
        assert text.count(f"--images the photographs --output {tmp_path / 'work/shards'}") == SHARES


@pytest.mark.slow
@each_script
def test_nothing_follows_a_failure_and_a_second_run_goes_on(programs, tmp_path, script):
    ran = run(script, tmp_path / "work", FAILS="match --shard 3/3")  # the last one to begin
    assert (ran.returncode == 0) == (script == "slurm.sh")  # which has only submitted
    assert [stage for stage, _ in stages_of(programs)] == ["extract --max-edge 320", "pairs", "match"]
    programs.unlink()
    assert run(script, tmp_path / "work").returncode == 0
    assert stages_of(programs) == STAGES
    programs.unlink()
    assert run(script, tmp_path / "work").returncode == 0  # the database is there
    assert stages_of(programs) == tuple(stage for stage in STAGES if "assemble" not in stage[0])


@pytest.mark.parametrize("script", SCRIPTS)
def test_shells_read_the_scripts(script):
    assert os.access(FOLDER / script, os.X_OK)
    subprocess.run(["bash", "-n", FOLDER / script], check=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_has_nothing_to_say():
    subprocess.run(["shellcheck", "--shell=sh", *(FOLDER / script for script in SCRIPTS)], check=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_reads_the_job():
    """Without a server, it can do no more."""
    command = ["kubectl", "label", "--local", "-f", FOLDER / "kubernetes.yaml", "a=b", "-o", "jsonpath={.spec}"]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert '"completionMode":"Indexed"' in found
    assert "JOB_COMPLETION_INDEX" in found


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("sbatch") is None, reason="SLURM is not installed")
def test_slurm_would_take_the_jobs(tmp_path):
    if subprocess.run(["sinfo"], capture_output=True, timeout=60).returncode:
        pytest.skip("no SLURM controller answers")
    command = ["sbatch", "--test-only", "--array=1-3", FOLDER / "slurm.sh", "--job", "3", "", "extract"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("parallel") is None, reason="GNU parallel is not installed")
def test_gnu_parallel_makes_a_model(tmp_path, monkeypatch):
    photographs, work = write_small_scene(tmp_path / "the photographs", count=4), tmp_path / "work"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/d2sfm").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m d2sfm "$@"\n')
    (tmp_path / "bin/d2sfm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("EXTRACT", "--camera-mode single --camera-model PINHOLE --camera-params 280,280,160,120")
    monkeypatch.setenv("REFINE", "--no-grey --no-continue")
    subprocess.run(["sh", FOLDER / "parallel.sh", photographs, work, "2", "1"], check=True, timeout=600)
    assert len(read_model(work / "sparse/0").images) == 4
    with RefinementStore(work / "database.db") as store:
        assert len(store.refined()) == 4
    assert not list((work / "parts").glob("*.npz"))
