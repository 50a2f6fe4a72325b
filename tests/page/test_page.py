"""What the page answers: the numbers of `wsesim run`, its messages, files, and headers."""

from __future__ import annotations

import hashlib
import html
import json
import re
import tomllib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from starlette.testclient import TestClient

from wsesim import load, portfolio, simulate
from wsesim.config import catalogue
from wsesim.page import limits
from wsesim.page.run_file import gpu_run_of, run_of
from wsesim.page.server import STATIC
from wsesim.page.service import Service
from wsesim.page.state import RunState
from wsesim.pool import tell
from wsesim.report.json import result_dict
from wsesim.report.pages.run import tiles
from wsesim.study import goals
from wsesim.study.plan import goal_from_table
from wsesim.units import show

SMALL = "model=cerebras-gpt-111m&cluster=cs2&systems=2&batch=120"
PART = {"hx-request": "true"}


def say(text: str) -> None:
    tell(text)


HTMX_SHA256 = "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"
"""Of dist/htmx.min.js in the package htmx.org 2.0.11."""


def small(**fields: str) -> RunState:
    return RunState(**({"model": "cerebras-gpt-111m", "cluster": "cs2", "systems": "2", "batch": "120"} | fields))  # type: ignore[arg-type]


def without_how(data: dict[str, Any]) -> dict[str, Any]:
    """JSON of a run without the engine and the time that it took."""
    return {key: value for key, value in data.items() if key not in ("simulator", "breakdown_s")}


def test_numbers_are_those_of_the_command_line(client: TestClient) -> None:
    text = client.get(f"/?{SMALL}").text
    for tile in tiles(simulate(run_of(small()))):
        assert tile.value in text


def test_json_is_the_contract(client: TestClient) -> None:
    told = client.get(f"/api/run?{SMALL}").json()
    by_simpy = json.loads(json.dumps(result_dict(simulate(run_of(small())))))
    assert without_how(told) == without_how(by_simpy)
    assert told["breakdown_s"] == pytest.approx(by_simpy["breakdown_s"], rel=1e-9)
    gpus = client.get(f"/api/gpus?{SMALL}&num_gpus=16").json()
    assert gpus["step_time_s"] == simulate(gpu_run_of(small(num_gpus="16"))).step_time_s


@pytest.mark.parametrize("name", ["run.toml", "gpus.toml"])
def test_a_file_that_is_taken_away_gives_the_same_numbers(client: TestClient, name: str, tmp_path: Path) -> None:
    answer = client.get(f"/{name}?{SMALL}&num_gpus=16&settings=training.max_gradient_norm%3D0")
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    file = tmp_path / name
    file.write_text(answer.text, encoding="utf-8")
    state = small(num_gpus="16", settings="training.max_gradient_norm=0")
    shown = run_of(state) if name == "run.toml" else gpu_run_of(state)
    assert simulate(load(file)).step_time_s == simulate(shown).step_time_s


def test_the_report_holds_both_runs(client: TestClient) -> None:
    answer = client.get(f"/report.html?{SMALL}&gpus=neox_cluster&num_gpus=16")
    assert answer.status_code == 200
    assert "attachment" in answer.headers["content-disposition"]
    assert "Cerebras-GPT 111M on CS-2 cluster" in answer.text
    assert "wsesim report run.toml gpus.toml" in answer.text


def test_a_link_needs_no_javascript(client: TestClient) -> None:
    text = client.get(f"/?{SMALL}&num_gpus=16").text
    assert re.search(r'<input id="systems"[^>]*value="2"', text)
    assert '<option value="cerebras-gpt-111m" selected' in text
    assert "tokens/s per device" in text, "the comparison is there at once"
    assert "aria-busy" not in text
    picture = re.search(r'<noscript>.*?src="([^"]+)"', text)
    assert picture is not None
    drawn = client.get(picture[1].replace("&amp;", "&"))
    assert drawn.headers["content-type"].startswith("image/svg+xml")


