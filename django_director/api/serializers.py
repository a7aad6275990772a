"""Checks what clients send. The answers are made in ``presentation.serializers``."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from django_director.common.json_values import StrictDecoder
from django_director.common.suggestions import question
from django_director.exceptions import UnknownWorkflow
from django_director.models import COMMENT_LENGTH, Workflow
from django_director.presentation.lookups import SHOWN_STATUSES
from django_director.status import Trigger

from . import names


class StartRequest(serializers.Serializer[Any]):
    payload = serializers.JSONField(default=dict, decoder=StrictDecoder)
    comment = serializers.CharField(default="", allow_blank=True, max_length=COMMENT_LENGTH)


class CancelRequest(serializers.Serializer[Any]):
    force = serializers.BooleanField(default=False)


class DecisionRequest(serializers.Serializer[Any]):
    comment = serializers.CharField(default="", allow_blank=True, max_length=COMMENT_LENGTH)


class NoOptions(serializers.Serializer[Any]):
    pass


class RelaunchRequest(serializers.Serializer[Any]):
    """Without ``payload``, or with ``null``, the new run has the payload of the old one."""

    payload = serializers.JSONField(default=None, allow_null=True, decoder=StrictDecoder)
    version = serializers.ChoiceField(choices=["current", "same"], default="current")
    comment = serializers.CharField(default="", allow_blank=True, max_length=COMMENT_LENGTH)


class SkipRequest(serializers.Serializer[Any]):
    comment = serializers.CharField(default="", allow_blank=True, max_length=COMMENT_LENGTH)


class StatusesField(serializers.Field[list[str], str, list[str], Any]):
    """Reads one status of runs, or several with commas between them."""

    def to_internal_value(self, data: str) -> list[str]:
        statuses = [part.strip() for part in str(data).split(",")]
        for status in statuses:
            if status not in SHOWN_STATUSES:
                hint = question(status, SHOWN_STATUSES) or "known are " + ", ".join(SHOWN_STATUSES)
                raise serializers.ValidationError(f"unknown status “{status}”; {hint}")
        return statuses


class RunFilters(serializers.Serializer[Any]):
    workflow = serializers.CharField(required=False)
    status = StatusesField(required=False)
    trigger = serializers.ChoiceField(choices=Trigger.choices, required=False)
    user = serializers.CharField(required=False)
    parent_run = serializers.UUIDField(required=False)
    created_after = serializers.DateTimeField(required=False)
    created_before = serializers.DateTimeField(required=False)
    search = serializers.CharField(required=False)

    def validate_workflow(self, name: str) -> Workflow:
        try:
            return names.find_workflow(self.context["request"].user, name, "view_run")
        except UnknownWorkflow as error:
            raise serializers.ValidationError(str(error)) from error
