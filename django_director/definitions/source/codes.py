"""The codes of problems. A code is stable: scripts may rely on it, so it never gets another meaning."""

from __future__ import annotations

from typing import Final

UNREADABLE: Final = "D001"
NOT_UTF8: Final = "D002"
TOO_LARGE: Final = "D003"
NOT_YAML: Final = "D004"
TAG: Final = "D005"
DUPLICATE_KEY: Final = "D006"
ALIAS: Final = "D007"
AMBIGUOUS: Final = "D008"
KEY_NOT_TEXT: Final = "D009"
DOCUMENTS: Final = "D010"
MERGE: Final = "D011"
NOT_A_MAPPING: Final = "D012"
CHARACTER: Final = "D013"
CUT: Final = "D014"

WORKFLOW_NAME: Final = "D101"
WORKFLOW_TWICE: Final = "D102"
WORKFLOW_FORM: Final = "D103"
TASKS: Final = "D104"
UNKNOWN_KEY: Final = "D105"
VALUE: Final = "D107"
DURATION: Final = "D108"

STEP_FORM: Final = "D201"
STEP_KEYS: Final = "D202"
STEP_OPTIONS: Final = "D203"
STEP_TYPE: Final = "D204"
STEP_ID: Final = "D205"
STEP_TWICE: Final = "D206"
TOO_LONG: Final = "D207"
UNKNOWN_STEP: Final = "D208"
SEVERAL_STEPS: Final = "D209"
NEEDS: Final = "D210"
CYCLE: Final = "D211"
MAP_BODY: Final = "D212"
INCOMPLETE: Final = "D213"
BATCH: Final = "D214"

TIMING: Final = "D301"
INTERVAL: Final = "D302"
CRONTAB: Final = "D303"
TIMEZONE: Final = "D304"
SCHEDULE_PAYLOAD: Final = "D305"
RETENTION: Final = "D306"
SCHEMA_FILE: Final = "D307"
SCHEMA: Final = "D308"
HOOK: Final = "D309"
CHILD: Final = "D310"
RECURSION: Final = "D311"
CHILD_PAYLOAD: Final = "D312"

UNKNOWN_TASK: Final = "D401"
MISSING_ARGUMENT: Final = "D402"
UNEXPECTED_ARGUMENT: Final = "D403"
IMPORT: Final = "D404"
SETTING: Final = "D405"
EXCEPTION: Final = "D406"
REFUSED_QUEUE: Final = "D407"
NO_APP: Final = "D408"

EXPRESSION: Final = "D501"
SCOPE: Final = "D502"
NOT_BEFORE: Final = "D503"
PAYLOAD_KEY: Final = "D504"

GROUP_OF_ONE: Final = "D901"
EMPTY_GROUP: Final = "D902"
UNUSED_QUEUE: Final = "D903"
LONE_CHAIN: Final = "D904"
BRACES: Final = "D905"
UNNAMED_KEY: Final = "D906"
PERMISSION: Final = "D907"
STAYS_TEXT: Final = "D908"
BARE: Final = "D909"
EMPTY_KEY: Final = "D910"
NO_TIMEOUT: Final = "D911"
EMPTY_WORKFLOW: Final = "D912"
STATUS: Final = "D913"
MISREAD: Final = "D914"
FILLED: Final = "D915"
KEYWORD: Final = "D916"
SLOW_PATTERN: Final = "D917"
IDLE_SCHEMA: Final = "D918"
UNNAMED_REQUIRED: Final = "D919"

