"""Rules that every report keeps, as a check of its HTML that needs no browser."""

from html.parser import HTMLParser

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Reader(HTMLParser):
    """Reads a page and collects what breaks a rule."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.refs, self.found = [], [], set(), []
        self.levels, self.heads, self.words = [], [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        for name in ("aria-labelledby", "aria-describedby"):
            self.refs |= set(values.get(name, "").split())
        target = values.get("href") or values.get("xlink:href") or values.get("src") or ""
        if target.startswith("#"):
            self.refs.add(target[1:])
        elif target:
            self.found.append(f"{tag} leads away to {target}")
        self._rules(tag, values)

    def _rules(self, tag, values):
        if tag in ("script", "iframe", "b", "i"):
            self.found.append(f"<{tag}> came from a text")
        if tag == "html" and not values.get("lang"):
            self.found.append("no language")
        if tag == "th" and values.get("scope") not in ("row", "col"):
            self.found.append("a header cell without scope")
        if tag == "svg" and not (values.get("role") == "img" and values.get("aria-labelledby")):
            self.found.append("a figure without a name")
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.levels.append(int(tag[1]))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.found.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        self.words.append(data)


def problems(html):
    """Return what is wrong with a page, in words."""
    reader = Reader()
    reader.feed(html)
    found = list(reader.found)
    found += [f"open at the end: {reader.open}"] * bool(reader.open)
    found += [f"twice: {one}" for one in set(reader.ids) if reader.ids.count(one) > 1]
    found += [f"no element {one}" for one in reader.refs - set(reader.ids)]
    if reader.levels[:1] != [1] or reader.levels.count(1) != 1:
        found.append("not exactly one h1, first")
    found += [f"h{b} after h{a}" for a, b in zip(reader.levels, reader.levels[1:], strict=False) if b > a + 1]
    found += [
        f"a colour of the drawing is left: {one}"
        for one in ("#1f2328", "#0b62a8;")
        if f'="fill: {one}' in html or f"stroke: {one}" in html
    ]
    return found


def words(html):
    """Return the text of a page."""
    reader = Reader()
    reader.feed(html)
    return " ".join(" ".join(reader.words).split())
