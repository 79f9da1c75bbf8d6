"""pyproject.toml, requirements.lock and environment.yml describe one environment, and the Makefile builds it."""

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = PROJECT["dependencies"] + [line for extra in PROJECT["optional-dependencies"].values() for line in extra]


def locked_versions() -> dict[str, Version]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if not line.startswith("#")]
    return {canonicalize_name(each.name): Version(str(each.specifier).removeprefix("==")) for each in requirements}


LOCKED = locked_versions()


def test_every_line_of_the_lock_is_one_released_version():
    """No address, no path, no range, no local build: the lock means the same on every machine."""
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        assert re.fullmatch(r"#.*|[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line), line
    assert "://" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")


def test_the_lock_names_each_package_once_and_not_this_one():
    names = [line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if line[0] != "#"]
    assert len({canonicalize_name(name) for name in names}) == len(names)
    assert "gmnm" not in LOCKED


@pytest.mark.parametrize("line", DECLARED)
def test_the_locked_version_lies_in_the_declared_range(line):
    requirement = Requirement(line)
    assert LOCKED[canonicalize_name(requirement.name)] in requirement.specifier


def test_what_is_installed_for_the_tests_is_what_the_lock_says():
    """Everything that gmnm[test] pulls in on this system, at the locked version."""
    installed = closure("gmnm", {"test"}) - {"gmnm"}
    assert len(installed) > len(DECLARED)
    wrong = {
        name: (importlib.metadata.version(name), str(LOCKED.get(name)))
        for name in installed
        if name not in LOCKED or Version(importlib.metadata.version(name)).public != LOCKED[name].public
    }
    assert wrong == {}


def closure(name: str, extras: set[str]) -> set[str]:
    """The canonical names of a package and all that it requires on this system, by the installed metadata."""
    found: set[str] = set()
    queue, seen = [(canonicalize_name(name), frozenset(extras))], set()
    while queue:
        name, extras = queue.pop()
        if (name, extras) in seen or comes_with_torch(name):
            continue
        seen.add((name, extras))
        found.add(name)
        for line in importlib.metadata.requires(name) or []:
            requirement = Requirement(line)
            environments = [{"extra": extra} for extra in extras or {""}]
            if requirement.marker is None or any(requirement.marker.evaluate(each) for each in environments):
                queue.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return found


def comes_with_torch(name: str) -> bool:
    """CUDA's libraries: which of them there are depends on torch's build, which fixes their versions itself."""
    return name.startswith(("nvidia-", "cuda-")) or name == "triton"


def test_conda_installs_this_project_through_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    pip = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == [["-c requirements.lock", "-e ."]]
    assert "pip" in conda
    (python,) = (entry.removeprefix("python=") for entry in conda if entry.startswith("python"))
    assert Version(python) in SpecifierSet(PROJECT["requires-python"])
    assert {entry.split("=")[0] for entry in conda} == {
        "python",
        "pip",
    }  # all else has one source of versions: the lock


def test_the_readme_shows_the_commands_that_the_makefile_has():
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\bmake ([a-z]+)\b", readme))
    assert {"lab", "test"} <= shown <= targets
    assert "pip install -c requirements.lock -e ." in readme


@pytest.fixture
def setup(monkeypatch):
    """The module setup_environment.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("setup_environment", ROOT / "setup_environment.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path, monkeypatch, setup):
    """A project that depends on nothing, whose pip only notes what it is asked for; `project.installs` counts."""

    class Project:
        root = tmp_path
        environment = tmp_path / ".venv"
        installs: list[list[str]] = []  # noqa: RUF012  # one project a test

        def build(self, *arguments: str) -> None:
            monkeypatch.setattr(sys, "argv", ["setup_environment.py", *arguments])
            setup.main()

    project = Project()
    project.installs = []
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "requirements.lock").write_text("# nothing\n")
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "PYPROJECT", tmp_path / "pyproject.toml")
    monkeypatch.setattr(setup, "LOCK", tmp_path / "requirements.lock")
    monkeypatch.setattr(setup, "run_pip", project.installs.append)
    monkeypatch.setattr(setup, "MAKE_VENV", ("-m", "venv", "--without-pip"))  # which takes seconds to copy
    return project


def test_an_environment_is_built_once_and_again_only_when_its_sources_change(project):
    project.build()
    project.build()
    assert len(project.installs) == 1
    for name in ("pyproject.toml", "requirements.lock"):
        with open(project.root / name, "a") as file:
            file.write("# changed\n")
        before = len(project.installs)
        project.build()
        project.build()
        assert len(project.installs) == before + 1


def test_the_test_tools_are_added_and_stay(project):
    project.build()
    project.build("--extra", "test")
    project.build()
    assert [command[-1] for command in project.installs] == [".", ".[test]"]
    with open(project.root / "requirements.lock", "a") as file:
        file.write("# changed\n")
    project.build()
    assert project.installs[-1][-1] == ".[test]"


def test_every_install_is_constrained_by_the_lock(project):
    project.build("--extra", "test")
    command = project.installs[0]
    assert command[command.index("-c") + 1] == "requirements.lock"


def test_an_interrupted_install_is_begun_anew(project, setup, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(setup, "run_pip", interrupt)
        with pytest.raises(SystemExit, match="interrupted"):
            project.build()
    half_installed = project.environment / "half-installed"
    half_installed.touch()
    project.build()
    assert not half_installed.exists()
    assert len(project.installs) == 1


def test_a_failed_update_is_begun_anew(project, setup, monkeypatch):
    project.build()
    (project.root / "requirements.lock").write_text("# other\n")

    def fail(_):
        raise setup.SetupError("pip could not install the packages (see above)")

    with monkeypatch.context() as context:
        context.setattr(setup, "run_pip", fail)
        with pytest.raises(SystemExit, match="pip could not install"):
            project.build()
    (project.environment / "half-installed").touch()
    project.build()
    assert not (project.environment / "half-installed").exists()


def test_a_project_that_was_moved_builds_its_environment_anew(project):
    project.build()
    stamp = project.environment / "gmnm-built.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"root": "elsewhere"}))
    (project.environment / "old").touch()
    project.build()
    assert not (project.environment / "old").exists()


def test_a_foreign_environment_that_does_not_fit_is_not_deleted(project):
    project.environment.mkdir()
    (project.environment / "precious").touch()
    with pytest.raises(SystemExit, match=r"\.venv was not made by this project.*move it away"):
        project.build()
    assert (project.environment / "precious").exists()


def test_an_old_python_is_named_and_changes_nothing(project, setup, monkeypatch):
    monkeypatch.setattr(setup, "python_version", lambda python: (3, 9))
    with pytest.raises(SystemExit, match=r"Python 3\.11 or newer is needed \(python3\.9 is 3\.9\)"):
        project.build("--python", "python3.9")
    assert not project.environment.exists()


def test_the_script_and_the_metadata_name_the_same_oldest_python(setup):
    assert PROJECT["requires-python"] == ">={}.{}".format(*setup.OLDEST)


def test_pins_of_the_lock_are_in_the_lock(setup):
    for pin in setup.PINS:
        assert LOCKED[Requirement(pin).name] in Requirement(pin).specifier


def test_a_full_disk_is_said_before_anything_is_built(project, setup, monkeypatch):
    monkeypatch.setattr(setup, "NEEDED_BYTES", 10**18)
    with pytest.raises(SystemExit, match=r"GB of free disk are needed here"):
        project.build()
    assert not project.environment.exists()


def test_a_python_without_venv_is_named(project, setup, monkeypatch):
    monkeypatch.setattr(setup, "run_quietly", lambda command: None)
    with pytest.raises(SystemExit, match=r"has no venv module: install it"):
        project.build()


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("NewConnectionError(...)\nERROR: No matching distribution found for torch", "index cannot be reached"),
        ("ERROR: ResolutionImpossible", "contradict each other"),
        ("ERROR: No matching distribution found for torch==2.13.0", "nothing that fits this Python"),
        ("error: something else", "pip could not install the packages"),
    ],
)
def test_what_pip_says_becomes_one_sentence(setup, said, sentence):
    script = f"import sys; print({said!r}); sys.exit(1)"
    with pytest.raises(setup.SetupError, match=sentence):
        setup.run_pip([sys.executable, "-c", script])


@pytest.mark.parametrize(
    ("line", "kept"),
    [("torch==2.13.0+cpu", "torch==2.13.0"), ("Mako==1.4.3", "Mako==1.4.3"), ("a.b_c==1!2.0rc1", "a.b_c==1!2.0rc1")],
)
def test_a_lock_line_drops_the_tag_of_a_local_build(setup, line, kept):
    assert setup.lock_line(line) == kept


@pytest.mark.parametrize("line", ["a @ file:///somewhere/a.whl", "-e git+ssh://somewhere/a", "a>=1"])
def test_a_lock_line_that_is_no_released_version_is_refused(setup, line):
    with pytest.raises(setup.SetupError, match="not a released version"):
        setup.lock_line(line)


@pytest.mark.skipif(os.name == "nt", reason="there are no POSIX file locks")
def test_a_second_builder_waits_for_the_first_and_then_does_nothing(project, setup, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    project.build()
    stamp = project.environment / "gmnm-built.json"
    built = stamp.read_text()
    stamp.unlink()  # as while the first one builds
    modes = []

    def first_one_finishes(file, mode):
        modes.append(mode)
        if mode & fcntl.LOCK_NB:
            raise BlockingIOError
        stamp.write_text(built)

    monkeypatch.setattr(fcntl, "flock", first_one_finishes)
    project.build()
    assert modes == [fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_EX]
    assert len(project.installs) == 1


@pytest.mark.skipif(os.name == "nt", reason="the Makefile is for systems with a POSIX shell")
def test_make_without_any_python_says_so_in_one_sentence():
    process = subprocess.run(
        ["make", "PYTHON=no-such-python", ".venv"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode != 0
    assert "Python 3.11 or newer is needed, which 'no-such-python' is not: install it" in process.stderr