def test_the_form_gets_the_answer_alone_and_its_address(client: TestClient) -> None:
    answer = client.get(f"/?{SMALL}&gpus=none", headers=PART)
    assert "<html" not in answer.text
    assert answer.headers["hx-push-url"] == "/?model=cerebras-gpt-111m&cluster=cs2&systems=2&batch=120&gpus=none"
    assert 'id="said"' in answer.text
    assert "Against GPUs" not in answer.text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("system=3", "&#39;system&#39; is not a known key; did you mean systems?"),
        ("systems=3&systems=4", "systems stands there 2 times"),
        ("zzz=1", "it has model, cluster"),
    ],
)
def test_no_key_of_the_address_is_passed_over(client: TestClient, query: str, said: str) -> None:
    for path in ("/", "/comparison", "/sensitivity", "/run.toml", "/api/run", "/scaling.svg", "/runs/andromeda_13b"):
        answer = client.get(f"{path}?{query}", follow_redirects=False)
        assert answer.status_code == 400
        assert said.replace("&#39;", "'") in answer.text.replace("&#39;", "'")
    assert client.get("/plan?sistems=3").status_code == client.get("/api/plan?deadline=1&deadline=2").status_code == 400


def test_a_ready_run_leads_to_its_state(client: TestClient) -> None:
    answer = client.get("/runs/straggler_13b?systems=8", follow_redirects=False)
    assert answer.status_code == 303
    assert "systems=8&" in answer.headers["location"]
    assert "speed+%3D+0.8" in answer.headers["location"]
    missing = client.get("/runs/andromeda_13")
    assert missing.status_code == 404
    assert "did you mean andromeda_13b?" in missing.text


def test_what_single_numbers_do_is_asked_for_when_its_fold_is_opened(client: TestClient) -> None:
    query = f"{SMALL}&gpus=none"
    fold = re.search(
        r'<details [^>]*hx-get="(/sensitivity[^"]+)"[^>]*hx-trigger="toggle once"', client.get(f"/?{query}").text
    )
    assert fold is not None
    part = client.get(fold[1].replace("&amp;", "&"), headers=PART)
    assert part.status_code == 200
    assert "<html" not in part.text
    found = client.get(f"/api/sensitivity?{query}").json()
    assert found["uncertain"][0]["key"].endswith(re.findall(r'"head":"([^:]+):', part.text)[0])
    assert 'aria-label="Change of the step of' in part.text
    whole = client.get(f"/sensitivity?{query}").text
    assert "<html" in whole
    assert part.text.strip().splitlines()[0] in whole
    refused = client.get(f"/sensitivity?{SMALL}&systems=9999".replace("systems=2&", ""), headers=PART)
    assert refused.status_code == 422
    assert "9,999 systems" in refused.text


def test_what_a_name_holds_is_text(client: TestClient) -> None:
    for query in ("model=<script>alert(1)</script>", "settings=<b>=%22><i>", 'cluster="><img src=x>'):
        text = client.get(f"/?{query}").text
        assert "<script>alert" not in text
        assert "<b>=" not in text
        assert "<img src=x>" not in text


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("systems=abc", 400, ": 'abc' is not a number"),
        ("sequence_length=0", 400, "is 0; it must be more than 0"),
        ("systems=17", 422, "17 systems are more than the fabric of Andromeda takes, 16"),
        ("settings=cluster.swarmx.fan_outt%3D3", 400, "did you mean fan_out?"),
        ("cluster=../../etc/passwd", 400, "is not in the catalogue"),
        ("model=megatron-1t&batch=1", 422, "MemoryX"),
    ],
)
@pytest.mark.parametrize("headers", [{}, PART])
def test_a_refused_run_is_answered(
    client: TestClient, query: str, status: int, said: str, headers: dict[str, str]
) -> None:
    answer = client.get(f"/?{query}", headers=headers)
    assert answer.status_code == status
    assert said in answer.text.replace("&#39;", "'")
    assert "Traceback" not in answer.text
    assert ("<form" in answer.text) == (not headers), "the page stays usable"
    told = client.get(f"/api/run?{query}")
    assert (told.status_code, said in told.json()["error"]) == (status, True)


