"""The routes below ``director/api/``.

``<str:…>`` takes names with dots; what is no id gets a 404 in JSON from the view. A slash at the
end may be left out: Django would answer with a page, or lead a POST elsewhere without its body.
"""

from __future__ import annotations

from django.urls import path, re_path

from . import runs, tasks, workflows
from .views import Health, NoRoute, Ping

_named = [
    path("ping/", Ping.as_view(), name="api-ping"),
    path("health/", Health.as_view(), name="api-health"),
    path("workflows/", workflows.WorkflowList.as_view(), name="api-workflows"),
    path("workflows/<str:name>/", workflows.WorkflowDetail.as_view(), name="api-workflow"),
    path("workflows/<str:name>/runs/", workflows.WorkflowRuns.as_view(), name="api-workflow-runs"),
    path("runs/", runs.RunList.as_view(), name="api-runs"),
    path("runs/<str:run_id>/", runs.RunDetail.as_view(), name="api-run"),
    path("runs/<str:run_id>/tasks/", runs.RunTasks.as_view(), name="api-run-tasks"),
    path("runs/<str:run_id>/graph/", runs.RunGraph.as_view(), name="api-run-graph"),
    path("runs/<str:run_id>/cancel/", runs.RunCancel.as_view(), name="api-run-cancel"),
    path("runs/<str:run_id>/pause/", runs.RunPause.as_view(), name="api-run-pause"),
    path("runs/<str:run_id>/resume/", runs.RunResume.as_view(), name="api-run-resume"),
    path("runs/<str:run_id>/retry/", runs.RunRetry.as_view(), name="api-run-retry"),
    path("runs/<str:run_id>/relaunch/", runs.RunRelaunch.as_view(), name="api-run-relaunch"),
    path("tasks/<str:task_id>/", tasks.TaskDetail.as_view(), name="api-task"),
    path("tasks/<str:task_id>/approve/", tasks.TaskApprove.as_view(), name="api-task-approve"),
    path("tasks/<str:task_id>/reject/", tasks.TaskReject.as_view(), name="api-task-reject"),
    path("tasks/<str:task_id>/rerun/", tasks.TaskRerun.as_view(), name="api-task-rerun"),
    path("tasks/<str:task_id>/skip/", tasks.TaskSkip.as_view(), name="api-task-skip"),
]

urlpatterns = [
    *_named,
    *(path(str(route.pattern).rstrip("/"), route.callback) for route in _named),
    re_path("", NoRoute.as_view()),
]
