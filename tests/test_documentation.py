"""The documentation: links lead somewhere, and command lines name commands and options that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from petlesion.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
LINK = re.compile(r'\]\(([^)\s]+)\)|src="([^"]+)"')
BENCHMARK = re.compile(r"benchmarks/(\w+)\.py([^`#|\n]*)")
COMMAND = re.compile(r"(?:^ {4}|`)(?:\w+=\S+ )*petlesion (\w+)([^`#|\n]*)", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Names that headings get on GitHub."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        target = match[1] or match[2]
        name, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = (page.parent / name) if name else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def commands() -> dict[str, Any]:
    """Commands by name; that of versions is a group of its own."""
    return dict(vars(typer.main.get_command(app))["commands"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_command_lines_name_options_that_exist(page: Path) -> None:
    for name, rest in COMMAND.findall(page.read_text(encoding="utf-8")):
        assert name in commands(), name
        command = commands()[name]
        for word in rest.split()[:1] if name == "model" else ():
            assert set(word.split("|")) <= set(command.commands), rest
            command = command.commands[word.split("|")[-1]]
        known = {"--help", *(option for parameter in command.params for option in parameter.opts)}
        for option in re.findall(r"(?<!\S)--?[a-z][\w-]*", rest):
            assert option in known, f"{name} {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_benchmarks_have_the_options_that_pages_give_them(page: Path) -> None:
    for name, rest in BENCHMARK.findall(page.read_text(encoding="utf-8")):
        known = set(re.findall(r'"(--?[a-z][\w-]*)"', (ROOT / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")))
        assert set(re.findall(r"(?<!\S)--?[a-z][\w-]*", rest)) <= known, f"{name}{rest}"


def test_every_command_is_on_some_page() -> None:
    assert {name for page in PAGES for name, _ in COMMAND.findall(page.read_text(encoding="utf-8"))} == set(commands())
