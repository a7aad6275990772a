"""The arithmetic of the benchmarks."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from benchmarks import processes, report, targets, web
from benchmarks.contenders.ours import write_workflows
from benchmarks.measure import Sample, cpu_between, percentile, ratio
from benchmarks.places import port
from benchmarks.stamps import Stamps


def test_cpu_per_task_adds_all_servers() -> None:
    sample = Sample(wall=2.0, tasks=100, cpu={"worker": 0.2, "broker": 0.1, "database": 0.2})
    assert sample.cpu_per_task == pytest.approx(0.005)
    assert sample.rate == 50


def test_gaps_are_from_an_end_to_the_next_start() -> None:
    sample = Sample(wall=1, tasks=3, cpu={}, begun=9.5, stamps=[(10, 11), (13, 14), (15, 16)])
    assert sample.gaps == [2, 1]
    assert sample.first == 0.5


def test_a_ratio_is_the_median_of_pairs() -> None:
    # Of the medians it would be 2 / 2.
    assert ratio([1, 2, 30], [2, 1, 10]) == 2


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (95, 95), (99, 99), (100, 100), (0, 1)])
def test_percentiles(percent: float, value: int) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == value


def test_cpu_counts_children_that_have_ended() -> None:
    stat = ["S", "1", *["0"] * 9, "100", "50", "30", "20", "0"]
    assert processes.cpu_of(stat) == 200 / processes.TICKS


def test_cpu_between_readings_counts_what_began_and_forgets_what_ended() -> None:
    assert cpu_between({1: 5.0, 2: 7.0}, {1: 5.5, 3: 0.25}) == 0.75


@pytest.mark.parametrize(
    ("title", "is_counted"),
    [
        ("postgres: 15/main: postgres shop_bench 127.0.0.1(54766) idle", True),
        ("postgres: postgres shop_bench 127.0.0.1(54766) UPDATE", True),
        ("postgres: autovacuum worker shop_bench", True),
        ("postgres: postgres shop_bench_other 127.0.0.1(1) idle", False),
        ("postgres: 15/main: walwriter", False),
        ("python -m benchmarks --database shop_bench", False),
    ],
)
def test_processes_of_one_database(title: str, is_counted: bool) -> None:
    assert processes.is_backend(title, "shop_bench") is is_counted


def test_stamps_come_in_the_order_of_starts(tmp_path, monkeypatch) -> None:
    from benchmarks import stamps

    monkeypatch.setenv("BENCH_STAMPS", str(tmp_path / "file"))
    stamps._file.cache_clear()
    for start in (1.0, 3.0, 2.0):
        stamps.record(start)
    seen = Stamps(tmp_path / "file")
    assert seen.count == 3
    assert [start for start, _ in seen.since(1)] == [2.0, 3.0]
    stamps._file.cache_clear()


def test_regressions_have_a_margin_and_name_what_was_not_measured() -> None:
    assert targets.regressions({"a": 1.5, "b": 1.7}, {"a": 1.0, "b": 1.0, "c": 1.0}) == [
        "b: 1.70, baseline 1.00",
        "c: not measured",
    ]


@pytest.mark.parametrize(("measured", "status"), [(1.5, 0), (1.7, 1)])
def test_the_short_form_judges_by_its_baseline(tmp_path, monkeypatch, measured: float, status: int) -> None:
    from benchmarks import __main__ as entry

    monkeypatch.setattr(entry, "BASELINE", tmp_path / "baseline.json")
    assert entry.judge({"a": measured}) == 1  # there is none yet
    entry.BASELINE.write_text('{"ratios": {"a": 1.0}}')
    assert entry.judge({"a": measured}) == status


@pytest.fixture
def server():
    """Answers 201 to the user “right”, 403 to others."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(201 if self.headers["Authorization"] == "right" else 403)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer((web.HOST, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_starts_are_counted_only_when_they_were_made(server: int) -> None:
    assert web.starts_per_second(server, web.Request("/", {}, "right"), 20) > 0
    with pytest.raises(RuntimeError, match="403"):
        web.starts_per_second(server, web.Request("/", {}, "wrong"), 20)


def test_workflows_of_the_benchmark_are_valid(tmp_path) -> None:
    write_workflows(tmp_path / "new" / "workflows.yml", "slow", chains=[3], fans=[10])
    found = yaml.safe_load((tmp_path / "new" / "workflows.yml").read_text())
    assert found["bench.CHAIN_3"] == {"queue": "slow", "tasks": ["NOOP"] * 3}
    assert found["bench.FAN_10"]["tasks"] == [{"G": {"type": "group", "tasks": ["NOOP"] * 10}}, "NOOP"]
    assert len(found["bench.TENS"]["tasks"]) == 10


def test_targets_are_bounds_on_either_side() -> None:
    lines = targets.lines({"engine.etl": 2.5, "celery_director.etl": 25})
    assert [line.rpartition(": ")[2] for line in lines] == ["missed", "met"]


def test_tables_are_aligned() -> None:
    assert report.layout([["", "s"], ["chain", "10"]]) == "          s\n  chain  10"


def test_only_servers_of_this_machine_have_a_port() -> None:
    assert port("postgres://u@127.0.0.1/name") == 5432
    assert port("redis://example.org:6379/0") is None
