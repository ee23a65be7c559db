"""The image is built of what the package needs, and of nothing else; no engine is needed to see that."""

import configparser
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def config():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


@pytest.fixture(scope="module")
def steps():
    """Instructions and their arguments, in order."""
    lines = "\n".join(line for line in TEXT.splitlines() if line and not line.lstrip().startswith("#"))
    return [tuple(line.split(maxsplit=1)) for line in lines.replace("\\\n", " ").splitlines()]


def all_of(steps, instruction):
    return [arguments for name, arguments in steps if name == instruction]


def test_the_base_is_a_python_that_is_supported(steps, config):
    [base] = all_of(steps, "FROM")
    version = re.fullmatch(r"python:(3\.\d+)-slim", base)[1]
    assert f"Python :: {version}\n" in config["metadata"]["classifiers"]


def test_all_that_the_package_is_made_of_is_copied(steps, config):
    copied = {source for each in all_of(steps, "COPY") for source in each.split()[:-1]}
    packages = {line.split(".")[0] for line in config["options.packages.find"]["include"].split()}
    described = {config["metadata"]["long_description"].split()[-1], config["metadata"]["license_files"]}
    assert copied == {"setup.py", "setup.cfg"} | packages | described
    taken = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert taken == copied
    assert all((ROOT / source).exists() for source in copied)


def test_the_torch_that_comes_first_is_enough_and_the_extras_exist(steps, config):
    pips = [shlex.split(each)[3:] for each in all_of(steps, "RUN") if each.startswith("pip install --no-cache-dir ")]
    first, second = pips
    needed = {line.replace(" ", "") for line in config["options"]["install_requires"].splitlines()}
    assert set(first[:2]) <= needed
    assert first[2:] == ["--index-url", "$TORCH_INDEX"]
    assert "TORCH_INDEX" in all_of(steps, "ARG")
    extras = re.fullmatch(r"/source\[(.*)\]", second[0])[1].split(",")
    assert set(extras) <= set(config["options.extras_require"])


def test_it_runs_the_command_as_nobody_special_where_the_photographs_are(steps, config):
    [entry], [folder], [volume] = (all_of(steps, name) for name in ("ENTRYPOINT", "WORKDIR", "VOLUME"))
    command = entry.strip('[]"')
    assert f"{command} = d2sfm.cli:main" in config["options.entry_points"]["console_scripts"]
    assert folder == volume == "/data"
    [user] = all_of(steps, "USER")
    assert int(user) > 0
    assert f"useradd --uid {user} " in TEXT


def test_the_docs_build_and_run_it_as_it_says_itself():
    page = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    told = [line.removeprefix("#").strip() for line in TEXT.splitlines() if line.startswith("#   docker ")]
    assert len(told) == 2
    assert all(f"    {line}\n" in page for line in told)


def test_no_address_of_packages_is_in_it():
    assert set(re.findall(r"https?://[^/\s]+", TEXT)) == {"https://pytorch.org"}
