"""The command `gmnm`. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from gmnm_lib import __version__
from gmnm_lib.errors import InputError

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. 0: done; 1: the work failed, or points are missing; 2: bad input; 130: Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except KeyboardInterrupt:
        print("gmnm: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except InputError as error:
        print(f"gmnm: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        from gmnm_lib.course import WorkFailed

        if not isinstance(error, WorkFailed):
            raise
        print(f"gmnm: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gmnm", description="How graphical models and neural models married: the course."
    )
    parser.add_argument("--version", action="version", version=f"gmnm {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Command, summary: str, example: str) -> argparse.ArgumentParser:
        raw = argparse.RawDescriptionHelpFormatter
        text = f"{summary[0].upper()}{summary[1:]}."
        one = commands.add_parser(
            name, help=summary, description=text, epilog=f"example:\n  {example}", formatter_class=raw
        )
        one.set_defaults(command=run)
        return one

    one = command("lab", _lab, "open JupyterLab in lectures/", "gmnm lab --no-browser --port 8890")
    one.add_argument("--no-browser", action="store_true", help="do not open a browser")
    one.add_argument("--port", type=int, help="the port to listen at (8888, or the next free one)")

    one = command("execute", _execute, "run lectures and keep them with their still pictures", "gmnm execute 04")
    one.add_argument("lectures", nargs="+", metavar="LECTURE", help="a number, a name or a path")
    _add_timeout(one, 600)

    one = command("release", _release, "make exercises/ from solutions/", "gmnm release 04")
    one.add_argument(
        "solutions", nargs="*", metavar="LECTURE", help="a number, a name or a path; all when none is named"
    )
    one.add_argument("--quick", action="store_true", help="do not prove that solutions pass and untouched stubs fail")

    one = command(
        "check",
        _check,
        "run a student's notebook and show points and hints; it trusts the notebook and is no grader",
        "gmnm check exercises/04_variational_autoencoder.ipynb",
    )
    one.add_argument("notebook", metavar="NOTEBOOK", help="an exercise, or a copy of one under any name")
    one.add_argument("--json", action="store_true", help="print the report as JSON")
    _add_timeout(one, 60)

    one = command(
        "grade",
        _grade,
        "mark a class's notebooks, none of them trusted, and write marks, feedback and a summary",
        "gmnm grade submissions.zip --out marks",
    )
    one.add_argument("submissions", metavar="SUBMISSIONS", help="a folder, or what Moodle or Canvas lets you download")
    one.add_argument("--out", required=True, metavar="FOLDER", help="where marks, feedback and summary go")
    one.add_argument("--jobs", type=int, default=2, metavar="N", help="notebooks at a time (%(default)s)")
    one.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    _add_timeout(one, 20, "the longest that one task may take")
    one.add_argument("--memory", type=int, default=4096, metavar="MB", help="for one sandbox (%(default)s)")
    one.add_argument("--seed", type=int, metavar="N", help="fix the hidden checks' draws, so that they can be repeated")
    wall = one.add_mutually_exclusive_group()
    wall.add_argument("--sandbox", choices=("bubblewrap", "docker", "podman"), default="bubblewrap", help="the wall")
    wall.add_argument(
        "--no-sandbox",
        dest="sandbox",
        action="store_const",
        const="none",
        help="run students' code on this machine as it is; every mark says so",
    )

    one = command(
        "handout",
        _handout,
        "make lectures into files that work offline: HTML whose sliders move, PDF, slides",
        "gmnm handout 04 --to html,pdf -p seed 7",
    )
    one.add_argument(
        "lectures", nargs="*", metavar="LECTURE", help="a number, a name or a path; all when none is named"
    )
    one.add_argument(
        "--to", action="append", metavar="FORM", help="html (which it is by default), pdf or slides; may be repeated"
    )
    one.add_argument(
        "-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter; may be repeated"
    )
    one.add_argument("--profile", choices=("quick", "full"), help="short for -p profile")
    one.add_argument("--out", default="handouts", metavar="FOLDER", help="where the files go (%(default)s)")
    one.add_argument("--jobs", type=int, default=1, metavar="N", help="lectures that run at a time (%(default)s)")
    one.add_argument("--fresh", action="store_true", help="run again what FOLDER holds already")
    _add_timeout(one, 600)
    one.add_argument(
        "--lecture-timeout",
        type=_seconds,
        default=7200,
        metavar="SECONDS",
        help="the longest that a lecture may take (%(default)s)",
    )

    one = command(
        "reproduce",
        _reproduce,
        "reproduce published figures, or list published against ours",
        "gmnm reproduce rbm-mnist",
    )
    one.add_argument(
        "names", nargs="*", metavar="NAME", help="figures to reproduce; what was recorded when none is named"
    )
    one.add_argument("--list", action="store_true", help="list what was recorded, and what else there is to reproduce")
    one.add_argument("--json", action="store_true", help="print results as JSON")
    one.add_argument(
        "--profile", choices=("cpu", "gpu", "trial"), default="cpu", help="a trial takes seconds and is not recorded"
    )
    one.add_argument("--seed", type=int, default=0, metavar="N", help="of first parameters, batches and draws")
    one.add_argument("--fresh", action="store_true", help="begin again instead of going on")
    one.add_argument(
        "--folder", default="reproductions", metavar="FOLDER", help="where work in progress is kept (%(default)s)"
    )

    one = command("data", _data, "list the data sets, or read some and say what is in them", "gmnm data mnist-5k")
    one.add_argument(
        "names", nargs="*", metavar="NAME", help="a data set to read, and to download where that is needed"
    )

    command("doctor", _doctor, "look at this machine and say what is missing, and the mend", "gmnm doctor")
    return parser


def _add_timeout(parser: argparse.ArgumentParser, seconds: int, what: str = "the longest that a cell may take") -> None:
    parser.add_argument("--timeout", type=_seconds, default=seconds, metavar="SECONDS", help=f"{what} (%(default)s)")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from None
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no sensible number of seconds")
    return seconds


def _lab(options: argparse.Namespace) -> int:
    from gmnm_lib.course.notebooks import course_root

    os.chdir(course_root())
    command = [sys.executable, "-m", "jupyterlab", "--LabApp.default_url=/lab/tree/lectures"]
    command += ["--no-browser"] if options.no_browser else []
    command += [f"--port={options.port}"] if options.port else []
    if os.name == "posix":
        command += ["--allow-root"] if os.geteuid() == 0 else []  # in a container there is often no other user
        os.execv(sys.executable, command)  # JupyterLab takes our place, and every signal reaches it
    import subprocess

    return subprocess.call(command)


def _execute(options: argparse.Namespace) -> int:
    from gmnm_lib.course.notebooks import find_lecture

    paths = [find_lecture(name) for name in options.lectures]
    from gmnm_lib.course.execute import execute

    for path in paths:
        changed = execute(path, timeout=options.timeout)
        print(f"{path}: {'written' if changed else 'unchanged'}")
    return 0


def _release(options: argparse.Namespace) -> int:
    from gmnm_lib.course.notebooks import find_solution
    from gmnm_lib.course.release import release, solutions

    paths = [find_solution(name) for name in options.solutions] or solutions()
    if not paths:
        raise InputError("there is nothing in solutions/: write a solution notebook first")
    for path in paths:
        if not options.quick:
            print(f"{path}: running the solution and the untouched stub ...", file=sys.stderr)
        target, changed = release(path, quick=options.quick)
        print(f"{target}: {'written' if changed else 'unchanged'}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from gmnm_lib.course.check import as_json, check, table

    if sys.stderr.isatty():
        print("running the notebook ...", file=sys.stderr)
    report = check(options.notebook, cell_timeout=options.timeout)
    print(as_json(report) if options.json else table(report))
    return 0 if report.points == report.out_of else 1


def _grade(options: argparse.Namespace) -> int:
    from gmnm_lib.course.grade import grade

    results = grade(
        options.submissions,
        options.out,
        jobs=options.jobs,
        resume=options.resume,
        timeout=options.timeout,
        memory=options.memory,
        sandbox=options.sandbox,
        seed=options.seed,
    )
    human = sum(result.needs_a_human for result in results)
    print(f"{len(results)} graded, {human} for a human: {options.out}/summary.html")
    if options.sandbox == "none":
        print("gmnm: these marks were made without a sandbox, and say so", file=sys.stderr)
    return 0


def _handout(options: argparse.Namespace) -> int:
    from gmnm_lib.course.handout import HandoutsFailed, handout

    given: dict[str, object] = {}
    for name, value in options.p:
        if name in given:
            raise InputError(f"the parameter {name!r} is given twice: keep one -p {name}")
        given[name] = value
    try:
        paths = handout(
            options.lectures,
            to=options.to or ["html"],
            parameters=given,
            profile=options.profile,
            out=options.out,
            timeout=options.timeout,
            lecture_timeout=options.lecture_timeout,
            jobs=options.jobs,
            fresh=options.fresh,
        )
    except HandoutsFailed as error:
        print("\n".join(map(str, error.made)))
        raise
    print("\n".join(map(str, paths)))
    return 0


def _reproduce(options: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from gmnm_lib import reproduce
    from gmnm_lib.reproduce import results

    if options.list and options.names:
        raise InputError("--list takes no names: leave one of them out")
    for name in options.names:
        reproduce.check_name(name)
    if not options.names:
        found = results.recorded()
        missing = [name for name in reproduce.names() if name not in {result["figure"] for result in found}]
        print(json.dumps(found, indent=2, ensure_ascii=False) if options.json else "\n".join(results.lines(found)))
        if missing and not options.json:
            print(f"nothing is recorded yet of {', '.join(missing)}")
        return 0
    made = []
    for name in options.names:
        made.append(
            reproduce.reproduce(
                name, profile=options.profile, seed=options.seed, folder=Path(options.folder), fresh=options.fresh
            )
        )
        if not options.json:
            print("\n".join(results.lines(made[-1:])), flush=True)
    if options.json:
        print(json.dumps(made, indent=2, ensure_ascii=False))
    return 0


def _data(options: argparse.Namespace) -> int:
    from gmnm_lib import data

    for name in options.names:
        if name not in data.names():
            raise InputError(f"there is no data set {name!r}: choose one of {', '.join(data.names())}")
    for name in options.names:
        print(repr(data.load(name)))
    if not options.names:
        for card, where in data.describe():
            print(f"{card.name}: {' + '.join(map(str, card.sizes))} {card.examples}, {where}")
            print(f"    {card.source}\n    Licence: {card.licence}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from gmnm_lib.course.doctor import examine

    findings = examine()
    for finding in findings:
        print(
            f"{'ok  ' if finding.is_well else 'none' if finding.is_optional else 'MEND'}  {finding.what}: {finding.found}"
        )
        if finding.mend:
            print(f"      {finding.mend}")
    return 0 if all(finding.is_well or finding.is_optional for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
