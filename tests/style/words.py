"""Find the words that STYLE.md bans. `python tests/style/words.py [ROOM ...]` lists them and counts them per room.

It reads every line of the tracked text files, except those that STYLE.md marks as bad examples.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

BASE = Path(__file__).resolve().parents[2]
SUFFIXES = {".py", ".md", ".html", ".txt", ".typ", ".yml", ".sql", ".js", ".css", ".toml", ".in", ".sh"}

# Pattern -> the way out. A space matches a line break, too.
BANNED = {
    r"whoever|whomever": "name the component or the person",
    r"(?:no|some|any)(?:body| one)|someone|anyone": "name the component or the person",
    r"so many|so much": "give the number or drop it",
    r"told": "say what is logged, shown, returned or sent",
    r"(?:(?-i:What)|(?<=[.,;:(]\x20)what) (?:is|was|are|were)(?![^.?!]*\?)": "name the subject",
    r"anyhow": "drop it",
    r"till": "until",
    r"from where on": "from that point",
    r"in vain|to no avail": "say how it fails",
    r"goodbye|says? hello": "shutdown, disconnect",
    r"speaks?|spoke|spoken": "sends, answers, uses",
    r"learns|learnt|wants": "reads, receives, needs",
    r"knows? (?:nothing|none) of": "say which module it does not import",
    r"asked for patience": "timeout, deadline",
    r"nudge[sd]?|bury|buried|hasten(?:s|ed)?": "message, mark_dead, reschedule",
}

# (file, text of the line, reason): the only uses that may stay.
EXCEPTIONS = [
    ("tests/style/words.py", "", "the list itself"),
    ("tests/unit/test_systemd.py", "Wants=", "a setting of systemd"),
    ("tests/unit/test_style_words.py", "", "the test of the check"),
    ("STYLE.md", "| ", "the left column shows bad examples"),
]

GAP = r"[\s#]+"  # a comment goes on after the next line's hash
ANY = re.compile("|".join(rf"\b({words.replace(' ', GAP)})\b" for words in BANNED), re.IGNORECASE)
INSTEAD = list(BANNED.values())


def files() -> list[str]:
    """The tracked text files and the new ones that git does not ignore."""
    command = ["git", "-C", str(BASE), "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in names if Path(name).suffix in SUFFIXES or Path(name).name in ("Makefile", "Dockerfile")]


def hits(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Line number, whole line, banned word and way out."""
    for hit in ANY.finditer(text):
        line = text[text.rfind("\n", 0, hit.start()) + 1 :].partition("\n")[0]
        yield text.count("\n", 0, hit.start()) + 1, line, " ".join(hit[0].split()), INSTEAD[(hit.lastindex or 1) - 1]


def main(rooms: list[str]) -> int:
    """Print each hit and the counts per room. Returns the exit status: 1 for a banned word or an unused exception."""
    counts: Counter[str] = Counter()
    used: set[int] = set()
    for name in files():
        room = name.partition("/")[0]
        for number, line, word, instead in hits((BASE / name).read_text()) if not rooms or room in rooms else ():
            allowed = {i for i, (file, part, _) in enumerate(EXCEPTIONS) if file == name and part in line}
            used |= allowed
            if not allowed:
                print(f"{name}:{number}: {word!r}: {instead}")
                counts[room] += 1
    stale = [] if rooms else [entry for i, entry in enumerate(EXCEPTIONS) if i not in used]
    for file, part, _ in stale:
        print(f"unused exception: {file}: {part!r}")
    for room, count in counts.most_common():
        print(f"{count:5} {room}")
    return bool(counts or stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
