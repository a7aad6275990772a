"""The user of a run, without a foreign key."""

from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser

from django_director.models import Run, Task, users
from tests.factories import make_run, make_user

pytestmark = pytest.mark.django_db


def test_a_run_gives_its_user_for_one_query(django_assert_num_queries):
    ann = make_user("ann")
    pk = make_run(user=ann).pk
    with django_assert_num_queries(2):
        run = Run.objects.get(pk=pk)
        assert (run.user, run.user, run.user_name, run.user_id) == (ann, ann, "ann", str(ann.pk))


def test_a_run_of_nobody_asks_nothing(django_assert_num_queries):
    run = make_run()
    with django_assert_num_queries(0):
        assert (run.user, run.user_name, run.user_id) == (None, "", "")


def test_the_name_is_that_of_the_start_and_stays():
    ann = make_user("ann")
    run = make_run(user=ann)
    get_user_model().objects.filter(pk=ann.pk).update(username="anna")
    run = Run.objects.get(pk=run.pk)
    assert (run.user_name, run.user.username) == ("ann", "anna")
    ann.delete()
    run = Run.objects.get(pk=run.pk)
    assert (run.user_name, run.user) == ("ann", None)


def test_another_user_is_not_taken_for_the_first():
    run = make_run(user=make_user("ann"))
    bob = make_user("bob")
    assert run.user.username == "ann"
    Run.objects.filter(pk=run.pk).update(user_id=str(bob.pk))
    run.refresh_from_db()
    assert run.user == bob
    run.user = None
    assert (run.user, run.user_id, run.user_name) == (None, "", "")


def test_who_decided():
    ann = make_user("ann")
    task = make_run().tasks.first()
    Task.objects.filter(pk=task.pk).update(decided_by_id=users.key_of(ann))
    assert (task.decided_by, Task.objects.get(pk=task.pk).decided_by) == (None, ann)


def test_who_is_no_row_leaves_nothing():
    for nobody in (None, AnonymousUser(), get_user_model()(username="eva")):
        assert (users.key_of(nobody), users.name_of(nobody)) == ("", "")


def test_keys_of_any_kind():
    key = uuid4()
    odd = SimpleNamespace(pk=key, get_username=lambda: "e" * 300)
    assert users.key_of(odd) == str(key)
    assert users.name_of(odd) == "e" * users.LENGTH
    # Left behind by another user model.
    assert users.find(str(key)) is None
    assert users.find("x" * users.LENGTH) is None
