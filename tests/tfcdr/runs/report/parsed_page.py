"""What a browser makes of a page."""

import html.parser


class Page(html.parser.HTMLParser):
    """A page's elements by name, its texts, what it loads, and cells (text, rowspan) by row."""

    def __init__(self, text):
        super().__init__()
        self.names, self.texts, self.loads, self.rows, self._in_cell = [], [], [], [], False
        self._marked, self.marks = False, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        attributes = dict(attrs)
        self.loads += [attributes[name] for name in ("src",) if name in attributes]
        self.loads += [
            value for name, value in attrs if name.endswith("href") and not value.startswith("#")
        ]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self._in_cell = True
            self.rows[-1].append(["", int(attributes.get("rowspan", 1))])
        elif tag == "br":
            self.rows[-1][-1][0] += "\n"
        elif tag == "mark":
            self._marked = True

    def handle_endtag(self, tag):
        self._in_cell = self._in_cell and tag not in ("td", "th")
        self._marked = self._marked and tag != "mark"

    def handle_data(self, data):
        self.texts.append(data)
        if self._in_cell:
            self.rows[-1][-1][0] += data
        if self._marked:
            self.marks.append(data)
