"""HTML of answers: what the report, the page and notebooks are put together from.

Where is what
-------------
`content.py`
    Plain records that templates show: `Tile`, `Bar`, `DataTable`, `Picture`, `Section`. A name and its text is a
    `wsesim.report.parts.Fact`, and the words of an answer come from `wsesim.report.facts`, as in the terminal.
`answer.py`
    ``answer(result) -> Answer``: the large figures, the bottleneck in a sentence, what it ran on, notes.
`sections.py`
    ``breakdown``, ``utilization``, ``memory``, ``scaling``, ``totals``, ``assumptions``, ``notes``: each takes results and
    returns a `Section`.
`pictures.py`
    ``picture(name, title, summary, chart, table) -> Picture``: a chart with its data as a table; ``themes()``, the
    configurations that go into a document once (macro ``themes``).
`environment.py`
    ``environment(*folders)``: Jinja2 with autoescape that finds the templates here, and those in `folders`;
    ``render(template, **values)``; ``style()`` and ``script()``, the text of `style.css` and `charts.js`.
`templates/macros.html`
    ``answer(a)``, ``tiles(tiles)``, ``facts(facts)``, ``bars(bars, caption)``, ``table(table)``, ``figure(picture)``,
    ``notes(texts)``, ``section(section)``, ``themes(themes)``. Classes of CSS begin with ``ws-``.
`templates/style.css`
    Colours of both themes as custom properties on ``:root``, and the look of all macros.
`templates/charts.js`
    Draws each ``.ws-chart`` when it comes into view, and again when light changes to dark; ``wsesimCharts.draw(root)``
    does so for HTML that arrives later. Needs the bundle of `wsesim.report.charts.render.javascript`.
"""
