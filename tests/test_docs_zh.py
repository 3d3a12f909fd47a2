"""The Chinese pages say what the English ones say: the same outline, code, numbers, names, tables and links.

What a sentence means no test can read. These find the pages that were forgotten when the English changed.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
ENGLISH_ONLY = {"extend.md", "paper-index.md", "release.md"}
PAGES = [
    "README.md",
    *sorted(f"docs/{p.name}" for p in ROOT.glob("docs/*.md") if p.name not in ENGLISH_ONLY),
    *sorted(f"docs/tutorials/{p.name}" for p in ROOT.glob("docs/tutorials/*.md")),
]

HEADING = re.compile(r"(#{1,6}) (.+)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
NUMBER = re.compile(r"(?<![A-Za-z\d.,])\d+(?:[.,]\d+)*")
COMMENT = re.compile(r"(?:^|\s+)#\s.*$")
OTHER_LANGUAGE = re.compile(r"^\[(?:中文|English)\]\(\S+\)$", re.M)
MEASURED = re.compile(r"<!-- measured:begin -->.*?<!-- measured:end -->", re.S)
TABLES_OF_SENTENCES = "the sentence", "报错原文"
SHARE = 0.6
"""Of the letters of running text so many are Chinese at least; the rest are names."""
CHINESE = re.compile(r"[\u4e00-\u9fff]")
UNTRANSLATED = re.compile(r"(?:\b[A-Za-z][A-Za-z'’-]*[ ,;:.]+){7,}")
HALF_WIDTH = re.compile(r"[\u4e00-\u9fff）”][,;:!?](?=\s|$|[\u4e00-\u9fff])|[\u4e00-\u9fff]\.(?=\s|$)")
NOT_CLOSED = re.compile(r"[。：；，！？]\*\*[^\s*]")
"""CommonMark ends no bold between a mark and a letter: a code host shows the asterisks."""
NOT_SAID = {
    "逐词标注": "序列标注",
    "询问": "查询",
    "稳健": "鲁棒",
    "输入错误的文本": "拼写噪声",
    "另一类文本": "分布外（OOD）文本",
    "词元": "token",
    "检查点汤": "检查点模型汤",
    "做汤": "做模型汤",
    "分折的运行": "K 折训练结果",
    "一次运行": "一个训练结果",
    "的运行": "的训练结果",
    "覆盖率 (level)": "置信水平",
    "作答": "预测",
}
"""Words that no practitioner uses, and the ones they do."""


class Section(NamedTuple):
    """A heading and what stands under it, without blocks of code; paragraphs keep their line ends."""

    level: int
    title: str
    text: str


def twin(page: str) -> str:
    """Return where the translation of an English page lies."""
    return f"docs/zh/{page.removeprefix('docs/')}"


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def divide(text: str) -> tuple[list[Section], list[list[str]]]:
    """Return the sections of a page, and its blocks of code, fenced or indented by four, as lines without comments."""
    # The measured tables are made by a script; a translation links to the page that has them.
    text = MEASURED.sub("[techniques.md](../benchmarks/results/techniques.md)", text)
    lines, blocks, fenced, after_code = [], [], False, False
    for line in OTHER_LANGUAGE.sub("", text).splitlines():
        fence = line.startswith("```")
        if fenced or fence or line.startswith("    "):
            if not after_code:
                blocks.append([])
            blocks[-1].append(COMMENT.sub("", line))
            after_code = True
        elif line.strip():
            lines.append(line)
            after_code = False
        fenced ^= fence
    return list(sections(lines)), blocks


def sections(lines: list[str]) -> Iterator[Section]:
    level, title, body = 0, "", []
    for line in [*lines, "# end"]:
        if found := HEADING.fullmatch(line):
            if level:
                yield Section(level, title, "\n".join([title, *body]))
            level, title, body = len(found[1]), found[2], []
        else:
            body.append(line)


def cells(line: str) -> list[str]:
    """Return the cells of a table's line; a pipe in code or after a backslash divides nothing."""
    hidden = CODE.sub(lambda code: code[0].replace("|", "\0"), line.replace("\\|", "\0"))
    return [cell.strip() for cell in hidden.strip().strip("|").split("|")]


def quoted(section: Section) -> list[str]:
    """Return what the program prints: the last column of each table of refusals."""
    found, inside = [], False
    for line in section.text.splitlines():
        row = cells(line) if line.startswith("|") else [""]
        if row[-1] in TABLES_OF_SENTENCES:
            inside = True
        elif inside := inside and line.startswith("|"):
            found.append(row[-1])
    return found


def prose(section: Section) -> str:
    """Return what a person reads as running text: no code, no targets of links, no comments, no printed sentences."""
    text = section.text
    for sentence in quoted(section):
        text = text.replace(sentence, "")
    return CODE.sub("", re.sub(r"<!--.*?-->", "", LINK.sub("]", text)))


