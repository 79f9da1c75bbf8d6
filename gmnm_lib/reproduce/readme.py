"""The README's tables of speeds and of published figures beside ours, made of the recorded results.

python -m gmnm_lib.reproduce.readme        renews them
"""

from pathlib import Path

from gmnm_lib.errors import InputError
from gmnm_lib.files import write_atomically
from gmnm_lib.reproduce import results

README = Path(__file__).resolve().parents[2] / "README.md"


def renewed(text: str, folder: Path = results.FOLDER) -> str:
    """The README's text with its tables renewed between their marks. InputError where a mark is missing."""
    text = _replaced(text, "speeds", results.speeds_markdown(results.recorded(folder, "speed")))
    return _replaced(text, "reproductions", results.markdown(results.recorded(folder)))


def _replaced(text: str, name: str, table: str) -> str:
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise InputError(f"the README has no place for the table of {name}: put {begin} and {end} where it belongs")
    return f"{before}{begin}\n{table}\n{end}{after}"


if __name__ == "__main__":
    write_atomically(renewed(README.read_text(encoding="utf-8")), README)
