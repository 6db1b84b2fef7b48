"""Pages and templates agree: a template reads only fields of its page, and every field is read."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import fields
from functools import cache

import pytest
from jinja2 import nodes

import app
from app.frame.contexts import Frame, PageContext
from app.frame.render import environment

READ_ELSEWHERE = {"template", "section"}  # fields that the frame reads


@cache
def pages() -> tuple[type[PageContext], ...]:
    """Return the contexts of all pages."""
    for module in pkgutil.walk_packages(app.__path__, "app."):
        if module.name != "app.__main__":
            importlib.import_module(module.name)
    return tuple(sorted(_below(PageContext), key=lambda page: page.__qualname__))


def _below(page: type[PageContext]) -> Iterator[type[PageContext]]:
    for one in page.__subclasses__():
        yield one
        yield from _below(one)


def read_of(template: str, name: str) -> set[str]:
    """Return the attributes of ``name`` that a template, its bases and its parts read."""
    made = environment()
    assert made.loader is not None  # for the type checker
    source, _, _ = made.loader.get_source(made, template)
    tree = made.parse(source)
    own = {
        one.attr
        for one in tree.find_all(nodes.Getattr)
        if isinstance(one.node, nodes.Name) and one.node.name == name
    }
    lent = {one for within in tree.find_all(nodes.With) for one in within.find_all(nodes.Include)}
    for one in tree.find_all((nodes.Extends, nodes.Include)):
        if one not in lent and isinstance(one.template, nodes.Const):
            own |= read_of(one.template.value, name)
    return own


def has(page: type, name: str) -> bool:
    return name in {one.name for one in fields(page)} or hasattr(page, name)


def test_every_page_is_found() -> None:
    assert len(pages()) > 20


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.__name__)
def test_a_template_reads_what_its_page_has(page: type[PageContext]) -> None:
    assert {name for name in read_of(page.template, "page") if not has(page, name)} == set()


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.__name__)
def test_a_page_carries_what_its_template_reads(page: type[PageContext]) -> None:
    read = read_of(page.template, "page") | READ_ELSEWHERE
    assert {one.name for one in fields(page)} <= read


def test_the_frame_has_what_templates_read() -> None:
    names = {name for page in pages() for name in read_of(page.template, "frame")}
    assert {name for name in names if not has(Frame, name)} == set()
