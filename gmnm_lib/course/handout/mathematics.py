"""TeX to MathML Core, the part of MathML that browsers draw by themselves: no script, no network.

`latex2mathml` parses the TeX. It writes MathML 3, of which Core has dropped attributes that matter to a page
(`mathvariant`, `columnalign`, named spaces), and it leaves what it does not know as text. `mathml` mends the first
and makes an error of the second.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert

from gmnm_lib.errors import InputError

NAMESPACE = "http://www.w3.org/1998/Math/MathML"
LIMITS = set("∑∏∐⋂⋃⨀⨁⨂⋁⋀") | {"max", "min", "sup", "inf", "lim", "Pr", "det", "gcd", "lim sup", "lim inf"}
# Signs that the parser takes for letters.
RELATIONS = {";": ";", ":": ":", "~": "∼"}
SPACES = {"negativethinmathspace": "-0.167em", "negativemediummathspace": "-0.222em"}
SPACES_AROUND = {"/": "0", "…": "0.167em", "⋯": "0.167em"}
CAPITALS = {chr(code) for code in range(0x1D400, 0x1D800) if "CAPITAL" in unicodedata.name(chr(code), "")} | set(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZℒℬℰℱℋℐℳℛ"
)
PARTS = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}
BIG = LIMITS | set("∫∬∮")
BARS = {"|", "‖", "∥"}
# The spacing forms of the accents. Drawn from ASCII they would sit at the height of a letter's middle.
ACCENTS = {"~": "˜", "^": "ˆ", "¯": "¯", "―": "¯", "→": "→", "˙": "˙", "¨": "¨", "ˇ": "ˇ"}
STYLE_NAMES = {
    "bold": "BOLD",
    "italic": "ITALIC",
    "bold-italic": "BOLD ITALIC",
    "double-struck": "DOUBLE-STRUCK",
    "script": "SCRIPT",
    "bold-script": "BOLD SCRIPT",
    "fraktur": "FRAKTUR",
    "sans-serif": "SANS-SERIF",
    "bold-sans-serif": "SANS-SERIF BOLD",
    "monospace": "MONOSPACE",
}
UNICODE_NAMES = {"ϵ": "EPSILON SYMBOL", "ϑ": "THETA SYMBOL", "ϕ": "PHI SYMBOL", "ϱ": "RHO SYMBOL", "ϖ": "PI SYMBOL"}


def mathml(tex: str, *, display: bool = False) -> str:
    r"""One formula, TeX without its dollars, as a `<math>` element.

    `\tag{...}` becomes the equation's number at the right margin. Raises InputError for what can't be converted:
    an unknown command, an unbalanced environment, a stray `&` or `\\`.
    """
    source = tex.strip()
    body, tags = re.subn(r"\\tag\*?\{([^{}]*)\}", "", source)
    number = re.search(r"\\tag\*?\{([^{}]*)\}", source)
    if tags > 1:
        raise InputError(f"the formula {_short(source)} has {tags} tags: give each tagged line a formula of its own.")
    try:
        root = ElementTree.fromstring(convert(_plain_tex(body), display="block" if display else "inline"))
    except Exception as error:  # latex2mathml raises bare Exceptions, KeyError and IndexError as well as its own
        reason = str(error) or type(error).__name__
        raise InputError(f"the formula {_short(source)} can't be converted ({reason}): mend its TeX.") from error
    _strip_namespace(root)
    _mend(root)
    _refuse_leftovers(root, source)
    root.set("xmlns", NAMESPACE)
    text = ElementTree.tostring(root, encoding="unicode")
    if not display:
        return text
    label = f'<span class="number">({number[1]})</span>' if number else ""
    return f'<div class="equation">{text}{label}</div>'


def _plain_tex(tex: str) -> str:
    """The same formula in the dialect that latex2mathml knows."""
    tex = re.sub(r"\\(begin|end)\{(?:aligned|split|gathered|align)\}", r"\\\1{align*}", tex)
    tex = re.sub(r"\\(begin|end)\{(?:equation|displaymath)\*?\}", "", tex)
    tex = re.sub(r"\\operatorname\*\{arg\s*(?:\\[,;! ])?\s*(max|min)\}", r"\\arg\1", tex)
    tex = re.sub(r"\\operatorname\*", r"\\operatorname", tex)
    tex = re.sub(r"\\mathrm\{([A-Za-z])\}", r"\\text{\1}", tex)  # the parser would make it an italic variable
    return re.sub(r"\\(?:nonumber|notag|label\{[^{}]*\})", "", tex)


def _strip_namespace(root: Element) -> None:
    for node in root.iter():
        node.tag = node.tag.split("}")[-1]


def _mend(node: Element) -> None:
    for child in list(node):
        _mend(child)
    _style_letters(node)
    _gather(node)
    if node.tag == "mspace":
        node.set("width", SPACES.get(node.get("width", "0"), node.get("width", "0")))
    elif node.tag == "mtext" and node.text:
        node.text = re.sub(r"\\([_%&#${}])", r"\1", node.text)
    elif node.tag == "mi" and node.text in RELATIONS:
        node.tag, node.text = "mo", RELATIONS[node.text]
    elif node.tag == "mo" and len(node.text or "") > 1 and (node.text or "").replace(" ", "").isalpha():
        if not _is_limit(node):
            node.tag = "mi"  # an <mo> would get the spaces of a relation: diag (x)
    elif node.tag == "mo" and node.text in {"∞", "∅", "ℏ", "ℓ"}:
        node.tag = "mi"
    elif node.tag == "mo" and node.text in SPACES_AROUND:
        node.attrib.update(dict.fromkeys(("lspace", "rspace"), SPACES_AROUND[node.text]))
    elif node.tag == "mo" and node.text in BARS and node.get("form") is None:
        node.attrib.update({"form": "infix", "lspace": "0.08em", "rspace": "0.08em"})
        node.attrib.setdefault("stretchy", "false")
    elif node.tag in {"mover", "munder"}:
        _mend_accent(node)
    elif node.tag in {"msub", "msup", "msubsup"}:
        _mend_scripts(node)
    _join_upright_letters(node)
    _join_bars(node)
    _space_functions(node)
    _bind_signs(node)


def _gather(node: Element) -> None:
    """Gives each construct the number of children that MathML asks of it."""
    scripts = {"msub": 1, "msup": 1, "msubsup": 2}.get(node.tag)
    children = list(node)
    if scripts and len(children) > scripts + 1:  # a matrix in its fences, left loose by the parser
        row = Element("mrow")
        for child in children[:-scripts]:
            node.remove(child)
            row.append(child)
        node.insert(0, row)
    for index, child in enumerate(children):
        if child.tag == "mstyle" and not len(child) and not child.text:  # \textstyle holds until its group ends
            for follower in children[index + 1 :]:
                node.remove(follower)
                child.append(follower)
            break


def _mend_scripts(node: Element) -> None:
    if _is_limit(node[0]):
        node.tag = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}[node.tag]
        node[0].set("movablelimits", "true")
        return
    # Core hangs a script from the ink of its base, TeX from the line: a letter's tail and its accent do not count.
    letter = next((part for part in node[0].iter() if part.tag == "mi"), None)
    if node[0].tag in {"mi", "mover"} and letter is not None and len(letter.text or "") == 1:
        padded = Element("mpadded", depth="0")
        if node[0].tag == "mover":
            padded.set("height", "0.7em" if letter.text in CAPITALS else "0.5em")
        padded.append(node[0])
        node.remove(node[0])
        node.insert(0, padded)


def _style_letters(node: Element) -> None:
    """`mathvariant` as the Unicode letters that Core wants in its place."""
    style = node.attrib.pop("mathvariant", None)
    if style == "normal":
        if node.tag == "mi" and len(node.text or "") == 1:
            node.set("mathvariant", "normal")  # the one value that Core has kept
    elif style is not None and node.text and node.tag == "mtext":
        node.set("class", style)
    elif style is not None and node.text:
        node.text = "".join(_letter(letter, style) for letter in node.text)


def _letter(letter: str, style: str) -> str:
    name = UNICODE_NAMES.get(letter, "") or unicodedata.name(letter, "")
    match = re.fullmatch(r"(?:LATIN|GREEK) (CAPITAL|SMALL) LETTER (?:FINAL )?(\w+)", name)
    if match:
        name = f"{match[1]} {match[2]}"
    elif name.startswith("DIGIT"):
        style = style.replace("-italic", "")  # digits have no italics
    try:
        return unicodedata.lookup(f"MATHEMATICAL {STYLE_NAMES.get(style, '?')} {name}")
    except KeyError:
        return letter


def _is_limit(node: Element) -> bool:
    text = (node.text or "").replace("\u2009", " ").replace("\u2006", " ")
    return node.tag == "mo" and (text in LIMITS or text in {"arg max", "arg min"})


def _mend_accent(node: Element) -> None:
    mark = node[1]
    if mark.tag != "mo" or mark.text not in {*ACCENTS, "⏞", "⏟"}:
        return
    if mark.text in ACCENTS:
        wide = mark.get("stretchy") != "false" and len(list(node[0].iter("mi"))) > 1
        mark.text = ACCENTS[mark.text or ""]
        mark.set("stretchy", "true" if wide else "false")
        if node.tag == "mover":
            node.set("accent", "true")
    else:
        mark.set("stretchy", "true")


def _core(node: Element) -> Element:
    return node[0] if node.tag in {"munder", "mover", "munderover", "msub", "msup", "msubsup"} else node


def _join_bars(node: Element) -> None:
    """q||p is written with two bars and means one sign."""
    for left, right in itertools.pairwise(list(node)):
        if left.tag == right.tag == "mo" and left.text == right.text == "|" and left.get("fence") is None:
            node.remove(left)
            right.text = "‖"
            right.attrib.update({"lspace": "0.2em", "rspace": "0.2em"})


def _bind_signs(node: Element) -> None:
    """A sign after a relation, a fence or a comma belongs to what follows it."""
    before: Element | None = None
    for child in node:
        opens = before is None or (before.tag == "mo" and before.text not in {")", "]", "}", "!", "⊤", "‖", "|", "∥"})
        if child.tag == "mo" and child.text in {"−", "+", "±"} and opens and node.tag != "mover":
            child.attrib.update({"form": "prefix", "lspace": "0", "rspace": "0"})
        elif opens and (core := _core(child)).text in BIG:
            core.set("lspace", "0")  # the sign before it has brought its own
        if child.tag != "mspace" and not (child.tag == "mi" and not child.text):
            before = child


def _join_upright_letters(node: Element) -> None:
    """\\mathrm{KL} is one word, not a product of two letters."""
    if node.tag != "mrow":
        return
    joined: list[Element] = []
    for child in list(node):
        upright = child.tag == "mi" and child.get("mathvariant") == "normal"
        if upright and joined and joined[-1].get("class") == "word":
            joined[-1].text = (joined[-1].text or "") + (child.text or "")
            joined[-1].attrib.pop("mathvariant", None)  # more than one letter: upright already
            node.remove(child)
        else:
            if upright:
                child.set("class", "word")
            joined.append(child)
    for child in node:
        if child.get("class") == "word":
            child.attrib.pop("class")


def _space_functions(node: Element) -> None:
    """The thin space that TeX sets between `log` and its argument, and before it after a factor."""
    if node.tag not in {"math", "mrow", "mtd", "mstyle"}:
        return
    children = list(node)
    for child in children:
        node.remove(child)
    for index, child in enumerate(children):
        if _is_function(child) and index and _is_factor(children[index - 1]):
            node.append(Element("mspace", width="0.167em"))
        node.append(child)
        if _is_function(child) and index + 1 < len(children) and not _opens(children[index + 1]):
            node.append(Element("mspace", width="0.167em"))


def _is_function(node: Element) -> bool:
    core = node[0] if node.tag in {"msub", "msup", "msubsup"} else node
    name = core.text or ""
    return core.tag == "mi" and len(name) > 1 and name.isalpha() and name.islower()


def _is_factor(node: Element) -> bool:
    return node.tag in {"mi", "mn", "mfrac", "msub", "msup", "msubsup", "mover"} and not _is_function(node)


def _opens(node: Element) -> bool:
    first = next((part for part in node.iter() if part.tag not in {"mrow", "mstyle"}), node)
    return first.tag in {"mo", "mspace"} and node.tag not in {"munder", "munderover"}


def _refuse_leftovers(root: Element, source: str) -> None:
    for node in root.iter():
        if len(node) != PARTS.get(node.tag, len(node)):
            raise InputError(f"the formula {_short(source)} lacks an argument of a fraction, root or script: add it.")
        text = node.text or ""
        if "\\" in text or node.get("linebreak") == "newline" or (text == "&" and r"\&" not in source):
            what = text.strip() if "\\" in text else "a line break or & outside an environment"
            raise InputError(
                f"the formula {_short(source)} holds {what}, which has no MathML: write it with standard TeX commands."
            )


def _short(tex: str) -> str:
    one_line = " ".join(tex.split())
    return one_line if len(one_line) <= 80 else one_line[:77] + "..."
