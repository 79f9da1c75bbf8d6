"""The README's table of published figures and ours, made of the recorded results.

python -m gmnm_lib.reproduce.readme        renews it
"""

from pathlib import Path

from gmnm_lib.errors import InputError
from gmnm_lib.files import write_atomically
from gmnm_lib.reproduce import results

README = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- reproductions -->", "<!-- end of reproductions -->"


def renewed(text: str, folder: Path = results.FOLDER) -> str:
    """The README's text with its table renewed between the two marks. InputError where they are missing."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise InputError(f"the README has no place for the table: put {BEGIN} and {END} where it belongs")
    return f"{before}{BEGIN}\n{results.markdown(results.recorded(folder))}\n{END}{after}"


if __name__ == "__main__":
    write_atomically(renewed(README.read_text(encoding="utf-8")), README)
