from django_director.masking.source import mask_source

SOURCE = """\
# é 😀 comment
shop.ORDER:
  description: "see http://ann:s3cret@host/ - ä"
  tasks:
    - GET_TOKEN:
        task: LOGIN
        with: {api_key: k-s3cret, size: 7, password: "${{ payload.password }}"}
    - type: group
      tasks:
        - LOAD:
            with:
              env:
                - name: DB_PASSWORD
                  value: s3cret-1
                - {name: COLOUR, value: red}
              dsn: |
                postgres://s3cret-2
                second s3cret-line
              token: &t s3cret-3
              other: *t
              é: open
  schema:
    properties:
      password: {type: string, default: s3cret-4, minLength: 8}
      ssn:
        writeOnly: true
        default: s3cret-5
      size: {default: 7}
  periodic:
    interval: 60
    payload:
      ssn: "s3cret-6"
      db: "postgres://u:s3cret-7@db/x"
      size: 8
  queue: {default: slow}
"""


def test_what_a_workflow_gives_to_secret_keys_is_hidden():
    shown = mask_source(SOURCE, {"properties": {"ssn": {"writeOnly": True}}})
    assert "s3cret" not in shown
    for kept in (
        *(
            "# é 😀 comment",
            "- GET_TOKEN:\n        task: LOGIN",
            "size: 7",
            '"${{ payload.password }}"',
            "{name: COLOUR, value: red}",
        ),
        *(
            "name: DB_PASSWORD",
            "password: {type: string, default: ",
            "minLength: 8}",
            "size: {default: 7}",
            "size: 8\n",
        ),
        *(
            '"see http://ann:********@host/ - ä"',
            '"postgres://u:********@db/x"',
            "queue: {default: slow}\n",
            "é: open\n",
        ),
        *('dsn: "********"\n', "writeOnly: true\n", "other: *t\n", "interval: 60"),
    ):
        assert kept in shown, kept


def test_a_text_without_secrets_stays_as_it_is():
    source = "a.B:\n  tasks: [A, B]\n  # end\n\n"
    assert mask_source(source) == source
    assert mask_source("") == ""


def test_an_alias_to_another_part_of_the_file_is_no_problem():
    assert mask_source("a.B:\n  tasks: *tasks\n  with: {token: x}\n") == (
        'a.B:\n  tasks: *tasks\n  with: {token: "********"}\n'
    )


def test_what_can_not_be_read_is_not_shown():
    assert "s3cret" not in mask_source("with: {token: s3cret")
    assert "s3cret" not in mask_source("[" * 50_000 + "s3cret")