def test_a_comparison_that_cannot_be_made_leaves_the_answer(client: TestClient) -> None:
    answer = client.get(f"/?{SMALL}&num_gpus=7000000")
    assert answer.status_code == 200
    assert "gpus.toml" in answer.text
    assert re.search(r'id="problem-num_gpus">[^<]+', answer.text)


def test_a_goal_is_planned(client: TestClient) -> None:
    query = "answer=wait&model=cerebras-gpt-111m&deadline=1+h&candidates=andromeda"
    answer = client.get(f"/plan?{query}")
    assert answer.status_code == 200
    assert "It can be met." in answer.text
    link = re.search(r'href="(/\?[^"]+systems=[^"]+)"', answer.text)
    assert link is not None
    assert client.get(link[1].replace("&amp;", "&") + "&gpus=none").status_code == 200
    told = client.get(f"/api/plan?{query}").json()
    file = client.get(f"/goal.toml?{query}").text
    goal = goal_from_table(tomllib.loads(file), "goal.toml")
    assert told["smallest"][0]["num_devices"] == goals.answer(goal).smallest[0].num_devices


def test_a_goal_that_cannot_be_met_is_an_answer(client: TestClient) -> None:
    answer = client.get("/plan?answer=wait&deadline=1+s&model=cerebras-gpt-111m&candidates=andromeda")
    assert answer.status_code == 200
    assert "would do: deadline of" in answer.text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("deadline=soon", "goal.limits.deadline_s"),
        ("candidates=", "choose one cluster"),
        ("target_loss=-1", "target_loss"),
        ("sequence_length=x", "training.sequence_length"),
        ("target_loss=2&batch=0", "training.global_batch_size"),
    ],
)
def test_a_refused_goal_is_answered(client: TestClient, query: str, said: str) -> None:
    answer = client.get(f"/plan?answer=yes&{query}")
    assert answer.status_code == 400
    assert said in answer.text
    assert "<form" in answer.text
    file = client.get(f"/goal.toml?{query}")
    assert (file.status_code, said in file.text) == (400, True), "what is taken away can be planned"


def test_jobs_that_share_a_cluster_are_scheduled(client: TestClient, tmp_path: Path) -> None:
    lines = 'run="cerebras_gpt_111m", systems=[1, 2], deadline="1 day"\nname="guest", systems=[4], duration_s="2 h"'
    query = urlencode({"answer": "yes", "cluster": "andromeda", "devices": "4", "jobs": lines})
    answer = client.get(f"/portfolio?{query}")
    assert answer.status_code == 200
    for text in ("1 of 1 deadline kept", "what binds", "one system fewer", 'id="figure-gantt"'):
        assert text in answer.text
    told = client.get(f"/api/portfolio?{query}").json()
    (tmp_path / "portfolio.toml").write_text(client.get(f"/portfolio.toml?{query}").text, encoding="utf-8")
    own = portfolio(tmp_path / "portfolio.toml")
    assert (told["makespan_s"], told["num_systems"]) == (own.schedule.makespan_s, 4)
    fewest = client.get(f"/api/portfolio?{query}&by=3+h").json()
    assert fewest["by"]["is_enough"]


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"jobs": 'rnu="x"'}, 400, "did you mean run?"),
        ({"jobs": 'run="/etc/passwd"'}, 400, "is not in the catalogue"),
        ({"jobs": 'model={path="/etc/passwd"}, systems=[2]'}, 400, "model is not a known key"),
        ({"jobs": ""}, 400, "write 1 to"),
        ({"policy": "x"}, 400, "write one of first-come"),
        ({"jobs": 'name="a", systems=[2], duration_s="3 d"', "by": "1 h"}, 422, "cannot end by 1.00 h"),
    ],
)
def test_refused_jobs_are_answered(client: TestClient, changes: dict[str, str], status: int, said: str) -> None:
    answer = client.get(f"/portfolio?{urlencode(changes | {'answer': 'yes'})}")
    assert (answer.status_code, said in answer.text, "<form" in answer.text) == (status, True, True)


