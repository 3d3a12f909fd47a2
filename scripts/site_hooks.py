"""For mkdocs.yml: the repository's own pages as a site in two languages, without a copy of any of them.

The README is the home page. What a page links to outside docs/ (benchmarks, examples) is put into the site under
repository/, so that every link holds. The Chinese pages have their own navigation and theme language. The header leads
from a page to its translation.
"""

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.nav import Link, Navigation, Section
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
HOME, OTHERS = "README.md", "repository/"
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
FENCED = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.M | re.S)
CHINESE, ENGLISH_ONLY = "中文", {"技术卡片（英文）": "techniques/", "API 参考（英文）": "reference/"}
_chinese: list[Navigation] = []


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README and, transitively, everything outside docs/ that a page links to."""
    waiting = [HOME, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    while waiting:
        path = waiting.pop()
        if files.get_file_from_path(_in_site(path)) is None:
            files.append(_generated(path, config))
        elif path != HOME and not path.startswith("docs/"):
            continue
        if path.endswith(".md"):
            linked = (_path_of(path, link[2]) for link in LINK.finditer(FENCED.sub("", _read(path))))
            waiting += [there for there in linked if there and files.get_file_from_path(_in_site(there)) is None]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let each link lead to where its file is in the site; the links between languages are in the header."""
    uri = page.file.src_uri
    path = HOME if uri == HOME else uri.removeprefix(OTHERS) if uri.startswith(OTHERS) else f"docs/{uri}"
    markdown = re.sub(r"^\[(?:中文|English)\]\(\S+\)\n", "", markdown, count=1, flags=re.M)
    parts = FENCED.split(markdown)
    return "".join(part if i % 2 else LINK.sub(lambda m: _relinked(m, path), part) for i, part in enumerate(parts))


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    """Divide the navigation by language."""
    (chinese,) = (item for item in nav.items if isinstance(item, Section) and item.title == CHINESE)
    english = [item for item in nav.items if item is not chinese]
    for item in chinese.children:
        item.parent = None
    parts = []
    for items in (english, [*chinese.children, *(Link(title, url) for title, url in ENGLISH_ONLY.items())]):
        pages = [page for page in nav.pages if (page.file.src_uri.startswith("zh/")) is (items is not english)]
        pages[0].previous_page = pages[-1].next_page = None
        part = Navigation(items, pages)
        part.homepage = pages[0]
        parts.append(part)
    _chinese[:] = [parts[1]]
    return parts[0]


def on_page_context(context: dict[str, Any], page: Page, config: MkDocsConfig, nav: Navigation) -> dict[str, Any]:
    """Set the page's language, its navigation, and where the other language is."""
    uri = page.file.src_uri
    chinese = uri.startswith("zh/")
    config.theme["language"] = "zh" if chinese else "en"
    if chinese:
        context["nav"] = _chinese[0]
    if uri in (HOME, f"zh/{HOME}"):
        page.meta["hide"] = ["navigation"]  # one page needs no list of pages beside it
    urls = {p.file.src_uri: p.url for p in (*nav.pages, *_chinese[0].pages)}
    english, translated = (uri.removeprefix("zh/"), uri) if chinese else (uri, f"zh/{uri}")
    config.extra["alternate"] = [
        {"name": name, "lang": lang, "link": urls.get(there, urls[home])}
        for name, lang, there, home in (("English", "en", english, HOME), (CHINESE, "zh", translated, "zh/README.md"))
    ]
    return context


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _in_site(path: str) -> str:
    """Return the place in the site of a file of the repository; programs are shown on pages."""
    if path == HOME:
        return HOME
    there = path.removeprefix("docs/") if path.startswith("docs/") else OTHERS + path
    return f"{there}.md" if there.endswith(".py") or Path(there).name == "LICENSE" else there


def _path_of(page: str, link: str) -> str | None:
    """Return the file of the repository that a link of a page leads to; of a folder its README."""
    target = link.partition("#")[0]
    if "://" in link or not target:
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
    path = f"{path}/{HOME}" if (ROOT / path).is_dir() else path
    return path if (ROOT / path).is_file() else None


def _relinked(link: re.Match[str], page: str) -> str:
    """Return a link as it is between two places in the site; one that leads nowhere stays, and fails the build."""
    path = _path_of(page, link[2])
    if path is None:
        return link[0]
    _, mark, anchor = link[2].partition("#")
    there = os.path.relpath(_in_site(path), posixpath.dirname(_in_site(page)) or ".")
    return f"{link[1]}{there}{mark}{anchor}{link[3]}"


def _generated(path: str, config: MkDocsConfig) -> File:
    """Return a file of the repository as one of the site."""
    content: str | bytes = (ROOT / path).read_bytes()
    if path.endswith(".md"):
        content = _read(path)
    elif _in_site(path).endswith(".md"):
        kind = "python" if path.endswith(".py") else "text"
        content = f"# {Path(path).name}\n\n```{kind}\n{_read(path)}```\n"
    shown = InclusionLevel.INCLUDED if path == HOME else InclusionLevel.NOT_IN_NAV
    return File.generated(config, _in_site(path), content=content, inclusion=shown)
