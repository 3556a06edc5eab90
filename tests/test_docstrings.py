"""What the documentation of the code shows is what it does."""

import ast
import doctest
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import thirtytwo

ROOT = Path(thirtytwo.__file__).parent


def examples() -> Iterator[doctest.DocTest]:
    """The examples of each docstring, found without importing anything; each begins with an empty namespace."""
    for path in sorted(ROOT.rglob("*.py")):
        module = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        for node, name in _documented(ast.parse(path.read_text(encoding="utf-8")), module):
            text = ast.get_docstring(node) or ""
            if ">>>" in text:
                line = node.body[0].lineno - 1
                yield doctest.DocTestParser().get_doctest(text, {}, name, str(path), line)


def _documented(node: ast.AST, name: str) -> Iterator[tuple[ast.Module | ast.ClassDef | ast.FunctionDef, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
        yield node, name
    for child in ast.iter_child_nodes(node):
        yield from _documented(child, f"{name}.{child.name}" if hasattr(child, "name") else name)


EXAMPLES = {example.name: example for example in examples()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_gives_what_it_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.DocTestRunner(optionflags=flags).run(EXAMPLES[name], out=said.append)
    assert result.attempted and not result.failed, "".join(said)


def test_the_package_itself_shows_an_example() -> None:
    assert "thirtytwo" in EXAMPLES


@pytest.mark.parametrize("name", [name for name in thirtytwo.__all__ if not name.startswith("__")])
def test_what_is_public_is_documented_with_an_example(name: str) -> None:
    found = getattr(thirtytwo, name)
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        assert name in {"Augmentation", "GivenData"}, "a type's alias: what it stands for is documented"
        return
    own = found.__doc__ or ""
    assert own.strip() and not own.startswith(f"{name}("), "a dataclass's signature is no documentation"
    assert f"{found.__module__}.{name}" in EXAMPLES