CODES: Final[dict[str, str]] = {
    UNREADABLE: "the file is missing or can't be read",
    NOT_UTF8: "the file is not UTF-8",
    TOO_LARGE: "the file is too large, too deep, or becomes too large with its aliases",
    NOT_YAML: "the file is not valid YAML",
    TAG: "a YAML tag",
    DUPLICATE_KEY: "a key stands twice in one mapping",
    ALIAS: "an alias without an anchor, or of something it stands in",
    AMBIGUOUS: "a number that YAML reads as another value than it seems",
    KEY_NOT_TEXT: "a key or name that YAML does not read as text",
    DOCUMENTS: "more than one YAML document in a file",
    MERGE: "a merge key without a mapping",
    NOT_A_MAPPING: "the file is not a mapping of workflows",
    CHARACTER: "a character that databases can't store",
    CUT: "a comma without quotes, inside `{…}` or `[…]`, that cuts a value in two",
    WORKFLOW_NAME: "a workflow's name is not project.NAME",
    WORKFLOW_TWICE: "two workflows have one name",
    WORKFLOW_FORM: "a workflow is not a mapping",
    TASKS: "`tasks` is missing or not a list",
    UNKNOWN_KEY: "an unknown key",
    VALUE: "a value of the wrong type",
    DURATION: "a duration that can't be read, or that is too short or too long",
    STEP_FORM: "a step is neither a name nor a mapping",
    STEP_KEYS: "a step is a mapping with more than one key, or none",
    STEP_OPTIONS: "the options of a step are not a mapping",
    STEP_TYPE: "a step's `type` is unknown or missing",
    STEP_ID: "an id has characters that ids can't have",
    STEP_TWICE: "two steps have one id",
    TOO_LONG: "a name or id is too long",
    UNKNOWN_STEP: "no step of the workflow has this id",
    SEVERAL_STEPS: "a name that stands for several steps",
    NEEDS: "a step that can't be needed from where it is named",
    CYCLE: "steps that wait for each other",
    MAP_BODY: "a map holds something that is no Celery task",
    INCOMPLETE: "a step lacks what its kind requires, or has too much of it",
    BATCH: "a `batch` of tasks that would not run as they do without it",
    TIMING: "a schedule without its one timing",
    INTERVAL: "an interval that is no possible number of seconds",
    CRONTAB: "a crontab that can't be read, or that never comes",
    TIMEZONE: "an unknown time zone",
    SCHEDULE_PAYLOAD: "a schedule's payload does not fit the schema",
    RETENTION: "a retention that is no possible number",
    SCHEMA_FILE: "a schema file is missing or can't be read",
    SCHEMA: "a schema is not a valid JSON Schema",
    HOOK: "a hook is no Celery task",
    CHILD: "no workflow has this name",
    RECURSION: "a workflow that would start itself",
    CHILD_PAYLOAD: "the payload of a child workflow does not fit its schema",
    UNKNOWN_TASK: "no Celery task of this name is registered",
    MISSING_ARGUMENT: "a task needs an argument that nothing gives",
    UNEXPECTED_ARGUMENT: "a task does not take an argument of `with`",
    IMPORT: "the project's tasks can't be imported",
    SETTING: "the setting that names the files is not usable",
    EXCEPTION: "`retry` names an exception class that can't be imported",
    REFUSED_QUEUE: "Celery would refuse the queue of a step",
    NO_APP: "the project has no Celery app, so that no task is known",
    EXPRESSION: "an expression that can't be read",
    SCOPE: "an expression uses a name that is not known where it stands",
    NOT_BEFORE: "an expression uses a step that does not come before it",
    PAYLOAD_KEY: "an expression uses a key of the payload that the schema does not allow",
    GROUP_OF_ONE: "note: a group with one member",
    EMPTY_GROUP: "note: a group without members",
    UNUSED_QUEUE: "note: `queue.customs` names no step or task of the workflow",
    LONE_CHAIN: "note: a chain in a list, which is a chain already",
    BRACES: "note: `{{ … }}` in a text, which is no expression without `$`",
    UNNAMED_KEY: "note: an expression uses a key of the payload that the schema does not name, and nearly does",
    PERMISSION: "note: an approval asks for a permission that no model declares",
    STAYS_TEXT: "note: `${{ … }}` in a text that is not evaluated",
    BARE: "note: a text that looks like an expression, without its `${{ … }}`",
    EMPTY_KEY: "note: a key with nothing behind it",
    NO_TIMEOUT: "note: an approval with `on_timeout` and without `timeout`",
    EMPTY_WORKFLOW: "note: a workflow without steps",
    STATUS: "note: an expression compares a status with a word that is none",
    MISREAD: "note: a value without quotes that YAML reads as something else than it looks",
    FILLED: "note: a misspelt key of `with` that `**kwargs` takes, while the upstream result fills the parameter",
    KEYWORD: "note: a word in a schema that is no keyword and looks like one",
    SLOW_PATTERN: "note: a pattern of a schema that takes very long on some texts",
    IDLE_SCHEMA: "note: a schema that checks nothing, as it has no keyword of JSON Schema",
    UNNAMED_REQUIRED: "note: a schema requires a key that its `properties` do not name",
}