def slug(title: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def targets(section: Section, page: str) -> Counter[tuple[str, int]]:
    """Return where the links of a section lead: a path from the root, and which heading (-1: none of that name)."""
    found: Counter[tuple[str, int]] = Counter()
    for link in LINK.findall(section.text):
        to, _, anchor = link.partition("#")
        path = to if "://" in to else os.path.relpath((ROOT / page).parent / to if to else ROOT / page, ROOT)
        headings = [slug(s.title) for s in divide(read(path))[0]] if anchor and (ROOT / path).exists() else []
        found[path, headings.index(anchor) if anchor in headings else -bool(anchor)] += 1
    return found


# what is compared, section by section


def numbers(section: Section) -> Counter[str]:
    """English writes .05 where Chinese writes 0.05."""
    return Counter(NUMBER.findall(re.sub(r"(?<!\d)\.(?=\d)", "0.", prose(section))))


def code(section: Section) -> Counter[str]:
    return Counter(" ".join(found.split()) for found in CODE.findall(section.text))


def shape(section: Section) -> list[str]:
    """Return one mark per item of a list and per line of a table, the latter with its number of cells."""
    lines = section.text.splitlines()
    return [
        f"row of {len(cells(line))}" if line.startswith("|") else "item"
        for line in lines
        if re.match(r"\|.*\|$|- |\d\. ", line)
    ]


def different_outline(english: str, chinese: str) -> list[str]:
    levels = [[section.level for section in divide(text)[0]] for text in (english, chinese)]
    return [] if levels[0] == levels[1] else [f"levels of the headings {levels[0]} and {levels[1]}"]


def different_blocks(english: str, chinese: str) -> list[str]:
    """Comments may be translated; everything else in a block is the same, line by line."""
    ours, theirs = divide(english)[1], divide(chinese)[1]
    found = [f"{len(ours)} and {len(theirs)} blocks of code"] if len(ours) != len(theirs) else []
    return found + [f"code: {a} and {b}" for one, two in zip(ours, theirs, strict=False) for a, b in pairs(one, two)]


def pairs(one: list[str], two: list[str]) -> list[tuple[str, str]]:
    if len(one) != len(two):
        return [(f"{len(one)} lines", f"{len(two)} lines after {one[0]}")]
    return [(a, b) for a, b in zip(one, two, strict=True) if a != b]


def by_section(english: str, chinese: str) -> Iterator[tuple[Section, Section]]:
    return zip(divide(english)[0], divide(chinese)[0], strict=False)


def different_numbers(english: str, chinese: str) -> list[str]:
    found = []
    for one, two in by_section(english, chinese):
        ours, theirs = numbers(one), numbers(two)
        if ours != theirs:
            found.append(f"'{one.title}': only English {[*ours - theirs]}, only Chinese {[*theirs - ours]}")
    return found


def different_code(english: str, chinese: str) -> list[str]:
    """Every name in code font stands there as often; the Chinese may set more of the English page's words in it."""
    found = []
    for one, two in by_section(english, chinese):
        ours, theirs = code(one), code(two)
        extra = [name for name in theirs - ours if name not in " ".join(one.text.split())]
        if ours - theirs or extra:
            found.append(f"'{one.title}': only English {[*ours - theirs]}, only Chinese {extra}")
    return found


def different_shape(english: str, chinese: str) -> list[str]:
    return [
        f"'{one.title}': items and rows {shape(one)} and {shape(two)}"
        for one, two in by_section(english, chinese)
        if shape(one) != shape(two)
    ]


def different_quotes(english: str, chinese: str) -> list[str]:
    return [
        f"'{one.title}': {a} and {b}"
        for one, two in by_section(english, chinese)
        for a, b in pairs(quoted(one), quoted(two))
    ]


def different_links(english: str, chinese: str, page: str) -> list[str]:
    """Where the English page links to one that is translated, the Chinese page links to the translation."""
    found = []
    for one, two in by_section(english, chinese):
        there = targets(one, page).items()
        ours = Counter({(twin(to) if to in PAGES else to, place): n for (to, place), n in there})
        theirs = targets(two, twin(page))
        if ours != theirs:
            found.append(f"'{one.title}': only English {[*ours - theirs]}, only Chinese {[*theirs - ours]}")
        dead = [to for to, place in theirs if place < 0 or ("://" not in to and not (ROOT / to).exists())]
        found += [f"{to} leads nowhere" for to in dead]
    return found


def not_chinese(chinese: str) -> list[str]:
    """Find sentences left in English, half-width marks in Chinese ones, and a page that is mostly not Chinese."""
    text = "\n".join(prose(section) for section in divide(chinese)[0])
    letters = len(re.findall(r"[A-Za-z]", text))
    characters = len(CHINESE.findall(text))
    found = [f"left in English: {match[0]}" for match in UNTRANSLATED.finditer(text)]
    found += [f"half-width: {text[max(0, m.start() - 10) : m.end() + 5]}" for m in HALF_WIDTH.finditer(text)]
    found += [f"asterisks that a code host shows: {match[0]}" for match in NOT_CLOSED.finditer(text)]
    found += [f"{word} is not said; write {better}" for word, better in NOT_SAID.items() if word in text]
    share = characters / (characters + letters)
    return found + ([f"{share:.0%} of the letters are Chinese"] if share < SHARE else [])


def faults(page: str, english: str, chinese: str) -> list[str]:
    found = [
        different_outline(english, chinese),
        different_blocks(english, chinese),
        different_numbers(english, chinese),
        different_code(english, chinese),
        different_shape(english, chinese),
        different_quotes(english, chinese),
        different_links(english, chinese, page),
        not_chinese(chinese),
    ]
    return [fault for faults in found for fault in faults]


@pytest.mark.parametrize("page", PAGES)
def test_a_translation_says_what_the_page_says(page: str) -> None:
    assert (ROOT / twin(page)).exists(), f"{page} has no translation {twin(page)}"
    found = faults(page, read(page), read(twin(page)))
    assert not found, f"{twin(page)} does not follow {page}:\n" + "\n".join(found)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_and_its_translation_link_to_each_other_at_their_top(page: str) -> None:
    for path, other, name in ((page, twin(page), "中文"), (twin(page), page, "English")):
        link = f"[{name}]({os.path.relpath(other, Path(path).parent)})"
        assert read(path).splitlines()[2] == link, f"the third line of {path} is not {link}"


def test_no_translation_is_left_of_a_page_that_is_gone() -> None:
    assert {str(p.relative_to(ROOT)) for p in ROOT.glob("docs/zh/**/*.md")} == {twin(page) for page in PAGES}


# canaries: each check finds its fault in a doctored page

DOCTORED = {
    "heading of another level": (different_outline, "folds.md", "### 提交什么", "## 提交什么"),
    "heading left out": (different_outline, "folds.md", "### 提交什么", "提交什么"),
    "command": (different_blocks, "folds.md", "--folds 5 --submit", "--folds 4 --submit"),
    "code behind a comment": (different_blocks, "plain-loop.md", "average.update()  # 2", "average.reset()  # 2"),
    "line of output": (different_blocks, "cost.md", "645.1 MiB  645.1 MiB", "645.1 MiB  654.1 MiB"),
    "block left out": (different_blocks, "cost.md", "    plan: 313 steps", "plan: 313 steps"),
    "number": (different_numbers, "cost.md", "一次传到权重的反向传播为 2 个", "一次传到权重的反向传播为 3 个"),
    "number of a table": (different_numbers, "cost.md", "| 10 | 16 |", "| 10 | 61 |"),
    "number left out": (different_numbers, "evaluate.md", "（1,000 次；", "（"),
    "setting": (different_code, "folds.md", "`--group COLUMN`", "`--groups COLUMN`"),
    "name that the page has not": (
        different_code,
        "folds.md",
        "`metrics.json` 最后",
        "`metrics.json` 和 `x.json` 最后",
    ),
    "row left out": (different_shape, "folds.md", "| 只有一折 |", "只有一折 |"),
    "items joined": (different_shape, "plain-loop.md", "\n- 模型由引擎", "模型由引擎"),
    "cell": (different_shape, "tasks.md", "| `head` | 开头 |", "| `head` | 开头 | 开头 |"),
    "quoted sentence": (different_quotes, "folds.md", "got 1; leave it out", "got 1; omit it"),
    "link": (different_links, "folds.md", "(evaluate.md)", "(distributed.md)"),
    "link to the English page": (different_links, "folds.md", "(evaluate.md)", "(../evaluate.md)"),
    "link to another heading": (different_links, "combine.md", "(deploy.md#导出)", "(deploy.md#局限)"),
    "link to no heading": (different_links, "combine.md", "(deploy.md#导出)", "(deploy.md#export)"),
    "link to nothing": (different_links, "folds.md", "(evaluate.md)", "(evaluates.md)"),
    "sentence in English": (
        not_chinese,
        "cost.md",
        "不需要数据：",
        "No data is needed: the texts are random token ids, ",
    ),
    "half-width comma": (not_chinese, "cost.md", "不需要数据：", "不需要数据,"),
    "bold that is not closed": (not_chinese, "try.md", "**先跑最便宜的**。", "**先跑最便宜的。**"),
    "word that nobody says": (not_chinese, "evaluate.md", "序列标注", "逐词标注"),
    "mostly English": (not_chinese, "cost.md", "不需要数据：", "Latin-letters" * 200),
}


@pytest.mark.parametrize("fault", DOCTORED)
def test_the_checks_find_a_doctored_page(fault: str) -> None:
    check, name, old, new = DOCTORED[fault]
    page = f"docs/{name}"
    english, chinese = read(page), read(twin(page))
    assert old in chinese
    find = {
        different_links: lambda text: different_links(english, text, page),
        not_chinese: not_chinese,
    }.get(check, lambda text: check(english, text))
    assert not find(chinese)
    assert find(chinese.replace(old, new, 1))
