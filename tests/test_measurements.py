"""Tables of measurements and logs are read as their authors meant them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from wsesim.config import catalogue
from wsesim.errors import MeasurementError, WsesimError
from wsesim.machines.wafer.rows import (
    ALIASES,
    COLUMNS,
    IGNORED,
    METRICS,
    OTHER_NAMES,
    USES,
    Measurement,
    model_table,
    published,
    read_log,
    read_table,
)
from wsesim.validate.near import run_of

HEADER = (
    "use,id,source_title,url,kind,model,params,d_model,layers,seq_len,global_batch_sequences,n_systems,system,"
    "metric,value,unit,notes\n"
)
USC = '"Zhang et al., Benchmarking the Performance of LLMs on the Cerebras WSE (arXiv 2409.00287v2, HPEC 2024)"'
ALCF = "ALCF user-guides: Cerebras example programs (git history)"
PAPER = (
    HEADER
    + f"calibration,usc-gpt-17,{USC},https://arxiv.org/abs/2409.00287,third_party_measured,GPT-3 13B,1.285e+10,"
    + '5120,40,2048,128,1,CS-2,throughput,11.86,samples/s,"Fig 5 (vector graphic read to about 0.1%); software '
    + 'release and micro-batch not stated"\n'
    + f"validation,alcf-gptj-04,{ALCF},https://github.com/argonne-lcf/user-guides,third_party_measured,GPT-J 6B,"
    + '6.05e9,4096,28,2048,120,2,CS-2,throughput,43.67,samples/s,"R2.0.3, 2023-11-29; 60 per box; 200 steps"\n'
    + f"calibration,alcf-gptj-07,{ALCF},https://github.com/argonne-lcf/user-guides,third_party_measured,GPT-J 6B,"
    + '6.05e9,4096,28,2048,120,1,CS-3,throughput,44.75,samples/s,"R2.6, 2025-10; 200 steps"\n'
    + f"context,time-10,{ALCF},https://github.com/argonne-lcf/user-guides,third_party_measured,LLaMA2-7B,"
    + ',,,,,1,CS-3,checkpoint_save,464-644,s,"R2.6, range over runs"\n'
)
"""Rows of the three publications as they were collected: another header than ours, labels as in the papers."""


def table(tmp_path: Path, text: str) -> list[Measurement]:
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    return read_table(path)


def one(tmp_path: Path, **cells: object) -> Measurement:
    """A table of one row."""
    row = {"model": "cerebras-gpt-111m", "global_batch_size": 120, "value": 690} | cells
    quoted = [f'"{cell}"' for cell in row.values()]
    (measurement,) = table(tmp_path, f"{','.join(row)}\n{','.join(quoted)}\n")
    return measurement


def test_a_table_of_papers_is_read(tmp_path: Path) -> None:
    first, second, third = table(tmp_path, PAPER)
    assert (first.id, first.use, first.system, first.software_release) == ("usc-gpt-17", "calibration", "cs2", None)
    assert (first.model, first.sequence_length, first.global_batch_size) == ({"name": "cerebras-gpt-13b"}, 2048, 128)
    assert (first.metric, first.value, first.num_systems) == ("samples_per_s", 11.86, 1)
    assert first.source.startswith("Zhang et al.")
    assert (second.use, second.software_release, second.num_systems) == ("validation", "2.0.3", 2)
    assert second.model == third.model == {"name": "gpt-j-6b"}
    assert (third.system, third.software_release) == ("cs3", "2.6")
    assert all(row.micro_batch_size == "auto" for row in (first, second, third))


def test_every_row_of_it_is_a_run(tmp_path: Path) -> None:
    for row in table(tmp_path, PAPER):
        run = run_of(row)
        assert run.cluster.num_systems == row.num_systems
        assert run.cluster.system.name == {"cs2": "CS-2", "cs3": "CS-3"}[row.system]
        assert run.place.endswith(tuple(f"mine.csv: line {number}" for number in (2, 3, 4)))


@pytest.mark.parametrize(
    ("label", "hidden_size", "num_layers", "name"),
    [
        ("GPT-3 1.3B", 2048, 24, "gpt3-1.3b"),
        ("GPT-3 590M", 1536, 18, "cerebras-gpt-590m"),
        ("GPT-3 256M", 1088, 14, "cerebras-gpt-256m"),
        ("GPT-3 13B", 5120, 40, "cerebras-gpt-13b"),  # the paper's GPT-3 13B is 5140 wide
        ("GPT-3 13B", 5140, 40, "gpt3-13b"),
        ("GPT-3 13B", None, None, "gpt3-13b"),
        ("GPT-3", None, None, "gpt3-175b"),
        ("GPT-3 XL", None, None, "gpt3-1.3b"),
        ("Cerebras-GPT 6.7B", 4096, 32, "cerebras-gpt-6.7b"),
        ("BERT-base (SST-2 classification)", 768, 12, "bert-base-classifier"),
        ("BERT-large (SST-2 classification)", None, None, "bert-large-classifier"),
        ("BERT-large (pre-training)", 1024, 24, "bert-large"),
        ("BERT-base (pre-training)", None, None, "bert-base"),
        ("BERT-large", None, None, "bert-large"),
        ("bert-large-classifier", 1024, 24, "bert-large-classifier"),
        ("BERT", 768, 12, "bert-base"),
        ("BERT-large, MSL 512", None, None, "bert-large"),
        ("GPT-J 6B", 4096, 28, "gpt-j-6b"),
        ("GPT-J", None, None, "gpt-j-6b"),
        ("EleutherAI/gpt-j-6b", None, None, "gpt-j-6b"),
        ("LLaMA-7B", 4096, 32, "llama-7b"),
        ("LLaMA2-7B", None, None, "llama-2-7b"),
        ("Llama 2 7B", 4096, 32, "llama-2-7b"),
        ("meta-llama/Llama-2-7b-hf", None, None, "llama-2-7b"),
        ("LLaMA-30B", None, None, "llama-33b"),
        ("GPT-2 small", 768, 12, "gpt2"),
        ("GPT-2 XL", None, None, "gpt2-xl"),
        ("GPT2-medium", None, None, "gpt2-medium"),
        ("GPT-2", 1280, 36, "gpt2-large"),
        ("GPT-NeoX 20B", None, None, "gpt-neox-20b"),
        ("OPT 1.3B", None, None, "opt-1.3b"),
        ("BLOOM", None, None, "bloom-176b"),
    ],
)
def test_labels_of_papers(label: str, hidden_size: int | None, num_layers: int | None, name: str) -> None:
    assert model_table(label, hidden_size, num_layers, "here") == {"name": name}


@pytest.mark.parametrize("name", catalogue.names("models"))
def test_every_catalogue_name_means_itself(name: str) -> None:
    assert model_table(name, None, None, "here") == {"name": name}
    assert model_table(name.replace("-", " ").upper(), None, None, "here") == {"name": name}


def test_every_other_name_is_in_the_catalogue() -> None:
    assert set(OTHER_NAMES.values()) <= set(catalogue.names("models"))


@pytest.mark.parametrize(
    ("label", "hidden_size", "num_layers", "heads"),
    [("GPT-3 22B", 6144, 48, 48), ("", 4096, 30, 32), ("my own", 960, 8, 15), ("GPT-3 30B", 7168, 48, 56)],
)
def test_a_label_with_a_shape_is_a_gpt(label: str, hidden_size: int, num_layers: int, heads: int) -> None:
    shape = model_table(label, hidden_size, num_layers, "here")
    assert (shape["hidden_size"], shape["num_layers"], shape["num_attention_heads"]) == (hidden_size, num_layers, heads)


def test_the_shape_of_a_label_trains_at_the_length_of_its_row(tmp_path: Path) -> None:
    row = one(tmp_path, model="GPT-3 22B", hidden_size=6144, num_layers=48, sequence_length=8192)
    assert run_of(row).training.sequence_length == 8192


@pytest.mark.parametrize(
    ("label", "hidden_size", "num_layers", "words"),
    [
        ("resnet", None, None, "model 'resnet' is not in the catalogue; add hidden_size and num_layers"),
        ("", None, None, "model '' is not in the catalogue; add hidden_size and num_layers"),
        ("GPT-3 22B", 6144, None, "model 'GPT-3 22B' is not in the catalogue; add num_layers"),
        ("GPT-3 22B", None, 44, "model 'GPT-3 22B' is not in the catalogue"),
        ("BERT", None, None, "model 'BERT' is not in the catalogue"),
        ("lama-7b", None, None, "did you mean llama-7b?"),
        ("gpt2", 4096, 12, "gpt2 has hidden_size 768 and num_layers 12, but the row states 4096 and 12; correct"),
        ("LLaMA-7B", 5120, 40, "llama-7b has hidden_size 4096 and num_layers 32, but the row states 5120 and 40"),
        ("BERT-large", 768, 12, "bert-large has hidden_size 1024"),
    ],
)
def test_labels_that_say_too_little_or_contradict_the_shape(
    label: str, hidden_size: int | None, num_layers: int | None, words: str
) -> None:
    with pytest.raises(MeasurementError) as caught:
        model_table(label, hidden_size, num_layers, "mine.csv: line 2")
    assert str(caught.value).startswith("mine.csv: line 2: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("notes", "release"),
    [
        ("R2.0.3, 2023-11-29; 60 per box", "2.0.3"),
        ("R1.9.x, 2023-05", "1.9"),
        ("2024-09-15, R2.3.x; step = 48.5 ms", "2.3"),
        ("R2.1.1/2.2, 2024-03-21", "2.1.1"),
        ("release read as R1.7.1 in one place and R1.8.0 in another", "1.7.1"),
        ("software release and micro-batch not stated", None),
        ("GPR2.3", None),
        ("", None),
    ],
)
def test_releases_are_found_in_the_notes(tmp_path: Path, notes: str, release: str | None) -> None:
    assert one(tmp_path, notes=notes).software_release == release
    assert one(tmp_path, notes=notes, release="2.2").software_release == "2.2"


@pytest.mark.parametrize(
    ("label", "system"), [("CS-2", "cs2"), ("CS-3", "cs3"), ("cs3", "cs3"), (" CS2 ", "cs2"), ("", "cs2")]
)
def test_systems(tmp_path: Path, label: str, system: str) -> None:
    assert one(tmp_path, system=label).system == system


@pytest.mark.parametrize(
    ("cells", "field", "value"),
    [
        ({"global_batch_size": "1,080"}, "global_batch_size", 1080),
        ({"global_batch_size": "1e3"}, "global_batch_size", 1000),
        ({"value": "1,234,567.5"}, "value", 1_234_567.5),
        ({"value": " 7 "}, "value", 7.0),
        ({"micro_batch_size": "60"}, "micro_batch_size", 60),
        ({"micro_batch_size": "auto"}, "micro_batch_size", "auto"),
        ({"metric": "throughput"}, "metric", "samples_per_s"),
        ({"metric": ""}, "metric", "samples_per_s"),
        ({"use": ""}, "use", "calibration"),
        ({"use": " validation "}, "use", "validation"),
        ({"num_csx": "2"}, "num_systems", 2),
        ({"max_sequence_length": "512"}, "sequence_length", 512),
        ({"id": ""}, "id", "row-2"),
    ],
)
def test_cells(tmp_path: Path, cells: dict[str, Any], field: str, value: Any) -> None:
    assert getattr(one(tmp_path, **cells), field) == value


def test_layout_rows_need_no_batch_and_no_depth(tmp_path: Path) -> None:
    header = "model,hidden_size,num_systems,metric,global_batch_size,value\n"
    (row,) = table(tmp_path, header + "GPT-3 65B,8192,1,recommended_micro_batch,,55\n")
    assert (row.metric, row.set, row.global_batch_size) == ("recommended_micro_batch_size", "micro-batch", 1)


def test_a_table_may_come_from_a_spreadsheet(tmp_path: Path) -> None:
    """Byte order mark, carriage returns, blank lines and rows of commas."""
    path = tmp_path / "mine.csv"
    text = "\ufeffmodel,global_batch_size,value\r\n\r\ncerebras-gpt-111m,120,690\r\n,,\r\n"
    path.write_bytes(text.encode("utf-8"))
    (row,) = read_table(path)
    assert (row.value, row.place) == (690.0, f"{path}: line 3")


def test_context_rows_may_hold_anything(tmp_path: Path) -> None:
    text = "use,model,metric,global_batch_size,value\ncontext ,any,clock,720 then 1080,464-644\n,gpt2-xl,,4,5\n"
    assert [row.model for row in table(tmp_path, text)] == [{"name": "gpt2-xl"}]


def test_names_of_columns_are_one_way() -> None:
    assert set(ALIASES.values()) <= set(COLUMNS)
    assert not set(ALIASES) & set(COLUMNS)
    assert not set(IGNORED) & (set(COLUMNS) | set(ALIASES))


# Logs

RATES = [100.0, 490.0, 500.0, 480.0, 495.0]
LINE = "| Train Device=CSX, Step={step}, Loss=7.9, Rate={rate:.2f} samples/sec, GlobalRate=1.00 samples/sec\n"


def log(tmp_path: Path, text: str) -> float:
    path = tmp_path / "train.log"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return read_log(path)


def test_a_log_is_the_median_of_its_rates_without_the_first(tmp_path: Path) -> None:
    text = "".join(LINE.format(step=100 * n, rate=rate) for n, rate in enumerate(RATES))
    assert log(tmp_path, text) == 492.5
    assert log(tmp_path, text.replace("\n", "\r\n")) == 492.5
    assert log(tmp_path, "2024-03-21 15:02:58 INFO: " + text.replace("\n", "\n2024-03-21 INFO:   ")) == 492.5


def test_a_log_may_be_short_colourful_and_noisy(tmp_path: Path) -> None:
    assert log(tmp_path, LINE.format(step=1, rate=492.4)) == 492.4
    assert log(tmp_path, "\udcff\x1b[32m" + LINE.format(step=1, rate=492.4)) == 492.4
    evaluation = LINE.format(step=2, rate=9.0).replace("Train", "Eval")
    assert log(tmp_path, LINE.format(step=1, rate=492.4) + evaluation) == 492.4


def test_a_long_log_is_read_at_once(tmp_path: Path) -> None:
    assert log(tmp_path, 100_000 * LINE.format(step=1, rate=492.4)) == 492.4


# The table that ships


def test_the_published_table_is_in_order() -> None:
    rows = published()
    assert [name for name, times in Counter(row.id for row in rows).items() if times > 1] == []
    assert {row.use for row in rows} <= set(USES)
    assert {row.source for row in rows} <= set(catalogue.sources())
    assert {row.metric for row in rows} <= set(METRICS.values())
    assert {row.system for row in rows} == {"cs2", "cs3"}
    assert all(row.notes for row in rows), "a measurement says where in its source it stands"


def test_every_published_row_is_a_run() -> None:
    for row in published():
        try:
            run_of(row)
        except WsesimError as error:
            pytest.fail(f"{row.id}: {error}")


def test_what_was_not_fitted_is_there_too() -> None:
    uses = Counter(row.use for row in published())
    assert uses["leave-one-out"] == 51 + 11  # rates, and micro-batches with one row of lanes
    assert uses["small-step"] == 2
    assert uses["unexplained"] == 6
