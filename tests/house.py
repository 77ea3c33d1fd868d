"""Figures of the code, as a reader meets it: `python -m tests.house`.

A code line is one that is no docstring, no comment and not blank. Density counts nodes of the syntax tree a code line;
a long function is one of 15 lines or more. Two places share logic where eight lines in a row are equal but for names
and values, and decide or compute something.
"""

import ast
import io
import itertools
import keyword
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = ("configs", "shards", "trainer", "launch", "benchmarks")
LONG_FUNCTION, COLUMNS, SHARED_LINES = 15, 100, 8
DECIDING = {
    "if",
    "else",
    "for",
    "while",
    "return",
    "yield",
    "with",
    "try",
    "raise",
    "assert",
    "and",
    "or",
    "in",
    "is",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef
Place = tuple[Path, int]
Pair = tuple[Place, Place]


@dataclass
class Figures:
    """Counts over some files."""

    files: int = 0
    code_lines: int = 0
    comments: int = 0
    nodes: int = 0
    wide_lines: int = 0
    assignments: int = 0
    tuple_assignments: int = 0
    nested_comprehensions: int = 0
    long_functions: int = 0
    without_paragraph: list[str] = field(default_factory=list)
    longest_file: tuple[int, str] = (0, "")
    longest_function: tuple[int, str] = (0, "")

    def rows(self) -> Iterator[tuple[str, str]]:
        """What is printed: a name and a value a line."""
        lines, long = max(1, self.code_lines), max(1, self.long_functions)
        yield "files", str(self.files)
        yield "code lines", str(self.code_lines)
        yield "nodes a code line", f"{self.nodes / lines:.1f}"
        yield "comments a hundred code lines", f"{100 * self.comments / lines:.1f}"
        yield f"lines past {COLUMNS} columns", f"{100 * self.wide_lines / lines:.1f} %"
        yield (
            "assignments of several",
            f"{100 * self.tuple_assignments / max(1, self.assignments):.1f} %",
        )
        yield "nested comprehensions", str(self.nested_comprehensions)
        bare = len(self.without_paragraph)
        yield (
            "long functions without a paragraph or comment",
            f"{100 * bare / long:.0f} % ({bare} of {long})",
        )
        yield "longest file", f"{self.longest_file[1]}, {self.longest_file[0]}"
        yield "longest function", f"{self.longest_function[1]}, {self.longest_function[0]}"


def docstrings(tree: ast.AST) -> set[int]:
    """The lines of docstrings, and of other strings that stand for themselves."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def comment_lines(text: str) -> set[int]:
    """Lines with a comment, alone or behind code."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.start[0] for token in tokens if token.type == tokenize.COMMENT}


def look_at(path: Path, figures: Figures) -> None:
    """Count one file in."""
    text = path.read_text()
    tree, lines = ast.parse(text), text.splitlines()
    strings, comments = docstrings(tree), comment_lines(text)
    name = str(path.relative_to(ROOT))

    code = [
        number
        for number, line in enumerate(lines, 1)
        if line.strip() and number not in strings and not line.strip().startswith("#")
    ]
    figures.files += 1
    figures.code_lines += len(code)
    figures.comments += len(comments)
    figures.nodes += sum(1 for _ in ast.walk(tree))
    figures.wide_lines += sum(len(lines[number - 1]) > COLUMNS for number in code)
    figures.longest_file = max(figures.longest_file, (len(lines), name))

    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            figures.assignments += 1
            figures.tuple_assignments += isinstance(node.value, ast.Tuple) and isinstance(
                node.targets[0], ast.Tuple
            )
        elif isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            figures.nested_comprehensions += len(node.generators) > 1
        elif isinstance(node, Function):
            look_at_function(node, lines, strings, comments, name, figures)


def look_at_function(
    node: Function,
    lines: list[str],
    strings: set[int],
    comments: set[int],
    name: str,
    figures: Figures,
) -> None:
    """Count one function in."""
    end = node.end_lineno or node.lineno
    figures.longest_function = max(
        figures.longest_function, (end - node.lineno + 1, f"{name} {node.name}")
    )

    body = [number for number in range(node.body[0].lineno, end + 1) if number not in strings]
    if len(body) < LONG_FUNCTION:
        return
    figures.long_functions += 1
    if not any(number in comments or not lines[number - 1].strip() for number in body):
        figures.without_paragraph.append(f"{name} {node.name}")


def shared(paths: list[Path]) -> list[tuple[str, str]]:
    """Places that share logic, each stretch once, by the first lines of both."""
    seen: dict[tuple[str, ...], list[Place]] = defaultdict(list)
    lines: dict[Path, list[tuple[int, str]]] = {path: list(line_shapes(path)) for path in paths}
    for path, shapes in lines.items():
        for at in range(len(shapes) - SHARED_LINES + 1):
            window = tuple(shape for _, shape in shapes[at : at + SHARED_LINES])
            if sum(map(is_logic, window)) >= SHARED_LINES // 2:
                seen[window].append((path, at))

    starts: set[Pair] = set()
    for places in seen.values():
        starts |= {*itertools.pairwise(places)}

    # Of a stretch of more than eight lines, the first ones.
    firsts = sorted(
        pair for pair in starts if tuple((path, at - 1) for path, at in pair) not in starts
    )
    return [(place(*one, lines), place(*other, lines)) for one, other in firsts]


def place(path: Path, at: int, lines: dict[Path, list[tuple[int, str]]]) -> str:
    """A file and a line of it."""
    return f"{path.relative_to(ROOT)}:{lines[path][at][0]}"


def is_logic(shape: str) -> bool:
    """Whether a line decides or computes something, and does not only name a value."""
    words = shape.split()
    return bool(DECIDING & {*words}) or ("=" in words[1:2] and "(" in words)


def line_shapes(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file, with a mark for each name and value; imports and docstrings left out."""
    text = path.read_text()
    tree = ast.parse(text)
    left_out = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            left_out |= {*range(node.lineno, (node.end_lineno or node.lineno) + 1)}

    rows: dict[int, list[str]] = defaultdict(list)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        number = token.start[0]
        if number in left_out:
            continue
        if token.type == tokenize.NAME:
            rows[number].append(token.string if keyword.iskeyword(token.string) else "name")
        elif token.type in (tokenize.NUMBER, tokenize.STRING):
            rows[number].append("value")
        elif token.type == tokenize.OP:
            rows[number].append(token.string)

    for number in sorted(rows):
        if len(rows[number]) > 1:
            yield number, " ".join(rows[number])


def main() -> None:
    """Print the figures, then what shares logic, then folders by how many modules they have."""
    paths = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    figures = Figures()
    for path in paths:
        look_at(path, figures)
    for name, value in figures.rows():
        print(f"{name:<46}{value}")

    pairs = shared(paths)
    print(f"\nplaces that share {SHARED_LINES} lines of logic: {len(pairs)}")
    for one, other in pairs:
        print(f"  {one}  {other}")

    folders = Counter(
        str(path.parent.relative_to(ROOT)) for path in paths if path.name != "__init__.py"
    )
    print("\nmodules in a folder, the fullest")
    for folder, count in folders.most_common(6):
        print(f"  {folder:<44}{count}")
    if "--functions" in sys.argv:
        print(
            "\nlong functions without a paragraph or comment",
            *figures.without_paragraph,
            sep="\n  ",
        )


if __name__ == "__main__":
    main()
