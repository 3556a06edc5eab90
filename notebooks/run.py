"""Run a notebook and keep its outputs: ``python notebooks/run.py 001 DATA=path/to/cifar10 EPOCHS=3``.

The notebook is chosen by the beginning of its name. The settings replace those in its cell tagged ``parameters``, whose
source stays as it is; the given settings, except paths and other text, are recorded in the notebook's metadata. Runs
and studies are made in the current folder. Outputs of cells tagged ``pictures``, which show a data set's pictures, are
not kept. Nothing else is removed: if any output contains an absolute path, nothing is written.
"""

import ast
import re
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
ABSOLUTE = re.compile(r"(?<![\w./:<~+])/(?:[\w.@+-]+/)+[\w.@+-]*|\b[A-Za-z]:\\\\?[\w.]+")
"""An absolute path of two or more parts; not a URL, a relative path or a closing tag."""
EMBEDDED = re.compile(r"data:[\w/+.-]+;base64,[\w/+=]+")


def execute(path: Path, settings: dict[str, Any], folder: Path) -> NotebookNode:
    """The notebook at ``path``, run in ``folder`` with ``settings`` in place of its own: with all outputs.

    Raises SystemExit for a setting that it does not have, CellExecutionError for a cell that fails.
    """
    notebook = nbformat.read(path, as_version=4)
    metadata = notebook.metadata.copy()
    cell = next(cell for cell in notebook.cells if "parameters" in tags(cell))
    source = cell.source
    known = [target.id for line in ast.parse(source).body for target in line.targets]
    if unknown := settings.keys() - set(known):
        sys.exit(f"{path.name}: no setting {', '.join(sorted(unknown))}: it has {', '.join(known)}")
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in settings.items())
    client = NotebookClient(notebook, timeout=None, record_timing=False, resources={"metadata": {"path": str(folder)}})
    client.execute()
    cell.source, notebook.metadata = source, metadata
    return notebook


def tags(cell: NotebookNode) -> list[str]:
    """A cell's tags."""
    return cell.metadata.get("tags", [])


def without_pictures(notebook: NotebookNode) -> NotebookNode:
    """The notebook with the cells tagged ``pictures`` as if they had not been run."""
    for cell in notebook.cells:
        if "pictures" in tags(cell):
            cell.outputs, cell.execution_count = [], None
    return notebook


def without_images(notebook: NotebookNode) -> NotebookNode:
    """The notebook without the encoded images of its outputs, in which any word may occur by chance."""
    bare = deepcopy(notebook)
    for output in (output for cell in bare.cells for output in cell.get("outputs", [])):
        for kind, value in list(output.get("data", {}).items()):
            output.data[kind] = "" if kind.startswith("image/") else EMBEDDED.sub("", str(value))
    return bare


def absolute_paths(notebook: NotebookNode) -> list[str]:
    """The absolute paths in the text of all outputs."""
    outputs = [output for cell in without_images(notebook).cells for output in cell.get("outputs", [])]
    texts = [text for output in outputs for text in (output.get("text", ""), *output.get("data", {}).values())]
    return [found for text in texts for found in ABSOLUTE.findall(text)]


def main(name: str, *words: str) -> None:
    """Run the notebook whose name begins with ``name`` with ``KEY=VALUE`` words, and write its outputs into it."""
    paths = [path for path in sorted(FOLDER.glob("*.ipynb")) if path.name.startswith(name)]
    if len(paths) != 1:
        sys.exit(f"'{name}' begins the name of {len(paths)} notebooks: expected one, as in 001")
    settings = {key: _value(text) for key, _, text in (word.partition("=") for word in words)}
    notebook = without_pictures(execute(paths[0], settings, Path.cwd()))
    if found := absolute_paths(notebook):
        sys.exit(f"{paths[0].name}: not written, its outputs hold absolute paths: {', '.join(sorted(set(found)))}")
    notebook.metadata["settings"] = {key: value for key, value in settings.items() if not isinstance(value, str)}
    nbformat.write(notebook, paths[0])


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
