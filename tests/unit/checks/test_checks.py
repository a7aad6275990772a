"""What ``manage.py check`` says."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import connections

from django_director.checks import setting_values, static
from django_director.conf import DEFAULTS
from django_director.definitions.fields.plain_values import NAME_LENGTH
from django_director.models import NAME_LENGTH as COLUMN
from django_director.models.querysets import DirectorManager
from django_director.sync.project import celery_app, read_project


def ids(messages):
    return [message.id for message in messages]


def test_a_rule_for_every_setting_and_the_defaults_hold():
    assert set(setting_values.RULES) == set(DEFAULTS)
    assert setting_values.check_settings() == []


def test_names_fit_the_columns():
    assert NAME_LENGTH == COLUMN


async def decides_later(user, action, workflow):
    return False


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"LEASSE": 5}, "director.E002"),
        ({"LEASE": "90"}, "director.E003"),
        ({"LEASE": True}, "director.E003"),
        ({"TICK": 0}, "director.E003"),
        ({"CONNECTION_MAX_AGE": -1}, "director.E003"),
        ({"CONNECTION_MAX_AGE": "never"}, "director.E003"),
        ({"MAX_CRASHES": 1.5}, "director.E003"),
        ({"SUPERVISOR": "thread"}, "director.E003"),
        ({"WORKFLOWS": "workflows.yml"}, "director.E003"),
        ({"RETENTION": {"weeks": 1}}, "director.E003"),
        ({"DATABASE": None}, "director.E003"),
        ({"CAPTURE_LOGS": 1}, "director.E003"),
        ({"MASK": ["token", 5]}, "director.E003"),
        ({"RENEW": 90}, "director.E004"),
        ([], "director.E001"),
    ],
)
def test_wrong_settings(settings, given, expected):
    settings.DIRECTOR = given
    (message,) = setting_values.check_settings()
    assert message.id == expected
    assert message.hint


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"AUTHORIZE": "no.such.fn"}, "No module named 'no'"),
        ({"AUTHORIZE": "os.path.no_such"}, "no_such"),
        ({"AUTHORIZE": "os.sep"}, "can't be called"),
        ({"AUTHORIZE": f"{__name__}.decides_later"}, "`async def`"),
        ({"MASK": "("}, "missing )"),
        ({"MASK": ["token", "["]}, "unterminated character set"),
    ],
)
def test_a_setting_that_can_not_be_used_is_told_with_the_reason(settings, given, reason):
    settings.DIRECTOR = given
    (message,) = setting_values.check_settings()
    assert (message.id, reason in message.msg) == ("director.E007", True), message
    assert message.hint


def test_the_nearest_key_is_shown(settings):
    settings.DIRECTOR = {"LEASSE": 5}
    assert setting_values.check_settings()[0].hint == "Did you mean LEASE?"


def test_a_missing_alias(settings):
    settings.DIRECTOR = {"DATABASE": "defualt"}
    (message,) = static.check_database()
    assert (message.id, "'default'" in message.hint) == ("director.E005", True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["transaction_mode IMMEDIATE", "timeout", "journal_mode=WAL"]),
        ({"transaction_mode": "IMMEDIATE", "timeout": 20}, ["journal_mode=WAL"]),
        ({"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode = wal"}, []),
    ],
)
def test_sqlite(settings, monkeypatch, options, words):
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3", "OPTIONS": options}
    monkeypatch.setitem(connections.settings, "other", database)
    settings.DIRECTOR = {"DATABASE": "other"}
    messages = static.check_database()
    assert ids(messages) == (["director.W001"] if words else [])
    assert all(word in messages[0].msg for word in words)


@pytest.mark.parametrize(
    ("options", "found"), [({}, []), ({"charset": "utf8mb4"}, []), ({"charset": "utf8"}, ["director.E008"])]
)
def test_a_connection_that_lacks_characters(settings, monkeypatch, options, found):
    database = {"ENGINE": "django.db.backends.mysql", "NAME": "shop", "OPTIONS": options}
    monkeypatch.setitem(connections.settings, "other", database)
    settings.DIRECTOR = {"DATABASE": "other"}
    assert ids(static.check_database()) == found


@pytest.mark.parametrize(
    ("accepted", "found"),
    [
        (["json"], []),
        ([], []),
        (["json", "pickle"], ["director.W007"]),
        ({"application/x-python-serialize"}, ["director.W007"]),
    ],
)
def test_workers_that_accept_pickle(settings, accepted, found):
    settings.CELERY_ACCEPT_CONTENT = accepted
    assert ids(static.check_celery()) == found


def test_problems_of_workflow_files(settings, tmp_path):
    (tmp_path / "workflows.yml").write_text("shop.A: {tasks: [NOTHING_LIKE_IT]}\n")
    settings.DIRECTOR = {"WORKFLOWS": [tmp_path / "workflows.yml"]}
    (message,) = static.check_workflows()
    assert (message.id, "D401" in message.msg) == ("director.W003", True)


def test_a_project_that_authorises_itself_may_name_permissions_as_it_likes(settings, tmp_path):
    path = tmp_path / "workflows.yml"
    path.write_text("shop.A: {tasks: [OK: {type: approval, permission: our.own}]}\n")
    for authorize, codes in ((None, ["D907"]), ("shop.rules.may", [])):
        settings.DIRECTOR = {"WORKFLOWS": [path], "AUTHORIZE": authorize}
        assert [note.code for note in read_project().notes] == codes


class Router:
    """Says what the test wants; ``None`` is no opinion."""

    home = migrates = relates = None

    def db_for_write(self, model, **hints):
        return self.home

    def allow_migrate(self, db, app_label, **hints):
        return self.migrates

    def allow_relation(self, one, other, **hints):
        return self.relates


@pytest.mark.parametrize(
    ("opinions", "said"),
    [
        ({}, None),
        ({"home": "default", "migrates": True, "relates": True}, None),
        ({"home": "replica"}, "to 'replica'"),
        ({"migrates": False}, "migrate"),
        ({"relates": False}, "relation"),
    ],
)
def test_a_router_that_disagrees(settings, opinions, said):
    settings.DATABASE_ROUTERS = [type("Disagreeing", (Router,), opinions)()]
    messages = static.check_routers()
    assert [message.id for message in messages] == (["director.E010"] if said else [])
    assert all(said in message.msg for message in messages)


def test_without_an_opinion_the_setting_holds(settings):
    settings.DIRECTOR = {"DATABASE": "nowhere"}
    assert static.check_routers() == []  # E005


def test_what_django_reads_by_itself_comes_from_the_database_of_the_setting():
    models = apps.get_app_config("django_director").get_models()
    assert [model for model in models if not isinstance(model._base_manager, DirectorManager)] == []


def test_many_problems_do_not_flood_every_command(settings, tmp_path):
    (tmp_path / "workflows.yml").write_text(f"shop.A: {{tasks: [{', '.join(['NOTHING_LIKE_IT'] * 1_234)}]}}\n")
    settings.DIRECTOR = {"WORKFLOWS": [tmp_path / "workflows.yml"]}
    messages = static.check_workflows()
    assert len(messages) == static.MAX_PROBLEMS + 1
    assert messages[-1].msg == "The workflow files have 1,224 more problems."


class TestSchedules:
    """`periodic` is silent when nothing reads it, so `check` is not."""

    @pytest.fixture(autouse=True)
    def files(self, settings, tmp_path):
        text = "shop.A: {tasks: [tests.testapp.tasks.echo], periodic: {interval: 60}}\n"
        (tmp_path / "w.yml").write_text(text)
        settings.DIRECTOR = {"WORKFLOWS": [str(tmp_path / "w.yml")]}

    @pytest.fixture
    def scheduler(self, monkeypatch):
        app = celery_app()
        assert app is not None
        return lambda name: monkeypatch.setitem(app.conf, "beat_scheduler", name)

    def said(self):
        return [message for message in static.check_workflows() if message.id != "director.W003"]

    @pytest.mark.parametrize(
        "name",
        [
            "django",
            "django_celery_beat.schedulers:DatabaseScheduler",
            "django_celery_beat.schedulers.DatabaseScheduler",
        ],
    )
    def test_with_a_beat_that_reads_the_database_nothing_is_said(self, scheduler, name):
        scheduler(name)
        assert self.said() == []

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("celery.beat:PersistentScheduler", "does not read the database"),
            ("no.such:Scheduler", "can't be imported"),
            ("django_celery_beat.schedulers:Databse", "can't be imported"),
        ],
    )
    def test_another_scheduler(self, scheduler, name, why):
        scheduler(name)
        (message,) = self.said()
        assert (message.id, "shop.A: `periodic` starts nothing" in message.msg) == ("director.W006", True)
        assert name in message.msg
        assert why in message.msg
        assert "django_celery_beat.schedulers:DatabaseScheduler" in message.hint

    def test_without_django_celery_beat(self, monkeypatch):
        is_installed = apps.is_installed
        monkeypatch.setattr(apps, "is_installed", lambda name: name != "django_celery_beat" and is_installed(name))
        (message,) = self.said()
        assert (message.id, "INSTALLED_APPS" in message.msg) == ("director.W005", True)
        assert "syncworkflows" in message.hint

    def test_without_schedules_nothing_is_said(self, settings, tmp_path, scheduler):
        (tmp_path / "w.yml").write_text("shop.A: {tasks: []}\n")
        scheduler("celery.beat:PersistentScheduler")
        assert self.said() == []
