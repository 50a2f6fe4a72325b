"""HTML of answers: what the report, the page and notebooks are put together from.

Where is what
-------------
`content.py`
    Plain records that templates show: `Tile`, `Bar`, `DataTable`, `Figure`, `Section`. A name and its text is a
    `wsesim.report.pages.parts.Fact`, and the words of an answer come from `wsesim.report.pages.facts`, as in the terminal.
`answer.py`
    ``answer(result) -> Answer``: the large figures, the bottleneck in a sentence, what it ran on, notes.
`sections.py`
    ``breakdown``, ``utilization``, ``memory``, ``scaling``, ``totals``, ``assumptions``, ``notes``: each takes results and
    returns a `Section`.
`environment.py`
    ``environment(*folders)``: Jinja2 with autoescape that finds the templates here, and those in `folders`;
    ``render(template, **values)``; ``style()``, the text of `style.css`. Filter ``picture | element(name)``.
`templates/macros.html`
    ``answer(a)``, ``tiles(tiles)``, ``facts(facts)``, ``bars(bars, caption)``, ``table(table)``, ``figure(figure)``,
    ``notes(texts)``, ``section(section)``. Classes of CSS begin with ``ws-``.
`templates/style.css`
    Colours of both themes as custom properties on ``:root``, and the look of all macros.

Pictures are drawn by the script of `wsesim.report.charts.render.javascript`, which a document needs once, followed by
``wsesimPictures.draw(document)``.
"""
