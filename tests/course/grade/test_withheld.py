"""The library that a sandbox shows: whole, but for the answers."""

import subprocess
import sys

import pytest

from gmnm_lib.course.grade import withheld
from gmnm_lib.course.grade.withheld import library_for
from gmnm_lib.errors import InputError

NAMES = ["gmnm_lib.objectives.elbo", "gmnm_lib.models.vae.VAE.loss", "gmnm_lib.networks._kl_to_standard_normal"]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return library_for(NAMES, tmp_path_factory.mktemp("withheld") / "library")


def run(library, program):
    environment = {"PYTHONPATH": str(library), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_withheld_functions_say_so_and_others_work(library):
    program = f"""
import torch, gmnm_lib.objectives as objectives
from gmnm_lib import networks
from gmnm_lib.models.vae import VAE
assert objectives.__file__.startswith({str(library)!r})
for withheld in (objectives.elbo, VAE(pixels=4, hidden=3, latent=2).loss, networks._kl_to_standard_normal):
    try: withheld(torch.ones(2, 4))
    except NotImplementedError as error: print(str(error).split()[0], end=' ')
print(tuple(VAE(pixels=4, hidden=3, latent=2).sample(5).shape))
"""
    assert run(library, program) == " ".join(NAMES) + " (5, 4)"


def test_no_text_of_a_withheld_function_is_left_in_the_copy(library):
    ours, copy = (folder / "networks.py" for folder in (withheld.SOURCE, library / "gmnm_lib"))
    body = ours.read_text().split("def _kl_to_standard_normal", 1)[1].split("\n    return ", 1)[1].split("\n", 1)[0]
    assert len(body) > 20
    assert not any(body in path.read_text() for path in library.rglob("*.py") if path.is_file())
    assert "is withheld where this exercise is graded" in copy.read_text()


def test_every_other_line_of_a_changed_module_is_as_it_was(library):
    ours = (withheld.SOURCE / "objectives.py").read_text().split("\n")
    copy = (library / "gmnm_lib" / "objectives.py").read_text().split("\n")
    added = [line for line in copy if line not in ours]
    assert [line.split("(")[0].strip() for line in added] == ["def elbo", "raise NotImplementedError"]
    same = [line for line in copy if line not in added]
    rest = iter(ours)
    assert all(line in rest for line in same)  # in order
    assert len(ours) - len(same) < 60


def test_an_untouched_module_is_copied_to_the_byte(library):
    ours = withheld.SOURCE
    for path in ours.glob("data/*.py"):
        assert (library / "gmnm_lib" / path.relative_to(ours)).read_bytes() == path.read_bytes()


def test_checks_accept_everything_and_tell_nothing(library):
    program = (
        "from gmnm_lib.course.checks import variational_autoencoder as check, compare\n"
        "print(check.elbo(None), compare(1, 2, x=3), hasattr(check, '__all__'))"
    )
    assert run(library, program) == "None None False"


def test_of_the_course_only_the_workers_own_modules_are_there(library):
    course = library / "gmnm_lib" / "course"
    files = {path.relative_to(course).as_posix() for path in course.rglob("*") if path.is_file()}
    assert {file for file in files if not file.startswith("checks/")} == {
        "__init__.py",
        "answers.py",
        "grade/__init__.py",
        "grade/wire.py",
        "grade/worker.py",
    }
    assert not (library / "gmnm_lib" / "cli.py").exists()
    assert not list(library.rglob("*.pyc"))
    assert not list(library.rglob("*.ipynb"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gmnm_lib.objectives.nothing", "no function of the library"),
        ("gmnm_lib.objectives", "no function of the library|no such module"),
        ("gmnm_lib.models.vae.VAE", "no function of the library"),
        ("gmnm_lib.models.vae.VAE.nothing", "no function of the library"),
        ("gmnm_lib.nowhere.elbo", "no such module|no function"),
        ("torch.logsumexp", "no such module"),
        ("elbo", "no such module"),
        ("", "no such module"),
    ],
)
def test_a_name_that_is_no_function_of_the_library_is_refused(tmp_path, name, reason):
    with pytest.raises(InputError, match=reason):
        library_for([name], tmp_path / "library")
