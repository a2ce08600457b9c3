"""The page of `sluice report` in a browser: it draws, complains of nothing, shows the report's figures, and fits a phone, light and dark."""

import html.parser
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from report_support import trace_costly
from tool_support import Tool

browser = shutil.which("chromium") or shutil.which("chromium-headless-shell") or shutil.which("google-chrome")
if browser is None:
    print("there is no Chromium to draw the page: apt-get install --no-install-recommends chromium")
    sys.exit(77)


class Figures(html.parser.HTMLParser):
    """The elements that show a figure, and what else a test asks of the page."""

    def __init__(self):
        super().__init__()
        self.figures = {}
        self.kinds = []
        self.drawn = False
        self.shapes = 0

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if "data-figure" in values:
            self.figures[values["data-figure"]] = float(values["data-value"])
        if "data-kind" in values:
            self.kinds.append(values["data-kind"])
        self.drawn = self.drawn or values.get("data-drawn") == "yes"
        self.shapes += tag in ("rect", "path")


def browse(page, folder, *options):
    ended = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}/browser",
         "--enable-logging=stderr", "--virtual-time-budget=5000", *options, page.as_uri()],
        capture_output=True, text=True, errors="replace", timeout=120, stdin=subprocess.DEVNULL,
    )
    complaints = [line for line in ended.stderr.splitlines() if "CONSOLE" in line or "Uncaught" in line]
    tool.expect(not complaints, f"{options}: {complaints}")
    return ended.stdout


def value_at(report, path):
    at = report
    for word in path.split("."):
        at = at[int(word)] if isinstance(at, list) else at.get(word, 0)
    return at


# Wider than the window only inside panels that scroll by themselves.
FITS = "<script>document.title = document.documentElement.scrollWidth <= document.documentElement.clientWidth ? 'fits' : 'too wide'</script>"

tool = Tool()
with tempfile.TemporaryDirectory() as folder:
    trace = trace_costly(tool, folder)
    report = tool.json("report", "--json", trace)
    page = Path(folder) / "page.html"
    tool.run("report", "--output", page, trace)
    for width in (1280, 390):
        seen = Figures()
        seen.feed(browse(page, folder, "--dump-dom", f"--window-size={width},900"))
        tool.expect(seen.drawn and seen.shapes > 50, f"at {width}: drawn {seen.drawn}, {seen.shapes} shapes")
        tool.expect(len(seen.figures) > 15, f"at {width}: {len(seen.figures)} figures")
        for path, value in seen.figures.items():
            tool.expect(value_at(report, path) == value, f"at {width}: {path} is {value}, and {value_at(report, path)} in the report")
        tool.expect(seen.kinds == [each["kind"] for each in report["findings"]], f"at {width}: {seen.kinds}")
    text = page.read_text()
    page.write_text(text.replace("</body>", FITS + "</body>"))
    for options in ([], ["--force-dark-mode"]):
        dom = browse(page, folder, "--dump-dom", "--window-size=500,900", *options)
        tool.expect("<title>fits</title>" in dom, f"{options}: the page is wider than a small window")

    # Without anything, and with names that are no text.
    empty = {**report, "findings": [], "heat": [], "residency": [], "flows": [], "latency": {}}
    hostile = json.loads(json.dumps(report))
    hostile["program"] = hostile["findings"][0]["range"] = "</script><b>&\u2028"
    start = text.index('id="data">') + len('id="data">')
    end = text.index("</script>", start)
    for document in (empty, hostile):
        page.write_text(text[:start] + json.dumps(document).replace("<", "\\u003c") + text[end:])
        seen = Figures()
        seen.feed(browse(page, folder, "--dump-dom"))
        tool.expect(seen.drawn, "a page of nothing, or of hostile names, is not drawn")
tool.conclude()
