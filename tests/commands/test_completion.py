"""Shells that complete command lines."""

import shutil
import subprocess

import pytest

from d2sfm.cli import main

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")


@pytest.fixture
def script(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--print-completion", "bash"])
    assert ended.value.code == 0
    path = tmp_path / "d2sfm.bash"
    path.write_text(capsys.readouterr().out)
    return path


def bash(script, command):
    done = subprocess.run(
        ["bash", "--norc", "-c", f"source '{script}'; {command}"], capture_output=True, text=True, cwd=script.parent
    )
    assert done.stderr == ""
    return done.stdout


@needs_bash
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ext"], ["extract"]),
        (["extract", "--max-s"], ["--max-sum-edges"]),
        (["extract", "--camera-mode", "per"], ["per-folder", "per-image"]),
        (["reconstruct", "--mapper", ""], ["incremental", "global"]),
        (["match", "--database", "d2sfm."], ["d2sfm.bash"]),
        (["evaluate", "po"], ["poses"]),
        (["evaluate", "poses", "--pl"], ["--plot"]),
        (["evaluate", "localization", "--plot", "d2sfm."], ["d2sfm.bash"]),
    ],
)
def test_bash_completes_commands_options_choices_and_files(script, words, expected):
    function = bash(script, "complete -p d2sfm").split("-F ")[1].split()[0]
    line = " ".join(f"'{word}'" for word in ["d2sfm", *words])
    found = bash(
        script, f"COMP_WORDS=({line}); COMP_CWORD={len(words)}; {function}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    assert found.split() == expected


def test_zsh_gets_a_script(capsys):
    with pytest.raises(SystemExit):
        main(["--print-completion", "zsh"])
    assert capsys.readouterr().out.startswith("#compdef d2sfm")
