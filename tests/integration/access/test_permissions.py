"""The permissions that Django's admin offers to give."""

import pytest
from django.contrib.auth.models import Permission

OURS = {"approve_task", "cancel_run", "retry_run", "run_workflow", "view_payload"}


@pytest.mark.django_db
def test_only_what_people_see_has_permissions():
    found = Permission.objects.filter(content_type__app_label__startswith="django_director")
    stock = {
        f"{verb}_{name}" for verb in ("add", "change", "delete", "view") for name in ("run", "task", "workflow")
    }
    assert set(found.values_list("codename", flat=True)) == OURS | stock
