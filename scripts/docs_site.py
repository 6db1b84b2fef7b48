"""MkDocs hook that adds pages from outside `docs/`; mkdocs.yml names it.

The reference has a page for each public module of ``glitch`` and of the Python client, made from
their docstrings without importing them. The changelog, the guide for contributors and the outputs
of the benchmarks are outside `docs/` and are copied into the site.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from glitch_discovery.version import VERSION

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = "reference"
_ROOT_PAGES = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
_EVIDENCE = "benchmarks/results"
_OUTWARD_LINK = re.compile(r"\]\((?:\.\./)+([A-Za-z_]+(?:/[^)#]+)?(?:\.\w+)?)(?=[)#])")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the version to the footer, and the decisions and the reference to the navigation."""
    config.copyright = f"Version {VERSION}. {config.copyright}"
    records = sorted(path.name for path in (ROOT / "docs/decisions").glob("0*.md"))
    config.nav.append({"Decisions": [f"decisions/{name}" for name in records]})
    config.nav.append({"Reference": [{name: _reference_page(name)} for name in _modules()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for name in _modules():
        text = f"# {name}\n\n::: {name}\n"
        files.append(File.generated(config, _reference_page(name), content=text))
    for page, source in _ROOT_PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    notebook = (ROOT / "docs/tutorial.ipynb").read_text(encoding="utf-8")
    files.append(File.generated(config, "tutorial.md", content=notebook_as_page(notebook)))
    for path in sorted((ROOT / _EVIDENCE).glob("*.txt")):
        files.append(File.generated(config, f"{_EVIDENCE}/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Rewrite links out of `docs/` to the copies of their targets in the site."""
    folder = posixpath.dirname(page.file.src_uri)
    pages = {source: name for name, source in _ROOT_PAGES.items()} | {"README.md": "index.md"}
    sources = {f"{name.replace('.', '/')}.py": _reference_page(name) for name in _modules()}

    def led(match: re.Match[str]) -> str:
        outside = match[1]
        target = (pages | sources).get(outside)
        if target is None and not outside.startswith(_EVIDENCE):
            return match[0]  # a link to another page of the site
        return f"]({posixpath.relpath(target or outside, folder or '.')}"

    return _OUTWARD_LINK.sub(led, markdown)


def notebook_as_page(notebook: str) -> str:
    """Convert an executed notebook to Markdown, with the output of its cells."""
    parts = []
    for cell in json.loads(notebook)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            text = output.get("text") or data.get("text/plain", "")
            if "image/png" in data:
                picture = "".join(data["image/png"]).replace("\n", "")
                parts.append(f"![What the cell draws](data:image/png;base64,{picture})")
            elif text:
                parts.append(f"```text\n{''.join(text).rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def _modules() -> list[str]:
    """Return the names of the public modules, each package before its contents."""
    return [name for package in ("glitch_discovery", "glitch") for name in _modules_in(package)]


def _modules_in(package: str) -> Iterator[str]:
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        if not any(part.startswith("_") for part in name.split(".")):
            yield name


def _reference_page(module: str) -> str:
    return f"{REFERENCE}/{module}.md"