def test_a_plan_comes_after_its_page(client: TestClient) -> None:
    query = "model=cerebras-gpt-256m&deadline=2+h&candidates=andromeda&candidates=cs2"
    page = client.get(f"/plan?{query}")
    assert page.status_code == 200
    later = re.search(r'class="coming" hx-get="(/plan[^"]+answer=wait)" hx-trigger="load"', page.text)
    assert later is not None, "the page itself waits for no plan"
    assert '<noscript><meta http-equiv="refresh"' in page.text
    assert client.get(f"/plan/progress?{query}").status_code == 200
    part = client.get(html.unescape(later[1]), headers=PART)
    assert "It can be met" in part.text
    assert 'id="picture-choices"' in part.text or 'class="picture"' in part.text
    assert "hx-push-url" not in part.headers
    assert "It can be met" in client.get(f"/plan?{query}").text, "what is known is there at once"


def test_a_worker_tells_how_far_it_is(service: Service, client: TestClient) -> None:
    heard: list[str] = []
    client.portal.call(partial(service.quick.run, 20.0, say, "half", heard=heard.append))  # type: ignore[union-attr]
    assert heard == ["half"]


def test_every_answer_says_what_browsers_may_do(client: TestClient) -> None:
    for path in ("/", "/plan", "/nothing", "/api/run?systems=x", "/static/page.js", "/style.css", f"/?{'x' * 9000}"):
        headers = client.get(path).headers
        assert "script-src 'self';" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_no_script_stands_in_the_page(client: TestClient) -> None:
    text = client.get(f"/?{SMALL}").text + client.get("/plan").text
    scripts = re.findall(r"<script([^>]*)>", text)
    assert all("src=" in one or 'type="application/json"' in one for one in scripts)
    assert not re.search(r"\son[a-z]+=", text)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 400),
        ({"host": "127.0.0.1.evil.example"}, 400),
        ({"host": "127.0.0.1@evil.example"}, 400),
        ({"host": "[::1"}, 400),
        ({"host": "LOCALHOST:8765"}, 200),
        ({"host": "localhost:8765"}, 200),
        ({"host": "127.0.0.1:1"}, 200),
        ({"host": "[::1]:8765"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
    ],
)
def test_who_may_ask(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.get("/health", headers=headers).status_code == status


def test_what_is_refused_before_it_is_read(client: TestClient) -> None:
    assert client.post("/").status_code == 405
    assert client.get(f"/?settings={'x' * limits.LONGEST_QUERY}").status_code == 414
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404
    assert client.get("/nothing").status_code == 404


def test_an_error_of_the_program_is_a_page_without_a_trace(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("KeyError: 'x'")

    monkeypatch.setattr(Service, "make", fail)
    answer = client.get("/run.toml")
    assert answer.status_code == 500
    assert "please report it" in answer.text
    assert "<html" in answer.text
    assert "Traceback" not in answer.text


def test_ten_at_once_get_their_own_answers(client: TestClient) -> None:
    batches = range(10, 130, 12)
    queries = [f"/api/run?{SMALL}".replace("batch=120", f"batch={batch}") for batch in batches]
    with ThreadPoolExecutor(10) as threads:
        told = [answer.json()["step_time_s"] for answer in threads.map(client.get, queries)]
    assert told == [simulate(run_of(small(batch=str(batch)))).step_time_s for batch in batches]


def test_health(client: TestClient) -> None:
    assert client.get("/health").json()["status"] == "ok"


def test_htmx_is_what_was_published() -> None:
    file = next(STATIC.glob("htmx-2.0.11.min.js"))
    assert hashlib.sha256(file.read_bytes()).hexdigest() == HTMX_SHA256
    assert "Zero-Clause BSD" in (STATIC / "htmx-LICENSE.txt").read_text(encoding="utf-8")


PINNED = f"{SMALL.replace('systems=2', 'systems=4')}&gpus=none&pinned={quote(SMALL)}"


def test_a_pinned_baseline_is_told_on_every_card_and_curve(client: TestClient) -> None:
    text = client.get(f"/?{PINNED}").text
    now, then = (tiles(simulate(run_of(small(systems=systems)))) for systems in ("4", "2"))
    for tile, other in zip(now, then, strict=True):
        change = tile.against(other).change
        assert change[0] in "+-" or change.startswith("no change from")
        assert change in text
    assert "faster than" in text
    assert len(re.findall(r'"series":"baseline[^"]*","devices":2,', text)) == 6, (
        "a point and a ring of throughput, days and cost"
    )
    assert "Number of CS systems: 2" in text
    assert re.search(r'<input type="hidden" id="pinned" name="pinned" value="model=cerebras-gpt-111m', text)
    assert '"series":"baseline' not in client.get(f"/?{SMALL}&gpus=none").text
    learned = client.get(f"/part/learned?{PINNED}", headers=PART).text
    assert '"series":"baseline, Cerebras-GPT 111M' in learned


def test_the_address_holds_the_baseline(client: TestClient) -> None:
    answer = client.get(f"/?{PINNED}", headers=PART)
    pushed = answer.headers["hx-push-url"]
    assert "pinned=model%3Dcerebras-gpt-111m" in pushed
    assert client.get(pushed).text.count("no change from") == client.get(f"/?{PINNED}").text.count("no change from")
    moved = client.get(f"/runs/andromeda_13b?pinned={quote(SMALL)}", follow_redirects=False)
    assert moved.headers["location"].endswith(f"&{urlencode({'pinned': SMALL})}")
    wrong = client.get("/?pinned=sistems%3D3")
    assert wrong.status_code == 400
    assert "did you mean systems?" in wrong.text
    assert client.get("/run.toml?pinned=systems%3D3").status_code == 400, "a file knows no baseline"


def test_a_baseline_that_cannot_be_simulated_leaves_the_answer(client: TestClient) -> None:
    text = client.get(f"/?{SMALL}&gpus=none&pinned=systems%3D99").text
    assert tiles(simulate(run_of(small())))[0].value in text
    assert "The baseline cannot be simulated" in text
    assert "99 systems are more than" in text


def test_days_and_cost_have_the_line_of_the_gpus(client: TestClient) -> None:
    query = f"{SMALL}&gpus=neox_cluster&num_gpus=16"
    text = client.get(f"/?{query}").text
    gpus = simulate(gpu_run_of(small(gpus="neox_cluster", num_gpus="16"))).job
    for name, value in (
        ("time", show(gpus.time_s, "s")),
        ("cost", show(gpus.cost_usd.value if gpus.cost_usd else 0.0, "USD")),
    ):
        figure = text.partition(f'id="figure-job-{name}"')[2].partition("</figure>")[0]
        assert f'"label":"16 A100 SXM 40 GB GPUs: {value}"' in figure
    late = client.get(f"/comparison?{query}", headers=PART).text
    assert re.search(r'id="whole-job" hx-swap-oob="innerHTML".*"label":"16 A100', late, re.DOTALL)


@pytest.mark.parametrize(
    ("name", "said"),
    [("machine", "The machine: 2 CS-2 systems"), ("timeline", "Timeline of a step"), ("life", "percentile")],
)
def test_parts_are_worked_out_when_they_are_opened(client: TestClient, name: str, said: str) -> None:
    whole = client.get(f"/?{SMALL}&gpus=none").text
    assert said not in whole
    asked = re.search(rf'<details [^>]*hx-get="(/part/{name}[^"]*)" hx-trigger="toggle once"', whole)
    assert asked is not None
    part = client.get(asked[1].replace("&amp;", "&"), headers=PART)
    assert part.status_code == 200
    assert said in part.text
    assert "<html" not in part.text
    assert "<html" in client.get(f"/part/{name}?{SMALL}").text, "a page of its own without JavaScript"
    assert client.get(f"/part/nothing?{SMALL}").status_code == 404


def test_the_first_view_is_the_run_of_the_catalogue(client: TestClient) -> None:
    told = client.get("/api/run").json()
    own = json.loads(json.dumps(result_dict(simulate(load("andromeda_13b")))))
    same = (
        "num_devices",
        "software",
        "model",
        "interval",
        "step_time_s",
        "tokens_per_s",
        "mfu",
        "memory",
        "training",
        "job",
    )
    assert {key: told[key] for key in same} == {key: own[key] for key in same}


def test_a_message_speaks_of_the_control_by_its_label(client: TestClient) -> None:
    for query, said in (
        ("systems=abc", "Number of CS systems: 'abc' is not a number"),
        ("sequence_length=0", "Sequence is 0; it must be more than 0"),
        ("systems=17", "set Number of CS systems to at most 16"),
        ("settings=cluster.swarmx.fan_outt%3D3", "cluster.swarmx.fan_outt is not a known key"),
    ):
        text = client.get(f"/?{query}").text.replace("&#39;", "'")
        assert f'<pre class="message">{said}' in text or said in text
        assert "run.toml:" not in text


@pytest.mark.parametrize(
    ("query", "label", "changes"),
    [
        ("systems=17", "Number of CS systems: use 16", {"systems": "16"}),
        ("sequence_length=4096", "Sequence: use 2,048", {"sequence_length": "2048"}),
        (
            "sequence_length=4096",
            "Add model.max_position_embeddings = 4096",
            {"settings": "model.max_position_embeddings=4096"},
        ),
        ("model=cerebras-gpt-13", "Model: use cerebras-gpt-13b", {"model": "cerebras-gpt-13b"}),
        (
            "settings=cluster.swarmx.fan_outt%3D3",
            "fan_outt: write fan_out",
            {"settings": "cluster.swarmx.fan_out=3"},
        ),
    ],
)
def test_a_repair_is_a_button_that_works(client: TestClient, query: str, label: str, changes: dict[str, str]) -> None:
    text = client.get(f"/?{query}&gpus=none", headers=PART).text
    found = {html.unescape(one[2]): (html.unescape(one[0]), html.unescape(one[1])) for one in BUTTON.findall(text)}
    address, sets = found[label]
    assert json.loads(sets) == changes
    assert client.get(address).status_code == 200
    assert "gpus=none" in address


def test_the_comparison_has_repairs_of_its_own(client: TestClient) -> None:
    text = client.get(f"/?{SMALL}&num_gpus=20000").text
    address, _, label = BUTTON.findall(text)[0]
    assert label == "Number of GPUs: use 16,384"
    assert "num_gpus=16384" in address


BUTTON = re.compile(r'<a class="button" href="([^"]+)" data-set="([^"]+)">([^<]+)</a>')


def test_a_refused_run_leaves_the_last_answer(client: TestClient) -> None:
    answer = client.get("/?systems=17", headers=PART)
    assert answer.headers["hx-retarget"] == "#refused"
    assert "as of the previous settings" in answer.text
    assert "<title>" not in answer.text
    good = client.get(f"/?{SMALL}&gpus=none", headers=PART)
    assert "hx-retarget" not in good.headers
    assert '<div id="refused" hx-swap-oob="innerHTML"></div>' in good.text


def test_software_of_both_is_a_control(client: TestClient) -> None:
    text = client.get(f"/?{SMALL}&release=2.0&gpus=neox_cluster&num_gpus=16&profile=megatron_2021").text
    assert re.search(r'<select id="release".*<option value="2.0" selected>', text, re.DOTALL)
    assert re.search(r'<option value="">as the cluster says: gpt_neox_library</option>', text)
    assert re.search(r'<option value="megatron_2021" selected>', text)
    state = small(release="2.0", gpus="neox_cluster", num_gpus="16", profile="megatron_2021")
    assert run_of(state).cluster.software_release == "2.0"
    assert gpu_run_of(state).cluster.software_profile == "megatron_2021"
    assert 'name="paying" value="rented"' in text


def test_every_model_says_its_usual_sequence(client: TestClient) -> None:
    text = client.get(f"/?{SMALL}&gpus=none").text
    usual = dict(re.findall(r'<option value="([^"]+)"(?: selected)? data-sequence="(\d+)"', text))
    assert (usual["llama-2-7b"], usual["opt-13b"], usual["bert-base"]) == ("4096", "2048", "512")
    assert len(usual) == len(catalogue.names("models"))
