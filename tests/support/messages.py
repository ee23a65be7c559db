"""Messages of exceptions that reach the command line as ``error: ...``: those of the code, and of the page of messages.

``python tests/support/messages.py`` prints what one of both lacks.
"""

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from d2sfm.text import counted

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
ENDING = {"ArgumentTypeError", "FileNotFoundError", "OSError", "RuntimeError", "ValueError"}


def of_page() -> list[str]:
    """Those that are listed, one in each line that is a bullet of code."""
    return re.findall(r"^- `(.+)`$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def of_code() -> dict[str, str]:
    """The module that has each message, in which ``...`` stands for what differs from run to run."""
    trees = {
        path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for package in ("d2sfm", "megadepth_utils")
        for path in sorted((ROOT / package).rglob("*.py"))
    }
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    ending, constants = _ending(nodes), _constants(nodes)
    found: dict[str, str] = {}
    for path, tree in trees.items():
        functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and call.args and _ends(call, path, ending):
                texts = list(filter(_says_something, _texts(call.args[-1], constants, functions)))
                text = call.args[-1]  # str(error): that of an exception that is made elsewhere
                passed_on = isinstance(text, ast.Call) and _name(text.func) == "str"
                for text in texts or (() if passed_on else _of_tables(tree, constants)):
                    found.setdefault(text, path)
    return found


def _ends(call: ast.Call, path: str, ending: set[str]) -> bool:
    """Whether it makes an exception that ends a run, or ends one as a parser of arguments does."""
    return _name(call.func) in ending or (_name(call.func) == "error" and path == "d2sfm/parser.py")


def _ending(nodes: list[ast.AST]) -> set[str]:
    """Names of the exceptions, those of the code among them."""
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    names = set(ENDING)
    while more := {each.name for each in classes if names & set(map(_name, each.bases))} - names:
        names |= more
    return names


def _constants(nodes: list[ast.AST]) -> dict[str, ast.expr]:
    """Values of names in capitals."""
    assigned = [node for node in nodes if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    return {node.targets[0].id: node.value for node in assigned if node.targets[0].id.isupper()}


def _texts(node: ast.expr, constants: dict[str, ast.expr], functions: dict[str, ast.FunctionDef]) -> Iterator[str]:
    """What an expression may say: by each branch, a constant, or what a function of the module puts together."""
    match node:
        case ast.IfExp():
            yield from chain.from_iterable(_texts(each, constants, functions) for each in (node.body, node.orelse))
        case ast.Name() if isinstance(constants.get(node.id), ast.Constant):
            yield _text(constants[node.id])
        case ast.Call() if _name(node.func) in functions:
            inside = ast.walk(functions[_name(node.func)])
            values = [each.value for each in inside if isinstance(each, ast.Return | ast.Assign) and each.value]
            yield from chain.from_iterable(_texts(each, constants, functions) for each in values)
        case _:
            yield re.sub(r"\.{3,}", "...", _text(node))


def _of_tables(tree: ast.Module, constants: dict[str, ast.expr]) -> Iterator[str]:
    """What a module says by its tables of words, to follow the name of a file."""
    for table in tree.body:
        if isinstance(table, ast.Assign) and isinstance(table.value, ast.Dict):
            given = (each.args[-1] if isinstance(each, ast.Call) else each for each in table.value.values)
            words = (constants.get(_name(each), each) for each in given)
            yield from (f"... {text}" for text in map(_text, words) if _says_something(text))


def _text(node: ast.expr) -> str:
    match node:
        case ast.Constant():
            return " ".join(str(node.value).split())
        case ast.JoinedStr():
            return "".join(each.value if isinstance(each, ast.Constant) else _text(each) for each in node.values)
        case ast.FormattedValue(value=ast.Call(func=ast.Name("counted"), args=[_, ast.Constant(str(noun))])):
            return counted(0, noun).replace("0", "...")
        case ast.BinOp(op=ast.Add()):
            return _text(node.left) + _text(node.right)
    return "..."


def _says_something(text: str) -> bool:
    """Not of what others say alone, as "..., line ...: ..."."""
    return text.startswith("no ...") or len(re.findall("[a-z]{2,}", text)) > 1


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


if __name__ == "__main__":
    code, page = of_code(), of_page() if PAGE.exists() else []
    for text, path in code.items():
        if text not in page:
            print(f"not on the page: {path}: {text}")
    for text in page:
        if text not in code:
            print(f"not in the code: {text}")
