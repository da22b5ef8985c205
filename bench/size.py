"""Measures the project's size; prints lines, state changes, import circles, words: `python -m bench.size [REVISION]`.

With a git revision, it also prints the rooms' lines at that revision. Lines are those of Python files,
docstrings and comments included, migrations excluded.
"""

import ast
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

BASE = Path(__file__).resolve().parents[1]
LEDGER = BASE / "backroom" / "ledger"
GENERATED = "crash-matrix.md", "benchmarks.md"
CHANGING = "transitions", "operations", "rescue"  # the modules whose public functions change a job's state
WRITE = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM)\s+backroom_job\b")


def main(revision: str | None) -> None:
    now, then = room_lines(BASE), lines_at(revision) if revision else Counter()
    writers, circular = state_changes(), import_circles()
    print(f"{now['backroom/ledger']:6,} lines in backroom/ledger")
    print(f"{len(writers):6,} functions that change a job's state: {', '.join(writers)}")
    print(f"{len(circular):6,} import circles", *circular, sep="\n       ")
    print(f"{words():6,} words in README.md and docs/, without the generated ones\n")
    print(f"lines{'now':>19}{revision or '':>12}")
    for room in sorted({*now, *then}):
        print(f"{room:18}{now[room]:6,}" + (f"{then[room]:12,}" if revision else ""))


def room_lines(base: Path) -> Counter[str]:
    """Lines for each room, for each room inside `backroom/`, and in total without the tests."""
    lines: Counter[str] = Counter()
    for path in base.rglob("*.py"):
        folders = path.relative_to(base).parts[:-1]
        if any(folder == "migrations" or folder.startswith(".") for folder in folders) or folders[:1] == ("var",):
            continue
        rooms = {folders[0], "/".join(folders[:2])} if folders[:1] == ("backroom",) else {*folders[:1]} or {"."}
        total = () if folders[:1] == ("tests",) else ("TOTAL, no tests",)
        lines.update(dict.fromkeys([*rooms, *total], len(path.read_text().splitlines())))
    return lines


def lines_at(revision: str) -> Counter[str]:
    """room_lines() at a git revision. Exits with git's status for an unknown one."""
    archive = subprocess.run(["git", "-C", BASE, "archive", revision], stdout=subprocess.PIPE)
    if archive.returncode:
        raise SystemExit(archive.returncode)
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
        return room_lines(Path(folder))


def state_changes() -> list[str]:
    """The public functions whose SQL, or that of the private functions and constants they use, writes jobs."""
    trees = {path.stem: ast.parse(path.read_text()) for path in LEDGER.glob("*.py")}
    nodes = [node for tree in trees.values() for node in tree.body]
    parts: dict[str, ast.AST] = {ast.unparse(node.targets[0]): node for node in nodes if isinstance(node, ast.Assign)}
    parts |= {node.name: node for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("_")}

    def writes(node: ast.AST, seen: frozenset[str] = frozenset()) -> bool:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Constant) and WRITE.search(str(inner.value)):
                return True
            name = getattr(inner, "id", None) or getattr(inner, "attr", "")
            if name in parts and name not in seen and writes(parts[name], seen | {name}):
                return True
        return False

    functions = [node for module in CHANGING for node in trees[module].body if isinstance(node, ast.FunctionDef)]
    return [function.name for function in functions if not function.name.startswith("_") and writes(function)]


def import_circles() -> list[str]:
    """Circles of modules, and of rooms, which may form one although their modules don't."""
    packages = tomllib.loads((BASE / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
    graph = grimp.build_graph(*packages, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    rooms: dict[str, set[str]] = {}
    for module, imported in imports.items():
        rooms.setdefault(room(module), set()).update({room(name) for name in imported} - {room(module)})
    return [*circles(imports), *circles(rooms)]


def room(module: str) -> str:
    return ".".join(module.split(".")[: 2 if module.startswith("backroom.") else 1])


def circles(graph: dict[str, set[str]]) -> list[str]:
    found, imports = [], {importer: sorted(imported) for importer, imported in sorted(graph.items())}
    while True:
        try:
            TopologicalSorter(imports).prepare()
        except CycleError as error:
            imported, importer = error.args[1][:2]
            imports[importer].remove(imported)  # find the next circle without this import
            found.append(" <- ".join(error.args[1]))
        else:
            return found


def words() -> int:
    documents = [BASE / "README.md", *(BASE / "docs").rglob("*.md")]
    return sum(len(path.read_text().split()) for path in documents if path.name not in GENERATED)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
