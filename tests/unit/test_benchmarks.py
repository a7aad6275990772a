"""The arithmetic of the benchmarks."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from benchmarks import processes, report, targets, web
from benchmarks.contenders.ours import write_workflows
from benchmarks.drivers import Driver
from benchmarks.fresh import site
from benchmarks.measure import Sample, cpu_between, in_turn, percentile, ratio
from benchmarks.places import ROOT, Places, port
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


@pytest.fixture
def driver(tmp_path):
    """Doubles numbers, prints, and ends when it is asked for anything else."""
    code = (
        "from benchmarks.drivers import serve\n"
        "def answer(asked):\n"
        "    print('asked', asked)\n"
        "    return {'twice': asked['number'] * 2}\n"
        "serve(answer)"
    )
    driver = Driver([sys.executable, "-c", code], {"PYTHONPATH": str(ROOT)}, tmp_path / "log", tmp_path)
    yield driver
    driver.stop()


def test_a_driver_answers_and_prints_elsewhere(driver, tmp_path) -> None:
    assert driver.ask({"number": 4}, 20) == {"twice": 8}
    assert driver.ask({"number": 5}, 20) == {"twice": 10}
    driver.stop(20)
    assert "asked {'number': 5}" in (tmp_path / "log").read_text()


def test_a_driver_that_ends_says_why(driver) -> None:
    with pytest.raises(RuntimeError, match="KeyError"):
        driver.ask({"unknown": 1}, 20)


def test_a_driver_that_is_not_ready_is_stopped(tmp_path) -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        Driver([sys.executable, "-c", "raise SystemExit('no such thing')"], {}, tmp_path / "log", tmp_path)


def test_cases_are_measured_in_turn_after_a_warm_up(tmp_path) -> None:
    class Fake:
        starting = 0.0
        meters = {"worker": lambda: {1: 0.0}}
        seen = []

        def __init__(self) -> None:
            self.stamps = Stamps(tmp_path / "stamps")

        def warm_up(self) -> None:
            self.seen.append("warm")

    fake = Fake()
    cases = {name: (fake, lambda _, name=name: fake.seen.append(name) or 1) for name in "ab"}
    taken = in_turn(cases, 2)
    assert fake.seen == ["warm", "a", "warm", "b"] * 2
    assert {name: len(samples) for name, samples in taken.items()} == {"a": 2, "b": 2}


def make_test_places(tmp_path, **given: str) -> Places:
    servers = {
        "database": "postgres://u@127.0.0.1/name",
        "broker": "redis://127.0.0.1/1",
        "results": "redis://127.0.0.1/2",
    }
    return Places(**servers | given, folder=tmp_path)


def test_the_readme_has_the_files_of_the_fresh_project() -> None:
    page = site._readme()
    assert 'task_cls="django_director.celery:DirectorTask"' in page["shop/celery.py"]
    assert set(site.TAKEN) <= set(page)


def test_the_fresh_project_sets_only_two_addresses(tmp_path) -> None:
    made: dict[str, object] = {}
    exec(site._addresses(make_test_places(tmp_path)), made)
    assert made["CELERY_BROKER_URL"] == "redis://127.0.0.1/1"
    assert made["DATABASES"]["default"] == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "name_bench_fresh",
        "USER": "u",
        "HOST": "127.0.0.1",
    }


def test_maps_of_the_fresh_project_are_valid() -> None:
    found = yaml.safe_load("".join(site._maps("slow", site.MAPS | site.BATCHES)))
    assert found["bench.MAP_BATCH"] == {
        "queue": "slow",
        "tasks": [{"M": {"type": "map", "over": "payload.items", "task": "ITEM", "batch": 50}}, "NOOP"],
    }
    first, second, _ = found["bench.MAP_OF_TASK"]["tasks"]
    assert first == {"NUMBERS": {"with": {"count": "${{ payload.count }}"}}}
    assert second["M"]["over"] == "tasks.NUMBERS.result"


@pytest.mark.parametrize(
    ("database", "broker", "servers"),
    [
        ("postgresql://h/d", "amqps://h//", "postgres_amqp"),
        ("mariadb://h/d", "redis://h/1", "mysql_redis"),
        ("sqlite://", "director://", "sqlite_director"),
    ],
)
def test_targets_depend_on_the_servers(tmp_path, database: str, broker: str, servers: str) -> None:
    assert make_test_places(tmp_path, database=database, broker=broker).servers == servers


def test_other_servers_may_be_half_as_fast_again() -> None:
    lines = targets.lines({"fresh.postgres_redis.chain": 1.5, "fresh.mysql_redis.chain": 1.5})
    assert [line.rpartition(": ")[2] for line in lines] == ["missed", "met"]


def test_tables_for_pages() -> None:
    assert report.markdown([["", "s"], ["chain", "10"]]) == "\n|  | s |\n|---|---|\n| chain | 10 |"
