"""Users become plain columns: their table may be in another database, and who is deleted stays readable."""

from collections import defaultdict

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import migrations, models, router

BATCH = 1_000
COLUMNS = {"run": ("user_id", "user_key", "user_name"), "task": ("decided_by_id", "decided_by_key", None)}
"""By model: the column of the foreign key, and those for the user's key, under its passing name, and name."""


def copy_users(apps, schema_editor):
    """Write the key and the name of each user beside the foreign key."""
    names = {}
    for model, (foreign_key, key, name) in COLUMNS.items():
        for rows, found in batches(apps, schema_editor, model, foreign_key, None):
            names |= names_of(apps, found.keys() - names.keys())
            for user, pks in found.items():
                values = {key: str(user)} | ({name: names.get(user, "")} if name else {})
                rows.filter(pk__in=pks).update(**values)


def restore_users(apps, schema_editor):
    """The way back: a foreign key for each user who is still there."""
    pk = apps.get_model(settings.AUTH_USER_MODEL)._meta.pk
    for model, (foreign_key, key, _) in COLUMNS.items():
        for rows, found in batches(apps, schema_editor, model, key, ""):
            keys = {pk.to_python(text): text for text in found}
            for user in names_of(apps, keys):
                rows.filter(pk__in=found[keys[user]]).update(**{foreign_key: user})


def batches(apps, schema_editor, model, column, empty):
    """A queryset of all rows with, batch by batch, the ids of those whose ``column`` is not ``empty``, by its value."""
    rows = apps.get_model("django_director", model).objects.using(schema_editor.connection.alias)
    given = rows.filter(**{f"{column}__isnull": False}) if empty is None else rows.exclude(**{column: empty})
    batch = list(given.order_by("pk").values_list("pk", column)[:BATCH])
    while batch:
        found = defaultdict(list)
        for pk, value in batch:
            found[value].append(pk)
        yield rows.order_by(), found
        batch = list(given.filter(pk__gt=batch[-1][0]).order_by("pk").values_list("pk", column)[:BATCH])


def names_of(apps, keys):
    """The names of the users with these keys, by key, from the database where the users are."""
    if not keys:
        return {}
    name = get_user_model().USERNAME_FIELD
    users = apps.get_model(settings.AUTH_USER_MODEL)._base_manager.using(router.db_for_read(get_user_model()))
    return dict(users.filter(pk__in=keys).values_list("pk", name))


class Migration(migrations.Migration):

    dependencies = [
        ("django_director", "0003_signs_of_life"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex(model_name="task", name="director_task_decided"),
        migrations.AddField(
            model_name="run",
            name="user_key",
            field=models.CharField(blank=True, default="", help_text="Key of the user who started it.", max_length=254),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="run",
            name="user_name",
            field=models.CharField(blank=True, default="", help_text="Name of that user at the start.", max_length=254),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="task",
            name="decided_by_key",
            field=models.CharField(blank=True, default="", help_text="Key of the user who decided; the name is in `decision`.", max_length=254),
            preserve_default=False,
        ),
        migrations.RunPython(copy_users, restore_users),
        migrations.RemoveField(model_name="run", name="user"),
        migrations.RemoveField(model_name="task", name="decided_by"),
        migrations.RenameField("run", "user_key", "user_id"),
        migrations.RenameField("task", "decided_by_key", "decided_by_id"),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(fields=["user_name", "-id"], name="director_run_by_user"),
        ),
        # What Django reads by itself comes from DIRECTOR["DATABASE"] too; no database hears of these.
        migrations.AlterModelOptions(
            name="attempt",
            options={"base_manager_name": "objects", "ordering": ["task", "id"]},
        ),
        migrations.AlterModelOptions(name="gate", options={"base_manager_name": "objects"}),
        migrations.AlterModelOptions(name="lease", options={"base_manager_name": "objects"}),
        migrations.AlterModelOptions(
            name="run",
            options={
                "base_manager_name": "objects",
                "ordering": ["-id"],
                "permissions": [
                    ("cancel_run", "Can cancel runs"),
                    ("retry_run", "Can retry, rerun, relaunch and skip"),
                    ("view_payload", "Can view payloads, results and tracebacks"),
                ],
            },
        ),
        migrations.AlterModelOptions(
            name="task",
            options={
                "base_manager_name": "objects",
                "ordering": ["run", "is_hook", "position", "map_index", "generation"],
                "permissions": [("approve_task", "Can approve and reject")],
            },
        ),
        migrations.AlterModelOptions(
            name="tasklog",
            options={"base_manager_name": "objects", "ordering": ["task", "sequence"]},
        ),
        migrations.AlterModelOptions(
            name="workflow",
            options={
                "base_manager_name": "objects",
                "ordering": ["name"],
                "permissions": [("run_workflow", "Can run workflows")],
            },
        ),
        migrations.AlterModelOptions(name="workflowversion", options={"base_manager_name": "objects"}),
    ]
