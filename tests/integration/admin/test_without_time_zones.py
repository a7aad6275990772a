from datetime import timedelta

import pytest
from django.urls import reverse

from django_director.models import Run
from tests import factories
from tests.integration.admin.pages import address, order, text

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_time_zones(settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "Europe/Paris"


def test_all_pages_are_shown_where_times_have_no_zone(operator):
    workflow = order()
    failed = factories.make_run(workflow, "failed", {"FETCH": "success", "STOCK": "failed"}, error="STOCK: E: x")
    at = failed.created_at - timedelta(minutes=1)
    Run.objects.filter(pk=failed.pk).update(started_at=at, finished_at=at)
    running = factories.make_run(workflow, tasks={"FETCH": "running"})
    pages = [
        reverse("admin:app_list", args=["django_director"]),
        *(address(f"{model}_changelist") for model in ("workflow", "run", "task")),
        address("workflow_change", workflow.pk),
        address("task_change", failed.tasks.get(step="STOCK").pk),
        address("run_retry", failed.pk),
        address("run_live", running.pk),
        *(
            f"{address('run_change', run.pk)}?tab={tab}"
            for run in (failed, running)
            for tab in ("steps", "timeline", "log", "events")
        ),
    ]
    for page in pages:
        assert operator.get(page).status_code == 200, page
    overview = text(operator.get(pages[0]))
    assert "1 run has failed" in overview
    assert "<title>" in overview.split("director-bars")[1].split("</svg>")[0], "the bar of the failed run"
    ended = {"status__exact": "failed", "ended": "1h"}
    assert len(operator.get(address("run_changelist"), ended).context["cl"].result_list) == 1
